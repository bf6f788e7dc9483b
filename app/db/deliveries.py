"""The inbox of webhook deliveries: stored before they are acknowledged, handed over at least once, acted on once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.engine import Database
from app.db.tables import DeliveryRow


@dataclass(frozen=True)
class StoredDelivery:
    """A delivery as GitHub sent it; `payload` is the raw JSON text."""

    id: str
    event: str
    payload: str
    subject: str | None = None
    """What happened, where that is also looked for by reading: the same is never stored twice."""
    received_at: datetime | None = field(default=None, compare=False)


def store(db: Database, deliveries: Sequence[StoredDelivery], now: datetime) -> set[str]:
    """Store deliveries in one transaction; return the new ids. One that is there already stays as it is."""
    # In the order of ids: two processes that store the same ids in other orders deadlock on PostgreSQL.
    ordered = sorted(deliveries, key=lambda delivery: delivery.id)
    rows = [
        {"id": d.id, "event": d.event, "payload": d.payload, "subject": d.subject, "received_at": now} for d in ordered
    ]
    insert = sqlite.insert(DeliveryRow) if db.sqlite else postgresql.insert(DeliveryRow)
    with db.storing() as connection:  # one statement for any number of rows, which is compiled once
        return set(connection.scalars(insert.on_conflict_do_nothing().returning(DeliveryRow.id), rows))


def list_known(db: Database, delivery_ids: Sequence[str]) -> set[str]:
    """Which of these have come in."""
    with db.reading() as session:
        return set(session.scalars(sa.select(DeliveryRow.id).where(DeliveryRow.id.in_(delivery_ids))))


def list_known_subjects(db: Database, subjects: Sequence[str]) -> set[str]:
    """Which of these have come in, or were found by reading."""
    with db.reading() as session:
        found = session.scalars(sa.select(DeliveryRow.subject).where(DeliveryRow.subject.in_(subjects)))
        return {one for one in found if one is not None}


def list_pending(db: Database, limit: int) -> list[str]:
    """The ids of the oldest deliveries that the workflow engine has not been given yet."""
    query = (
        sa.select(DeliveryRow.id)
        .where(DeliveryRow.handed_at.is_(None))
        .order_by(DeliveryRow.received_at, DeliveryRow.id)
        .limit(limit)
    )
    with db.reading() as session:
        return list(session.scalars(query))


def load(db: Database, delivery_id: str) -> StoredDelivery:
    """One delivery by its id. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        row = session.get_one(DeliveryRow, delivery_id)
        return StoredDelivery(row.id, row.event, row.payload, row.subject, row.received_at)


def load_many(db: Database, delivery_ids: Sequence[str]) -> list[StoredDelivery]:
    """Those that are there, in the order of these ids."""
    with db.reading() as session:
        columns = (DeliveryRow.id, DeliveryRow.event, DeliveryRow.payload, DeliveryRow.subject, DeliveryRow.received_at)
        rows = session.execute(sa.select(*columns).where(DeliveryRow.id.in_(delivery_ids)))
        found = {row.id: StoredDelivery(*row) for row in rows}
    return [found[one] for one in delivery_ids if one in found]


def last_received(db: Database) -> datetime | None:
    """When the newest delivery came in; None before the first."""
    with db.reading() as session:
        return session.scalar(sa.select(sa.func.max(DeliveryRow.received_at)))


def delete_older(db: Database, before: datetime) -> None:
    """Delete deliveries that were handed over and came in before that time."""
    with db.writing() as session:
        session.execute(
            sa.delete(DeliveryRow).where(DeliveryRow.handed_at.is_not(None), DeliveryRow.received_at < before)
        )


def mark_dispatched(db: Database, delivery_ids: Sequence[str], now: datetime) -> None:
    """Note that the workflow engine has them."""
    with db.writing() as session:
        session.execute(sa.update(DeliveryRow).where(DeliveryRow.id.in_(delivery_ids)).values(handed_at=now))
