"""Externally built runs on a repository when things come in another order than planned."""

from collections.abc import Iterator

import pytest

from tests.support.external import Client, change, deleted_file, expect_offered, new_file
from tests.support.story import Story

HIGH_RISK = {"task_category": "security_auth_change", "complexity": "high"}


@pytest.fixture
def client(story: Story) -> Iterator[Client]:
    made = Client(story)
    yield made
    made.close()


def test_newest_attempt_during_ci_lands(client: Client, story: Story) -> None:
    client.start({})
    story.hub.runner.hold()
    client.build("P1", new_file("greeting.txt", "one\n"))
    assert client.build("P1", change("greeting.txt", "one\n", "two\n"), builder_attempts=2)["phase_state"] == "GATE"
    client.audit("P1")
    story.hub.runner.release()
    client.wait_end("DONE_SUCCESS")
    assert story.file("greeting.txt") == "two"
    assert len(story.commits()) == 2
    expect_offered(story, "P1")


def test_old_red_ci_spares_next_attempt(client: Client, story: Story) -> None:
    client.start({})
    story.hub.runner.hold()
    client.build("P1", new_file("broken", "x\n"))
    mended = deleted_file("broken", "x") + new_file("greeting.txt", "hi\n")
    assert client.build("P1", mended, builder_attempts=2)["phase_state"] == "GATE"
    story.hub.runner.release()
    client.wait_for("P1", awaiting="audit")
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")


def test_phase_reset_during_ci_awaits_attempt(client: Client, story: Story) -> None:
    client.start({})
    story.hub.runner.hold()
    client.build("P1", new_file("broken", "x\n"))
    client.step("P1", "RETRY")
    story.hub.runner.release()
    story.wait_until(lambda: client.run()["major_issues_count"] == 1, "the red CI is recorded")
    assert (client.phase("P1")["state"], client.phase("P1")["awaiting"]) == ("RETRY", "")
    mended = deleted_file("broken", "x") + new_file("greeting.txt", "hi\n")
    client.build("P1", mended, builder_attempts=2)
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")


def test_last_phase_that_is_skipped_ends_the_run(client: Client, story: Story) -> None:
    client.start({}, {})
    client.build("P1", new_file("greeting.txt", "hello\n"))
    client.audit("P1")
    client.wait_for("P1", state="COMPLETE")
    client.step("P2", "EXECUTING")
    client.step("P2", "SKIPPED")
    client.wait_end("DONE_SUCCESS")
    assert client.run()["promotion_blockers"] == ["skipped: P2"]
    story.wait_idle()
    story.expect_ref(f"refs/autopack/{client.run_id}/P1")
    story.expect_comment("Autopack: Done", on=story.pull_number())
    story.expect_draft("success")


def test_run_ended_by_audit_skips_ci(client: Client, story: Story) -> None:
    client.start({}, issue_number=story.number)
    story.hub.runner.hold()
    client.build("P1", new_file("greeting.txt", "one\n"))
    client.audit("P1", "escalate")
    assert client.run()["state"] == "DONE_FAILED_REQUIRES_HUMAN_REVIEW"
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "audit 1 escalates")
    story.expect_draft()
    story.expect_review("The Auditor asks for a person's judgment")


def test_conflicting_base_needs_a_person(client: Client, story: Story) -> None:
    client.start({})
    client.build("P1", change("README.md", "# Garden\n", "# Garden of all\n"))
    client.wait_for("P1", awaiting="audit")
    story.push("main", {"README.md": "# Garden of some\n"})
    client.audit("P1")
    client.wait_end("DONE_FAILED_REQUIRES_HUMAN_REVIEW")
    assert "update autonomous/" in client.run()["failure_reason"]
    story.wait_idle()
    story.expect_ref(f"refs/autopack/{client.run_id}/P1")
    story.expect_draft()


def test_unfit_suggested_patch_is_refused(client: Client, story: Story) -> None:
    client.start(HIGH_RISK)
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    unfit = [{"description": "Seal it", "patch_content": change("lock.txt", "open\n", "sealed\n")}]
    refused = client.audit("P1", status=422, suggested_patches=unfit)
    assert "lock.txt: hunk 1" in refused["detail"]
    assert (client.phase("P1")["state"], client.phase("P1")["awaiting"]) == ("GATE", "audit")
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    assert len(story.commits()) == 1
    expect_offered(story, "P1")


def test_result_and_suggestion_share_ci_run(client: Client, story: Story) -> None:
    client.start({"task_category": "bulk_multi_file_operation", "complexity": "high"})
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    fix = [{"description": "Seal it", "patch_content": change("lock.txt", "closed\n", "sealed\n")}]
    audited = client.audit("P1", suggested_patches=fix)
    assert (audited["patches_applied"], len(audited["commit_shas"])) == (1, 1)
    client.wait_end("DONE_SUCCESS")
    assert story.file("lock.txt") == "sealed"
    assert client.run()["ci_runs_used"] == 1
    expect_offered(story, "P1")


def test_early_audit_request_can_be_repeated(client: Client, story: Story) -> None:
    story.plays(phases={"P1": []})
    client.start(HIGH_RISK)
    assert "post its result" in client.ask_for_audit("P1")["message"], "there is nothing to review yet"
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    assert "own Auditor is at work" in client.ask_for_audit("P1")["message"]
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")


def test_budget_stop_of_auditor_ends_run(client: Client, story: Story) -> None:
    story.plays(phases={"P1": []})
    client.start(HIGH_RISK, issue_number=story.number, token_cap=1_000)
    story.wait_for_status("Awaited: a builder's result for P1")
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    client.ask_for_audit("P1")
    story.expect_failure("DONE_FAILED_BUDGET_EXHAUSTED", "the next auditor request")
    assert story.requests() == []
    story.expect_nothing_pushed()
