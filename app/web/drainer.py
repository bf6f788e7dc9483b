"""The drainer hands the inbox to the workflow engine. Twice is harmless, since the workflow's id is the delivery's."""

import asyncio
import contextlib
import logging
import time

from dbos import DBOS, SetWorkflowID, WorkflowHandleAsync, error
from sqlalchemy.exc import SQLAlchemyError

from app.db import deliveries
from app.db.engine import Database
from app.queries.run_heads import Head
from app.workflows.steps import utcnow
from handlers.dispatch import handle_delivery, select_for_workflows

POLL_SECONDS = 5.0
"""Without being woken, the inbox is looked at this often."""
POLL_SHARED_SECONDS = 0.5
"""The same where another process may have stored something: nothing wakes this one."""
GATHER_SECONDS = 0.03
"""Between two looks, so that a flood is drained in few of them. A delivery after a pause is acted on at once."""
MAX_CONCURRENT = 8
"""Deliveries acted on at the same time, so that a flood of them leaves room for taking in more."""

BATCH = 500
"""Deliveries that are read together: most of them only wake a run, or nothing."""
MAX_NOTED = 10_000
"""Deliveries whose commit is kept in memory; any other is read from the inbox."""

log = logging.getLogger(__name__)


class Drainer:
    """One background task per process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._woken = asyncio.Event()
        self._acting: set[asyncio.Task[None]] = set()
        self._heads: dict[str, Head] = {}
        self._runs = False

    def note(self, delivery_id: str, head: Head) -> None:
        """Say which commit's run a stored delivery wakes, so that it need not be read again."""
        if self._runs and len(self._heads) < MAX_NOTED:
            self._heads[delivery_id] = head

    def wake(self) -> None:
        """Say that the inbox holds something new."""
        self._woken.set()

    async def run(self) -> None:
        """Drain until cancelled."""
        self._runs = True
        while True:
            self._woken.clear()
            try:
                await self._drain()
            except (SQLAlchemyError, error.DBOSException):
                log.exception("the inbox could not be drained; it is tried again in %s seconds", POLL_SECONDS)
            drained = time.monotonic()
            try:
                seconds = POLL_SECONDS if self._db.sqlite else POLL_SHARED_SECONDS
                await asyncio.wait_for(self._woken.wait(), seconds)
            except TimeoutError:
                continue
            await asyncio.sleep(drained + GATHER_SECONDS - time.monotonic())

    async def _drain(self) -> None:
        """Hand over, oldest first, `MAX_CONCURRENT` at a time, until the inbox is empty."""
        slots = asyncio.Semaphore(MAX_CONCURRENT)
        while waiting := await asyncio.to_thread(deliveries.list_pending, self._db, BATCH):
            known = {one: self._heads.pop(one) for one in waiting if one in self._heads}
            for delivery_id in await select_for_workflows(self._db, waiting, known):
                await slots.acquire()
                with SetWorkflowID(delivery_id):
                    handle = await DBOS.start_workflow_async(handle_delivery, delivery_id)
                task = asyncio.create_task(_occupy(slots, handle))
                self._acting.add(task)
                task.add_done_callback(self._acting.discard)
            await asyncio.to_thread(deliveries.mark_dispatched, self._db, waiting, utcnow())
        self._heads.clear()  # of what another process has drained


async def _occupy(slots: asyncio.Semaphore, handle: WorkflowHandleAsync[None]) -> None:
    """Keep a slot while the delivery is acted on; one that takes long (GitHub is down) gives it to the next."""
    result = asyncio.ensure_future(handle.get_result())
    await asyncio.wait([result], timeout=POLL_SECONDS)
    slots.release()
    with contextlib.suppress(Exception):  # the workflow engine has logged and recorded it
        await result
