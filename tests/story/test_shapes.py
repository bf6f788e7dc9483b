"""Repositories as people have them: the right verdict of CI, with its cause, and nobody charged for another's fault."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.answers import delete, edits, phase, plan, write
from tests.support.story import Story

SHAPES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "support" / "shapes.yaml").read_text(encoding="utf-8")
)
CI = ".github/workflows/ci.yml"
GREETING = edits(write("greeting.txt", "hello\n"))
MATRIX = """\
on: {push: {branches: ["autonomous/**"]}}
jobs:
  test:
    runs-on: ubuntu-latest
    strategy: {matrix: {version: [1, 2, 3]}}
    steps: [{run: "test ! -f broken"}]
"""
DEPLOYS = """\
on: {push: {branches: ["autonomous/**"]}}
jobs: {preview: {runs-on: ubuntu-latest, environment: preview, steps: [{run: "true"}]}}
"""


@pytest.mark.parametrize("name", SHAPES)
def test_shape_gets_the_right_verdict(story: Story, name: str) -> None:
    shape = SHAPES[name]
    if "workflow" in shape:
        story.files[CI] = shape["workflow"]
    elif name == "no workflow":
        story.files.pop(CI)
    story.settings["ci"] |= shape.get("settings", {})
    story.begin()
    if "required" in shape:
        app = shape.get("required_app", "")
        story.hub.require_checks(story.full_name, "main", shape["required"], ruleset=True, app_slug=app)
    story.hub.runner.hold()
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    story.wait_until(lambda: story.pull_number() > 0, "the commit is pushed")
    for check, conclusion in shape.get("others", {}).items():
        app = shape.get("required_app", "other-app")
        story.hub.report_check(story.full_name, story.head(), check, app_slug=app, conclusion=conclusion)
    story.hub.runner.release()
    assert story.wait_for_end() == shape.get("ends", "DONE_SUCCESS")
    said = story.status().replace("\\", "")
    for text in shape.get("says", ()):
        assert text in said
    assert len({one.attempt for one in story.requests("builder")}) == shape.get("attempts", 1)
    story.expect_audit("P1")
    if shape["promoted"]:
        story.expect_offered(())
    else:
        story.expect_check("autopack", "success")
        story.expect_check("autopack/promotion", "failure")
        assert story.pull()["draft"] is True
        story.expect_comment("not eligible", f"summary:{story.run_id}", on=story.pull_number())
        story.expect_ref(f"refs/heads/{story.branch}", story.head())
    for ref in story.hub.git(story.full_name, "for-each-ref", "--format=%(refname)", "refs/autopack/").split():
        story.expect_ref(ref)


def test_deployment_waits_for_its_reviewer(story: Story) -> None:
    story.files[".github/workflows/preview.yml"] = DEPLOYS
    story.begin()
    story.hub.review_deployments(story.full_name, "preview")
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    story.wait_for_status("Waiting for you")
    assert "waits for a person" in story.status()
    story.hub.approve_deployments(story.full_name)
    story.expect_success()
    story.expect_audit("P1")


def test_matrix_that_fails_fast_tells_the_failure(story: Story) -> None:
    story.files[CI] = MATRIX
    story.plays(plan(phase()), {"P1": [edits(write("broken", "")), edits(delete("broken"))]})
    story.label()
    story.expect_success()
    story.expect_check("autopack", "neutral", story.commits()[0])
    for audit in (1, 2):
        story.expect_audit(f"audit:{story.run_id}:P1:{audit}")
    told = story.requests("builder")[-1].body.decode()
    assert "Job test (1):" in told
    assert "Cancelled as another job failed: test (2), test (3)" in told


def test_other_app_does_not_meet_a_pinned_check(story: Story) -> None:
    """A job of the required name in Actions does not count: https://docs.github.com/en/rest/repos/rules."""
    story.settings["ci"] = {"grace_seconds": 0.1, "deadline_minutes": 0.03}
    story.begin()
    story.hub.require_checks(story.full_name, "main", ["test"], ruleset=True, app_slug="scanner")
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "still awaited at the deadline: test")
    story.expect_draft()
    story.expect_audit("P1")


def test_without_reruns_a_flaky_test_costs_an_attempt(story: Story) -> None:
    story.files[CI] = SHAPES["a flaky test"]["workflow"].replace("$GITHUB_RUN_ATTEMPT -gt 1", "-f second")
    story.settings["ci"] |= {"flaky_reruns": 0}
    story.plays(plan(phase()), {"P1": [GREETING, edits(write("second", "x"))]})
    story.label()
    story.expect_success()
    story.expect_check("autopack", "neutral", story.commits()[0])
    for audit in (1, 2):
        story.expect_audit(f"audit:{story.run_id}:P1:{audit}")
    jobs = story.hub.git(story.full_name, "log", "--format=%s", story.branch)
    assert jobs.count("P1") == 2
