"""A Builder that repeats itself gets the Auditor's minimal patch before its last try."""

from app.replay import RecordedRequest
from tests.support.answers import approves, delete, edits, finding, finds, phase, plan, write
from tests.support.story import Story

GREETING = write("greeting.txt", "hello\n")
CAUSE = finding("broken", 1, "CI stops where this file is there.", replacement="none of this")
ADVICE = "Take the file broken away."


def test_second_same_failure_gets_minimal_patch(story: Story) -> None:
    story.settings["tier"] = {"ci_runs_per_phase": 3}
    answers = [
        edits(write("broken", "yes\n")),
        approves("First look."),
        edits(write("broken", "still\n")),
        approves("Second look."),
        finds(CAUSE, summary=ADVICE),
        edits(delete("broken"), GREETING),
        approves("Third look.", fixed=[CAUSE]),
    ]
    story.plays(plan(phase(category="feature_scaffolding")), {"P1": answers})
    story.label()
    head = story.expect_success()
    story.expect_audit("Third look.")
    for sha in story.commits():
        story.expect_check("autopack", "success" if sha == head else "neutral", sha)
    told = {attempt: "".join(one.body.decode() for one in asked_builder(story, attempt)) for attempt in (2, 3)}
    assert ADVICE in told[3]
    assert "You came to the same failure 2 times. Do what the Auditor says" in told[3]
    assert "none of this" in told[3]
    assert ADVICE not in told[2]
    escalated = [one for one in story.requests("auditor") if one.attempt == 3]
    assert "the Builder repeats itself" in escalated[0].system


def asked_builder(story: Story, attempt: int) -> list[RecordedRequest]:
    return [one for one in story.requests("builder") if one.attempt == attempt]


def test_builder_that_tries_something_else_is_left_alone(story: Story) -> None:
    story.settings["tier"] = {"ci_runs_per_phase": 3}
    other = finding("greeting.txt", 1, "No one says hello like this.")
    answers = [
        edits(write("broken", "yes\n")),
        approves("First look."),
        edits(delete("broken"), write("greeting.txt", "grunt\n")),
        finds(other, summary="Second look."),
        edits(GREETING),
        approves("Third look.", fixed=[other]),
    ]
    story.plays(plan(phase(category="feature_scaffolding")), {"P1": answers})
    story.label()
    head = story.expect_success()
    assert [one.attempt for one in story.requests("auditor")] == [1, 2, 3]
    for look in ("Second look.", "Third look."):
        story.expect_audit(look)
    comment = story.expect_review_comment("greeting.txt", 1, "No one says hello")
    story.expect_fixed(comment, "Fixed in")
    story.expect_resolved_threads(1)
    for sha in story.commits():
        story.expect_check("autopack", "success" if sha == head else "neutral", sha)
