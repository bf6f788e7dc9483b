"""What clients may post: bounds, names and numbers, as checked and as the published schema says them."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from app.config.loader import default_ruleset
from app.domain.api_requests import (
    MAX_COUNT,
    AuditorResult,
    AuditRequest,
    BuilderResult,
    PostedIssue,
    ProbeResult,
    RunStart,
    StatusUpdate,
)
from app.domain.findings import Recommendation, Severity
from app.domain.plan import Complexity, TaskCategory, is_identifier
from app.domain.posted_issue import IssueReport
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import RunScope, SafetyProfile

RUN: dict[str, Any] = {
    "run": {"run_id": "r1"},
    "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "Base"}],
    "phases": [{"phase_id": "P1", "phase_index": 0, "tier_id": "T1", "name": "Step"}],
}
COMPLEXITIES = effective_rules(default_ruleset(), RepositorySettings()).complexities
BUILT: dict[str, Any] = {"phase_id": "P1", "run_id": "r1", "status": "success"}
AUDITED: dict[str, Any] = {"phase_id": "P1", "run_id": "r1", "review_notes": "", "recommendation": "approve"}
ISSUE: dict[str, Any] = {"issue_key": "a__b__c", "severity": "minor", "source": "test", "category": "x"}
BODIES: tuple[tuple[type[BaseModel], dict[str, Any]], ...] = (
    (RunStart, RUN),
    (StatusUpdate, {"state": "GATE"}),
    (IssueReport, ISSUE),
    (BuilderResult, BUILT),
    (AuditRequest, {}),
    (AuditorResult, AUDITED),
)


def with_run(**changes: Any) -> dict[str, Any]:
    return {**RUN, "run": {**RUN["run"], **changes}}


def refused(body: type[BaseModel], values: dict[str, Any]) -> str:
    """What is said against it."""
    with pytest.raises(ValidationError) as error:
        body.model_validate(values)
    return "; ".join(one["msg"] for one in error.value.errors())


def test_what_is_left_out_is_as_documented() -> None:
    run = RunStart.model_validate(RUN).run
    assert (run.safety_profile, run.run_scope) == (SafetyProfile.NORMAL, RunScope.MULTI_TIER)
    assert (run.token_cap, run.max_phases, run.max_duration_minutes) == (5_000_000, 25, 120)
    (phase,) = RunStart.model_validate(RUN).plan(COMPLEXITIES).phases
    assert (phase.task_category, phase.complexity) == (TaskCategory.FEATURE_SCAFFOLDING, Complexity.MEDIUM)
    built, audited = BuilderResult.model_validate(BUILT), AuditorResult.model_validate(AUDITED)
    assert (built.builder_attempts, built.tokens_used, audited.auditor_attempts, audited.tokens_used) == (1, 0, 1, 0)
    assert AuditRequest().review_focus == "general"


@pytest.mark.parametrize("category", list(TaskCategory))
def test_phase_without_complexity_takes_its_categorys(category: TaskCategory) -> None:
    silent = RUN["phases"][0] | {"task_category": category}
    for complexity, expected in ((None, COMPLEXITIES[category]), *((one, one) for one in Complexity)):
        asked = RunStart.model_validate({**RUN, "phases": [silent | {"complexity": complexity}]})
        assert asked.plan(COMPLEXITIES).phases[0].complexity == expected


@pytest.mark.parametrize(("body", "least"), BODIES, ids=lambda value: getattr(value, "__name__", ""))
def test_fields_that_nobody_knows_are_ignored(body: type[BaseModel], least: dict[str, Any]) -> None:
    assert body.model_validate({**least, "color": "blue"}) == body.model_validate(least)


@pytest.mark.parametrize(
    "value", [-1, MAX_COUNT + 1, 10**400, 1.5, math.nan, math.inf, True, False, "5", "\u0665", [1], {}]
)
def test_a_count_is_a_whole_number_within_bounds(value: object) -> None:
    for body, least in ((BuilderResult, BUILT), (AuditorResult, AUDITED), (StatusUpdate, {"state": "GATE"})):
        assert refused(body, {**least, "tokens_used": value})
    assert refused(RunStart, with_run(token_cap=value))


def test_a_count_may_be_written_as_javascript_does() -> None:
    assert BuilderResult.model_validate({**BUILT, "tokens_used": 5.0}).tokens_used == 5
    assert BuilderResult.model_validate({**BUILT, "tokens_used": MAX_COUNT}).tokens_used == MAX_COUNT


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf, True, "1", 1e300])
def test_minutes_are_a_finite_number_within_bounds(value: object) -> None:
    assert refused(BuilderResult, {**BUILT, "duration_minutes": value})
    assert refused(RunStart, with_run(max_duration_minutes=value))


@pytest.mark.parametrize("value", [0, "no", None, 0.0, "false"])
def test_a_flag_is_true_or_false(value: object) -> None:
    assert refused(IssueReport, {**ISSUE, "expected_fail": value})
    assert IssueReport.model_validate({**ISSUE, "expected_fail": True}).expected_fail


def test_the_published_schema_says_the_bounds() -> None:
    """Else clients cannot know them, nor the tests that read the schema."""
    for body, _ in BODIES:
        for name, field in _numbers(body.model_json_schema()):
            bounded = ("minimum" in field or "exclusiveMinimum" in field) and "maximum" in field
            assert bounded, f"{body.__name__}: {name}"
            assert not {"ge", "gt", "le", "lt"} & set(field), f"{body.__name__}: {name}"


def _numbers(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The number fields of a schema and all that it defines."""
    found: list[tuple[str, dict[str, Any]]] = []
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part.get("properties", {}).items():
            kinds = field.get("anyOf", [field])
            found += [(name, kind) for kind in kinds if kind.get("type") in {"integer", "number"}]
    return found


@given(st.text() | st.from_regex(r"[A-Za-z0-9._-]{1,101}", fullmatch=True))
def test_id_must_name_branch_and_folder(text: str) -> None:
    try:
        taken = RunStart.model_validate(with_run(run_id=text)).run.run_id == text
    except ValidationError:
        taken = False
    assert taken == is_identifier(text)


@pytest.mark.parametrize("key", ["", " ", "a b", "-a", "a\n", "a\0", "é", "x" * 201, "a/b"])
def test_an_issue_key_is_a_plain_slug(key: str) -> None:
    assert refused(IssueReport, {**ISSUE, "issue_key": key})
    assert refused(PostedIssue, {"issue_key": key, "severity": "minor", "category": "x"})


def test_an_inconsistent_plan_says_what_is_wrong() -> None:
    tier, phase = RUN["tiers"][0], RUN["phases"][0]
    assert "duplicate tier id: T1" in refused(RunStart, {**RUN, "tiers": [tier, tier]})
    assert "duplicate phase id: P1" in refused(RunStart, {**RUN, "phases": [phase, phase]})
    assert "unknown tier: T2" in refused(RunStart, {**RUN, "phases": [phase | {"tier_id": "T2"}]})
    assert "needs a repository" in refused(RunStart, with_run(builder="autopack"))
    assert "needs a repository" in refused(RunStart, with_run(issue_number=1))
    assert refused(RunStart, with_run(repository="nobody"))


@pytest.mark.parametrize("listed", ["tiers", "phases"])
def test_a_plan_is_no_longer_than_documented(listed: str) -> None:
    (tier,), (phase,) = RUN["tiers"], RUN["phases"]
    plan = {
        "tiers": [tier, *({**tier, "tier_id": f"T{n}"} for n in range(2, 301))],
        "phases": [phase, *({**phase, "phase_id": f"P{n}"} for n in range(2, 301))],
    }
    assert RunStart.model_validate({**RUN, **plan})
    more = [*plan[listed], {**plan[listed][0], f"{listed[:-1]}_id": "one-more"}]
    assert "at most 300 items" in refused(RunStart, {**RUN, **plan, listed: more})


def test_plan_is_sorted_by_index() -> None:
    tiers = [{"tier_id": f"T{n}", "tier_index": n, "name": "x"} for n in (2, 1)]
    phases = [{"phase_id": f"P{n}", "phase_index": n, "tier_id": "T1", "name": "x"} for n in (3, 1, 2)]
    plan = RunStart.model_validate({**RUN, "tiers": tiers, "phases": phases}).plan(COMPLEXITIES)
    assert [tier.tier_id for tier in plan.tiers] == ["T1", "T2"]
    assert [phase.phase_id for phase in plan.phases] == ["P1", "P2", "P3"]


def test_an_issue_becomes_a_finding_of_its_source() -> None:
    report = IssueReport.model_validate(ISSUE).as_finding("test", Severity.MAJOR)
    assert (report.issue_key, report.severity, report.source) == ("a__b__c", Severity.MINOR, "test")
    assert report.problem == "a: b: c"
    posted = PostedIssue(issue_key="a__b", severity=Severity.MAJOR, category="x", description="It breaks.")
    found = posted.as_finding("auditor", Severity.MINOR)
    assert (found.source, found.severity, found.problem) == ("auditor", Severity.MAJOR, "It breaks.")


def test_a_probe_has_a_key_of_its_own() -> None:
    assert ProbeResult(probe_type="unit tests", exit_code=1).key == "probe__unit_tests__failed"
    assert refused(ProbeResult, {"probe_type": "a\nb", "exit_code": 1})


def test_every_recommendation_is_known() -> None:
    for word in ("approve", "revise", "escalate"):
        assert AuditorResult.model_validate({**AUDITED, "recommendation": word}).recommendation == Recommendation(word)
    assert refused(AuditorResult, {**AUDITED, "recommendation": "reject"})


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_half_a_character_is_no_text(text: str) -> None:
    assert refused(BuilderResult, {**BUILT, "notes": text})
    assert refused(IssueReport, {**ISSUE, "category": text})
    assert refused(AuditorResult, {**AUDITED, "review_notes": text})
