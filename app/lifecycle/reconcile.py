"""The reconciler, beside the workflows: what was lost is found again, and what nobody needs is thrown away.

GitHub does not send a failed delivery again by itself, so those are asked for: at the start, after an outage perhaps,
and every few minutes. Open runs need no such care: each reads its CI anew every minute, whatever was delivered.
"""

import asyncio
import logging
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from app.db import inbox, runs
from app.github import deliveries
from app.github.client import GitHubApp
from app.github.errors import GitHubRefused, GitHubUnavailable
from app.lifecycle.services import services
from app.lifecycle.steps import utcnow
from app.workspace.worktree import sweep

EVERY_SECONDS = 120.0
LOOK_BACK = timedelta(days=3)
"""GitHub keeps deliveries for about that long."""
KEEP_DELIVERIES = timedelta(days=30)

log = logging.getLogger(__name__)


async def keep_reconciling() -> None:
    """Reconcile at once and then every few minutes, until cancelled."""
    while True:
        try:
            await _reconcile()
        except (GitHubUnavailable, GitHubRefused, SQLAlchemyError, OSError) as trouble:
            log.warning("not reconciled, the next try is in %s seconds: %s", EVERY_SECONDS, trouble)
        await asyncio.sleep(EVERY_SECONDS)


async def _reconcile() -> None:
    db, github = services().db, services().github
    if github is not None and (asked := await ask_for_failed_deliveries(github)):
        log.warning("%s failed deliveries were asked for again", asked)
    await asyncio.to_thread(inbox.forget, db, utcnow() - KEEP_DELIVERIES)
    working = await asyncio.to_thread(runs.open_runs, db)
    await sweep(services().data_dir, {run.run_id for run in working})


async def ask_for_failed_deliveries(app: GitHubApp) -> int:
    """Ask GitHub to send again what no attempt delivered; how many. The inbox acts on each only once."""
    failed = await deliveries.failed_since(app, utcnow() - LOOK_BACK)
    return sum([await deliveries.redeliver(app, one.id) for one in failed])
