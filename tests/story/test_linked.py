"""A plan too large for one run is done by several: each on top of the one before, with a pull request of its own."""

import itertools
from collections.abc import Callable

import pytest

from tests.support import trace
from tests.support.answers import Answer, Plan, edits, phase, plan, tier, write
from tests.support.story import Story
from tests.support.world import WAIT_SECONDS, World

NO_CI = {"ci": {"when_absent": "allow", "grace_seconds": 0}, "commands": {"allowed": False}}


def tiny(count: int) -> dict[str, list[Answer]]:
    """Answers for so many phases that each write one small file."""
    return {f"P{n}": [edits(write(f"notes/{n}.txt", f"{n}\n"))] for n in range(1, count + 1)}


def sixty() -> Plan:
    """Three tiers of twenty phases."""
    return plan(
        *(tier(*(phase(f"Note {n}") for n in range(i, i + 20)), name=f"From {i}") for i in (1, 21, 41)),
    )


def expect_linked(story: Story, parts: list[list[str]], *, judged: bool = True) -> None:
    """So many linked runs ended well, each stacked on the one before, with a commit for each of these phases.

    Where CI has `judged` them, each phase has its snapshot.
    """
    runs = story.run_ids
    assert runs == [runs[0], *(f"{runs[0]}-part-{number}" for number in range(2, len(parts) + 1))]
    base, fork = "main", story.main
    for number, (run_id, phases) in enumerate(zip(runs, parts, strict=True), 1):
        head = expect_part(story, run_id, phases, judged=judged)
        pull = story.pull()
        assert pull["base"]["ref"] == base
        closing = f"Closes #{story.number}" if number == len(parts) else f"Part {number} of {len(parts)} of #"
        assert pull["body"].startswith(closing)
        assert f"**Part {number} of {len(parts)}**" in pull["body"]
        mine = commits_between(story, fork, head)
        assert [story.message(sha).partition(":")[0] for sha in mine] == phases
        for sha in mine[:-1]:
            story.expect_check("autopack", "neutral", sha)
        base, fork = story.branch, head
    for before, after in itertools.pairwise(runs):
        assert f"next: `{after}`" in status_of(story, before)
        assert f"on top of `{before}` (#" in status_of(story, after)
    assert [one.role for one in story.requests()].count("planner") == 1


def expect_part(story: Story, run_id: str, phases: list[str], *, judged: bool = True) -> str:
    """This run ended well, with these phases; its head."""
    story.turn_to(run_id)
    assert "`DONE_SUCCESS`</sub>" in status_of(story, run_id)
    head = story.expect_offered(phases if judged else [])
    for phase_id in phases:
        story.expect_audit("Nothing blocks it.", f"`{phase_id}`")
    return head


def commits_between(story: Story, older: str, newer: str) -> list[str]:
    return story.hub.git(story.full_name, "rev-list", "--reverse", f"{older}..{newer}").split()


def wait_for_summary(story: Story, run_id: str, seconds: float = WAIT_SECONDS) -> None:
    """Return when the run's end is published."""

    def told() -> bool:
        return any(trace.marker_of(one.text) == f"summary:{run_id}" for one in story.hub.journal(story.full_name))

    story.wait_until(told, f"the summary of {run_id}", seconds)


def status_of(story: Story, run_id: str) -> str:
    bodies = [str(one["body"]) for one in story.comments_of_app(story.number)]
    return next(body for body in bodies if trace.marker_of(body) == f"status:{run_id}")


def test_five_phases_make_three_linked_runs(story: Story) -> None:
    story.settings["phases"] = 2
    first, second = tier(phase("One"), phase("Two"), phase("Three"), name="Words"), tier(phase("Four"), phase("Five"))
    story.plays(plan(first, second), tiny(5))
    story.label()
    assert story.wait_for_end(runs=3) == "DONE_SUCCESS"
    expect_linked(story, [["P1", "P2"], ["P3"], ["P4", "P5"]])


def test_single_tier_runs_do_one_tier_each(story: Story) -> None:
    story.plays(plan(tier(phase("One"), name="Words"), tier(phase("Two"), name="Docs")), tiny(2))
    story.comment("/autopack run --scope single_tier")
    assert story.wait_for_end(runs=2) == "DONE_SUCCESS"
    expect_linked(story, [["P1"], ["P2"]])


def test_settings_of_the_default_branch_govern_every_part(story: Story) -> None:
    """The branch that a part builds on was written by the Builder: its settings govern nothing."""
    story.settings["phases"] = 1
    story.plays(plan(phase("One"), phase("Two")), tiny(2))
    story.begin()
    story.fails_github("POST", f"issues/{story.number}/reactions", "502", times=3, after=1)
    story.label()
    story.wait_until(lambda: bool(story.run_ids), "the first part has started")
    first = story.run_id
    wait_for_summary(story, first)
    story.push(f"autonomous/{first}", {".github/autopack.yml": "tokens: 777000\n"})
    assert story.wait_for_end(runs=2) == "DONE_SUCCESS"
    second = f"{first}-part-2"
    expect_part(story, second, ["P2"])
    assert story.file(".github/autopack.yml") == "tokens: 777000", "the second part builds on what was pushed"
    assert " / 5M tokens" in status_of(story, second)
    expect_first_part_then_pushed_to(story, first)


def expect_first_part_then_pushed_to(story: Story, run_id: str) -> None:
    story.turn_to(run_id)
    assert story.pull()["draft"] is False
    (made,) = commits_between(story, story.main, f"{story.head()}^")
    story.expect_check("autopack", "success", made)
    story.expect_check("autopack/promotion", "success", made)
    story.expect_comment("summary:" + run_id, on=story.pull_number())
    story.expect_audit("`P1`")
    story.expect_ref(f"refs/heads/{story.branch}")
    story.expect_ref(f"refs/autopack/{run_id}/P1", made)


def test_failed_part_does_not_start_the_rest(story: Story) -> None:
    story.settings["phases"] = 1
    refused = [edits(write(".github/workflows/x.yml", "on: push\n"))] * 2
    story.plays(plan(phase("One"), phase("Two")), {"P1": refused})
    story.label()
    story.expect_failure("DONE_FAILED_POLICY_VIOLATION", "**Part 1 of 2** of the plan", "are not started")
    assert len(story.run_ids) == 1
    story.expect_nothing_pushed()


def test_plan_of_several_parts_is_posted(story: Story) -> None:
    story.settings["phases"] = 1
    story.plays(plan(phase("One"), phase("Two")), {})
    story.comment("/autopack plan")
    assert story.wait_for_end() == "DONE_SUCCESS"
    posted = story.expect_comment("Autopack's plan", "It takes 2 runs")
    assert "- [x] `P2` Two" in posted
    assert len(story.run_ids) == 1
    story.expect_nothing_pushed()


def test_plan_of_sixty_phases_takes_three_runs(story: Story) -> None:
    """As it is divided; `test_plan_of_sixty_phases_is_three_runs` builds it."""
    story.plays(sixty(), {})
    story.comment("/autopack plan")
    assert story.wait_for_end() == "DONE_SUCCESS"
    posted = story.expect_comment("60 phases in", "It takes 3 runs")
    assert all(f"- [x] `P{number}` Note {number} " in posted for number in range(1, 61))
    story.expect_nothing_pushed()


def test_issue_closed_between_parts_ends_second(story: Story) -> None:
    story.settings["phases"] = 1
    story.plays(plan(phase("One"), phase("Two")), tiny(2))
    story.begin()
    story.fails_github("POST", f"issues/{story.number}/reactions", "502", times=3, after=1)
    story.label()
    story.wait_until(lambda: bool(story.run_ids), "the first part has started")
    first = story.run_id
    wait_for_summary(story, first)
    story.close_issue()
    assert story.wait_for_end(runs=2) == "DONE_CANCELLED"
    expect_part(story, first, ["P1"])
    assert [one.phase for one in story.requests("builder")] == ["P1", "P1"]


@pytest.mark.timeout(240)  # two starts of the service
def test_killed_between_two_parts_starts_the_second_once(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(lone_world)
    story.settings["phases"] = 1
    story.plays(plan(phase("One"), phase("Two")), tiny(2))
    story.label()
    story.wait_until(lambda: bool(story.run_ids), "the first part has started")
    wait_for_summary(story, story.run_ids[0])
    lone_world.service.restart()
    assert story.wait_for_end(runs=2) == "DONE_SUCCESS"
    expect_linked(story, [["P1"], ["P2"]])


@pytest.mark.timeout(400)  # sixty phases, at one to two seconds each
def test_plan_of_sixty_phases_is_three_runs(story: Story) -> None:
    story.settings = {**NO_CI}
    story.files.pop(".github/workflows/ci.yml")
    story.plays(sixty(), tiny(60))
    story.label()
    story.wait_until(lambda: len(story.run_ids) == 3, "the third run has started", 250)
    wait_for_summary(story, story.run_id, 120)
    assert story.wait_for_end(runs=3) == "DONE_SUCCESS"
    expect_linked(story, [[f"P{n}" for n in range(i, i + 20)] for i in (1, 21, 41)], judged=False)
