"""The repository's own CI has the last word on every commit."""

from tests.support.answers import approves, delete, edits, finding, finds, phase, plan, write
from tests.support.story import Story

BROKEN = write("broken", "")
GREETING = write("greeting.txt", "hello\n")
LOUD_CI = """\
name: CI
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          seq 1 4000 | sed 's/^/a line of noise /'
          if test -f broken; then echo "FAILED test_greeting: expected hello"; exit 3; fi
"""


def test_builder_gets_the_red_log(story: Story) -> None:
    story.files[".github/workflows/ci.yml"] = LOUD_CI
    story.plays(plan(phase()), {"P1": [edits(BROKEN, GREETING), edits(delete("broken"))]})
    story.label()
    head = story.expect_success()
    first, second = story.commits()
    assert second == head
    assert story.parents(second) == [first]
    story.expect_check("autopack", "neutral", first)
    assert "Autopack-Attempt: 1" in story.message(first)
    assert "Autopack-Attempt: 2" in story.message(second)
    told = story.requests("builder")[-1].body.decode()
    assert "FAILED test_greeting: expected hello" in told
    assert "exit code 3" in told
    assert "a line of noise 7 " not in told, "the log is trimmed to the failure"
    assert len(told) < 40_000
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")
    assert "test: failure" in story.status(), "the red check is in the ledger of findings"
    assert "green in " + head[:7] in story.status()


def test_ci_that_stays_red_ends_the_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(BROKEN), edits(GREETING)]})
    story.label()
    incident = story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "P1", "CI is red")
    assert "The end of the failing log" in incident
    first, _ = story.commits()
    story.expect_check("autopack", "neutral", first)
    story.expect_draft()
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")
    assert len(story.requests("builder")) == 4, "two tries, each of two requests"


def test_ci_that_never_comes_meets_its_deadline(story: Story) -> None:
    story.settings["ci"] = {"grace_seconds": 0.1, "deadline_minutes": 0.02}
    story.hub.runner.hold()
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "did not judge", "still awaited at the deadline", "/autopack run")
    story.expect_draft()
    story.expect_audit("P1")


def test_repository_without_ci_is_built_but_not_promoted(story: Story) -> None:
    story.files.pop(".github/workflows/ci.yml")
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    assert "No CI judged the commits" in story.status()
    story.expect_check("autopack", "success")
    promotion = story.expect_check("autopack/promotion", "failure")
    assert "no CI judged the commits" in promotion["output"]["summary"]
    assert story.pull()["draft"] is True
    story.expect_comment("not eligible", f"summary:{story.run_id}", on=story.pull_number())
    story.expect_audit("P1")
    story.expect_ref(f"refs/heads/{story.branch}", story.head())


def test_repository_without_ci_may_allow_promotion(story: Story) -> None:
    story.files.pop(".github/workflows/ci.yml")
    story.settings["ci"] |= {"when_absent": "allow"}
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_success(phases=())
    story.expect_audit("P1")


def test_repository_without_ci_may_refuse_to_go_on(story: Story) -> None:
    story.files.pop(".github/workflows/ci.yml")
    story.settings["ci"] |= {"when_absent": "fail"}
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "no CI to judge")
    story.expect_draft()
    story.expect_audit("P1")


def test_empty_suite_is_not_awaited(story: Story) -> None:
    story.begin()
    story.hub.ghost_suite(story.full_name, "silent-app")
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")


def test_required_check_that_nobody_reports_is_awaited(story: Story) -> None:
    story.settings["ci"] = {"grace_seconds": 0.1, "deadline_minutes": 0.03}
    story.begin()
    story.hub.require_checks(story.full_name, "main", ["scan"], ruleset=True)
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "scan")
    story.expect_draft()
    story.expect_audit("P1")


def test_red_ci_and_a_finding_go_back_together(story: Story) -> None:
    wrong = finding("greeting.txt", 1, "It should say hello.")
    story.plays(
        plan(phase()),
        {
            "P1": [
                edits(BROKEN, write("greeting.txt", "help\n")),
                finds(wrong),
                edits(delete("broken"), GREETING),
                approves(fixed=[wrong]),
            ]
        },
    )
    story.label()
    story.expect_success()
    told = story.requests("builder")[-1].body.decode()
    assert "CI is red" in told
    assert "It should say hello." in told
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_audit("The Auditor asks for changes")
    story.expect_audit("Nothing blocks it.")
    comment = story.expect_review_comment("greeting.txt", 1, "It should say hello.")
    story.expect_resolved_threads(1)
    story.expect_fixed(comment, "Fixed in " + story.head()[:7])
