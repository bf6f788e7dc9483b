"""A plan is consistent, and its ids can name branches and folders."""

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.plan import (
    BuilderMode,
    Complexity,
    Plan,
    PlannerAnswer,
    ProposedPhase,
    ProposedTier,
    TaskCategory,
    is_identifier,
)
from app.domain.plan import PlannedPhase as Phase
from app.domain.plan import PlannedTier as Tier


def tier(tier_id: str = "T1", index: int = 0) -> Tier:
    return Tier(tier_id=tier_id, tier_index=index, name="Work")


def phase(phase_id: str = "P1", tier_id: str = "T1", index: int = 0) -> Phase:
    return Phase(phase_id=phase_id, tier_id=tier_id, phase_index=index, name="Step")


def proposed(name: str) -> ProposedPhase:
    return ProposedPhase(
        name=name,
        description="do it",
        acceptance_criteria=["it is done"],
        expected_paths=["src/a.py"],
        task_category=TaskCategory.TESTS,
        complexity=Complexity.LOW,
        builder_mode=BuilderMode.TWEAK_LIGHT,
    )


def test_a_plan_without_tiers_or_phases_is_none() -> None:
    with pytest.raises(ValidationError):
        Plan(tiers=(), phases=(phase(),))
    with pytest.raises(ValidationError):
        Plan(tiers=(tier(),), phases=())


def test_duplicate_ids_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="duplicate tier id: T1"):
        Plan(tiers=(tier(), tier()), phases=(phase(),))
    with pytest.raises(ValidationError, match="duplicate phase id: P1"):
        Plan(tiers=(tier(), tier("T2", 1)), phases=(phase(), phase(tier_id="T2")))


def test_phase_of_unknown_tier_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown tier: T9"):
        Plan(tiers=(tier(),), phases=(phase(), phase("P2", "T9", 1)))


@pytest.mark.parametrize("bad", ["a..b", "a.", "a.lock"])
def test_id_refused_by_git_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError, match="branch name"):
        Plan(tiers=(tier(bad),), phases=(phase(tier_id=bad),))
    with pytest.raises(ValidationError, match="branch name"):
        Plan(tiers=(tier(),), phases=(phase(bad),))


@pytest.mark.parametrize("bad", ["", "-a", ".a", "a b", "a/b", "a~1", "a\n", "é", "x" * 101, "@{", "a:b", "a*"])
def test_an_id_of_other_characters_is_refused(bad: str) -> None:
    assert not is_identifier(bad)
    with pytest.raises(ValidationError):
        phase(bad)
    with pytest.raises(ValidationError):
        tier(bad)


@pytest.mark.parametrize("good", ["P1", "_x", "a.b-c_d", "0", "x" * 100, "fastapi-auth-v1.2"])
def test_a_usual_id_is_taken(good: str) -> None:
    assert is_identifier(good)
    assert Plan(tiers=(tier(good),), phases=(phase(good, good),)).phases[0].phase_id == good


def test_git_accepts_every_id_in_branches() -> None:
    candidates = ["P1", "a.b", "a..b", "a.lock", "a.", ".a", "a.lock.b", "-a", "_-", "a-", "a.-", "HEAD", "0"]
    for one in candidates:
        asked = subprocess.run(["git", "check-ref-format", f"refs/heads/autonomous/{one}"], check=False)
        assert asked.returncode == 0 or not is_identifier(one), one


@given(st.text(alphabet="aZ0._-/~^: \n\\@{*?[", max_size=12))
@example("a.lock")
@example("a\n")
def test_id_is_one_plain_path_part(text: str) -> None:
    if is_identifier(text):
        assert not set(text) & set("/~^: \n\\@{*?[")
        assert text not in {".", ".."}
        assert not text.startswith(("-", "."))
        assert not text.endswith((".", ".lock"))
        assert ".." not in text


def test_phases_are_sorted_by_index() -> None:
    plan = Plan(
        tiers=(tier(), tier("T2", 1)), phases=(phase("P3", "T1", 2), phase("P2", "T2", 1), phase("P1", "T1", 0))
    )
    assert [one.phase_id for one in plan.phases_of("T1")] == ["P1", "P3"]
    assert [one.phase_id for one in plan.phases_of("T2")] == ["P2"]
    assert plan.phases_of("T3") == ()


def test_planners_phases_are_numbered_in_order() -> None:
    answer = PlannerAnswer(
        summary="two tiers",
        tiers=[
            ProposedTier(name="First", description="base", phases=[proposed("a"), proposed("b")]),
            ProposedTier(name="Second", phases=[proposed("c")]),
        ],
    )
    plan = answer.as_plan()
    assert [(t.tier_id, t.tier_index, t.name, t.description) for t in plan.tiers] == [
        ("T1", 0, "First", "base"),
        ("T2", 1, "Second", ""),
    ]
    assert [(p.phase_id, p.phase_index, p.tier_id, p.name) for p in plan.phases] == [
        ("P1", 0, "T1", "a"),
        ("P2", 1, "T1", "b"),
        ("P3", 2, "T2", "c"),
    ]
    first = plan.phases[0]
    assert (first.description, first.acceptance_criteria, first.expected_paths) == (
        "do it",
        ("it is done",),
        ("src/a.py",),
    )
    assert (first.task_category, first.complexity, first.builder_mode) == (
        TaskCategory.TESTS,
        Complexity.LOW,
        BuilderMode.TWEAK_LIGHT,
    )


@given(st.lists(st.integers(min_value=1, max_value=4), min_size=1, max_size=6))
def test_every_answer_becomes_a_consistent_plan(sizes: list[int]) -> None:
    tiers = [ProposedTier(name="T", phases=[proposed("p")] * size) for size in sizes]
    plan = PlannerAnswer(summary="", tiers=tiers).as_plan()
    assert [len(plan.phases_of(one.tier_id)) for one in plan.tiers] == sizes
    assert [one.phase_index for one in plan.phases] == list(range(sum(sizes)))


@pytest.mark.parametrize(
    "answer", ['{"summary": "", "tiers": []}', '{"summary": "", "tiers": [{"name": "T", "phases": []}]}']
)
def test_an_answer_with_nothing_to_do_is_refused(answer: str) -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        PlannerAnswer.model_validate_json(answer)


def test_a_phase_of_the_planner_needs_acceptance_criteria() -> None:
    with pytest.raises(ValidationError, match="acceptance_criteria"):
        ProposedPhase.model_validate({**proposed("a").model_dump(), "acceptance_criteria": []})
