"""What is said of a run is derived from what happened: no sentence says more."""

from typing import Any

import pytest

from app.domain.outcome import after_success, how_it_was_made, outcome_of, why_success
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import UNJUDGED, Headline, RunView, TierView
from app.github import text
from tests.github.views import phase, run

DONE, FAILED, SKIPPED, QUEUED = PhaseState.COMPLETE, PhaseState.FAILED, PhaseState.SKIPPED, PhaseState.QUEUED


def ended(*states: PhaseState, audits: int = 1, **other: Any) -> RunView:
    """A run whose phases are in these states; it ended well unless `other` says otherwise."""
    phases = tuple(
        phase(f"P{number}", "Step", state, auditor_attempts=audits if state is DONE else 0)
        for number, state in enumerate(states, 1)
    )
    tiers = (TierView(tier_id="T1", name="All", state=TierState.COMPLETE, phases=phases),)
    given: dict[str, Any] = {
        "state": RunState.DONE_SUCCESS,
        "headline": Headline.DONE,
        "tiers": tiers,
        "deadline": None,
    }
    return run(**{**given, **other})


@pytest.mark.parametrize(
    ("states", "progress"),
    [
        ((), ""),
        ((DONE, DONE), "2 of 2 phases complete"),
        ((DONE, FAILED), "1 of 2 phases complete, 1 failed"),
        ((FAILED, SKIPPED, SKIPPED), "0 of 3 phases complete, 1 failed, 2 skipped"),
        ((DONE, QUEUED), "1 of 2 phases complete"),
    ],
)
def test_counts_say_what_they_count(states: tuple[PhaseState, ...], progress: str) -> None:
    assert outcome_of(ended(*states)).progress == progress
    assert "of 2 phases complete" in text.status_comment(ended(DONE, FAILED))


def test_green_is_said_where_ci_judged() -> None:
    judged, unjudged = ended(DONE), ended(DONE, notices=(f"{UNJUDGED} the commits: there is no workflow.",))
    assert why_success(judged) == "every phase is green and audited"
    assert "green" not in why_success(unjudged)
    assert "CI did not judge every commit" in why_success(unjudged)
    assert "passed their gate, CI and an audit" in how_it_was_made(judged)
    assert "CI did not judge every commit." in how_it_was_made(unjudged)
    for said in (text.pull_body(unjudged), text.final_summary(unjudged), text.promotion_check(unjudged).summary):
        assert "green" not in said


def test_audited_is_said_where_an_audit_was() -> None:
    assert why_success(ended(DONE, audits=0)) == "every phase is green; not audited: P1"
    made = how_it_was_made(ended(DONE, audits=0))
    assert "audit by" not in made
    assert "Not audited: P1." in made


def test_failed_run_claims_nothing_of_what_failed() -> None:
    failed = ended(FAILED, SKIPPED, state=RunState.DONE_FAILED_ENVIRONMENT, headline=Headline.FAILED, reason="no CI")
    assert how_it_was_made(failed) == "Written by Autopack, phase by phase. No phase is complete."
    assert "passed" not in text.pull_body(failed)


def test_plan_is_no_work() -> None:
    planned = ended(SKIPPED, SKIPPED, plan_only=True, headline=Headline.PLANNED, promotion_blockers=("skipped: P1",))
    said = text.status_comment(planned)
    assert said.startswith("### 🗺️ Autopack: Planned\n")
    for claim in ("green", "audited", "phases complete", "Promotion", "skipped"):
        assert claim not in said
    assert why_success(planned) == "the plan is posted, and nothing is built"
    assert after_success(planned).startswith("Comment `/autopack run`")


def test_next_action_follows_the_merge() -> None:
    assert after_success(ended(DONE)).startswith("Review and merge")
    assert after_success(ended(DONE, promotion_blockers=("x",))).startswith("Settle what keeps")
    assert after_success(ended(DONE, promoted=True)) == "Nothing is left to do: the pull request is merged."
