"""Snapshots: refs that start no workflow, and that a run can do without."""

import pytest

from tests.support.answers import edits, phase, plan, write
from tests.support.story import Story

PUBLISH = """\
name: Publish
on: push
jobs:
  publish:
    runs-on: ubuntu-latest
    steps:
      - run: test "${GITHUB_REF#refs/heads/}" != "$GITHUB_REF"
"""
PHASES = {"P1": [edits(write("hello.txt", "hello\n"))], "P2": [edits(write("bye.txt", "bye\n"))]}


def test_snapshots_start_no_workflow(story: Story) -> None:
    """`on: push` without filters runs for tags too, and may publish what has not been reviewed."""
    story.files[".github/workflows/publish.yml"] = PUBLISH
    story.files[".github/workflows/tags.yml"] = PUBLISH.replace("on: push", "on: {push: {tags: ['**']}}")
    story.plays(plan(phase("Greet"), phase("Leave")), PHASES)
    story.label()
    story.expect_success(["P1", "P2"])
    first, _ = story.commits()
    story.expect_ref(f"refs/autopack/{story.run_id}/P1", first)
    story.expect_check("autopack", "neutral", first)
    for phase_id in PHASES:
        story.expect_audit(f"`{phase_id}`")
    assert {run["head_branch"] for run in story.workflow_runs()} == {"main", story.branch}
    assert story.hub.git(story.full_name, "for-each-ref", "refs/tags") == ""


@pytest.mark.parametrize("status", ["403", "422"])
def test_refused_snapshot_is_left_out_and_logged(story: Story, status: str) -> None:
    story.plays(plan(phase("Greet")), {"P1": PHASES["P1"]})
    story.begin()
    story.fails_github("POST", "git/refs", status, after=1)
    story.label()
    story.expect_success(phases=())
    story.expect_audit("P1")
    assert story.hub.faults.waiting == [], "the branch was made, the snapshot refused"
    story.expect_in_log(f"the ref of a snapshot is left out: GitHub refused ({status})")
    assert "📌" in story.status(), "the database has the snapshot"
    assert story.hub.git(story.full_name, "for-each-ref", "refs/autopack") == ""
