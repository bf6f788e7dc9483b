"""Figures of `.github/autopack.yml` that act in what Autopack sends to a model and in what its tools answer."""

import json
from typing import Any

from tests.support.answers import command, edits, phase, plan, write
from tests.support.story import Story

GREETING = write("greeting.txt", "hello\n")


def test_output_tokens_cap_each_roles_replies(story: Story) -> None:
    story.settings["output_tokens"] = {"planner": 5_100, "builder": 5_200, "auditor": 5_300}
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    caps = {request.role: json.loads(request.body) for request in story.requests()}
    sent = {role: body.get("max_output_tokens", body.get("max_tokens")) for role, body in caps.items()}
    assert sent == {"planner": 5_100, "builder": 5_200, "auditor": 5_300}


def test_effort_is_sent_to_each_role(story: Story) -> None:
    story.settings["effort"] = {"planner": "high", "low": "low", "medium": "medium", "high": "high"}
    works = [phase(), phase("Say more", complexity="medium"), phase("Say all", complexity="high")]
    story.plays(plan(*works), {f"P{n}": [edits(write(f"{n}.txt", "x\n"))] for n in (1, 2, 3)})
    story.label()
    story.expect_success(["P1", "P2", "P3"])
    commits = story.commits()
    for number, sha in enumerate(commits, 1):
        story.expect_audit("Nothing blocks it.", f"`P{number}`")
        story.expect_ref(f"refs/autopack/{story.run_id}/P{number}", sha)
    for sha in commits[:-1]:
        story.expect_check("autopack", "neutral", sha)
    sent = {(one.role, one.phase): _effort(json.loads(one.body)) for one in story.requests()}
    assert sent[("planner", None)] == "high"
    assert [sent[("auditor", f"P{number}")] for number in (1, 2, 3)] == ["low", "medium", "high"]


def _effort(body: dict[str, Any]) -> str | None:
    """The effort that a request asks for, in its vendor's field."""
    setting: dict[str, str] = body.get("reasoning") or body.get("output_config") or {}
    return setting.get("effort")


def test_attempt_ends_at_its_requests(story: Story) -> None:
    story.settings["requests_per_attempt"] = 1
    story.plays(plan(phase()), {"P1": [edits(GREETING)] * 2})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "no answer within 1 request")
    assert [one.attempt for one in story.requests("builder")] == [1, 2]
    story.expect_nothing_pushed()


def test_command_is_stopped_at_its_timeout(story: Story) -> None:
    story.settings["commands"] = {"allowed": True, "timeout_seconds": 1}
    story.plays(plan(phase()), {"P1": [edits(command("echo started; sleep 60"), GREETING)]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert "out of time" in story.requests("builder")[-1].body.decode()


def test_doubt_takes_its_categorys_severity(story: Story) -> None:
    story.settings["categories"] = {"docs": {"default_severity": "major"}}
    doubt = {"category": "correctness", "component": "greeting", "slug": "too short", "description": "It is short."}
    story.plays(plan(phase()), {"P1": [edits(GREETING, doubts=[doubt])]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    story.expect_audit("P1")
    story.expect_draft("success")
    story.expect_ref(f"refs/autopack/{story.run_id}/P1")
    story.expect_comment("NOT\\_CLEAN", on=story.pull_number())
