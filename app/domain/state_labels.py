"""The labels of an issue that say the state of its run, where the repository wants them."""

from app.domain.states import RunState
from app.domain.status_view import Headline, RunView

RUNNING = "autopack:running"
NEEDS_YOU = "autopack:needs-you"
DESCRIPTIONS = {
    RUNNING: "Autopack is at work on this issue",
    NEEDS_YOU: "Autopack waits for a person, or left something to decide",
}


def state_labels(view: RunView) -> frozenset[str]:
    """Which of the labels the issue has: an open run has the first, and both where it waits for a person."""
    waits = view.headline in {Headline.WAITING_FOR_YOU, Headline.PAUSED}
    if not view.state.terminal:
        return frozenset({RUNNING, NEEDS_YOU} if waits else {RUNNING})
    left = not view.promoted and view.state is not RunState.DONE_CANCELLED
    return frozenset({NEEDS_YOU} if left else ())
