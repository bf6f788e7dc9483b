"""Runs started over the REST API on a repository: any other agent builds, and its work takes the governed path."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.external import Client, change, deleted_file, expect_offered, new_file
from tests.support.story import Story
from tests.support.world import World


@pytest.fixture
def client(story: Story) -> Iterator[Client]:
    made = Client(story)
    yield made
    made.close()


def test_posted_work_becomes_a_pull_request(client: Client, story: Story) -> None:
    client.start({}, {})
    built = client.build("P1", new_file("greeting.txt", "hello\n"), notes="Greets people", tokens_used=700)
    assert (built["phase_state"], len(built["commit_sha"])) == ("GATE", 40)
    client.wait_for("P1", awaiting="audit")
    client.audit("P1")
    client.wait_for("P1", state="COMPLETE", snapshot=True)
    client.build("P2", change("greeting.txt", "hello\n", "hello all\n"))
    client.audit("P2")
    client.wait_end("DONE_SUCCESS")
    status = client.integration()
    assert (status["exists"], status["commit_count"], status["behind_main"]) == (True, 2, 0)
    assert status["snapshots"] == [f"refs/autopack/{client.run_id}/{phase_id}" for phase_id in ("P1", "P2")]
    assert not status["conflicts"]
    assert story.file("greeting.txt") == "hello all"
    assert client.run()["promotion_eligible_to_main"]
    expect_offered(story, "P1", "P2")


def test_unfit_patch_costs_no_attempt(client: Client, story: Story) -> None:
    client.start({})
    refused = client.build("P1", change("README.md", "# Another\n", "# Garden of all\n"), status=422)
    assert "README.md: hunk 1 (@@ -1,1 +1,1 @@) does not match" in refused["detail"]
    assert client.run()["minor_issues_count"] == 1
    assert client.phase("P1")["builder_attempts"] == 0
    assert client.build("P1", change("README.md", "# Garden\n", "# Garden of all\n"))["commit_sha"]
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")


def test_red_ci_sends_the_work_back(client: Client, story: Story) -> None:
    client.start({})
    client.build("P1", new_file("broken", "x\n"))
    client.wait_for("P1", state="RETRY")
    assert client.run()["major_issues_count"] == 1
    failed = client.phase("P1")["failed_jobs"]
    assert "test ! -f broken" in failed["log"]
    assert failed["url"].startswith(f"{story.world.hub.url}/{story.full_name}/actions/runs/")
    checks = {one["url"]: one["conclusion"] for one in client.integration()["checks"]}
    assert "failure" in {checks.get(url) for url in checks if failed["url"].startswith(url)}
    client.build("P1", deleted_file("broken", "x") + new_file("greeting.txt", "hi\n"), builder_attempts=2)
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    assert client.run()["major_issues_count"] == 0
    expect_offered(story, "P1")


def test_high_risk_work_is_audited_first(client: Client, story: Story) -> None:
    client.start({"task_category": "security_auth_change", "complexity": "high"})
    built = client.build("P1", new_file("lock.txt", "closed\n"))
    assert (built["phase_state"], built["commit_sha"]) == ("GATE", None)
    client.wait_for("P1", awaiting="audit")
    assert not client.integration()["exists"]
    fix = change("lock.txt", "closed\n", "closed and sealed\n")
    client.audit("P1", suggested_patches=[{"description": "Seal it", "patch_content": fix}])
    client.wait_end("DONE_SUCCESS")
    assert story.file("lock.txt") == "closed and sealed"
    assert client.integration()["commit_count"] == 1, "what is built and what is suggested are one commit"
    expect_offered(story, "P1")


def test_own_auditor_reviews_posted_work_when_asked(client: Client, story: Story) -> None:
    story.plays(phases={"P1": []})
    client.start({"task_category": "security_auth_change", "complexity": "high"})
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    assert "own Auditor is at work" in client.ask_for_audit("P1")["message"]
    client.wait_end("DONE_SUCCESS")
    assert client.phase("P1")["auditor_attempts"] == 1
    assert [one.role for one in story.requests()] == ["auditor"]
    expect_offered(story, "P1")


def test_own_auditor_approves_no_patch_over_its_window(client: Client, story: Story) -> None:
    story.plays(phases={"P1": []})
    client.start({})
    large = f"{'x' * 250_000}\n"
    assert client.build("P1", new_file("large.txt", large))["commit_sha"]
    client.ask_for_audit("P1")
    client.wait_for("P1", state="EXECUTING")
    client.build("P1", new_file("greeting.txt", "hello\n"), builder_attempts=2)
    client.ask_for_audit("P1")
    client.wait_end("DONE_FAILED_REQUIRES_HUMAN_REVIEW")
    assert client.phase("P1")["auditor_attempts"] == 2, "a small patch on top does not get the large one approved"
    story.wait_idle()
    assert "the Auditor reads at most 1,200,000" in client.run()["failure_reason"]
    for number in (1, 2):
        story.expect_review("audited by", f"audit:{client.run_id}:P1:{number}")
    assert story.requests() == []
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_draft()


def test_protected_paths_of_the_repository_are_refused(client: Client, story: Story) -> None:
    client.start({})
    built = client.build("P1", new_file(".github/workflows/evil.yml", "on: push\n"))
    assert built["phase_state"] == "RETRY"
    assert "protected" in built["message"]
    built = client.build("P1", new_file(".github/workflows/evil.yml", "on: push\n"), builder_attempts=2)
    assert built["phase_state"] == "FAILED"
    client.wait_end("DONE_FAILED_POLICY_VIOLATION")
    story.expect_nothing_pushed()


def test_posted_audits_are_reviews_of_the_pull_request(client: Client, story: Story) -> None:
    client.start({})
    client.build("P1", new_file("greeting.txt", "hello\nthere\n"))
    first = {"issue_key": "wording__greeting__cold", "severity": "major", "category": "wording"}
    second = {"issue_key": "style__file__short", "severity": "minor", "category": "style", "description": "Short"}
    cold = {**first, "description": "This is cold", "path": "greeting.txt", "line": 1, "replacement": "hello dear"}
    placed = {**second, "evidence_refs": ["tests/a.py::test_b", "greeting.txt:1-2"]}
    client.audit("P1", "revise", review_notes="Be warmer", issues_found=[cold, placed])
    client.wait_for("P1", state="EXECUTING")
    story.world.wait_until(lambda: len(story.line_comments()) == 2, "the review is posted")
    story.expect_review("The Auditor asks for changes", "Be warmer", "audited by an external agent")
    story.expect_review_comment("greeting.txt", 1, "This is cold", "```suggestion\nhello dear\n```")
    lines = story.expect_review_comment("greeting.txt", 2, "Short")
    assert lines["start_line"] == 1
    found = {one["issue_key"]: one for one in client.phase("P1")["open_findings"]}
    assert (found[first["issue_key"]]["problem"], found[first["issue_key"]]["line"]) == ("This is cold", 1)
    client.build("P1", change("greeting.txt", "hello\nthere\n", "hello dear\nthere\n"), builder_attempts=2)
    client.audit("P1", auditor_attempts=2)
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")
    story.expect_review_comment("greeting.txt", 1, "This is cold", "Approved in audit 2")
    assert client.phase("P1")["open_findings"] == []
    late = {**first, "description": "Still cold", "path": "greeting.txt", "line": 2}
    client.audit("P1", "revise", auditor_attempts=3, review_notes="Again", issues_found=[late])
    story.wait_idle()
    story.expect_review("Again", "greeting.txt:2", "Still cold")
    story.expect_resolved_threads(2)
    story.expect_check("autopack/promotion", "failure")


def test_comments_are_there_for_the_external_builder(client: Client, story: Story) -> None:
    client.start({}, issue_number=story.number)
    said = story.comment("Say it in French too, please.")
    story.wait_until(lambda: story.reactions(said) == ["eyes"], "it is acknowledged")
    assert [(one["kind"], one["text"]) for one in client.run()["requests"]] == [
        ("comment", "Say it in French too, please.")
    ]
    client.build("P1", new_file("greeting.txt", "bonjour\n"))
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")
    assert "was for the external builder to read" in story.status()


def test_late_audit_takes_promotion_away(client: Client, story: Story) -> None:
    client.start({}, issue_number=story.number)
    client.build("P1", new_file("greeting.txt", "hello\n"))
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")
    assert story.state() == "DONE_SUCCESS", "the run reports on its issue"
    late = client.audit("P1", "revise", auditor_attempts=2)
    assert late["phase_state"] == "COMPLETE"
    assert not client.run()["promotion_eligible_to_main"]
    story.wait_idle()
    check = story.expect_check("autopack/promotion", "failure")
    assert "a late audit of P1 says: revise" in check["output"]["summary"]
    story.expect_review("The Auditor asks for changes", "Read.", "audited by an external agent")


def test_waiting_run_survives_a_crash(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(lone_world)
    client = Client(story)
    client.start({"task_category": "security_auth_change", "complexity": "high"})
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    lone_world.service.kill()
    lone_world.service.start()
    client.close()
    client = Client(story)
    assert client.build("P1", new_file("lock.txt", "closed\n"))["phase_state"] == "GATE", "answered as the first time"
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")
    assert len(story.commits()) == 1
    client.close()
