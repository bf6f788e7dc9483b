"""The service: settings, database, workflow engine and routes, put together. `uvicorn app.main:app` serves it."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
from collections.abc import AsyncGenerator
from enum import StrEnum
from pathlib import Path

from dbos import DBOS, DBOSConfig
from fastapi import Depends, FastAPI

from app import __version__, audit_trail, collection
from app.agents import models
from app.agents.model_access import ModelAccess
from app.artifacts import writer
from app.config.loader import default_ruleset
from app.db.engine import Database, DatabaseUnusable
from app.db.worker_lock import LOCAL
from app.domain.api_scopes import ApiScope
from app.github import write_locks
from app.github.client import GitHubApp
from app.runs import api_tokens, transitions
from app.settings import Settings
from app.web import (
    finding_routes,
    health,
    metric_routes,
    openapi,
    problems,
    report_routes,
    result_routes,
    run_routes,
    steer_routes,
    webhooks,
)
from app.web.access import require_access
from app.web.background import Background, Work
from app.web.body_limit import BodyLimit
from app.web.dependencies import ServiceState
from app.web.drainer import Drainer
from app.web.intake import Intake
from app.workflows import cleanup, reconcile, run_queue, worker_takeover
from app.workflows.services import RunLimits, Services, begin_shutdown, configure, services
from app.workflows.steps import utcnow
from app.workspace import reading_process
from app.workspace.trees import restrict

ENGINE_POLLING_SECONDS = 0.2
"""How soon a message wakes a run, and a queued run starts, on SQLite; PostgreSQL notifies of messages."""
SHARED_QUEUE_POLLING_SECONDS = 1.0
"""How soon a queued run starts on PostgreSQL. Each process asks it so often: that is most of what it costs idle."""

TOKEN_FILE = "api-token"  # noqa: S105 - a name
"""In the data folder: the token that the first start made."""
OWNER_ONLY = 0o077
"""No other user of the machine reads what the service writes: code, prompts, the database."""

WORKFLOWS_VERSION = "9"
"""Raise it only when recorded steps no longer fit: runs of another version go on as other runs, nothing is replayed."""


log = logging.getLogger(__name__)


class ProcessRole(StrEnum):
    """What a process does. Several share a PostgreSQL; SQLite has one, which does everything."""

    ALL = "all"
    WEB = "web"
    """It takes in webhooks and serves the API; workers do the rest."""
    WORKER = "worker"
    """It acts on deliveries and runs, and serves nothing."""


def engine_config(db: Database, executor: str = LOCAL) -> DBOSConfig:
    """The workflow engine's configuration; `executor` is the name of this process's work."""
    return {
        "name": "autopack",
        "system_database_url": db.url.render_as_string(hide_password=False),
        "application_version": WORKFLOWS_VERSION,
        "executor_id": executor,
        "notification_listener_polling_interval_sec": ENGINE_POLLING_SECONDS,
        "system_database_engine": db.workflow_engine(),
        "log_level": "WARNING",
        "enable_otlp": False,
    }


@contextlib.asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncGenerator[None]:
    """Serve as `app.state.role` says, in this process alone where that says nothing."""
    async with running(getattr(api.state, "role", ProcessRole.ALL)) as api.state.service:
        yield


@contextlib.asynccontextmanager
async def running(role: ProcessRole) -> AsyncGenerator[ServiceState]:
    """Open the database, launch the workflow engine (which takes up what a crash left), and begin the tasks of a role.

    Raises `DatabaseUnusable` where the database cannot be served so.
    """
    settings = Settings()
    await asyncio.to_thread(_prepare_folders, settings)
    db = Database(settings.database)
    if db.sqlite and role is not ProcessRole.ALL:
        raise DatabaseUnusable("SQLite is served by one process: start `autopack serve`, or name a PostgreSQL")
    await asyncio.to_thread(db.claim)
    await asyncio.to_thread(db.migrate)
    executor = await asyncio.to_thread(db.worker.enlist, WORKFLOWS_VERSION)
    if settings.autopack_api_token is None:
        await asyncio.to_thread(_make_first_token, db, settings.data_dir)
    acts = audit_trail.install(settings.data_dir)
    given = _services(settings, db)
    configure(given)
    DBOS(config=engine_config(db, executor))
    await asyncio.to_thread(_launch, role)
    intake, drainer = Intake(db), Drainer(db)
    background = Background(
        {
            "artifacts": functools.partial(writer.run_writer_loop, db, settings, given.ruleset),
            **({} if role is ProcessRole.WORKER else {"intake": intake.run}),
            **({} if db.sqlite else {"takeover": worker_takeover.run_takeover_loop}),
            **({} if role is ProcessRole.WEB else _work_tasks(drainer)),
        }
    )
    background.start()
    collection.resume()
    try:
        yield ServiceState(settings, db, intake, drainer, background, executor)
    finally:
        await background.stop()
        begin_shutdown()
        await asyncio.to_thread(DBOS.destroy)
        await models.close()
        if given.github is not None:
            await given.github.aclose()
        await reading_process.close()
        write_locks.share(None)
        configure(None)
        audit_trail.uninstall(acts)
        db.close()


async def work() -> None:
    """Be a worker until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running(ProcessRole.WORKER) as service:
        log.info("%s works", service.executor)
        await ended.wait()


def _services(settings: Settings, db: Database) -> Services:
    """What workflows work with; among several processes, with locks and writes that they share."""
    access = ModelAccess()
    models.configure(access)
    github = GitHubApp(settings.github) if settings.github else None
    if db.sqlite:
        transitions.mark_runs_resumed(db, utcnow())
    else:
        write_locks.share(db.shared_lock)
        if github is not None:
            github.writes.before = worker_takeover.require_own_work
    return Services(
        db=db,
        github=github,
        server_url=settings.github_server_url,
        data_dir=settings.data_dir,
        ruleset=default_ruleset(),
        vendors=access.vendors,
        limits=RunLimits(settings.max_runs, settings.max_runs_per_repository),
        own_secrets=(*settings.secrets, *access.secrets),
    )


def _make_first_token(db: Database, folder: Path) -> None:
    """Make a token at the first start, for clients on other machines; it is in a file that only this user reads."""
    if not api_tokens.list_all(db):
        made = api_tokens.make(db, "first", list(ApiScope), utcnow(), made_by_start=True)
        if made is not None:
            (folder / TOKEN_FILE).write_text(f"{made}\n", encoding="utf-8")


def _work_tasks(drainer: Drainer) -> dict[str, Work]:
    return {"drainer": drainer.run, "reconciler": reconcile.run_reconcile_loop, "upkeep": cleanup.run_cleanup_loop}


def _prepare_folders(settings: Settings) -> None:
    """Make the service's folders, readable by their owner only."""
    os.umask(OWNER_ONLY)
    for folder in (settings.data_dir, settings.autonomous_runs_dir):
        folder.mkdir(parents=True, exist_ok=True)
        restrict(folder)


def _launch(role: ProcessRole) -> None:
    if role is ProcessRole.WEB:
        DBOS.listen_queues([])
    DBOS.launch()
    run_queue.register(ENGINE_POLLING_SECONDS if services().db.sqlite else SHARED_QUEUE_POLLING_SECONDS)


def _assemble() -> FastAPI:
    """The routes: what GitHub and load balancers reach is open, the rest asks for the token or for this machine."""
    api = webhooks.Api(
        title="Autopack",
        version=__version__,
        description="Labeled issues become reviewed pull requests. Errors are RFC 9457 problem details.",
        lifespan=lifespan,
    )
    problems.install(api)
    openapi.install(api)
    api.add_middleware(BodyLimit)
    api.include_router(health.router)
    for router in (
        run_routes.router,
        steer_routes.router,
        finding_routes.router,
        result_routes.router,
        metric_routes.router,
        report_routes.router,
    ):
        api.include_router(router, dependencies=[Depends(require_access)])
    return api


app = _assemble()
