"""The rules of the REST API, one by one, and what the earlier server got wrong.

What the earlier server got wrong, and where it is proven:

- `auditor_request` without a body refused: `test_audit_request_needs_no_body` (`test_audits.py`)
- `record_issue` with the documented JSON body refused: `test_an_issue_is_recorded_with_the_documented_body`
- `budget_analysis` 500 as soon as a run existed: `test_budget_analysis_answers_when_there_are_runs`
- patches that do not apply 500: `test_unreadable_patch_costs_no_attempt`
- run and tier states never moved: `test_phase_moves_tier_and_run` (`test_steps.py`)
- run-level tokens stayed 0: `test_tokens_are_sums_whichever_way_they_came_in`
- a repeated submission 500: `test_repeated_result_counts_once`
- high-risk phases completed without an audit:
  `test_high_risk_phase_needs_an_approving_audit` (`test_audits.py`)
- ids in the body that differ from the URL ignored: `test_body_ids_must_match_address`
- any state could follow any other: `test_undefined_step_is_a_conflict` (`test_steps.py`)
- caps stored and never enforced, hostile ids, numbers and plans, half-made runs: `test_limits.py`
- the same key counted once per phase: `test_key_of_several_phases_counts_once`
- two sightings in one run aged an issue: `test_two_sightings_in_run_age_once`
- unknown runs 200 on the issue index: `test_an_unknown_run_is_a_404_everywhere`
- workflow files patched: `test_protected_path_ends_as_policy_violation`
- one shared work tree, parallel reports lost, parallel creation 500: `test_parallel.py`

The rules:

- a repeat answers as the first did and counts once: `test_a_repeated_result_…`, `test_a_repeated_audit_…`, also many
  at once (`test_parallel.py`)
- audits are welcome after the end: `test_late_rejection_withdraws_promotion` and its neighbors
- `builder_result` answers with the state after the gate: `test_a_good_result_…`, `test_a_failed_builder_…`,
  `test_a_failed_probe_…`, `test_result_for_review_waits_for_audit`
- moves only by SPEC's machines: `test_steps.py`, and any sequence of requests: `test_machine.py`
- counters are sums and distinct keys: `test_tokens_are_sums_…`, `test_the_same_key_…`, `test_machine.py`
- a start is all or nothing, ids are plain: `test_limits.py`
- `examples/test_run.json` is what the quick start posts: `test_references.py`
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.support import PATCH, WORKFLOW_PATCH, Api, done, new_id, said
from tests.support.service import Service

OF_A_RUN = (
    *("/runs/{}", "/runs/{}/issues/index", "/runs/{}/integration_status"),
    *("/metrics/tiers/{}", "/reports/run_summary/{}"),
)


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    client = Api(service.url)
    yield client
    client.http.close()


# Results


def test_good_result_completes_phase_tier_run(api: Api) -> None:
    run = api.begin(["docs", "tests"])
    receipt = done(run.result(tokens_used=10), "COMPLETE")
    assert receipt["commit_sha"] is None
    assert run.states() == ("SNAPSHOT_CREATED", ["RUNNING"], ["COMPLETE", "QUEUED"])
    done(run.result("P2"), "COMPLETE")
    assert run.states() == ("DONE_SUCCESS", ["COMPLETE"], ["COMPLETE", "COMPLETE"])
    assert run.read()["completed_at"]


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("diff --git...", "patch"),
        (PATCH.replace("@@ -0,0 +1 @@", "@@ -0,0 +1,7 @@"), "line 7: the hunk ends early"),
        (PATCH.replace("@@ -0,0 +1 @@", "@@ broken @@"), "hunk"),
        ("", "holds no file"),
        ("nothing of the kind", "holds no file"),
    ],
    ids=["truncated", "hunk-ends-early", "no-hunk", "empty", "prose"],
)
def test_unreadable_patch_costs_no_attempt(api: Api, patch: str, says: str) -> None:
    run = api.begin()
    assert says in said(run.result(patch_content=patch, tokens_used=70), 422)
    index = api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"]
    assert [entry["category"] for entry in index.values()] == ["patch"]
    assert (run.phase()["state"], run.phase()["builder_attempts"]) == ("QUEUED", 0)
    done(run.result(), "COMPLETE")
    assert run.read()["minor_issues_count"] == 0


def test_repeated_result_counts_once(api: Api) -> None:
    run = api.begin(["docs"], ["docs"])
    issue = {"issue_key": new_id("docs__a"), "severity": "minor", "category": "docs"}
    first = run.result(tokens_used=40, suggested_issues=[issue])
    again = [run.result(tokens_used=40, suggested_issues=[issue]), run.result(status="failed", tokens_used=99)]
    assert [(one.status_code, one.json()) for one in again] == [(200, first.json())] * 2
    assert (run.read()["tokens_used"], run.read()["minor_issues_count"]) == (40, 1)
    assert run.phase()["builder_attempts"] == 1
    entry = api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"][issue["issue_key"]]
    assert entry["occurrence_count"] == 1
    done(run.result("P2"), "COMPLETE")
    assert run.result(tokens_used=40).json() == first.json(), "also after the run's end"


def test_late_result_of_new_attempt_conflicts(api: Api) -> None:
    run = api.begin(["docs", "docs"])
    done(run.result(), "COMPLETE")
    assert "has ended" in said(run.result(builder_attempts=2), 409)
    done(run.result("P2"), "COMPLETE")
    assert "has ended" in said(run.result("P2", builder_attempts=2), 409)


def test_failed_builder_fails_at_last_try(api: Api) -> None:
    run = api.begin(["docs", "docs"])
    assert "no idea" in done(run.result(status="failed", notes="no idea"), "RETRY")["message"]
    assert run.states()[0] == "PHASE_QUEUEING"
    done(run.result(status="failed", builder_attempts=2), "FAILED")
    assert run.states() == ("DONE_FAILED_REQUIRES_HUMAN_REVIEW", ["BLOCKED"], ["FAILED", "SKIPPED"])
    assert "P1" in run.read()["failure_reason"]


def test_failed_probe_is_issue_until_passed(api: Api) -> None:
    run = api.begin(["tests"])
    probe = {"probe_type": "pytest", "exit_code": 1, "stdout": "1 failed", "stderr": "", "duration_seconds": 0.5}
    done(run.result(probe_results=[probe]), "RETRY")
    assert "probe__pytest__failed" in api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"]
    assert run.read()["major_issues_count"] == 1
    done(run.result(probe_results=[probe | {"exit_code": 0}], builder_attempts=2), "COMPLETE")
    assert run.read()["major_issues_count"] == 0
    assert run.states()[0] == "DONE_SUCCESS"


def test_result_for_review_waits_for_audit(api: Api) -> None:
    run = api.begin()
    done(run.result(status="needs_review"), "GATE")
    done(run.audit(), "COMPLETE")


@pytest.mark.parametrize(
    "path", [".github/workflows/ci.yml", ".github/CODEOWNERS", ".gitmodules", "../x", ".git/config"]
)
def test_protected_path_ends_as_policy_violation(api: Api, path: str) -> None:
    run = api.begin()
    patch = WORKFLOW_PATCH.replace(".github/workflows/ci.yml", path)
    assert path in done(run.result(patch_content=patch), "RETRY")["message"]
    done(run.result(patch_content=patch, builder_attempts=2), "FAILED")
    assert run.states()[0] == "DONE_FAILED_POLICY_VIOLATION"


# Counts


def test_tokens_are_sums_whichever_way_they_came_in(api: Api) -> None:
    run = api.begin(["security_auth_change"], ["docs"])
    done(run.result(tokens_used=1000), "GATE")
    done(run.audit("revise", tokens_used=200), "EXECUTING")
    assert done(run.status("RETRY", tokens_used=30))["phase"]["tokens_used"] == 1230
    assert done(run.status("EXECUTING", tokens_used=34))["phase"]["tokens_used"] == 1234
    done(run.result("P2", tokens_used=5), "COMPLETE")
    read = run.read()
    assert read["tokens_used"] == 1239
    assert [tier["tokens_used"] for tier in read["tiers"]] == [1234, 5]
    tiers = api.read(f"/metrics/tiers/{run.run_id}")["tiers"]
    assert [tier["tokens_used"] for tier in tiers] == [1234, 5]
    assert api.read(f"/reports/run_summary/{run.run_id}")["budgets"]["tokens_used"] == 1239


def test_an_issue_is_recorded_with_the_documented_body(api: Api) -> None:
    run, key = api.begin(["feature_scaffolding"]), new_id("test_failure__auth")
    body = {
        "issue_key": key,
        "severity": "minor",
        "source": "test",
        "category": "test_failure",
        "task_category": "feature_scaffolding",
        "complexity": "medium",
        "evidence_refs": ["tests/test_auth.py::test_jwt_validation"],
    }
    receipt = done(run.post("P1", "record_issue", body))
    (issue,) = receipt["phase_file"]["issues"]
    assert {name: issue[name] for name in body} == body
    assert (issue["occurrence_count"], issue["first_seen_run"], issue["last_seen_run"]) == (1, run.run_id, run.run_id)
    assert receipt["phase_file"]["issue_state"] == "has_minor_issues"
    assert receipt["run_index_entry"]["seen_in_phases"] == ["P1"]
    assert receipt["project_backlog_entry"]["age_in_runs"] == 1


def test_key_of_several_phases_counts_once(api: Api) -> None:
    run, key = api.begin(["docs", "docs"], ["docs"]), new_id("docs__same")
    for phase_id in ("P1", "P2", "P3", "P1"):
        done(run.issue(key, phase_id))
    read = run.read()
    assert read["minor_issues_count"] == 1
    assert [tier["minor_issues_count"] for tier in read["tiers"]] == [1, 1]
    entry = api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"][key]
    assert (entry["occurrence_count"], entry["seen_in_phases"]) == (4, ["P1", "P2", "P3"])
    assert (entry["first_phase_index"], entry["last_phase_index"]) == (0, 2)
    assert api.read(f"/reports/run_summary/{run.run_id}")["issues"]["distinct_issues"] == 1


def test_two_sightings_in_run_age_once(api: Api) -> None:
    key = new_id("docs__aging")
    for runs in (1, 2):
        run = api.begin()
        for _ in range(2):
            entry = done(run.issue(key))["project_backlog_entry"]
            assert (entry["age_in_runs"], entry["status"]) == (runs, "open")
        done(run.result(), "COMPLETE")


def test_severity_only_rises(api: Api) -> None:
    run, key = api.begin(), new_id("docs__grave")
    for severity, counts in (("minor", (1, 0)), ("major", (0, 1)), ("minor", (0, 1))):
        done(run.issue(key, severity=severity))
        assert (run.read()["minor_issues_count"], run.read()["major_issues_count"]) == counts
    run.reach("COMPLETE")
    assert run.states()[1] == ["NOT_CLEAN"]
    assert run.read()["promotion_eligible_to_main"] is False


@pytest.mark.parametrize(("category", "severity"), [("docs", "minor"), ("security_auth_change", "major")])
def test_category_gives_the_default_severity(api: Api, category: str, severity: str) -> None:
    run, key = api.begin([category]), new_id("docs__a")
    reported = run.issue(f"{key}_reported", severity=None)
    run.result(suggested_issues=[{"issue_key": f"{key}_suggested", "category": "docs"}])
    run.audit("revise", issues_found=[{"issue_key": f"{key}_found", "category": "docs"}])
    (issue,) = done(reported)["phase_file"]["issues"]
    assert issue["severity"] == severity
    issues = api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"]
    assert {name: issue["severity"] for name, issue in issues.items()} == {
        f"{key}_{place}": severity for place in ("reported", "suggested", "found")
    }


def test_an_issue_is_recorded_after_the_end_too(api: Api) -> None:
    run = api.begin()
    done(run.result(), "COMPLETE")
    done(run.issue(new_id("docs__after"), severity="major"))
    assert (run.read()["major_issues_count"], run.read()["promotion_eligible_to_main"]) == (1, False)


# Addresses


def test_body_ids_must_match_address(api: Api) -> None:
    run, other = api.begin(["docs", "docs"]), api.begin()
    right = {"run_id": run.run_id, "phase_id": "P1"}
    audit = {"review_notes": "", "recommendation": "approve"}
    for wrong in ({"run_id": other.run_id}, {"phase_id": "P2"}, {"run_id": "nobody"}):
        for what, body in (
            ("builder_result", {"status": "success"}),
            ("auditor_result", audit),
            ("auditor_request", {}),
        ):
            assert "let them agree" in said(run.post("P1", what, {**body, **right, **wrong}), 422)
    said(run.post("P1", "auditor_request", {"tier_id": "T9"}), 422)
    assert run.states() == ("RUN_CREATED", ["PENDING"], ["QUEUED", "QUEUED"])


def test_an_unknown_run_is_a_404_everywhere(api: Api) -> None:
    stranger = new_id("nobody")
    for path in OF_A_RUN:
        assert stranger in said(api.http.get(path.format(stranger)), 404)
    for answer in _every_post(api, stranger, "P1"):
        said(answer, 404)


def test_unknown_phase_gets_404_with_names(api: Api) -> None:
    run = api.begin(["docs", "docs"])
    for answer in _every_post(api, run.run_id, "P9"):
        assert "P1, P2" in said(answer, 404)


def _every_post(api: Api, run_id: str, phase_id: str) -> list[Any]:
    named = {"run_id": run_id, "phase_id": phase_id}
    issue = {"issue_key": "a__b__c", "severity": "minor", "source": "test", "category": "x"}
    bodies = {
        "update_status": {"state": "EXECUTING"},
        "record_issue": issue,
        "builder_result": {**named, "status": "success"},
        "auditor_request": None,
        "auditor_result": {**named, "review_notes": "", "recommendation": "approve"},
    }
    address = f"/runs/{run_id}/phases/{phase_id}"
    return [api.http.post(f"{address}/{what}", json=body) for what, body in bodies.items()]


# Reports and lists


def test_budget_analysis_answers_when_there_are_runs(api: Api) -> None:
    run = api.begin(token_cap=50)
    run.result(tokens_used=60)
    analysis = api.read("/reports/budget_analysis")
    assert run.run_id in [failure["run_id"] for failure in analysis["failures"]]


def test_unchanged_run_gets_304(api: Api) -> None:
    run = api.begin(["docs", "docs"])
    address = f"/runs/{run.run_id}"
    tag = api.http.get(address).headers["etag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}'):
        same = api.http.get(address, headers={"If-None-Match": sent})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    done(run.result(), "COMPLETE")
    changed = api.http.get(address, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)


def test_lists_come_in_pages(api: Api) -> None:
    made = [api.begin().run_id for _ in range(3)]
    total = api.read("/metrics/runs")["total_runs"]
    first = api.http.get("/metrics/runs?limit=2")
    assert [run["run_id"] for run in first.json()["runs"]] == [made[2], made[1]]
    following = api.http.get(first.links["next"]["url"])
    assert following.json()["runs"][0]["run_id"] == made[0]
    assert following.json()["total_runs"] == total
    assert api.read(f"/metrics/runs?offset={total}")["runs"] == []
    for query in ("limit=0", "limit=501", "offset=-1", "status=DONE", "limit=x"):
        said(api.http.get(f"/metrics/runs?{query}"), 422)


def test_the_backlog_comes_in_pages_and_by_status(api: Api) -> None:
    run = api.begin()
    keys = sorted(new_id("docs__page") for _ in range(3))
    for key in keys:
        done(run.issue(key))
    whole = api.read("/project/issues/backlog")
    at = list(whole["issues_by_key"]).index(keys[0])
    page = api.read(f"/project/issues/backlog?limit=2&offset={at}")
    assert (list(page["issues_by_key"]), page["total"]) == (list(whole["issues_by_key"])[at : at + 2], whole["total"])
    assert keys[0] not in api.read("/project/issues/backlog?status=resolved")["issues_by_key"]
    assert api.read("/project/issues/backlog?project_id=nobody/nothing")["total"] == 0
