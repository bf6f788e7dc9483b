"""What is only shown on GitHub may be refused: the work goes on, and reaches the same end."""

import pytest

from app.hub.faults import Kind
from tests.support.answers import approves_but, edits, finding, finds, phase, plan, write
from tests.support.story import OUTSIDER, Story
from tests.support.world import WAIT_SECONDS

GREETING = edits(write("greeting.txt", "hello\n"))
MINOR = finding("greeting.txt", 1, "It is short.", severity="minor")
SHOWN = (
    ("POST", "issues/1/reactions", 0),
    ("PATCH", r"issues/comments/\d+", 0),
    ("POST", "issues/2/comments", 0),
    ("POST", "check-runs", 1),
    ("PATCH", r"check-runs/\d+", 0),
    ("POST", "pulls/2/reviews", 1),
    ("PATCH", r"pulls/comments/\d+", 0),
    ("PATCH", "pulls/2", 0),
)
"""All that a run shows, after as many calls as are needed for the next ones to happen."""


@pytest.mark.parametrize("status", ["403", "404", "410", "422"])
def test_run_succeeds_when_texts_are_refused(story: Story, status: Kind) -> None:
    wrong = finding("greeting.txt", 1)
    fixed = edits(write("greeting.txt", "hi\n"))
    story.plays(plan(phase()), {"P1": [GREETING, finds(wrong), fixed, approves_but(MINOR, fixed=[wrong])]})
    story.begin()
    for method, path, after in SHOWN:
        story.fails_github(method, path, status, times=None, after=after)
    # The list of threads is read, none is resolved; what GitHub does not know, it is asked for four times.
    story.hub.faults.add("POST", "^/graphql$", status, after=1, times=4 if status == "404" else 1)
    story.label()
    story.wait_until(lambda: story.run_ids != [], "the status comment is there")
    story.wait_for_state("DONE_SUCCESS")
    first, head = story.commits()
    assert story.head() == head
    assert story.pull()["draft"] is False
    assert [fault for fault in story.hub.faults.waiting if not fault.met] == []
    story.expect_ref(f"refs/autopack/{story.run_id}/P1", head)
    story.expect_check("autopack", None, first)
    story.expect_no_check("autopack", head)
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_review_comment("greeting.txt", 1)
    story.expect_resolved_threads(0)
    assert story.state() == "PLAN_BOOTSTRAP", "the comment could not be edited"
    for what in ("a reaction", "a comment", "a check run", "a review"):
        story.expect_in_log(f"{story.full_name}: {what} is left out: GitHub refused ({status})")
    story.expect_in_log("the end of a review thread is left out: GitHub refused (")


@pytest.mark.parametrize("kind", ["502", "reset_before"])
def test_texts_owed_in_outage_are_told_after_it(story: Story, kind: Kind) -> None:
    """The work does not wait for what is only told; the reconciler tells it once GitHub takes it."""
    _run_untold(story, kind)
    for what in ("a reaction", "a comment", "a check run", "a review", "the text of the pull request"):
        story.expect_in_log(f"{story.full_name}: {what} is owed: GitHub is unavailable")
    story.hub.faults.clear()
    _expect_told(story)


def test_texts_owed_to_a_silent_github_are_told(story: Story) -> None:
    """A request that is never answered costs ten seconds, once: the next texts of its kind are owed untried."""
    story.plays(plan(phase()), {"P1": [GREETING, approves_but(MINOR)]})
    story.begin()
    story.fails_github("POST", "pulls/2/reviews", "timeout", times=None)
    story.label()
    story.wait_until(lambda: story.run_ids != [], "the status comment is there")
    story.wait_for_state("DONE_SUCCESS")
    story.hub.faults.clear()
    story.world.service.restart()
    story.wait_until(lambda: story.world.owed() == 0, "nothing is owed any more")
    story.expect_success()
    story.expect_audit("P1")
    story.expect_review_comment("greeting.txt", 1, "It is short.")


@pytest.mark.timeout(400)
def test_all_texts_owed_to_silence_are_told(story: Story) -> None:
    """Nothing that is only shown is ever answered: it costs ten seconds for each kind."""
    _run_untold(story, "timeout", seconds=300)
    story.hub.faults.clear()
    _expect_told(story)


def _run_untold(story: Story, kind: Kind, seconds: float = WAIT_SECONDS) -> None:
    wrong = finding("greeting.txt", 1)
    fixed = edits(write("greeting.txt", "hi\n"))
    story.plays(plan(phase()), {"P1": [GREETING, finds(wrong), fixed, approves_but(MINOR, fixed=[wrong])]})
    story.begin()
    edited = ("PATCH", r"issues/comments/\d+", 0)
    for method, path, after in {*SHOWN, ("POST", "issues/1/comments", 0), ("POST", "git/refs", 1)} - {edited}:
        story.fails_github(method, path, kind, times=None, after=after)
    story.label()
    story.wait_until(lambda: story.branches_of_runs() != [], "the run has pushed", seconds)
    story.turn_to(story.branches_of_runs()[0].removeprefix("autonomous/"))
    story.wait_for_state("DONE_SUCCESS", 2 * seconds)


def _expect_told(story: Story) -> None:
    assert story.comments_of_app(1) == []
    story.world.service.restart()
    story.wait_until(lambda: story.world.owed() == 0, "nothing is owed any more")
    first, _ = story.commits()
    head = story.expect_success()
    story.expect_check("autopack", "neutral", first)
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")
    comment = story.expect_review_comment("greeting.txt", 1, "The greeting is wrong.")
    story.expect_review_comment("greeting.txt", 1, "It is short.")
    story.expect_fixed(comment, "Fixed in")
    story.expect_resolved_threads(1)
    story.expect_ref(f"refs/autopack/{story.run_id}/P1", head)


def test_locked_issues_run_shows_on_pull(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.lock_issue()
    story.label()
    story.wait_until(lambda: story.branches_of_runs() != [], "the run has pushed")
    story.turn_to(story.branches_of_runs()[0].removeprefix("autonomous/"))
    story.wait_for_state("DONE_SUCCESS")
    story.expect_offered(["P1"])
    story.expect_audit("P1")
    story.expect_no_comment()
    locked = "Unable to create comment because issue is locked."
    assert locked in story.pull()["body"]
    assert locked in story.expect_check("autopack", "success")["output"]["summary"]
    story.expect_in_log(locked)


def test_refused_answers_stop_no_event(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.fails_github("POST", r"issues/comments/\d+/reactions", "410", times=None)
    story.hub.webhooks.pause()
    story.comment("/autopack run", by=OUTSIDER)
    story.comment("/autopack run")
    story.comment("/autopack status")
    story.lock_issue()
    story.hub.webhooks.resume()
    story.wait_handled()
    assert [fault for fault in story.hub.faults.waiting if not fault.met] == []
    story.comment("/autopack cancel")
    assert story.wait_for_end() == "DONE_CANCELLED"
    story.expect_draft("cancelled")
    story.expect_audit("P1")
    story.expect_in_log("a comment is left out: GitHub refused (403)")
    story.expect_in_log("a reaction is left out: GitHub refused (410)")


def test_refused_content_goes_back_to_the_builder(story: Story) -> None:
    """Push protection refuses a secret in a tree or blob: another content may pass.

    https://docs.github.com/en/code-security/secret-scanning/introduction/about-push-protection
    """
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "AKIA-a-fake-key\n")), GREETING]})
    story.begin()
    story.fails_github("POST", "git/trees", "secret")
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    told = story.requests("builder")[-1].body.decode()
    assert "Secret detected in content" in told
    assert len({one.attempt for one in story.requests("builder")}) == 2


def test_unmergeable_base_leaves_it_to_a_person(story: Story) -> None:
    """The base gained a workflow change, which an App without the permission may not merge (Mergifyio/mergify#5055)."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.push("main", {".github/workflows/other.yml": "on: workflow_dispatch\njobs: {}\n"})
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    said = story.expect_check("autopack/promotion", "failure")["output"]["summary"]
    assert "merge main into" in said
    assert "by hand" in said
    story.expect_check("autopack", "success")
    assert story.pull()["draft"] is True
    story.expect_comment("not eligible", f"summary:{story.run_id}", on=story.pull_number())
    story.expect_ref(f"refs/heads/{story.branch}", story.head())
    story.expect_audit("P1")
