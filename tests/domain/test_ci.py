"""CI is judged from what is there now, never from hope."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ci import (
    PASSING,
    CheckFact,
    CiFacts,
    CiPolicy,
    CiState,
    CiWait,
    RequiredCheck,
    decide,
    failed_on_base,
    what_ci_waits_for,
    workflow_runs_to_rerun,
)

GRACE, DEADLINE = 60.0, 1800.0


def check(name: str, conclusion: str | None = "success", *, status: str | None = None, **more: Any) -> CheckFact:
    """A completed check, or one that is still in progress when it has no conclusion."""
    state = status or ("completed" if conclusion else "in_progress")
    fields = {"name": name, "source": "check_run", "id": 1, "status": state, "conclusion": conclusion, **more}
    return CheckFact.model_validate(fields)


def after(seconds: float, *, workflows: bool = True, idle: float | None = None, conflict: bool = False) -> CiWait:
    return CiWait(
        waited_seconds=seconds,
        grace_seconds=GRACE,
        deadline_seconds=DEADLINE,
        workflows_present=workflows,
        idle_seconds=idle,
        conflict=conflict,
    )


def facts(*checks: CheckFact, required: tuple[str, ...] = ()) -> CiFacts:
    return CiFacts(head_sha="a" * 40, checks=checks, required=tuple(RequiredCheck(name=name) for name in required))


GREEN = CiState.GREEN
RUN = check("CI", source="workflow_run", workflow_run_id=7)
OWN_RUNNING = check("CI", None, source="workflow_run", workflow_run_id=7)
JOB_RED = check("test", "failure", workflow_run_id=7)
JOB_CANCELLED = check("test", "cancelled", workflow_run_id=7)
CLA = check("cla", None, source="status")
COV = check("cov", "failure", app_id=9)
HELD = check("deploy", None, status="queued", workflow_run_id=8)
DEPLOY = check("deploy", status="waiting", conclusion=None, source="workflow_run", workflow_run_id=8)

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
    ("red, and another App's never ends", facts(check("t", "failure"), check("u", None)), after(5), CiState.RED),
    ("red, and its siblings run", facts(JOB_RED, OWN_RUNNING), after(5), CiState.WAITING),
    ("red, and its siblings run for long", facts(JOB_RED, OWN_RUNNING), after(GRACE), CiState.RED),
    ("cancelled, and its siblings run", facts(JOB_CANCELLED, OWN_RUNNING), after(GRACE), CiState.WAITING),
    ("another App's cancelled preview", facts(RUN, check("preview", "cancelled", app_id=9)), after(5), CiState.GREEN),
    ("another App's pending check", facts(RUN, CLA), after(5), CiState.WAITING),
    ("another App's pending check, when nothing moves", facts(RUN, CLA), after(GRACE), CiState.GREEN),
    ("a pending check that is required", facts(RUN, CLA, required=("cla",)), after(GRACE), CiState.WAITING),
    (
        "another App's red check beside own green",
        facts(RUN, check("cov", "failure", app_id=9)),
        after(5),
        CiState.GREEN,
    ),
    ("another App's red check alone", facts(check("cov", "failure", app_id=9)), after(5), CiState.RED),
    ("another App's red check that is required", facts(RUN, COV, required=("cov",)), after(5), CiState.RED),
    ("a workflow's name is no required check", facts(RUN, required=("CI",)), after(GRACE), CiState.WAITING),
    ("progress puts the deadline off", facts(check("t", None)), after(DEADLINE, idle=1), CiState.WAITING),
    ("progress for ever", facts(check("t", None)), after(DEADLINE * 12, idle=1), CiState.NEVER_CAME),
    ("a deployment waits for its reviewer", facts(RUN, DEPLOY), after(DEADLINE), CiState.WAITING),
    ("a job of a run that waits", facts(RUN, DEPLOY, HELD), after(DEADLINE), CiState.WAITING),
    ("it waits for a day", facts(RUN, DEPLOY), after(86_400), CiState.NEVER_CAME),
    ("nothing comes, the branch conflicts", facts(), after(GRACE, conflict=True), CiState.CONFLICT),
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
    "conclusion", ["failure", "cancelled", "timed_out", "startup_failure", "stale", "new_word", None]
)
def test_whatever_is_not_known_to_pass_is_red(conclusion: str | None) -> None:
    job = check("t", conclusion, status="completed", workflow_run_id=7)
    assert decide(facts(job), after(5)).state is CiState.RED


def test_action_required_waits_for_a_person() -> None:
    """GitHub holds runs of bots' pull requests back until someone approves them (kubernetes-sigs/prow#798)."""
    verdict = decide(facts(check("CI", "action_required", source="workflow_run", workflow_run_id=7)), after(DEADLINE))
    assert (verdict.state, verdict.needs_person) == (CiState.WAITING, "CI")


POLICIES: list[tuple[CiPolicy, CiFacts, CiState]] = [
    (CiPolicy(ignore=("codecov/*",)), facts(check("codecov/patch", "failure"), check("t", id=2)), CiState.GREEN),
    (CiPolicy(ignore=("CodeCov*",)), facts(check("codecov/patch", None), check("t", id=2)), CiState.GREEN),
    (CiPolicy(advisory=("lint",)), facts(check("lint", "failure"), check("t", id=2)), CiState.GREEN),
    (CiPolicy(ignore=("lint",)), facts(check("lint", "failure"), required=("lint",)), CiState.RED),
    (CiPolicy(required_only=True), facts(check("t"), check("x", "failure", id=2), required=("t",)), CiState.GREEN),
    (CiPolicy(required_only=True), facts(check("x", "failure")), CiState.WAITING),
    (CiPolicy(advisory=("lint",)), facts(check("lint", "failure", workflow_run_id=7),
     check("t", id=2, workflow_run_id=7), check("CI", "failure", source="workflow_run", workflow_run_id=7)),
     CiState.GREEN),
    (CiPolicy(advisory=("lint",)), facts(check("lint", "failure", workflow_run_id=7),
     check("t", "failure", id=2, workflow_run_id=7), check("CI", "failure", source="workflow_run", workflow_run_id=7)),
     CiState.RED),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "known", "expected"), POLICIES)
def test_policy_decides_what_counts(policy: CiPolicy, known: CiFacts, expected: CiState) -> None:
    assert decide(known, after(GRACE), policy).state is expected


def test_what_does_not_count_is_said() -> None:
    known = facts(RUN, check("lint", "failure", id=2), check("cla", None, id=3))
    notes = decide(known, after(GRACE), CiPolicy(advisory=("lint",))).notes
    assert notes == ("red, and does not count: lint", "not finished, and does not count: cla")


def test_required_check_is_met_by_its_app_alone() -> None:
    known = facts(RUN, check("security", app_id=15368)).model_copy(
        update={"required": (RequiredCheck(name="security", app_id=4242),)}
    )
    assert decide(known, after(GRACE)).state is CiState.WAITING
    assert decide(known.model_copy(update={"checks": (RUN, check("security", app_id=4242))}), after(5)).state is GREEN


def test_every_expected_workflow_is_awaited() -> None:
    """A quick workflow for pushes is green before the one for pull requests is there."""
    wait = after(5).model_copy(update={"expected": frozenset({"a.yml", "b.yml"})})
    quick, slow = (
        check(name, source="workflow_run", workflow_run_id=n, path=f"{name}.yml") for n, name in ((1, "a"), (2, "b"))
    )
    assert decide(facts(quick), wait).state is CiState.WAITING
    assert decide(facts(quick, slow), wait).state is GREEN
    assert decide(facts(quick), wait.model_copy(update={"waited_seconds": GRACE})).state is GREEN


def test_red_on_the_base_is_by_name() -> None:
    verdict = decide(facts(JOB_RED), after(5))
    assert failed_on_base(verdict, facts(JOB_RED)) == ("test",)
    assert failed_on_base(verdict, facts(JOB_CANCELLED)) == ()
    assert failed_on_base(verdict, facts(check("test", workflow_run_id=1))) == ()
    assert (
        failed_on_base(decide(facts(JOB_RED, check("u", "failure", workflow_run_id=7)), after(5)), facts(JOB_RED)) == ()
    )


def test_red_verdict_names_the_failures() -> None:
    lint, tests = check("lint", "failure"), check("tests", "timed_out", workflow_run_id=7)
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
    required=st.lists(st.builds(RequiredCheck, name=names), max_size=2).map(tuple),
)
waits = st.builds(after, st.floats(min_value=0, max_value=DEADLINE * 2), workflows=st.booleans())


@given(known_facts, waits)
def test_green_means_that_something_ran_and_everything_passed(known: CiFacts, wait: CiWait) -> None:
    if decide(known, wait).state is CiState.GREEN:
        assert any(one.conclusion == "success" for one in known.checks)
        required = {one.name for one in known.required}
        assert required <= {one.name for one in known.checks}
        assert all(one.conclusion in PASSING for one in known.checks if one.name in required)


@given(known_facts, st.booleans())
def test_in_the_end_there_is_always_a_verdict(known: CiFacts, workflows: bool) -> None:
    assert decide(known, after(DEADLINE * 12 + 86_400, workflows=workflows)).settled


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
