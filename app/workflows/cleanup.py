"""The upkeep, a background task: deletes what is no longer needed."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbos import DBOS, error
from sqlalchemy.exc import SQLAlchemyError

from app.db import deliveries, run_rows
from app.workflows.services import call_db, services
from app.workflows.steps import utcnow
from app.workflows.workflow_names import DELIVERY, STARTED_DIRECTLY
from app.workspace.mirror import Mirror
from app.workspace.workspace_errors import WorkspaceError
from app.workspace.worktree import sweep

EVERY_SECONDS = 3600.0
RETENTION = timedelta(days=30)
"""How long deliveries, and the workflow engine's records of what ended, are kept."""
REPACK_AFTER = timedelta(days=1)
BATCH = 200
"""Workflows deleted in one transaction, at most: SQLite has one writer."""
_ENDED = ["SUCCESS", "ERROR", "CANCELLED"]

log = logging.getLogger(__name__)


async def run_cleanup_loop() -> None:
    """Tidy up at once and then every hour, until cancelled."""
    while True:
        for chore in (_delete_deliveries, _delete_workflows, _sweep_worktrees, repack_mirrors):
            await contained(chore.__name__.strip("_"), chore)
        await asyncio.sleep(EVERY_SECONDS)


async def contained(name: str, chore: Callable[[], Awaitable[None]]) -> bool:
    """Do a chore; False when it failed, which is logged and keeps no other chore from being done."""
    try:
        await chore()
    except (SQLAlchemyError, error.DBOSException, WorkspaceError, OSError) as trouble:
        log.warning("%s: not tidied up, the next try is in %s seconds: %s", name, EVERY_SECONDS, trouble)
        return False
    except Exception:  # a defect of one chore must not end the others
        log.exception("%s: not tidied up, the next try is in %s seconds", name, EVERY_SECONDS)
        return False
    return True


async def _delete_deliveries() -> None:
    await call_db(deliveries.delete_older, utcnow() - RETENTION)


async def _delete_workflows() -> None:
    await delete_workflows(utcnow() - RETENTION)


async def delete_workflows(before: datetime) -> None:
    """Delete the engine's records of workflows that ended before then, with child workflows, except deliveries."""
    # To the engine a run is the child of the delivery that started it, so deliveries go without their children.
    for name, with_children in ((DELIVERY, False), *((begun, True) for begun in STARTED_DIRECTLY)):
        await contained(f"workflows {name}", functools.partial(_forget, name, before, with_children=with_children))


async def _forget(name: str, before: datetime, *, with_children: bool) -> None:
    while ended := await DBOS.list_workflows_async(
        name=name,
        status=_ENDED,
        completed_before=before.isoformat(),
        limit=BATCH,
        load_input=False,
        load_output=False,
    ):
        ids = [one.workflow_id for one in ended]
        await DBOS.delete_workflows_async(ids, delete_children=with_children)


async def _sweep_worktrees() -> None:
    working = await call_db(run_rows.list_open_runs)
    await sweep(services().data_dir, {run.run_id for run in working})


async def repack_mirrors() -> None:
    """Repack the mirrors of repositories without an open run, once a day; sooner where one could not be repacked."""
    mirrors = services().data_dir / "mirrors"
    mirrors.mkdir(parents=True, exist_ok=True)
    stamp = mirrors / ".repacked"
    if stamp.exists() and utcnow() - datetime.fromtimestamp(stamp.stat().st_mtime, UTC) < REPACK_AFTER:
        return
    stamp.touch()
    working = await call_db(run_rows.list_open_runs)
    busy = {run.project_id.lower() for run in working}
    for path in sorted(mirrors.glob("[!.]*/*.git")):
        name = f"{path.parent.name}/{path.stem}"
        if name not in busy and not await contained(f"mirror {name}", functools.partial(_repack, path)):
            stamp.unlink(missing_ok=True)


async def _repack(path: Path) -> None:
    await Mirror(services().data_dir, path.parent.name, path.stem, services().server_url).maintain()
