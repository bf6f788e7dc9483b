"""A delivery is stored once, alone or in a batch, at every repetition."""

import pytest
from sqlalchemy.exc import NoResultFound

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from tests.db.sample_rows import NOW, after, at_once


def delivery(number: int, payload: str = "{}") -> StoredDelivery:
    return StoredDelivery(f"d{number}", "issues", payload)


def test_new_deliveries_are_separated_from_known(db: Database) -> None:
    assert deliveries.store(db, [delivery(1), delivery(2)], NOW) == {"d1", "d2"}
    assert deliveries.store(db, [delivery(2), delivery(3)], NOW) == {"d3"}
    assert deliveries.store(db, [delivery(1)], NOW) == set()


def test_repeats_within_one_batch_are_one(db: Database) -> None:
    assert deliveries.store(db, [delivery(1), delivery(1), delivery(2), delivery(1)], NOW) == {"d1", "d2"}
    assert deliveries.list_pending(db, 10) == ["d1", "d2"]


def test_the_first_to_come_stays_as_it_is(db: Database) -> None:
    deliveries.store(db, [delivery(1, '{"first": 1}')], NOW)
    deliveries.store(db, [delivery(1, '{"second": 2}')], after(hours=1))
    assert deliveries.load(db, "d1") == delivery(1, '{"first": 1}')


def test_parallel_batches_are_stored_once(db: Database) -> None:
    batch = [delivery(number) for number in range(20)]
    answers = at_once(8, lambda number: deliveries.store(db, batch if number % 2 else batch[::-1], NOW))
    assert sorted(one for answer in answers for one in answer) == sorted(one.id for one in batch)


def test_oldest_come_first_up_to_limit(db: Database) -> None:
    for number in (3, 1, 2):
        deliveries.store(db, [delivery(number)], after(seconds=number))
    assert deliveries.list_pending(db, 10) == ["d1", "d2", "d3"]
    assert deliveries.list_pending(db, 2) == ["d1", "d2"]


def test_what_was_handed_over_waits_no_more(db: Database) -> None:
    deliveries.store(db, [delivery(number) for number in range(1, 4)], NOW)
    deliveries.mark_dispatched(db, ["d1", "d3"], NOW)
    assert deliveries.list_pending(db, 10) == ["d2"]
    deliveries.store(db, [delivery(1)], NOW)
    assert deliveries.list_pending(db, 10) == ["d2"]


def test_any_text_comes_back_as_it_was(db: Database) -> None:
    payload = '{"body": "caf\\u0000é 😀 \\\\ %s :name"}'
    deliveries.store(db, [delivery(1, payload)], NOW)
    assert deliveries.load(db, "d1").payload == payload


def test_a_delivery_that_never_came_is_not_found(db: Database) -> None:
    with pytest.raises(NoResultFound):
        deliveries.load(db, "d1")
