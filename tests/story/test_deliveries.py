"""GitHub repeats events, sends them in any order, and several that mean the same: it is one run."""

from tests.support.answers import edits, phase, plan, write
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))


def test_five_copies_of_one_delivery_are_one_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.hub.webhooks.pause()
    story.label()
    labeled = story.hub.webhooks.deliveries("issues", "labeled")[-1]
    story.hub.webhooks.repeat(labeled["id"], 4)
    story.hub.webhooks.resume()
    story.expect_success()
    story.expect_audit("P1")
    story.hub.webhooks.repeat(labeled["id"], 1)
    story.wait_idle()
    assert len(story.run_ids) == 1, "nor does a copy that comes after the end start anything"
    assert len(story.requests("planner")) == 1


def test_label_and_command_together_are_one_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.hub.webhooks.pause()
    story.label()
    story.comment("/autopack run")
    story.comment("/autopack run")
    story.hub.webhooks.resume()
    story.expect_success()
    story.expect_audit("P1")
    assert len(story.run_ids) == 1
    assert len(story.requests("planner")) == 1


def test_events_of_ci_in_reverse_order(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("broken", "")), edits(write("greeting.txt", "hello\n"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.hub.webhooks.pause()
    story.hub.runner.release()
    story.hub.runner.wait_idle()
    story.hub.webhooks.reverse()
    story.hub.webhooks.resume()
    assert story.wait_for_end() == "DONE_FAILED_REQUIRES_HUMAN_REVIEW"
    story.expect_comment(f"incident:{story.run_id}", "CI is red")
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_draft()
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")


def test_cancel_that_overtakes_its_run(story: Story) -> None:
    """The command to cancel arrives first: there is no run yet, it says so, and the run goes its way."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.wait_idle()
    story.hub.webhooks.pause()
    story.comment("/autopack run")
    story.comment("/autopack cancel")
    story.hub.webhooks.reverse()
    story.hub.webhooks.resume()
    story.expect_success()
    story.expect_audit("P1")
    story.expect_comment("There is no run for this issue.")


def test_issues_of_one_repository_run_beside_each_other(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    first, second = story.number, story.open_issue("Greet them again")
    story.comment("/autopack run", on=second)
    story.comment("/autopack run", on=first)
    for number in (first, second):
        story.number = number
        story.expect_success()
        story.expect_audit("P1")
    assert len(story.requests("planner")) == 2
