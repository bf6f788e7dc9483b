"""The intake: deliveries that arrive together are stored in one transaction and acknowledged after its commit."""

import asyncio
from dataclasses import dataclass

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.workflows.steps import utcnow

BATCH = 200
"""Deliveries of one transaction, at most."""


@dataclass(frozen=True)
class _Arrived:
    delivery: StoredDelivery
    stored: "asyncio.Future[bool]"


class Intake:
    """One background task per process: what arrives while a transaction is written goes into the next."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._arrived: asyncio.Queue[_Arrived] = asyncio.Queue()

    async def store(self, delivery: StoredDelivery) -> bool:
        """Return once the delivery is on disk: True when it is new. Raises what the database raises."""
        arrived = _Arrived(delivery, asyncio.get_running_loop().create_future())
        self._arrived.put_nowait(arrived)
        return await arrived.stored

    async def run(self) -> None:
        """Store until cancelled."""
        while True:
            batch = [await self._arrived.get()]
            while len(batch) < BATCH and not self._arrived.empty():
                batch.append(self._arrived.get_nowait())
            await self._store(batch)

    async def _store(self, batch: list[_Arrived]) -> None:
        by_id = {one.delivery.id: one.delivery for one in reversed(batch)}
        try:
            new = await asyncio.to_thread(deliveries.store, self._db, list(by_id.values()), utcnow())
        except Exception as error:  # noqa: BLE001  every sender of the batch gets the error in its own request
            for one in batch:
                if not one.stored.done():
                    one.stored.set_exception(error)
            return
        for one in batch:
            if not one.stored.done():
                one.stored.set_result(one.delivery.id in new)
                new.discard(one.delivery.id)
