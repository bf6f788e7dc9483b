"""What arrives together is stored together, and everyone hears how it went."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.db.tables import DeliveryRow
from app.web.intake import BATCH, Intake
from tests.web.conftest import running


def delivery(number: int, payload: str = "{}") -> StoredDelivery:
    return StoredDelivery(f"d-{number}", "issues", payload)


async def arrive(intake: Intake, *deliveries: StoredDelivery) -> list["asyncio.Task[bool]"]:
    """Deliveries that all wait before the intake has looked."""
    tasks = [asyncio.create_task(intake.store(one)) for one in deliveries]
    await asyncio.wait(tasks, timeout=0)
    return tasks


async def test_waiting_deliveries_share_a_transaction(db: Database) -> None:
    intake = Intake(db)
    tasks = await arrive(intake, *map(delivery, range(BATCH + 1)))
    async with running(intake):
        assert all(await asyncio.gather(*tasks))
    with db.reading() as session:
        sizes = session.scalars(
            sa.select(sa.func.count()).select_from(DeliveryRow).group_by(DeliveryRow.received_at)
        ).all()
    assert sorted(sizes) == [1, BATCH]


async def test_first_of_repeats_is_kept(db: Database) -> None:
    intake = Intake(db)
    tasks = await arrive(intake, delivery(1, "first"), delivery(2), delivery(1, "second"))
    async with running(intake):
        assert await asyncio.gather(*tasks) == [True, True, False]
    assert deliveries.load(db, "d-1").payload == "first"


async def test_a_failing_database_is_told_to_every_sender(empty_db: Database) -> None:
    intake = Intake(empty_db)
    tasks = await arrive(intake, *map(delivery, range(5)))
    async with running(intake):
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in results] == [OperationalError] * 5
        empty_db.migrate()
        assert await intake.store(delivery(1))


async def test_vanished_sender_blocks_no_other(db: Database) -> None:
    intake = Intake(db)
    gone, stays = await arrive(intake, delivery(1), delivery(2))
    gone.cancel()
    async with running(intake):
        assert await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert deliveries.list_pending(db, 10) == ["d-1", "d-2"]
