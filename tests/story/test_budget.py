"""Budgets are hard: a request that could not fit is not sent, and a CI run too many is not started."""

from tests.support.answers import edits, phase, plan, write
from tests.support.story import Story

GREETING = write("greeting.txt", "hello\n")


def test_token_budget_that_is_spent_ends_the_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(GREETING, tokens=9_000)]})
    story.comment("/autopack run --tokens 18k")
    incident = story.expect_failure(
        "DONE_FAILED_BUDGET_EXHAUSTED", "of 18,000 tokens used", "`/autopack run --tokens 36k`", "`tokens: 36000`"
    )
    assert "the next builder request \\(P1, attempt 1\\) may need" in incident
    assert [one.role for one in story.requests()] == ["planner", "builder"], "the third request did not fit"
    assert "💸 Autopack: Budget" in story.status()
    story.expect_nothing_pushed()


def test_request_over_token_cap_is_not_sent(story: Story) -> None:
    attempts = [edits(GREETING, tokens=14_000), edits(write("greeting.txt", "hi\n"), tokens=30_000)]
    story.plays(plan(phase(), phase("Say goodbye")), {"P1": attempts[:1], "P2": attempts[1:]})
    story.comment("/autopack run --tokens 50k")
    incident = story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "**Why:** run issue", "of 50,000 tokens used")
    assert "the next builder request \\(P2, attempt 1\\) may need" in incident
    assert "Raise the cap: comment `/autopack run --tokens 100k`, or set `tokens: 100000` in" in incident
    asked = [(one.role, one.phase, one.turn) for one in story.requests()]
    assert asked[-1] == ("builder", "P2", 0), "the request with the tools' results would not have fitted"
    assert story.commits() == [story.head()], "only P1 was pushed"
    story.expect_draft()
    story.expect_audit("P1")
    story.expect_ref(f"refs/autopack/{story.run_id}/P1")


def test_repositorys_token_cap_holds_for_the_planner_too(story: Story) -> None:
    story.settings["tokens"] = 3_000
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "0 of 3,000 tokens used, the next planner request may need")
    assert story.requests() == []
    story.expect_nothing_pushed()


def test_all_runs_of_an_issue_count_together(story: Story) -> None:
    story.settings["issue"] = {"tokens": 28_000}
    story.plays(plan(phase()), {"P1": [edits(GREETING, tokens=9_000)] * 2})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    asked = len(story.requests())
    story.comment("/autopack run")
    assert story.wait_for_end(runs=2) == "DONE_FAILED_BUDGET_EXHAUSTED"
    number = f"issue \\#\u200b{story.number}: "
    incident = story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", number, "of 28,000 tokens used")
    assert "set `issue.tokens: 56000` in .github/autopack.yml on the default branch" in incident.replace("\\", "")
    assert [one.role for one in story.requests()[asked:]] == ["planner", "builder"], "a third one did not fit"


def test_tier_keeps_its_ci_run_cap(story: Story) -> None:
    story.settings["tier"] = {"ci_runs_per_phase": 1}
    broken = edits(write("broken", "yes\n"))
    story.plays(plan(phase()), {"P1": [broken, edits(GREETING)]})
    story.label()
    incident = story.expect_failure(
        "DONE_FAILED_BUDGET_EXHAUSTED", "tier T1: 1 of 1 CI runs used", "`tier.ci_runs_per_phase: 2`"
    )
    assert "the next push \\(P1\\) would start one more" in incident
    assert len(story.commits()) == 1
    story.expect_draft()
    story.expect_audit("P1")
    assert "tier `T1` 1 of 1 CI runs (100%)" in story.status()


def test_time_for_active_work_is_bounded(story: Story) -> None:
    story.settings["minutes"] = 0.0001
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "active minutes used", "`minutes: ")
    assert len(story.requests("builder")) <= 1
    story.expect_nothing_pushed()


def test_warning_at_four_fifths_of_the_budget(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(GREETING, tokens=100_000)]})
    story.comment("/autopack run --tokens 120k")
    head = story.expect_success()
    story.expect_audit("P1")
    for said in (story.status(), story.expect_check("autopack", "success", head)["output"]["summary"]):
        assert "% ⚠️" in said
        assert f"⚠️ **Near a cap:** run `{story.run_id}`" in said
        assert ", builder 10" in said, "who spent how much"
