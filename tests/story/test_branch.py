"""The run's branch and its base while others write to them too."""

import pytest

from app.replay.recording import ToolCall
from tests.support.answers import delete, edits, phase, plan, take, write
from tests.support.repository_view import PERSON
from tests.support.story import CI, Story

GREETING = edits(write("greeting.txt", "hello\n"))
FRESH = "FRESH-BASE-1"


def _expect_left_to_a_person(story: Story, *why: str) -> None:
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", *why)
    assert story.pull()["draft"] is True
    story.expect_audit("P1")
    story.expect_ref(f"refs/heads/{story.branch}")


def test_pushed_commit_is_taken_in(story: Story) -> None:
    """Between two phases: the next one builds on it, and its audit reads it."""
    story.plays(plan(phase("One"), phase("Two")), {"P1": [GREETING], "P2": [edits(write("two.txt", "2\n"))] * 2})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    own = story.head()
    theirs = story.push(story.branch, {"mine.txt": "mine\n"})
    story.wait_for_status(f"{PERSON} pushed {theirs[:7]}")
    story.hub.runner.release()
    head = story.expect_success(["P1", "P2"])
    assert story.parents(head) == [theirs]
    assert story.parents(theirs) == [own]
    assert story.file("mine.txt") == "mine"
    assert "mine.txt" in story.requests("auditor", "P2")[-1].body.decode(), "what they pushed is audited"
    assert "2 of 2 phases complete" in story.status()
    for name in ("P1", "P2"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_check("autopack", "neutral", own)


def test_push_without_event_is_not_overwritten(story: Story) -> None:
    """GitHub's compare-and-swap finds it. The Builder is told, and works again on top of it; that costs no try."""
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"), write("other.txt", "x\n"))]})
    story.world.models.hold(role="builder", turn=1)
    story.label()
    story.wait_for_request("builder", 2)
    story.hub.webhooks.pause()
    theirs = story.push(story.branch, {"greeting.txt": "hi\n"})
    story.world.models.release()
    story.wait_until(lambda: len(story.requests("builder")) > 2, "the Builder works again")
    story.hub.webhooks.resume()
    head = story.expect_success()
    assert story.parents(head) == [theirs]
    assert (story.file("greeting.txt"), story.file("other.txt")) == ("hello", "x")
    assert "Someone pushed to the branch while you worked" in story.requests("builder")[-1].body.decode()
    story.expect_audit("P1")
    story.expect_check("autopack", "neutral", theirs)


def test_push_after_the_last_phase(story: Story) -> None:
    """An applied suggestion, say: it is audited and judged in a phase of its own, in which nothing need be changed."""
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [edits(summary="It fits.")]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    own = story.head()
    theirs = story.push(story.branch, {"greeting.txt": "good morning\n"}, message="Apply suggestion")
    story.wait_for_status(f"{PERSON} pushed {theirs[:7]}")
    story.hub.runner.release()
    assert story.expect_success(["P1", "REVIEW-1"]) == theirs
    assert "good morning" in story.requests("auditor", "REVIEW-1")[-1].body.decode()
    for name in ("P1", "REVIEW-1"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_check("autopack", "neutral", own)


def test_rewritten_branch_stops_the_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    own = story.head()
    theirs = story.rewrite_branch()
    _expect_left_to_a_person(story, f"{PERSON} rewrote the run's branch to {theirs[:7]}")
    assert story.head() == theirs, "what they made of it stays"
    story.expect_check("autopack", "failure", own)
    story.expect_check("autopack/promotion", "failure", own)


def test_somebody_deletes_the_runs_branch(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    own = story.head()
    story.delete_branch()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", f"{PERSON} deleted the run's branch")
    assert story.pull()["state"] == "closed", "GitHub closes it, and the push event comes first"
    story.expect_no_ref(f"refs/heads/{story.branch}")
    story.expect_check("autopack", "failure", own)
    story.expect_check("autopack/promotion", "failure", own)
    story.expect_audit("P1")


def test_base_that_moved_is_merged_before_the_offer(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    newest = story.push("main", {"neighbor.txt": "next door\n"})
    story.hub.runner.release()
    head = story.expect_success()
    assert story.parents(head) == [first, newest]
    story.expect_audit("P1")
    story.expect_check("autopack", "neutral", first)
    assert story.file("neighbor.txt") == "next door"
    assert story.file("greeting.txt") == "hello"
    assert story.message(head).startswith("Merge main ")
    assert f"Autopack-Run: {story.run_id}" in story.message(head)


def test_conflict_with_the_base_becomes_a_phase(story: Story) -> None:
    both = "# Garden\n\nIt greets.\n\nIt grows.\n"
    story.plays(
        plan(phase()),
        {"P1": [edits(write("README.md", "# Garden\n\nIt greets.\n"))], FRESH: [edits(write("README.md", both))]},
    )
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    newest = story.push("main", {"README.md": "# Garden\n\nIt grows.\n", "neighbor.txt": "next door\n"})
    story.hub.runner.release()
    head = story.expect_success(["P1", FRESH])
    assert story.parents(head) == [first, newest], "the solved conflict is a merge"
    assert story.file("README.md") == both.strip()
    assert story.file("neighbor.txt") == "next door"
    story.expect_audit("`P1`")
    story.expect_audit(f"`{FRESH}`")
    story.expect_check("autopack", "neutral", first)
    asked = story.requests("builder", FRESH)[0].body.decode()
    assert "Solve the merge conflicts" in asked
    assert "FRESH-BASE" in story.status()


CONFLICTS: dict[str, tuple[list[ToolCall], dict[str, str | None], list[ToolCall], dict[str, str | None]]] = {
    "contents": (
        [write("README.md", "# Mine\n")],
        {"README.md": "# Theirs\n"},
        [take("README.md", "base")],
        {"README.md": "# Theirs"},
    ),
    "modify/delete": (
        [write("README.md", "# Mine\n")],
        {"README.md": None},
        [take("README.md", "branch")],
        {"README.md": "# Mine"},
    ),
    "modify/delete, to the end": (
        [write("README.md", "# Mine\n")],
        {"README.md": None},
        [take("README.md", "base")],
        {"README.md": None},
    ),
    "rename/rename": (
        [delete("README.md"), write("INFO.md", "# Garden\n")],
        {"README.md": None, "GUIDE.md": "# Garden\n"},
        [take("GUIDE.md", "branch"), take("README.md", "branch")],
        {"INFO.md": "# Garden", "GUIDE.md": None, "README.md": None},
    ),
    "contents, of a file that both made": (
        [write("new.md", "# Mine\n")],
        {"new.md": "# Theirs\n"},
        [take("new.md", "branch")],
        {"new.md": "# Mine"},
    ),
}
"""By kind: what the Builder did, what somebody pushed meanwhile, the side that is taken, and the files then."""


@pytest.mark.parametrize("kind", CONFLICTS)
def test_side_is_taken_in_a_conflict(story: Story, kind: str) -> None:
    ours, theirs, taken, after = CONFLICTS[kind]
    story.plays(plan(phase()), {"P1": [edits(*ours)], FRESH: [edits(*taken)]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    newest = story.push("main", {"neighbor.txt": "next door\n", **theirs})
    story.hub.runner.release()
    head = story.expect_success(["P1", FRESH])
    assert story.parents(head) == [first, newest]
    names = story.hub.git(story.full_name, "ls-tree", "-r", "--name-only", head).split()
    assert {path: story.file(path) if path in names else None for path in after} == after
    assert story.file("neighbor.txt") == "next door"
    told = story.requests("builder", FRESH)[0].body.decode()
    assert f"({kind.partition(',')[0]})" in told
    assert "take_side" in story.requests("builder", FRESH)[0].tools
    assert "take_side" not in story.requests("builder", "P1")[0].tools
    story.expect_audit("`P1`")
    story.expect_audit(f"`{FRESH}`")
    story.expect_check("autopack", "neutral", first)


def test_conflict_that_is_not_solved_is_not_pushed(story: Story) -> None:
    unsolved = edits(write("other.txt", "something else\n"))
    story.plays(plan(phase()), {"P1": [edits(write("README.md", "# Mine\n"))], FRESH: [unsolved, unsolved, unsolved]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    story.push("main", {"README.md": "# Theirs\n"})
    story.hub.runner.release()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "still holds conflict markers")
    assert story.commits() == [first]
    story.expect_draft()
    story.expect_audit("P1")
    story.expect_ref(f"refs/autopack/{story.run_id}/P1", first)


def test_base_that_breaks_the_branch_becomes_a_phase(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING], FRESH: [edits(delete("broken"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    story.push("main", {"broken": "by the neighbor\n"})
    story.hub.runner.release()
    head = story.expect_success(["P1", FRESH])
    merge = story.parents(head)[0]
    assert len(story.parents(merge)) == 2
    story.expect_check("autopack", "neutral", first)
    story.expect_check("autopack", "neutral", merge)
    story.expect_audit("`P1`")
    story.expect_audit(f"`{FRESH}`")


def test_conflict_is_solved_before_the_next_phase(story: Story) -> None:
    """No workflow for pull requests starts while there is a conflict, so the next phase waits for the base's merge.

    https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#pull_request
    """
    story.files[".github/workflows/ci.yml"] = CI.replace('{push: {branches: ["autonomous/**"]}}', "pull_request")
    solved = edits(write("greeting.txt", "hello, hi\n"))
    story.plays(
        plan(phase("One"), phase("Two"), phase("Three")),
        {
            "P1": [GREETING],
            "P2": [edits(write("two.txt", "2\n"))],
            "P3": [edits(write("three.txt", "3\n"))],
            FRESH: [solved],
        },
    )
    story.world.models.hold(role="builder", turn=1)
    story.label()
    story.wait_for_request("builder", 2)
    story.world.models.release()
    story.wait_for_ci()
    story.world.models.hold(role="builder", turn=1)
    story.push("main", {"greeting.txt": "hi\n"})
    story.wait_for_request("builder", 4)
    story.world.models.release()
    story.expect_success(["P1", "P3", FRESH])
    assert "the branch conflicts with its base" in story.status()
    for sha in story.commits()[:-1]:
        if "autopack" in story.checks(sha):
            story.expect_check("autopack", "neutral", sha)
    for phase_id in ("P1", "P2", FRESH, "P3"):
        story.expect_audit(f"audit:{story.run_id}:{phase_id}:1")
    order = [one.phase for one in story.requests("builder")]
    assert order.index("P2") < order.index(FRESH) < order.index("P3"), "solved before the next phase"
    assert story.file("greeting.txt") == "hello, hi"
