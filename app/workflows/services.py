"""What the steps of the workflows work with: set once when the process starts.

Workflows are recovered by name after a crash, so they are functions of the module and find their surroundings here.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from app.agents import models
from app.db import run_rows
from app.db.engine import Database
from app.domain.ruleset import Ruleset
from app.github.client import GitHubApp, Repo

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class RunLimits:
    """How many runs with a repository work at once; the others wait for their turn."""

    overall: int = 50
    per_repository: int = 10


@dataclass(frozen=True)
class Services:
    db: Database
    github: GitHubApp | None
    """None while GitHub is not configured."""
    server_url: str
    data_dir: Path
    """Holds mirrors and worktrees."""
    ruleset: Ruleset
    vendors: frozenset[str]
    """Model vendors for which a key is configured."""
    limits: RunLimits = RunLimits()
    own_secrets: tuple[str, ...] = field(default=(), repr=False)
    """The service's keys and tokens, which no patch may hold."""


class NotConfigured(RuntimeError):
    """Something that the work needs is not configured; the text says what to set."""


_services: Services | None = None
_stopping = False


def configure(services: Services | None) -> None:
    """Set the surroundings of every workflow in this process."""
    global _services, _stopping
    _services, _stopping = services, False


def begin_shutdown() -> None:
    """From now on errors may come from the process ending: no run ends because of one, the next start takes it up."""
    global _stopping  # noqa: PLW0603
    _stopping = True
    logging.getLogger("dbos").setLevel(logging.CRITICAL)


def stopping() -> bool:
    """Whether the process is shutting down."""
    return _stopping


def services() -> Services:
    """The surroundings. Raises `NotConfigured` before `configure`."""
    if _services is None:
        raise NotConfigured("the service has not been started")
    return _services


def list_refused_keys() -> list[str]:
    """The vendors that refused this process's key when it was last used."""
    return models.list_refused_keys()


async def call_db(function: Callable[Concatenate[Database, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of the database off the event loop, which no query may block."""
    return await asyncio.to_thread(function, services().db, *args, **kwargs)


async def repo_of(repository: str, installation_id: int, repository_id: int | None = None) -> Repo:
    """The repository as the App reaches it. Raises `NotConfigured` without the App's settings."""
    github = services().github
    if github is None:
        raise NotConfigured("GitHub is not configured: set GITHUB_APP_ID, GITHUB_PRIVATE_KEY and GITHUB_WEBHOOK_SECRET")
    return await github.installation(installation_id, repository, repository_id)


async def repo_of_run(run_id: str) -> Repo:
    """The run's repository under its newest name."""
    run = await call_db(run_rows.get, run_id)
    return await repo_of(run.repository, run.installation_id, run.repository_id)
