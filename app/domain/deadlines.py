"""By when each state of a run is over at the latest, and what follows then."""

from datetime import datetime, timedelta

from app.domain.frozen import Frozen
from app.domain.status_view import Headline

_AT_WORK = frozenset({Headline.PLANNING, Headline.BUILDING, Headline.AUDITING})
_THEN = {
    Headline.WAITING_FOR_YOU: "the run ends",
    Headline.PROVIDER_DOWN: "the models are asked again",
}


class Deadline(Frozen):
    """When a state is over at the latest, and what the run does then: `the run ends`."""

    at: datetime
    then: str


class WorkClock(Frozen):
    """The active time of a run: so far, since when it runs again, and how much there may be."""

    seconds: float
    since: datetime | None
    max_minutes: float | None


def deadline_of(
    headline: Headline, since: datetime, stored: datetime | None, clock: WorkClock, ci_minutes: float | None
) -> Deadline | None:
    """The deadline of an open run's state, which began at `since`; None where nothing is known of its bounds yet.

    `stored` is the moment until which it waits, where it knows one; `ci_minutes` how long it waits for CI.
    """
    if headline in _AT_WORK:
        if stored is not None:  # it waits for its turn
            return Deadline(at=stored, then="the run ends")
        if clock.max_minutes is None:
            return None
        left = timedelta(minutes=clock.max_minutes) - timedelta(seconds=clock.seconds)
        spent = f"the run ends, as its {clock.max_minutes:g} minutes of work are spent"
        return Deadline(at=(clock.since or since) + left, then=spent)
    if headline is Headline.WAITING_FOR_CI and ci_minutes is not None:
        return Deadline(at=stored or since + timedelta(minutes=ci_minutes), then="the run ends without CI's verdict")
    return Deadline(at=stored, then=_THEN.get(headline, "the run goes on")) if stored is not None else None
