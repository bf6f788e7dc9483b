"""What Autopack's check runs say, and which state they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.integrity import Flag, IntegrityReport, Level
from app.domain.outcome import why_success
from app.domain.states import RunState
from app.domain.status_view import Headline, RunView
from app.github.text.budget_text import budget_section
from app.github.text.escape import advice, code, inline
from app.github.text.markdown import bullets, counted, links, sections
from app.github.text.status_text import (
    HEADLINES,
    at_work,
    headline,
    ledger,
    models_and_tokens,
    notices,
    parts_line,
    phase_table,
)

Status = Literal["queued", "in_progress", "completed"]
Conclusion = Literal["success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"]


@dataclass(frozen=True, slots=True)
class CheckText:
    """A check run's state and words; `summary` and `text` are Markdown. A conclusion goes with `completed` only."""

    status: Status
    conclusion: Conclusion | None
    title: str
    summary: str
    text: str = ""

    def __post_init__(self) -> None:
        if (self.status == "completed") != (self.conclusion is not None):
            raise ValueError("a conclusion goes with the status completed, and only with it")


def check_output(view: RunView) -> CheckText:
    """The check `autopack`: the state of the run, and how it ended.

    While a status comment follows the run, it changes only where the run waits for a person.
    """
    _, words = HEADLINES[view.headline]
    if view.followed:
        waits = view.headline is Headline.WAITING_FOR_YOU
        title = "Waiting for you: see the status comment" if waits else "At work: see the status comment"
        return CheckText("in_progress", None, title, sections(at_work(view), links(view), notices(view)))
    status: Status = "completed" if view.state.terminal else "in_progress"
    return CheckText(
        status=status,
        conclusion=_conclusion(view.state) if view.state.terminal else None,
        title=words,
        summary=sections(headline(view), links(view), parts_line(view), notices(view), budget_section(view)),
        text=sections(phase_table(view, 26_000), models_and_tokens(view), ledger(view, 20_000)),
    )


def promotion_check(view: RunView) -> CheckText:
    """The check `autopack/promotion`: green only when the run ended well and nothing prevents merging it."""
    if view.promotion_blockers and view.state.terminal:
        reasons = bullets((advice(reason, 500) for reason in view.promotion_blockers), 20_000)
        return CheckText("completed", "failure", "Not eligible", sections("The run may not be promoted:", reasons))
    if view.state is RunState.DONE_SUCCESS:
        summary = f"Nothing keeps it from being merged: {why_success(view)}."
        title = "Merged" if view.promoted else "Ready to be merged"
        return CheckText("completed", "success", title, sections(summary, links(view)))
    if view.state.terminal:
        return CheckText("completed", "failure", "Not eligible", sections(inline(view.reason, 1_000), links(view)))
    summary = "The run has not ended; until then its branch is not offered for merging."
    return CheckText("in_progress", None, "The run has not ended", sections(summary, links(view)))


def integrity_check(report: IntegrityReport) -> CheckText:
    """The check `autopack/integrity`: green when the rules found nothing that needs a person, or one approved it."""
    notes = report.of_level(Level.NOTE)
    grave = [flag for flag in report.flags if flag.level is not Level.NOTE]
    noted = sections("For the reviewer:", _flags(notes)) if notes else ""
    if report.trouble:
        trouble = f"The branch could not be looked through: {inline(report.trouble, 500)}"
        return CheckText("completed", "failure", "Not looked through", sections(trouble, _APPROVE))
    if not grave:
        found = "No rule found anything hidden, weakened or skipped." if not notes else "Nothing needs a person."
        return CheckText("completed", "success", "Nothing needs a person", sections(found, noted))
    if report.accepted_by:
        said = f"Approved by {code(report.accepted_by, 80)} at this commit:"
        return CheckText("completed", "success", "Approved by a person", sections(said, _flags(grave), noted))
    title = f"{counted(len(grave), 'change')} {'needs' if len(grave) == 1 else 'need'} a person"
    return CheckText("completed", "failure", title, sections(_APPROVE, _flags(grave), noted))


_APPROVE = (
    "Autopack does not offer this for merging by itself. Look at what is below; where it is right, approve the pull "
    "request in a review."
)


def _flags(flags: Sequence[Flag]) -> str:
    return bullets((advice(flag.words, 400) for flag in flags), 20_000)


def superseded_check(newer_sha: str) -> CheckText:
    """The check of a commit on which the run has built further."""
    return CheckText("completed", "neutral", "Superseded", f"The run went on with {newer_sha}.")


def _conclusion(state: RunState) -> Conclusion:
    if state is RunState.DONE_SUCCESS:
        return "success"
    if state is RunState.DONE_CANCELLED:
        return "cancelled"
    return "failure"
