"""When CI is looked at: an hour costs few requests, and no wait is long."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.ci_schedule import GATHER_MAX_SECONDS, POLL_SECONDS, gather_seconds, poll_seconds


def test_first_events_are_looked_at_at_once() -> None:
    assert [gather_seconds(looks) for looks in range(6)] == [0, 0, 0.5, 1, 2, 4]


@given(st.integers(0, 10_000))
def test_no_wait_is_longer_than_minutes(count: int) -> None:
    assert gather_seconds(count) <= gather_seconds(count + 1) <= GATHER_MAX_SECONDS
    for heard in (True, False):
        assert POLL_SECONDS <= poll_seconds(count, events_arrive=heard) <= 300
        assert poll_seconds(count, events_arrive=heard) <= poll_seconds(count + 1, events_arrive=heard)


def test_polls_of_an_hour() -> None:
    for heard, most in ((False, 35), (True, 16)):
        waits, passed = 0, 0.0
        while passed < 3600:
            passed += poll_seconds(waits, events_arrive=heard)
            waits += 1
        assert waits <= most
