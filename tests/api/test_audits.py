"""Audits over REST: requested, posted, repeated, late; and what never completes without one."""

from collections.abc import Iterator

import pytest

from tests.api.support import HIGH_RISK, PATCH, WORKFLOW_PATCH, Api, done, new_id, said
from tests.support.service import Service


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    client = Api(service.url)
    yield client
    client.http.close()


def test_audit_request_needs_no_body(api: Api) -> None:
    run = api.begin(["security_auth_change"])
    done(run.result(), "GATE")
    asked = done(run.post("P1", "auditor_request"), "GATE")
    assert (asked["review_focus"], asked["auditor_profile"]) == ("general", "security_review")
    done(run.post("P1", "auditor_request", {"review_focus": "security"}), "GATE")


def test_unknown_auditor_profile_is_refused(api: Api) -> None:
    run = api.begin()
    done(run.result(), "COMPLETE")
    assert "'security_review'" in said(run.post("P1", "auditor_request", {"auditor_profile": "securty_review"}), 422)


@pytest.mark.parametrize("before", ["QUEUED", "EXECUTING", "RETRY"])
def test_requested_audit_moves_phase_to_gate(api: Api, before: str) -> None:
    run = api.begin()
    run.reach(before)
    done(run.post("P1", "auditor_request"), "GATE")
    assert run.states() == ("GATE", ["RUNNING"], ["GATE"])


@pytest.mark.parametrize("category", HIGH_RISK)
def test_high_risk_phase_needs_an_approving_audit(api: Api, category: str) -> None:
    run = api.begin([category])
    done(run.result(), "GATE")
    assert "approving auditor_result" in said(run.status("COMPLETE"), 409)
    done(run.audit("revise"), "EXECUTING")
    assert run.status("GATE").status_code == 200
    said(run.status("COMPLETE"), 409)
    done(run.audit("approve", auditor_attempts=2), "COMPLETE")
    assert run.states()[0] == "DONE_SUCCESS"


def test_approval_covers_only_its_own_result(api: Api) -> None:
    run = api.begin(["security_auth_change"])
    done(run.audit(), "EXECUTING")
    done(run.result(), "GATE")
    said(run.status("COMPLETE"), 409)
    done(run.audit(auditor_attempts=2), "COMPLETE")


def test_high_risk_phase_completes_only_at_gate(api: Api) -> None:
    run = api.begin(["security_auth_change"])
    run.reach("EXECUTING")
    done(run.audit(), "EXECUTING")
    assert run.status("GATE").status_code == 200
    said(run.status("COMPLETE"), 409)
    done(run.audit(auditor_attempts=2), "COMPLETE")
    assert run.states()[0] == "DONE_SUCCESS"


def test_too_many_rejections_fail_the_phase(api: Api) -> None:
    run = api.begin(["docs", "docs"])  # whose Auditor may send the work back once
    done(run.result(), "COMPLETE")
    done(run.result("P2", status="needs_review"), "GATE")
    done(run.audit("revise", "P2"), "EXECUTING")
    done(run.audit("revise", "P2", auditor_attempts=2), "FAILED")
    assert run.states() == ("DONE_FAILED_REQUIRES_HUMAN_REVIEW", ["BLOCKED"], ["COMPLETE", "FAILED"])


def test_an_auditor_who_escalates_fails_the_phase(api: Api) -> None:
    run = api.begin(["security_auth_change"])
    done(run.result(), "GATE")
    done(run.audit("escalate"), "FAILED")
    assert run.states()[0] == "DONE_FAILED_REQUIRES_HUMAN_REVIEW"


def test_repeated_audit_counts_once(api: Api) -> None:
    run = api.begin(["security_auth_change"])
    done(run.result(), "GATE")
    first = run.audit("revise", tokens_used=30)
    assert [run.audit("revise", tokens_used=30).json(), run.audit("escalate").json()] == [first.json()] * 2
    assert (run.phase()["tokens_used"], run.phase()["auditor_attempts"]) == (30, 1)
    assert run.phase()["state"] == "EXECUTING"


def test_suggested_patches_are_counted_unless_they_are_forbidden(api: Api) -> None:
    run = api.begin(["security_auth_change"])
    done(run.result(), "GATE")
    good = [{"description": "a fix", "patch_content": PATCH}] * 2
    bad = [{"description": "a trick", "patch_content": WORKFLOW_PATCH}]
    assert done(run.audit("revise", suggested_patches=bad))["patches_applied"] == 0
    assert "cannot be read" in said(
        run.audit(auditor_attempts=2, suggested_patches=[{"description": "x", "patch_content": "@@ -1 +1 @@"}]), 422
    )
    done(run.result(builder_attempts=2), "GATE")
    assert done(run.audit(auditor_attempts=2, suggested_patches=good), "COMPLETE")["patches_applied"] == 2


def test_late_rejection_withdraws_promotion(api: Api) -> None:
    run = api.begin()
    done(run.result(), "COMPLETE")
    assert run.read()["promotion_eligible_to_main"] is True
    key = new_id("docs__late")
    found = [{"issue_key": key, "severity": "minor", "category": "docs"}]
    assert done(run.post("P1", "auditor_request"), "COMPLETE")
    receipt = done(run.audit("escalate", issues_found=found, tokens_used=9), "COMPLETE")
    assert receipt["recommendation"] == "escalate"
    ended = run.read()
    assert (ended["state"], ended["promotion_eligible_to_main"]) == ("DONE_SUCCESS", False)
    assert ended["promotion_blockers"]
    assert (ended["minor_issues_count"], ended["tokens_used"]) == (1, 9)
    assert key in api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"]


def test_late_approval_keeps_promotion(api: Api) -> None:
    run = api.begin()
    done(run.result(), "COMPLETE")
    done(run.audit(), "COMPLETE")
    assert run.read()["promotion_eligible_to_main"] is True


def test_a_late_major_finding_takes_promotion_away(api: Api) -> None:
    run = api.begin()
    done(run.result(), "COMPLETE")
    found = [{"issue_key": new_id("docs__late"), "severity": "major", "category": "docs"}]
    done(run.audit("approve", issues_found=found), "COMPLETE")
    assert run.read()["promotion_eligible_to_main"] is False
