"""The reconciler: GitHub does not send a failed delivery again by itself, so those are asked for again.

At the start, which may follow an outage, and every few minutes. Open runs need no such care: each reads its CI anew
every minute, whatever was delivered.
"""

import asyncio
import logging
from datetime import timedelta

from app.github import deliveries
from app.github.client import GitHubApp
from app.github.errors import GitHubRefused, GitHubUnavailable
from app.lifecycle.steps import utcnow

EVERY_SECONDS = 120.0
LOOK_BACK = timedelta(days=3)
"""GitHub keeps deliveries for about that long."""

log = logging.getLogger(__name__)


async def ask_for_failed_deliveries(app: GitHubApp) -> int:
    """Ask GitHub to send again what no attempt delivered; how many. The inbox acts on each only once."""
    failed = await deliveries.failed_since(app, utcnow() - LOOK_BACK)
    return sum([await deliveries.redeliver(app, one.id) for one in failed])


async def keep_asking(app: GitHubApp) -> None:
    """Reconcile at once and then every few minutes, until cancelled."""
    while True:
        try:
            asked = await ask_for_failed_deliveries(app)
            if asked:
                log.warning("%s failed deliveries were asked for again", asked)
        except (GitHubUnavailable, GitHubRefused) as trouble:
            log.warning("failed deliveries could not be asked for: %s", trouble)
        await asyncio.sleep(EVERY_SECONDS)
