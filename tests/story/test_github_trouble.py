"""GitHub answers badly, late or not at all; what was done although no answer came is not done again."""

import pytest

from tests.support.answers import approves, approves_but, delete, edits, finding, finds, phase, plan, write
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))
MINOR = finding("greeting.txt", 1, "It is short.", severity="minor")
CREATES = (
    "issues/1/reactions",
    "issues/1/comments",
    "git/trees",
    "git/commits",
    "git/refs",
    "pulls",
    "pulls/2/reviews",
    "check-runs",
    "issues/2/comments",
)
"""Everything that a run creates, in order; a pull request's number is 2, the issue's 1."""


@pytest.mark.parametrize("kind", ["502", "reset_after"])
def test_failed_creations_are_never_doubled(story: Story, kind: str) -> None:
    story.plays(plan(phase()), {"P1": [GREETING, approves_but(MINOR)]})
    story.begin()
    for path in CREATES:
        story.fails_github("POST", path, kind)
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    story.expect_review_comment("greeting.txt", 1)
    assert story.commits() == [head]
    assert story.hub.faults.waiting == [], "every fault was met"


def test_secondary_rate_limit_is_waited_out(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    for path in ("issues/1/comments", "git/refs", "pulls"):
        story.fails_github("POST", path, "secondary_limit")
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert story.hub.faults.waiting == []


def test_passing_errors_of_graphql_are_waited_out(story: Story) -> None:
    """GraphQL's own trouble is an error in a 200 (octokit/plugin-retry.js#395)."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.hub.faults.add("POST", "^/graphql$", "passing", times=2)
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert story.hub.faults.waiting == []


def test_changes_that_were_made_without_an_answer(story: Story) -> None:
    """Edits, moves of the branch, merges, resolved threads, the end of the draft: all answers are lost once."""
    wrong = finding("greeting.txt", 1)
    fixed = edits(write("greeting.txt", "hi\n"))
    story.plays(plan(phase()), {"P1": [GREETING, finds(wrong), fixed, approves(fixed=[wrong])]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    newest = story.push("main", {"neighbor.txt": "next door\n"})
    for method, path in (
        ("PATCH", r"issues/comments/\d+"),
        ("PATCH", r"check-runs/\d+"),
        ("PATCH", "pulls/2"),
        ("PATCH", "git/refs/heads/.*"),
        ("PATCH", r"pulls/comments/\d+"),
        ("POST", "merges"),
    ):
        story.fails_github(method, path, "reset_after")
    story.hub.faults.add("POST", "^/graphql$", "reset_after", times=2)
    story.hub.runner.release()
    head = story.expect_success()
    second = story.commits()[1]
    assert story.parents(head) == [second, newest]
    assert story.parents(second) == [first]
    story.expect_check("autopack", "neutral", first)
    story.expect_check("autopack", "neutral", second)
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")
    comment = story.expect_review_comment("greeting.txt", 1)
    story.expect_fixed(comment, "Fixed in")
    story.expect_resolved_threads(1)
    assert story.hub.faults.waiting == []


def test_reads_that_fail_are_repeated(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("broken", "")), edits(delete("broken"), write("a.txt", "a\n"))]})
    story.begin()
    for path in ("issues/1", "git/ref/heads/main", "actions/runs", r"actions/jobs/\d+/logs", "commits/.*/check-runs"):
        story.fails_github("GET", path, "502")
    story.fails_github("GET", "collaborators/.*", "reset_before")
    story.fails_github("GET", "contents/.*", "500")
    story.label()
    story.expect_success()
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")
    assert story.hub.faults.waiting == []


def test_git_that_fails_is_asked_again(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.fails_git("info/refs", "502")
    story.fails_git("git-upload-pack", "reset_before")
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert story.hub.faults.waiting == []


def test_tokens_that_are_no_longer_taken_are_renewed(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.revoke_tokens()
    story.hub.runner.release()
    story.expect_success()
    story.expect_audit("P1")


def test_refused_git_tokens_are_renewed(story: Story) -> None:
    story.plays(plan(phase(), phase()), {"P1": [GREETING], "P2": [edits(write("farewell.txt", "bye\n"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.revoke_git_tokens()
    story.hub.runner.release()
    story.expect_success(["P1", "P2"])
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_audit("P1")
    story.expect_audit("P2")


def test_git_without_valid_token_ends_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.fails_git("info/refs", "401", times=2)
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "git may not fetch", "check that the App is installed")
    assert story.hub.faults.waiting == []
