"""Figures of `.github/autopack.yml` that act in what Autopack sends to a model and in what its tools answer."""

import json

from tests.support.answers import command, edits, phase, plan, write
from tests.support.story import Story

GREETING = write("greeting.txt", "hello\n")


def test_output_tokens_cap_each_roles_replies(story: Story) -> None:
    story.settings["output_tokens"] = {"planner": 5_100, "builder": 5_200, "auditor": 5_300}
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_success()
    story.expect_review("P1")
    caps = {request.role: json.loads(request.body) for request in story.requests()}
    sent = {role: body.get("max_output_tokens", body.get("max_tokens")) for role, body in caps.items()}
    assert sent == {"planner": 5_100, "builder": 5_200, "auditor": 5_300}


def test_attempt_ends_at_its_requests(story: Story) -> None:
    story.settings["requests_per_attempt"] = 1
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "no answer within 1 request")
    assert len(story.requests("builder")) == 1
    story.expect_nothing_pushed()


def test_command_is_stopped_at_its_timeout(story: Story) -> None:
    story.settings["commands"] = {"allowed": True, "timeout_seconds": 1}
    story.plays(plan(phase()), {"P1": [edits(command("echo started; sleep 60"), GREETING)]})
    story.label()
    story.expect_success()
    story.expect_review("P1")
    assert "out of time" in story.requests("builder")[-1].body.decode()


def test_doubt_takes_its_categorys_severity(story: Story) -> None:
    story.settings["categories"] = {"docs": {"default_severity": "major"}}
    doubt = {"category": "correctness", "component": "greeting", "slug": "too short", "description": "It is short."}
    story.plays(plan(phase()), {"P1": [edits(GREETING, doubts=[doubt])]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    story.expect_review("P1")
    story.expect_draft("success")
    story.expect_ref(f"refs/autopack/{story.run_id}/P1")
    story.expect_comment("NOT\\_CLEAN", on=story.pull_number())
