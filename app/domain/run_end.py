"""What a run says once it has ended: its headline, and what a person does next."""

from app.domain.budget import Exhausted, Kind, Scope
from app.domain.states import RunState
from app.domain.status_view import Headline

_HEADLINES = {
    RunState.DONE_SUCCESS: Headline.DONE,
    RunState.DONE_CANCELLED: Headline.CANCELLED,
    RunState.DONE_FAILED_BUDGET_EXHAUSTED: Headline.BUDGET,
}

_NEXT_ACTIONS = {
    RunState.DONE_FAILED_BUDGET_EXHAUSTED: (
        "Raise the cap (`/autopack run --tokens 2M`) or narrow the issue, then comment `/autopack run`."
    ),
    RunState.DONE_FAILED_POLICY_VIOLATION: (
        "Change what the issue asks for, or do the protected part by hand, then comment `/autopack run`."
    ),
    RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW: (
        "Read the findings, make the issue clearer or fix the branch by hand, then comment `/autopack retry`; "
        "`/autopack run` starts again."
    ),
    RunState.DONE_FAILED_ENVIRONMENT: (
        "Repair the environment (CI, model provider, GitHub), then comment `/autopack retry`; "
        "`/autopack run` starts again."
    ),
    RunState.DONE_CANCELLED: "Comment `/autopack retry` to go on, or `/autopack run` to start again.",
}
"""By the state in which a run for an issue failed or was cancelled."""


SETTINGS_MISFIT = ".github/autopack.yml does not fit"
"""How the reason begins of a run that its repository's settings ended."""


def after_failure(state: RunState, reason: str) -> str:
    """What a person does next with a run that failed or was cancelled for this reason."""
    if reason.startswith(SETTINGS_MISFIT):
        return "Correct that line of the file on the default branch, then comment `/autopack run`."
    return _NEXT_ACTIONS[state]


def final_headline(state: RunState, *, plan_only: bool = False) -> Headline:
    """The headline of a run that ended in this state."""
    if plan_only and state is RunState.DONE_SUCCESS:
        return Headline.PLANNED
    return _HEADLINES.get(state, Headline.FAILED)


def next_part(part: int, parts: int) -> str:
    """The sentence that follows where a linked run does the next part of the plan."""
    return f" Part {part + 1} of {parts} starts by itself."


def next_action_without_repository(state: RunState, spent: Exhausted | None, next_part: str) -> str:
    """What the client of a run without a repository does next; `next_part` names the part that follows, if any."""
    if state is RunState.DONE_SUCCESS:
        return f"Nothing to merge: the run has no repository.{next_part}"
    if spent is not None and (spent.scope, spent.kind) == (Scope.RUN, Kind.TOKENS):
        return "Start another run with a higher token_cap, or with a smaller plan."
    return "Read the reason and the findings, then start another run."
