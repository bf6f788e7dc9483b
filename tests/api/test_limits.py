"""What a client may not send, and what it may not spend: hostile ids and numbers, half plans, caps.

Of what the earlier server got wrong:

- caps stored and never enforced: `test_tokens_over_the_cap_of_…`, `test_minutes_…`, `test_more_attempts_…`
- run ids such as `../../x`: `test_hostile_run_id_leaves_no_trace`
- duplicate phase ids accepted: `test_an_inconsistent_plan_is_refused_whole`
- negative, huge and NaN numbers: `test_a_number_that_is_none_is_refused`
- a half-made run left behind by a failed start: `test_a_start_that_failed_leaves_nothing`
- folders made for unknown runs on a GET: `test_hostile_id_in_address_does_nothing`
"""

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.support import PATCH, Api, Run, done, new_id, plan, said
from tests.support.service import Service

HOSTILE = (
    *("../../x", "..", "a/b", "/etc/passwd", "C:\\x", "", "\0", "a\0b", "a\nb", "a\n", " a", "a b"),
    *(".x", "-x", "a..b", "x.lock", "x.", "x" * 101, "é", "\u0661", "\u202ex", "\U0001f600", "~", "a^b", "a:b", "@{"),
)
NUMBERS = ("-1", "1e400", "NaN", "Infinity", "-Infinity", "true", '"5"', "1.5", "9" * 30, "9" * 5000, "[1]", "{}")
"""As they are in the JSON text."""


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    client = Api(service.url)
    yield client
    client.http.close()


class Files:
    """The files below the folder of the service and next to it."""

    def __init__(self, folder: Path, api: Api) -> None:
        self._root = folder.parent
        self._runs = folder / ".autonomous_runs"
        self._api = api

    def folders(self) -> set[str]:
        """Folders, without those of existing runs of any test: they may be written at any time."""
        found = [path for path in self._root.rglob("*") if path.is_dir()]
        own = {self._runs / one.relative_to(self._runs).parts[0] for one in found if self._runs in one.parents}
        there = {one for one in own if self._api.http.get(f"/runs/{quote(one.name, safe='')}").status_code == 200}
        return {str(one.relative_to(self._root)) for one in found if not there & {one, *one.parents}}

    def wait_for(self, run: Run) -> None:
        """Until the run has its folder: what was requested before it has had the time for one, too."""
        deadline = time.monotonic() + 30
        while not (self._runs / run.run_id).is_dir():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def files(service: Service, api: Api) -> Files:
    return Files(service.folder, api)


# Ids


def test_hostile_run_id_leaves_no_trace(api: Api, files: Files) -> None:
    files.wait_for(api.begin())
    before = files.folders()
    for hostile in HOSTILE:
        assert "run_id" in said(Run(api, hostile).start(plan([["docs"]])), 422)
    files.wait_for(api.begin())
    assert files.folders() == before


def test_a_hostile_tier_or_phase_id_is_refused(api: Api) -> None:
    run = Run(api, new_id())
    for hostile, kind in product(HOSTILE, ("tier", "phase")):
        body = plan([["docs"]])
        body[f"{kind}s"][0][f"{kind}_id"] = hostile
        assert f"{kind}_id" in said(run.start(body), 422)
    said(api.http.get(f"/runs/{run.run_id}"), 404)


def test_hostile_id_in_address_does_nothing(api: Api, files: Files) -> None:
    run = api.begin()
    files.wait_for(run)
    before = files.folders()
    for name in (quote(hostile, safe="").replace(".", "%2E") for hostile in HOSTILE):
        for path in ("/runs/{}", "/runs/{}/issues/index", "/runs/{}/integration_status", "/reports/run_summary/{}"):
            assert api.http.get(path.format(name)).status_code in {404, 405, 422}
        for address in (f"/runs/{name}/phases/P1", f"/runs/{run.run_id}/phases/{name}"):
            assert api.http.post(f"{address}/update_status", json={"state": "EXECUTING"}).status_code in {404, 405, 422}
    assert run.states() == ("RUN_CREATED", ["PENDING"], ["QUEUED"])
    files.wait_for(api.begin())
    assert files.folders() == before


def test_longest_id_and_allowed_characters_pass(api: Api) -> None:
    for run_id in (new_id("run-") + "x" * 82, new_id("_A.z-9")):
        run = api.begin(run_id=run_id[:100])
        done(run.result(), "COMPLETE")


# Plans


def test_an_inconsistent_plan_is_refused_whole(api: Api) -> None:
    run, good = Run(api, new_id()), plan([["docs", "docs"], ["docs"]])
    tiers, phases = good["tiers"], good["phases"]
    refused: list[tuple[dict[str, Any], str]] = [
        ({"tiers": tiers, "phases": [*phases, phases[0]]}, "duplicate phase id: P1"),
        ({"tiers": [*tiers, tiers[0]], "phases": phases}, "duplicate tier id: T1"),
        ({"tiers": tiers[:1], "phases": phases}, "unknown tier: T2"),
        ({"tiers": [], "phases": phases}, "tiers"),
        ({"tiers": tiers, "phases": []}, "phases"),
        ({"tiers": tiers, "phases": [phases[0] | {"task_category": "magic"}]}, "task_category"),
        ({"tiers": tiers, "phases": [phases[0] | {"complexity": "extreme"}]}, "complexity"),
        ({"tiers": tiers, "phases": [phases[0] | {"builder_mode": "yolo"}]}, "builder_mode"),
        ({"tiers": tiers, "phases": [{"phase_id": "P1"}]}, "name"),
        ({"tiers": tiers}, "phases"),
    ]
    for body, says in refused:
        assert says in said(run.start(body), 422)
        said(api.http.get(f"/runs/{run.run_id}"), 404)


def test_a_start_that_failed_leaves_nothing(api: Api) -> None:
    run = Run(api, new_id())
    said(run.start(plan([["docs"]]), token_cap=-5), 422)
    said(run.start(plan([["docs"]]), safety_profile="reckless"), 422)
    said(run.start(plan([["docs"]]), builder="autopack"), 422)
    said(run.start(plan([["docs"]]), repository="acme/widgets"), 422)
    assert run.run_id not in [one["run_id"] for one in api.read("/metrics/runs?limit=500")["runs"]]
    started = run.start(plan([["docs"]]))
    assert (started.status_code, started.headers["location"]) == (201, f"/runs/{run.run_id}")
    assert (started.json()["id"], started.json()["run_id"]) == (run.run_id, run.run_id)
    assert run.run_id in said(run.start(plan([["docs"]])), 409)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda text: text[:12])
def test_a_number_that_is_none_is_refused(api: Api, number: str) -> None:
    run = api.begin()
    named = f'"phase_id": "P1", "run_id": "{run.run_id}"'
    bodies = {
        f"/runs/{run.run_id}/phases/P1/update_status": ('"state": "EXECUTING"', ["tokens_used", "builder_attempts"]),
        f"/runs/{run.run_id}/phases/P1/builder_result": (
            f'{named}, "status": "success"',
            ["builder_attempts", "tokens_used", "lines_added"],
        ),
        f"/runs/{run.run_id}/phases/P1/auditor_result": (
            f'{named}, "review_notes": "", "recommendation": "approve"',
            ["auditor_attempts", "tokens_used"],
        ),
    }
    for address, (rest, fields) in bodies.items():
        for field in fields:
            body = f'{{{rest}, "{field}": {number}}}'
            answer = api.http.post(address, content=body, headers={"Content-Type": "application/json"})
            said(answer, 400 if len(number) > 4300 else 422)
    if number != "1.5":
        body = f'{{{named}, "status": "success", "duration_minutes": {number}}}'
        answer = api.http.post(
            f"/runs/{run.run_id}/phases/P1/builder_result", content=body, headers={"Content-Type": "application/json"}
        )
        said(answer, 400 if len(number) > 4300 else 422)
    assert run.states() == ("RUN_CREATED", ["PENDING"], ["QUEUED"])
    assert run.read()["tokens_used"] == 0


@pytest.mark.parametrize("number", [*NUMBERS, "0"], ids=lambda text: text[:12])
@pytest.mark.parametrize("field", ["token_cap", "max_phases", "max_duration_minutes"])
def test_a_cap_that_is_none_is_refused(api: Api, field: str, number: str) -> None:
    if (field, number) == ("max_duration_minutes", "1.5"):
        return
    parts = plan([["docs"]])
    text = f'{{"run": {{"run_id": "{new_id()}", "{field}": {number}}}, "tiers": @T, "phases": @P}}'
    text = text.replace("@T", str(parts["tiers"])).replace("@P", str(parts["phases"])).replace("'", '"')
    answer = api.http.post("/runs/start", content=text, headers={"Content-Type": "application/json"})
    said(answer, 400 if len(number) > 4300 else 422)


def test_unstorable_text_is_refused_or_cleaned(api: Api) -> None:
    run = api.begin()
    address, header = f"/runs/{run.run_id}/phases/P1/builder_result", {"Content-Type": "application/json"}
    body = f'{{"phase_id": "P1", "run_id": "{run.run_id}", "status": "failed", "notes": "@"}}'
    said(api.http.post(address, content=body.replace("@", "\\ud800"), headers=header), 422)
    done(api.http.post(address, content=body.replace("@", "a\\u0000b"), headers=header), "RETRY")
    assert "a\N{REPLACEMENT CHARACTER}b" in run.phase()["note"]


# Caps


def test_tokens_over_run_cap_end_it(api: Api) -> None:
    run = api.begin(["docs", "docs"], token_cap=1000)
    done(run.result(tokens_used=1000), "COMPLETE")
    done(run.result("P2", tokens_used=1), "FAILED")
    _expect_exhausted(run, f"run {run.run_id}: 1,001 of 1,000 tokens used")


def test_tokens_over_phase_cap_end_run(api: Api) -> None:
    run = api.begin(["docs", "docs"])  # of 200,000 tokens each
    assert done(run.status("EXECUTING", tokens_used=200_000))["phase"]["state"] == "EXECUTING"
    done(run.result(tokens_used=1), "FAILED")
    _expect_exhausted(run, "phase P1: 200,001 of 200,000 tokens used")


@pytest.mark.parametrize("way", ["update_status", "auditor_result", "late auditor_result"])
def test_tokens_of_every_source_count(api: Api, way: str) -> None:
    run = api.begin(["docs", "docs"], token_cap=500)
    if way == "update_status":
        assert run.status("EXECUTING", tokens_used=501).status_code == 200
    elif way == "auditor_result":
        done(run.audit(tokens_used=501))
    else:
        done(run.result(), "COMPLETE")
        done(run.audit(tokens_used=501), "COMPLETE")
    _expect_exhausted(run, f"run {run.run_id}: 501 of 500 tokens used")


def test_minutes_over_cap_end_run(api: Api) -> None:
    run = api.begin(["docs", "docs"], max_duration_minutes=10)
    done(run.result(duration_minutes=9.5), "COMPLETE")
    assert run.read()["active_minutes"] == 9.5
    done(run.result("P2", duration_minutes=1), "FAILED")
    _expect_exhausted(run, "10.5 of 10")


@pytest.mark.parametrize("way", ["builder_result", "update_status", "steps"])
def test_more_attempts_than_are_allowed_fail_the_phase(api: Api, way: str) -> None:
    run = api.begin(["docs", "docs"])  # of two tries
    if way == "builder_result":
        done(run.result(builder_attempts=3), "FAILED")
    elif way == "update_status":
        assert run.status("EXECUTING", builder_attempts=3).json()["phase"]["state"] == "FAILED"
    else:
        for _ in range(2):
            assert run.status("EXECUTING").json()["phase"]["state"] == "EXECUTING"
            assert run.status("RETRY").json()["phase"]["state"] == "RETRY"
        assert run.status("EXECUTING").json()["phase"]["state"] == "FAILED"
    assert run.states() == ("DONE_FAILED_REQUIRES_HUMAN_REVIEW", ["BLOCKED"], ["FAILED", "SKIPPED"])
    assert "3 attempts, 2 are allowed" in run.read()["failure_reason"]


def test_crossed_issue_cap_makes_tier_unclean(api: Api) -> None:
    run = api.begin()  # of two minor issues
    assert run.status("EXECUTING", minor_issues_count=2).json()["phase"]["minor_issues_count"] == 2
    assert run.read()["tiers"][0]["cleanliness"] == "clean"
    assert run.status("GATE", minor_issues_count=3).json()["phase"]["minor_issues_count"] == 3
    run.status("COMPLETE")
    assert run.states() == ("DONE_SUCCESS", ["NOT_CLEAN"], ["COMPLETE"])
    assert run.read()["tiers"][0]["cleanliness"] == "not_clean"
    assert run.read()["promotion_eligible_to_main"] is False


def test_unclean_tier_fails_safety_critical_run(api: Api) -> None:
    run = api.begin(safety_profile="safety_critical")
    done(run.issue(new_id("docs__grave"), severity="major"))
    done(run.result(), "COMPLETE")
    assert run.states()[0] == "DONE_FAILED_REQUIRES_HUMAN_REVIEW"


def test_large_patch_is_sent_back(api: Api) -> None:
    run = api.begin()
    lines = 5001
    large = PATCH.replace("+1 @@\n+hello\n", f"+1,{lines} @@\n" + "+x\n" * lines)
    assert "at most 5000" in done(run.result(patch_content=large), "RETRY")["message"]


def test_hidden_secret_of_a_posted_patch_is_refused(api: Api) -> None:
    """Also where nothing is ever pushed: who takes the patch from here relies on its gate."""
    run = api.begin()
    token = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    receipt = done(run.result(patch_content=PATCH.replace("hello", token)), "RETRY")
    assert "g.txt holds what looks like a secret: GitHub Token" in receipt["message"]
    assert token not in receipt["message"]


def test_emptied_test_of_posted_patch_is_issue(api: Api) -> None:
    run = api.begin()
    emptied = (
        "diff --git a/tests/test_g.py b/tests/test_g.py\n--- a/tests/test_g.py\n+++ b/tests/test_g.py\n"
        "@@ -1,2 +1,2 @@\n def test_g():\n-    assert g() == 1\n+    pass\n"
    )
    done(run.result(patch_content=emptied), "COMPLETE")
    found = api.read(f"/runs/{run.run_id}/issues/index")
    assert list(found["issues_by_key"]) == ["integrity__tests_test_g_py__test_emptied"]


def _expect_exhausted(run: Run, says: str) -> None:
    read = run.read()
    assert read["state"] == "DONE_FAILED_BUDGET_EXHAUSTED"
    assert says in read["failure_reason"]
    assert read["promotion_eligible_to_main"] is False
    failures = run.api.read("/reports/budget_analysis?limit=500")["failures"]
    assert run.run_id in [failure["run_id"] for failure in failures]
