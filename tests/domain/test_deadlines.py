"""Each state of an open run is over by a time, and what follows is said."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.deadlines import WorkClock, deadline_of
from app.domain.status_view import Headline

SINCE = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
CLOCK = WorkClock(seconds=1800, since=SINCE - timedelta(minutes=5), max_minutes=120)


@pytest.mark.parametrize("headline", [Headline.PLANNING, Headline.BUILDING, Headline.AUDITING])
def test_work_is_bounded_by_the_active_minutes(headline: Headline) -> None:
    deadline = deadline_of(headline, SINCE, None, CLOCK, ci_minutes=None)
    assert deadline is not None
    assert deadline.at == SINCE + timedelta(minutes=120 - 30 - 5)
    assert deadline.then == "the run ends, as its 120 minutes of work are spent"


def test_stopped_clock_counts_from_the_state_on() -> None:
    stopped = CLOCK.model_copy(update={"since": None})
    deadline = deadline_of(Headline.AUDITING, SINCE, None, stopped, ci_minutes=None)
    assert deadline is not None
    assert deadline.at == SINCE + timedelta(minutes=90)


def test_rules_bound_the_wait_for_ci() -> None:
    deadline = deadline_of(Headline.WAITING_FOR_CI, SINCE, None, CLOCK, ci_minutes=30)
    assert deadline is not None
    assert (deadline.at, deadline.then) == (SINCE + timedelta(minutes=30), "the run ends without CI's verdict")


def test_stored_moment_is_kept() -> None:
    until = SINCE + timedelta(hours=1)
    deadline = deadline_of(Headline.PROVIDER_DOWN, SINCE, until, CLOCK, ci_minutes=30)
    assert deadline is not None
    assert (deadline.at, deadline.then) == (until, "the models are asked again")


def test_unknown_bounds_have_no_deadline() -> None:
    unknown = CLOCK.model_copy(update={"max_minutes": None})
    assert deadline_of(Headline.PLANNING, SINCE, None, unknown, ci_minutes=None) is None
    assert deadline_of(Headline.DONE, SINCE, None, CLOCK, ci_minutes=None) is None
