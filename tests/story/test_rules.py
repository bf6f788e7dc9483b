"""GitHub's own rules: rulesets, permissions, what workflows start for, and what GitHub does not see yet.

https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/available-rules-for-rulesets
https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows
"""

import pytest

from tests.support.answers import approves_but, delete, edits, finding, phase, plan, write
from tests.support.repository_view import PERSON
from tests.support.story import Story

CI = ".github/workflows/ci.yml"
GREETING = edits(write("greeting.txt", "hello\n"))
WORK = "autonomous/**"


def test_message_rule_is_met_by_the_builder(story: Story) -> None:
    """It learns the pattern from GitHub's words, and names a subject."""
    named = edits(write("greeting.txt", "hello\n"), summary="Subject: feat: greet people\n\nAdds the greeting.")
    story.plays(plan(phase("Greet people")), {"P1": [GREETING, named]})
    story.begin()
    story.hub.add_rule(story.full_name, "commit_message_pattern", "^(feat|fix|Merge)", WORK)
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    assert story.message(head).startswith("feat: greet people\n\nAdds the greeting.")
    told = story.requests("builder")[-1].body.decode()
    assert "must match the pattern: ^(feat|fix|Merge)" in told
    assert "Subject:" in told


def test_path_rule_goes_to_the_builder(story: Story) -> None:
    elsewhere = edits(delete("greeting.txt"), write("words/greeting.txt", "hello\n"))
    story.plays(plan(phase()), {"P1": [GREETING, elsewhere]})
    story.begin()
    story.hub.add_rule(story.full_name, "file_path_restriction", "greeting.txt", WORK)
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert "File path greeting.txt is restricted" in story.requests("builder")[-1].body.decode()


@pytest.mark.parametrize(
    ("kind", "pattern", "words"),
    [
        ("creation", "", "creations being restricted"),
        ("required_status_checks", "test", "1 of 1 required status checks are expected"),
        ("pull_request", "", "Changes must be made through a pull request"),
    ],
)
def test_rule_on_branches_ends_the_run(story: Story, kind: str, pattern: str, words: str) -> None:
    """A ruleset for all branches that no content can meet: the Builder is not asked again."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.hub.add_rule(story.full_name, kind, pattern, "**")
    story.label()
    said = story.expect_failure("DONE_FAILED_ENVIRONMENT", words.replace("_", "\\_"), "leave autonomous/")
    assert "let the App bypass it" in said
    story.expect_nothing_pushed()
    assert len({one.attempt for one in story.requests("builder")}) == 1


def test_signatures_are_github_s_own(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.hub.add_rule(story.full_name, "required_signatures", "", "**")
    story.label()
    story.expect_success()
    story.expect_audit("P1")


def test_rule_against_merges_needs_a_person(story: Story) -> None:
    """`POST /merges` answers 409 for a rule too, which is no conflict."""
    named = edits(write("greeting.txt", "hello\n"), summary="Subject: feat: greet people")
    story.plays(plan(phase()), {"P1": [named]})
    story.begin()
    story.hub.add_rule(story.full_name, "commit_message_pattern", "^feat", WORK)
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.push("main", {"neighbor.txt": "next door\n"})
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    said = story.expect_check("autopack/promotion", "failure")["output"]["summary"]
    assert "must match the pattern" in said.replace("\\", "")
    assert "by hand" in said
    story.expect_check("autopack", "success")
    assert story.pull()["draft"] is True
    story.expect_comment("not eligible", f"summary:{story.run_id}", on=story.pull_number())
    story.expect_ref(f"refs/heads/{story.branch}", story.head())
    story.expect_ref(f"refs/autopack/{story.run_id}/P1")
    story.expect_audit("P1")


def test_empty_repository_says_what_is_missing(story: Story) -> None:
    """409 on all of the Git Data API."""
    story.hub.import_repository(story.full_name, owner_role={PERSON: "admin"})
    story.hub.install_app(story.full_name)
    story.number = story.open_issue(story.title)
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "the branch main has no commit yet")
    story.expect_nothing_pushed()


def test_what_github_does_not_see_yet_is_awaited(story: Story) -> None:
    """kubernetes/test-infra#2262, runatlantis/atlantis#1131, peter-evans/create-pull-request#4356."""
    story.plays(plan(phase(), phase()), {"P1": [GREETING], "P2": [edits(write("farewell.txt", "bye\n"))]})
    story.begin()
    story.hub.state.lag = 2
    try:
        story.label()
        story.expect_success(["P1", "P2"])
    finally:
        story.hub.state.lag = 0
    for name in ("P1", "P2"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_check("autopack", "neutral", story.commits()[0])


def test_lost_permission_is_named_and_given_back(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    owner = story.hub.as_owner(PERSON)
    held = story.hub.permissions(story.full_name)
    owner.set_permissions(story.full_name, held | {"contents": "read"})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "the App needs the permission contents: write")
    story.expect_nothing_pushed()
    owner.set_permissions(story.full_name, held)
    story.world.wait_handled()
    story.comment("/autopack run")
    story.wait_for_end(runs=2)
    story.turn_to(story.run_ids[-1])
    story.expect_offered(["P1"])
    story.expect_audit("P1")


ON_PULLS = """\
on:
  push: {branches: ["autonomous/**"]}
  pull_request: {types: [opened, synchronize, edited, labeled, ready_for_review]}
  pull_request_review:
jobs: {test: {runs-on: x, steps: [{run: "true"}]}}
"""


def test_workflows_of_all_that_happens_to_a_pull(story: Story) -> None:
    """Every edit, review and change of the draft mark starts CI again on the same commit."""
    story.files[CI] = ON_PULLS
    story.plays(plan(phase()), {"P1": [GREETING, approves_but(finding("greeting.txt", 1, severity="minor"))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    story.expect_review_comment("greeting.txt", 1)
    assert len({one.attempt for one in story.requests("builder")}) == 1
    events = {run["event"] for run in story.workflow_runs()}
    assert events == {"push", "pull_request", "pull_request_review"}


@pytest.mark.parametrize("at_work", ["true", "false"])
def test_runs_that_a_newer_one_ends_cost_nothing(story: Story, at_work: str) -> None:
    """A run of CI that its concurrency group cancels is not the Builder's fault."""
    group = f"concurrency: {{group: '${{{{ github.workflow }}}}', cancel-in-progress: {at_work}}}\n"
    story.files[CI] = group + ON_PULLS
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.wait_until(lambda: len(story.workflow_runs()) > 1, "CI is started twice")
    story.hub.runner.release()
    story.expect_success()
    story.expect_audit("P1")
    assert len({one.attempt for one in story.requests("builder")}) == 1
    assert "cancelled" in {run["conclusion"] for run in story.workflow_runs()}


def test_base_that_turns_red_costs_nothing(story: Story) -> None:
    """`pull_request` workflows judge the merge with the base as it is now."""
    story.files[CI] = "on: [push, pull_request]\njobs: {test: {runs-on: x, steps: [{run: 'test ! -f broken'}]}}\n"
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.begin()
    story.hub.runner.wait_idle()
    story.hub.runner.hold()
    story.label()
    story.wait_for_request("builder")
    story.push("main", {"broken": ""})
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    assert "test is red, as it is on main" in story.status().replace("\\", "")
    assert len({one.attempt for one in story.requests("builder")}) == 1
    story.expect_audit("P1")
    assert story.pull()["draft"] is True
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_check("autopack", "success")
    story.expect_check("autopack/promotion", "failure")
    story.expect_comment("not eligible", f"summary:{story.run_id}", on=story.pull_number())
    story.expect_ref(f"refs/heads/{story.branch}", story.head())
