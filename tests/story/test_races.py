"""What happens between two looks: others write, someone changes their mind, GitHub stumbles."""

from tests.support import trace
from tests.support.answers import edits, phase, plan, write
from tests.support.story import PERSON, Story

GREETING = edits(write("greeting.txt", "hello\n"))


def test_foreign_commit_is_never_offered_unseen(story: Story) -> None:
    """It comes without an event, just before the end: the merge finds it, and it is audited and judged first."""
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [edits(summary="It fits.")]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    own = story.head()
    story.fails_github("GET", "git/ref/heads/main", "502", times=2)
    story.hub.webhooks.pause()
    theirs = story.push(story.branch, {"unseen.txt": "unaudited\n"})
    story.hub.runner.release()
    story.wait_until(lambda: "REVIEW-1" in story.status(), "it is taken in")
    story.hub.webhooks.resume()
    assert story.expect_success(["P1", "REVIEW-1"]) == theirs
    assert "unseen.txt" in story.requests("auditor", "REVIEW-1")[-1].body.decode()
    story.expect_check("autopack", "neutral", own)
    for name in ("P1", "REVIEW-1"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")


def test_cancel_during_the_end_counts(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.fails_github("POST", "merges", "502", times=3)
    story.hub.runner.release()
    story.wait_until(lambda: story.hub.faults.waiting[0].met, "the merge was tried")
    comment = story.comment("/autopack cancel")
    story.wait_until(lambda: story.reactions(comment) == ["eyes"], "the cancel is acknowledged")
    assert story.wait_for_end() == "DONE_CANCELLED"
    assert story.pull()["draft"] is True
    story.expect_audit("Nothing blocks it.")
    story.expect_ref(f"refs/autopack/{story.run_id}/P1")
    story.expect_draft("cancelled")


def test_removed_label_starts_nothing(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.wait_idle()
    story.hub.webhooks.pause()
    story.label()
    story.unlabel()
    story.hub.webhooks.reverse()
    story.hub.webhooks.resume()
    story.wait_idle()
    assert story.run_ids == []
    assert story.requests() == []


def test_cancel_finds_the_open_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.comment("/autopack plan")
    story.wait_until(lambda: len(story.run_ids) == 2 and "DONE_SUCCESS" in story.status(), "the plan is posted")
    building, planned = story.run_ids
    story.expect_comment(f"autopack:plan:{planned}")
    story.comment("/autopack cancel")
    assert story.wait_for_end(runs=2) == "DONE_SUCCESS"
    story.hub.runner.release()
    cancelled = story.expect_comment(f"autopack:status:{building}")
    assert "DONE_CANCELLED" in cancelled
    story.seen |= {one for entry in story.hub.journal(story.full_name) if (one := trace.written(entry)) is not None}


def test_command_that_is_deleted_at_once_still_counts(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.wait_idle()
    story.hub.webhooks.pause()
    comment = story.comment("/autopack run")
    story.world.user(PERSON).delete(f"/repos/{story.full_name}/issues/comments/{comment}").raise_for_status()
    story.hub.webhooks.resume()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")


def test_failing_git_is_waited_for(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.fails_git("info/refs", "502", times=4)
    story.label()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
