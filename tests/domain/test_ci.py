"""CI is judged from what is there now, never from hope."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ci import (
    PASSING,
    CheckFact,
    CiFacts,
    CiState,
    CiWait,
    decide,
    what_ci_waits_for,
    workflow_runs_to_rerun,
)

GRACE, DEADLINE = 60.0, 1800.0


def check(name: str, conclusion: str | None = "success", *, status: str | None = None, **more: Any) -> CheckFact:
    """A completed check, or one that is still in progress when it has no conclusion."""
    state = status or ("completed" if conclusion else "in_progress")
    fields = {"name": name, "source": "check_run", "id": 1, "status": state, "conclusion": conclusion, **more}
    return CheckFact.model_validate(fields)


def after(seconds: float, *, workflows: bool = True) -> CiWait:
    return CiWait(waited_seconds=seconds, grace_seconds=GRACE, deadline_seconds=DEADLINE, workflows_present=workflows)


def facts(*checks: CheckFact, required: tuple[str, ...] = ()) -> CiFacts:
    return CiFacts(head_sha="a" * 40, checks=checks, required=required)


GREEN = CiState.GREEN
RUN = check("CI", source="workflow_run")

TABLE: list[tuple[str, CiFacts, CiWait, CiState]] = [
    ("no run yet", facts(), after(0), CiState.WAITING),
    ("no run yet, long after the grace", facts(), after(DEADLINE - 1), CiState.WAITING),
    ("no run at the deadline", facts(), after(DEADLINE), CiState.NEVER_CAME),
    ("no workflows, within the grace", facts(), after(GRACE - 1, workflows=False), CiState.WAITING),
    ("no workflows, after the grace", facts(), after(GRACE, workflows=False), CiState.ABSENT),
    ("no workflows, but required", facts(required=("t",)), after(GRACE, workflows=False), CiState.WAITING),
    ("required never came", facts(required=("t",)), after(DEADLINE, workflows=False), CiState.NEVER_CAME),
    ("a workflow's run is green", facts(check("CI", source="workflow_run")), after(5), CiState.GREEN),
    ("another App is quick, the workflows have no run yet", facts(check("cla")), after(5), CiState.WAITING),
    ("another App alone, after the grace", facts(check("cla")), after(GRACE), CiState.GREEN),
    ("green without workflows", facts(check("t", source="status")), after(GRACE, workflows=False), CiState.GREEN),
    (
        "neutral and skipped next to a green one",
        facts(RUN, check("t", "neutral"), check("u", "skipped")),
        after(5),
        GREEN,
    ),
    ("skipped alone judges nothing yet", facts(check("t", "skipped")), after(5), CiState.WAITING),
    ("skipped alone, after the grace", facts(check("t", "skipped")), after(GRACE), CiState.ABSENT),
    ("one still running", facts(check("t"), check("u", None)), after(5), CiState.WAITING),
    ("one queued", facts(check("t"), check("u", None, status="queued")), after(5), CiState.WAITING),
    ("required missing among green", facts(check("t"), required=("u",)), after(5), CiState.WAITING),
    ("required missing at the deadline", facts(check("t"), required=("u",)), after(DEADLINE), CiState.NEVER_CAME),
    ("required there and green", facts(RUN, check("t"), required=("t",)), after(5), CiState.GREEN),
    ("required there and running", facts(check("t", None), required=("t",)), after(5), CiState.WAITING),
    ("required there and red", facts(check("t", "failure"), required=("t",)), after(5), CiState.RED),
    ("red while a required one is missing", facts(check("t", "failure"), required=("u",)), after(5), CiState.RED),
    ("one red", facts(check("t"), check("u", "failure")), after(5), CiState.RED),
    ("one red among running", facts(check("t", "failure"), check("u", None)), after(5), CiState.WAITING),
    ("running at the deadline", facts(check("t"), check("u", None)), after(DEADLINE), CiState.NEVER_CAME),
    ("green at the deadline", facts(check("t")), after(DEADLINE + 1), CiState.GREEN),
    ("red at the deadline", facts(check("t", "failure")), after(DEADLINE + 1), CiState.RED),
]


@pytest.mark.parametrize(("what", "known", "wait", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_the_verdict(what: str, known: CiFacts, wait: CiWait, expected: CiState) -> None:
    verdict = decide(known, wait)
    assert verdict.state is expected
    assert verdict.settled == (expected is not CiState.WAITING)
    assert verdict.reason


@pytest.mark.parametrize(
    "conclusion", ["failure", "cancelled", "timed_out", "action_required", "startup_failure", "stale", "new_word", None]
)
def test_whatever_is_not_known_to_pass_is_red(conclusion: str | None) -> None:
    assert decide(facts(check("t", conclusion, status="completed")), after(5)).state is CiState.RED


def test_red_verdict_names_the_failures() -> None:
    lint, tests = check("lint", "failure"), check("tests", "timed_out")
    verdict = decide(facts(tests, check("build"), lint), after(5))
    assert verdict.reason == "failed: lint, tests"
    assert verdict.failed == (tests, lint)


def test_what_is_awaited_is_named() -> None:
    known = facts(check("build", None), check("lint"), required=("tests", "lint"))
    assert decide(known, after(5)).reason == "tests, build"
    assert decide(known, after(DEADLINE)).reason == "still awaited at the deadline: tests, build"


names = st.sampled_from(["build", "lint", "tests"])
checks = st.builds(
    check,
    name=names,
    conclusion=st.sampled_from([*PASSING, "failure", "cancelled", None]),
    status=st.sampled_from(["queued", "in_progress", "completed"]),
)
known_facts = st.builds(
    CiFacts,
    head_sha=st.just("a" * 40),
    checks=st.lists(checks, max_size=5).map(tuple),
    required=st.lists(names, max_size=2).map(tuple),
)
waits = st.builds(after, st.floats(min_value=0, max_value=DEADLINE * 2), workflows=st.booleans())


@given(known_facts, waits)
def test_green_means_that_something_ran_and_everything_passed(known: CiFacts, wait: CiWait) -> None:
    if decide(known, wait).state is CiState.GREEN:
        assert any(one.conclusion == "success" for one in known.checks)
        assert all(one.status == "completed" and one.conclusion in PASSING for one in known.checks)
        assert set(known.required) <= {one.name for one in known.checks}


@given(known_facts, st.booleans())
def test_after_the_deadline_there_is_always_a_verdict(known: CiFacts, workflows: bool) -> None:
    assert decide(known, after(DEADLINE, workflows=workflows)).settled


@given(known_facts, waits)
def test_order_does_not_matter(known: CiFacts, wait: CiWait) -> None:
    backwards = known.model_copy(update={"checks": known.checks[::-1]})
    assert decide(backwards, wait).state is decide(known, wait).state


def test_only_infrastructure_is_run_again() -> None:
    run = check("CI", "failure", source="workflow_run", id=7, workflow_run_id=7, attempt=2)
    job = check("test", "timed_out", id=8, workflow_run_id=7)
    known = facts(run, job)
    assert workflow_runs_to_rerun(known, decide(known, after(5))) == {7: 2}
    blamed = facts(run, job, check("lint", "failure", id=9, workflow_run_id=7))
    assert workflow_runs_to_rerun(blamed, decide(blamed, after(5))) == {}


def test_rerun_is_awaited_until_visible() -> None:
    run = check("CI", "failure", source="workflow_run", id=7, workflow_run_id=7, attempt=1)
    known = facts(run, check("test", "timed_out", id=8, workflow_run_id=7))
    assert decide(what_ci_waits_for(known, {7: 1}), after(5)).state is CiState.WAITING
    assert decide(what_ci_waits_for(known, {}), after(5)).state is CiState.RED
    newer = facts(run.model_copy(update={"attempt": 2, "conclusion": "success"}))
    assert decide(what_ci_waits_for(newer, {7: 1}), after(5)).state is CiState.GREEN
