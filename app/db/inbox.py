"""The inbox of webhook deliveries: stored before they are acknowledged, handed over at least once, acted on once."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.db.engine import Database
from app.db.tables import Delivery


@dataclass(frozen=True)
class StoredDelivery:
    """A delivery as GitHub sent it; `payload` is the raw JSON text."""

    id: str
    event: str
    payload: str


_INSERT = sa.insert(Delivery)


def store(db: Database, delivery: StoredDelivery, now: datetime) -> bool:
    """Store the delivery; False when one with its id is there already, which then keeps what it holds."""
    row = {"id": delivery.id, "event": delivery.event, "payload": delivery.payload, "received_at": now}
    try:
        with db.writing_connection() as connection:
            connection.execute(_INSERT, row)
    except IntegrityError:
        return False
    return True


def waiting(db: Database, limit: int = 100) -> list[StoredDelivery]:
    """The oldest deliveries that the workflow engine has not been given yet."""
    query = (
        sa.select(Delivery.id, Delivery.event, Delivery.payload)
        .where(Delivery.handed_at.is_(None))
        .order_by(Delivery.received_at, Delivery.id)
        .limit(limit)
    )
    with db.reading() as session:
        return [StoredDelivery(*row) for row in session.execute(query)]


def load(db: Database, delivery_id: str) -> StoredDelivery:
    """One delivery by its id. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        row = session.get_one(Delivery, delivery_id)
        return StoredDelivery(row.id, row.event, row.payload)


def mark_handed(db: Database, delivery_ids: list[str], now: datetime) -> None:
    """Note that the workflow engine has them."""
    with db.writing() as session:
        session.execute(sa.update(Delivery).where(Delivery.id.in_(delivery_ids)).values(handed_at=now))
