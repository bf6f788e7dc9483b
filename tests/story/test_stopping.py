"""People stop runs: by command, by taking the label away, by closing issue or pull request."""

from collections.abc import Callable

import pytest

from tests.support.answers import edits, phase, plan, write
from tests.support.repository_view import PERSON
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))


def _at_ci(story: Story) -> None:
    """A run that waits for CI."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()


def _expect_cancelled(story: Story, reason: str) -> None:
    assert story.wait_for_end() == "DONE_CANCELLED"
    assert "🚫 Autopack: Cancelled" in story.status()
    assert reason in story.status()
    story.expect_check("autopack", "cancelled")
    story.expect_check("autopack/promotion", "failure")
    story.expect_ref(f"refs/heads/{story.branch}", story.head())
    story.expect_audit("P1")
    story.pull()


STOPS: dict[str, tuple[Callable[[Story], object], str]] = {
    "command": (lambda story: story.comment("/autopack cancel"), f"cancelled by {PERSON}"),
    "command on the pull request": (
        lambda story: story.comment("/autopack cancel", on=story.pull_number()),
        f"cancelled by {PERSON}",
    ),
    "label taken away": (lambda story: story.unlabel(), f"the label was taken away by {PERSON}"),
    "issue closed": (lambda story: story.close_issue(), f"the issue was closed by {PERSON}"),
    "pull request closed": (lambda story: story.close_pull(), f"the pull request was closed by {PERSON}"),
}


@pytest.mark.parametrize("how", STOPS)
def test_run_is_stopped_while_it_waits_for_ci(story: Story, how: str) -> None:
    stop, reason = STOPS[how]
    _at_ci(story)
    stop(story)
    _expect_cancelled(story, reason)
    assert story.pull()["state"] == ("closed" if how == "pull request closed" else "open")
    assert story.pull()["draft"] is True


def test_run_is_stopped_while_the_builder_works(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.world.models.hold(role="builder", turn=0)
    story.label()
    story.wait_for_request("builder")
    cancel = story.comment("/autopack cancel")
    story.wait_until(lambda: story.reactions(cancel) == ["eyes"], "the command is acknowledged")
    story.world.models.release()
    assert story.wait_for_end() == "DONE_CANCELLED"
    assert len(story.requests("builder")) == 1, "no further request was sent"
    assert f"cancelled by {PERSON}" in story.status()
    story.expect_nothing_pushed()


def test_run_is_stopped_before_it_has_a_plan(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.world.models.hold(role="planner")
    story.label()
    story.wait_for_request("planner")
    story.close_issue()
    story.wait_handled()
    story.world.models.release()
    assert story.wait_for_end() == "DONE_CANCELLED"
    assert story.requests("builder") == []
    story.expect_nothing_pushed()


def test_cancelled_run_may_be_started_again(story: Story) -> None:
    _at_ci(story)
    story.comment("/autopack cancel")
    _expect_cancelled(story, f"cancelled by {PERSON}")
    story.hub.runner.release()
    story.hub.runner.wait_idle()
    cancelled = story.pull_number()
    story.comment("/autopack run")
    assert story.wait_for_end(runs=2) == "DONE_SUCCESS"
    story.expect_success()
    story.expect_audit("P1")
    story.expect_comment("takes the place of this pull request", on=cancelled)


def test_merged_pull_request_is_shown_as_promoted(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    story.merge_pull()
    story.wait_for_status("🎉 merged")
    story.wait_idle()
    assert story.state() == "DONE_SUCCESS"
    assert story.expect_check("autopack/promotion", "success")["output"]["title"] == "Merged"
    assert story.file("greeting.txt", "main") == "hello"


def test_pull_request_merged_before_the_end(story: Story) -> None:
    story.plays(plan(phase("One"), phase("Two")), {"P1": [GREETING], "P2": [edits(write("more.txt", "more\n"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.mark_pull_ready()
    story.merge_pull()
    assert story.wait_for_end() == "DONE_CANCELLED"
    assert "merged by maintainer before the run had ended" in story.status()
    assert "🎉 merged" in story.status()
    story.expect_audit("P1")
    story.expect_check("autopack", "cancelled")
    story.expect_check("autopack/promotion", "failure")
    story.expect_ref(f"refs/heads/{story.branch}", story.head())
    assert story.requests("builder", "P2") == []


def test_closing_an_issue_without_a_run_does_nothing(story: Story) -> None:
    story.begin()
    story.close_issue()
    story.wait_idle()
    story.expect_no_comment()


def test_label_on_a_closed_issue_does_nothing(story: Story) -> None:
    story.begin()
    story.close_issue()
    story.label()
    story.wait_idle()
    story.expect_no_comment()
    assert story.requests() == []
