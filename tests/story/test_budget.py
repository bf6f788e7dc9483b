"""Budgets are hard: a request that could not fit is not sent."""

from tests.support.answers import edits, phase, plan, write
from tests.support.story import Story

GREETING = write("greeting.txt", "hello\n")


def test_token_budget_that_is_spent_ends_the_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(GREETING, tokens=9_000)]})
    story.comment("/autopack run --tokens 18k")
    incident = story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "of 18,000 tokens used", "Raise the cap")
    assert "the next request may need" in incident
    assert [one.role for one in story.requests()] == ["planner", "builder"], "the third request did not fit"
    assert "💸 Autopack: Budget" in story.status()
    story.expect_nothing_pushed()


def test_repositorys_token_cap_holds_for_the_planner_too(story: Story) -> None:
    story.settings["tokens"] = 3_000
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "0 of 3,000 tokens used")
    assert story.requests() == []
    story.expect_nothing_pushed()


def test_time_for_active_work_is_bounded(story: Story) -> None:
    story.settings["minutes"] = 0.0001
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "active minutes used")
    assert len(story.requests("builder")) <= 1
    story.expect_nothing_pushed()


def test_plan_with_too_many_phases_is_not_begun(story: Story) -> None:
    story.settings["phases"] = 1
    story.plays(plan(phase("One"), phase("Two")), {})
    story.label()
    story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "the plan has 2 phases, a run may have 1")
    assert [one.role for one in story.requests()] == ["planner"]
    story.expect_nothing_pushed()


def test_warning_at_four_fifths_of_the_budget(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(GREETING, tokens=100_000)]})
    story.comment("/autopack run --tokens 120k")
    story.expect_success()
    story.expect_review("P1")
    assert "% ⚠️" in story.status()
