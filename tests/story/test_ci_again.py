"""Jobs that never got to judge the commit are run again before the Builder is blamed."""

from tests.support.answers import edits, phase, plan, write
from tests.support.story import Story

SLOW_AT_FIRST = """\
name: CI
on: {push: {branches: ["autonomous/**"]}}
jobs:
  test:
    runs-on: ubuntu-latest
    timeout-minutes: 0.02
    steps:
      - run: test "$GITHUB_RUN_ATTEMPT" -gt 1 || exec sleep 60
"""


def test_interrupted_job_costs_no_try(story: Story) -> None:
    story.files[".github/workflows/ci.yml"] = SLOW_AT_FIRST
    story.settings["ci"] = {"rerun_backoff_seconds": 0.1}
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.label()
    head = story.expect_success()
    assert story.commits() == [head]
    assert len(story.requests("builder")) == 2, "one try, of two requests"
    story.expect_audit(f"audit:{story.run_id}:P1:1")


def test_repeatedly_interrupted_job_is_red(story: Story) -> None:
    story.files[".github/workflows/ci.yml"] = SLOW_AT_FIRST.replace('test "$GITHUB_RUN_ATTEMPT" -gt 1 || ', "")
    story.settings["ci"] = {"rerun_backoff_seconds": 0.1, "reruns": 1}
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n")), edits(write("greeting.txt", "hi\n"))]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "P1", "CI is red")
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_draft()
    for audit in (1, 2):
        story.expect_audit(f"audit:{story.run_id}:P1:{audit}")


def test_rerun_of_our_checks_is_answered(story: Story) -> None:
    """GitHub shows the suite as queued until the App updates the check, also where that has nothing new to say."""
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.rerun_check("autopack")
    story.wait_handled()
    story.hub.runner.release()
    head = story.expect_success()
    story.expect_audit("P1")
    for name in ("autopack", "autopack/promotion"):
        story.rerun_check(name)
    story.wait_until(lambda: story.suite_states(head) == {"completed"}, "the suites are completed again")
    story.expect_check("autopack", "success", head)
    story.expect_check("autopack/promotion", "success", head)
    assert len(story.checks(head)) == len(set(story.checks(head)))
