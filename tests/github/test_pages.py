"""What Autopack writes on GitHub, whole: each text as a reader sees it is a file in `pages/`."""

from collections.abc import Callable

import pytest
from syrupy.assertion import SnapshotAssertion

from app.domain.findings import Recommendation
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import Headline, RunView, TierView
from app.github import text
from app.github.text import CheckText
from tests.github.views import SHA, finding, message, phase, plan_comment, run


def done() -> RunView:
    phases = tuple(
        phase(
            phase_id,
            name,
            PhaseState.COMPLETE,
            builder_attempts=1,
            auditor_attempts=1,
            tokens=41_250,
            head_sha=SHA,
            snapshot=True,
        )
        for phase_id, name in (("P1", "Write the parser"), ("P2", "Test the parser"))
    )
    return run(
        state=RunState.DONE_SUCCESS,
        headline=Headline.DONE,
        next_action="Review and merge the pull request.",
        deadline=None,
        tiers=(TierView(tier_id="T1", name="Dates", state=TierState.COMPLETE, phases=phases),),
        findings=(finding("Old", open=False, resolution="fixed in 1a2b3c4"),),
    )


def planned() -> RunView:
    return done().model_copy(
        update={
            "headline": Headline.PLANNED,
            "plan_only": True,
            "reason": "the plan is posted, and nothing is built",
            "next_action": "Comment `/autopack run` to have the issue built; that run makes its own plan.",
            "findings": (),
        }
    )


def failed() -> RunView:
    return run(
        state=RunState.DONE_FAILED_ENVIRONMENT,
        headline=Headline.FAILED,
        reason="CI never came",
        next_action="Put CI right, then comment `/autopack run`.",
        deadline=None,
        promotion_blockers=("The run ended as `DONE_FAILED_ENVIRONMENT`.", "1 major finding is open."),
        notices=("No CI judged the commits: no workflow is there.",),
    )


def review() -> str:
    body = text.review_body(
        Recommendation.REVISE,
        "Leap days need a test.",
        phase_id="P2",
        builders=["one:builder"],
        auditors=["two:auditor"],
    )
    return f"{body}\n\n{text.leftover_section([finding('Leap days are lost').finding])}"


def suggestion() -> str:
    found = finding("Leap days are lost").finding.model_copy(update={"replacement": "    return days + leap_days\n"})
    return text.review_comment(found, suggest=True)


def check(shown: CheckText) -> str:
    return f"# {shown.title} ({shown.status}, {shown.conclusion})\n\n{shown.summary}\n\n{shown.text}"


PAGES: dict[str, Callable[[], str]] = {
    "status of a run that waits for CI": lambda: text.status_comment(run()),
    "status of a failed run": lambda: text.status_comment(failed()),
    "status of a finished run": lambda: text.status_comment(done()),
    "status of a run that only plans": lambda: text.status_comment(planned()),
    "pull request": lambda: f"# {text.pull_title(done())}\n\n{text.pull_body(done())}",
    "summary": lambda: text.final_summary(done()),
    "incident": lambda: text.incident(failed(), "line 1\nAssertionError", " a.py | 2 +-"),
    "plan": lambda: plan_comment("Leap days are kept", "anthropic", "openai", parts=2),
    "review": review,
    "review comment": suggestion,
    "commit message": lambda: "```text\n" + message("Adds tests.\n\nThey fail without the parser.") + "```",
    "check of a failed run": lambda: check(text.check_output(failed())),
    "promotion of a finished run": lambda: check(text.promotion_check(done())),
    "promotion of a failed run": lambda: check(text.promotion_check(failed())),
    "check of an older commit": lambda: check(text.superseded_check(SHA[:7])),
    "help": text.help_text,
    "help for an unknown command": lambda: text.help_text("cancle", "cancel"),
    "permission refusal": lambda: text.permission_refusal("outsider"),
    "run is on already": lambda: text.already_running(run()),
    "answer to status": lambda: text.status_answer(run()),
    "no run": text.no_run,
    "no run on a pull request": lambda: text.no_run_on_pull("run"),
}


@pytest.mark.parametrize("written", PAGES.values(), ids=[name.replace(" ", "-") for name in PAGES])
def test_text(written: Callable[[], str], page: SnapshotAssertion) -> None:
    assert written() == page
