"""The drainer hands the inbox to the workflow engine. Twice is harmless, since the workflow's id is the delivery's."""

import asyncio
import logging

from dbos import DBOS, SetWorkflowID
from sqlalchemy.exc import SQLAlchemyError

from app.db import inbox
from app.db.engine import Database
from app.lifecycle.steps import utcnow
from handlers.deliveries import handle_delivery

LOOK_SECONDS = 5.0
"""Without being woken, the inbox is looked at this often: another process may have stored something."""

log = logging.getLogger(__name__)


class Drainer:
    """One background task per process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that the inbox holds something new."""
        self._woken.set()

    async def run(self) -> None:
        """Drain until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self._drain()
            except SQLAlchemyError:
                log.exception("the inbox could not be drained; it is tried again in %s seconds", LOOK_SECONDS)
            try:
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def _drain(self) -> None:
        while batch := await asyncio.to_thread(inbox.waiting, self._db):
            for delivery in batch:
                with SetWorkflowID(delivery.id):
                    await DBOS.start_workflow_async(handle_delivery, delivery.id)
            await asyncio.to_thread(inbox.mark_handed, self._db, [one.id for one in batch], utcnow())
