"""A plan in its comment is read as it was written, whatever it says; only what people change of it changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config.loader import default_ruleset
from app.domain.plan import Plan, PlannedPhase, PlannedTier
from app.domain.plan_edit import PlanUnreadable, changes
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.strategy import RunOptions, compile_strategy
from app.github.text import plan_comment, read_plan

RULES = effective_rules(default_ruleset(), RepositorySettings())
words = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=60).filter(lambda text: bool(text.strip()))
hostile = st.sampled_from(
    ["- [ ] `P1` x", "**`T9` y**", "<details>", "`P1`", "a\\_b", "<sub>x</sub>", "@all #1", "\u200b"]
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    text = words | hostile
    tiers = [PlannedTier(tier_id=f"T{i + 1}", tier_index=i, name=draw(text)) for i in range(len(counts))]
    of = [tier.tier_id for tier, number in zip(tiers, counts, strict=True) for _ in range(number)]
    phases = [
        PlannedPhase(
            phase_id=f"P{i + 1}",
            tier_id=tier_id,
            phase_index=i,
            name=draw(text),
            acceptance_criteria=tuple(draw(st.lists(text, max_size=3))),
        )
        for i, tier_id in enumerate(of)
    ]
    return Plan(tiers=tuple(tiers), phases=tuple(phases))


def shown(plan: Plan) -> str:
    return plan_comment(plan, compile_strategy(RULES, plan, RunOptions(), frozenset({"openai"})), run_id="r1")


def simple(*names: str) -> Plan:
    phases = [
        PlannedPhase(phase_id=f"P{i + 1}", tier_id="T1", phase_index=i, name=name, acceptance_criteria=("It works.",))
        for i, name in enumerate(names)
    ]
    return Plan(tiers=(PlannedTier(tier_id="T1", tier_index=0, name="Work"),), phases=tuple(phases))


@settings(max_examples=60, deadline=None)
@given(plans())
def test_untouched_plan_is_the_plan(plan: Plan) -> None:
    assert read_plan(shown(plan), plan) == plan
    assert read_plan(shown(plan).replace("\n", "\r\n"), plan) == plan


@settings(max_examples=40, deadline=None)
@given(plans(), st.data())
def test_unticked_phases_alone_are_left_out(plan: Plan, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(plan.phase_ids), max_size=len(plan.phases) - 1))
    body = shown(plan)
    for one in gone:
        body = body.replace(f"\n- [x] `{one}` ", f"\n- [ ] `{one}` ")
    read = read_plan(body, plan)
    assert read.phase_ids == [one for one in plan.phase_ids if one not in gone]
    assert changes(plan, read) == ((f"{', '.join(sorted(gone))} left out",) if gone else ())


def test_what_people_write_is_read() -> None:
    plan = simple("Greet", "Leave")
    body = shown(plan).replace("`P1` Greet", "`P1` Greet *everyone*").replace("  - It works.", "  - It is _fast_.", 1)
    body = body.replace("- [x] `P2`", "**Later**\n\n- [X] Say bye\n    * [ ] With a bow.\n- [x] `P2`")
    read = read_plan(body, plan)
    assert [(one.phase_id, one.tier_id, one.name, one.acceptance_criteria) for one in read.phases] == [
        ("P1", "T1", "Greet *everyone*", ("It is _fast_.",)),
        ("P3", "T2", "Say bye", ("With a bow.",)),
        ("P2", "T2", "Leave", ("It works.",)),
    ]
    assert changes(plan, read) == (
        "P3 added (Say bye)",
        "P1 is now: Greet *everyone*",
        "P1 must also: It is _fast_.",
        "P1 has 1 criteria less",
        "P2 is in T2",
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("- [x]", "- [ ]", "no phase has a tick"),
        ("`P2`", "`P9`", "the plan has no phase P9"),
        ("`P2`", "`P1`", "P1 is there twice"),
        ("`P2` Leave", "`P2`", "a phase needs a name"),
    ],
)
def test_what_is_no_plan_is_named(old: str, new: str, problem: str) -> None:
    plan = simple("Greet", "Leave")
    with pytest.raises(PlanUnreadable, match=problem):
        read_plan(shown(plan).replace(old, new), plan)


def test_what_has_no_room_stays() -> None:
    """Hundreds of phases and long criteria do not fit into a comment: what is not shown is part of the plan."""
    long = tuple("criterion " * 90 + str(number) for number in range(60))
    plan = simple(*[f"Phase {number} " + "x" * 100 for number in range(290)])
    first = plan.phases[0].model_copy(update={"acceptance_criteria": long})
    plan = plan.model_copy(update={"phases": (first, *plan.phases[1:])})
    rules = effective_rules(default_ruleset(), RepositorySettings(phases=300))
    body = plan_comment(plan, compile_strategy(rules, plan, RunOptions(), frozenset({"openai"})), run_id="r1")
    assert len(body) < 65_000
    assert "More phases are not shown here" in body
    assert read_plan(body, plan) == plan
    without = read_plan(body.replace("- [x] `P2` ", "- [ ] `P2` "), plan)
    assert without.phase_ids == [one for one in plan.phase_ids if one != "P2"]
