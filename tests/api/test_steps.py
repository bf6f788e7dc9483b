"""How phases, tiers and runs move, and how one plan becomes several runs."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.support import PATCH, PHASE_STATES, PHASE_STEPS, Api, Run, done, new_id, plan, said
from tests.support.service import Service


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    client = Api(service.url)
    yield client
    client.http.close()


def test_phase_moves_tier_and_run(api: Api) -> None:
    run = api.begin(["docs"], ["docs"])
    assert run.states() == ("RUN_CREATED", ["PENDING", "PENDING"], ["QUEUED", "QUEUED"])
    assert run.status("EXECUTING").status_code == 200
    assert run.states() == ("PHASE_EXECUTION", ["RUNNING", "PENDING"], ["EXECUTING", "QUEUED"])
    assert run.read()["started_at"]
    for state in ("GATE", "COMPLETE"):
        assert run.status(state).json()["phase"]["state"] == state
    assert run.states() == ("SNAPSHOT_CREATED", ["COMPLETE", "PENDING"], ["COMPLETE", "QUEUED"])
    run.reach("COMPLETE", "P2")
    assert run.states() == ("DONE_SUCCESS", ["COMPLETE", "COMPLETE"], ["COMPLETE", "COMPLETE"])


def test_a_phase_that_fails_ends_its_run(api: Api) -> None:
    run = api.begin(["docs"], ["docs"])
    run.reach("FAILED")
    assert run.states() == ("DONE_FAILED_REQUIRES_HUMAN_REVIEW", ["BLOCKED", "BLOCKED"], ["FAILED", "SKIPPED"])


@pytest.mark.parametrize("state", PHASE_STATES)
def test_undefined_step_is_a_conflict(api: Api, state: str) -> None:
    run = api.begin(["docs", "docs"])
    run.reach(state)
    before = run.states()
    for target in PHASE_STATES:
        if (state, target) not in PHASE_STEPS:
            said(run.status(target), 409)
            assert run.states() == before
    for target in PHASE_STATES:
        if (state, target) in PHASE_STEPS:
            other = api.begin(["docs", "docs"])
            other.reach(state)
            assert done(other.status(target))["phase"]["state"] == target


@pytest.mark.parametrize("ending", ["COMPLETE", "FAILED", "SKIPPED"])
def test_an_ended_run_takes_no_step_any_more(api: Api, ending: str) -> None:
    run = api.begin()
    run.reach(ending)
    ended = run.states()
    assert ended[0].startswith("DONE_")
    for target in PHASE_STATES:
        said(run.status(target), 409)
    said(run.result(), 409)
    assert run.states() == ended


def test_an_unknown_state_is_a_422(api: Api) -> None:
    run = api.begin()
    for state in ("DONE", "complete", "", "PENDING"):
        said(run.status(state), 422)


def test_plan_of_60_phases_is_three_runs(api: Api) -> None:
    run = api.begin(["docs"] * 35, ["docs"] * 25)
    parts = [(run.run_id, run.read())]
    assert [one["part"] for one in parts[0][1]["linked_runs"]] == [2, 3]
    expected = [run.run_id, *(one["run_id"] for one in parts[0][1]["linked_runs"])]
    said(api.http.get(f"/runs/{run.run_id}-part-2"), 404)
    assert expected == [run.run_id, f"{run.run_id}-part-2", f"{run.run_id}-part-3"]
    assert sum(len(one["phase_ids"]) for one in parts[0][1]["linked_runs"]) + len(_phases(parts[0][1])) == 60
    done_phases: list[str] = []
    for number, run_id in enumerate(expected):
        current = _linked(api, run_id)
        assert current["follows"] == (expected[number - 1] if number else None)
        assert (current["part"], current["parts"]) == (number + 1, 3)
        assert len(_phases(current)) <= 25
        for phase_id in _phases(current):
            body = {"phase_id": phase_id, "run_id": run_id, "status": "success", "patch_content": PATCH}
            done(api.http.post(f"/runs/{run_id}/phases/{phase_id}/builder_result", json=body), "COMPLETE")
            done_phases.append(phase_id)
        assert api.read(f"/runs/{run_id}")["state"] == "DONE_SUCCESS"
    assert done_phases == [f"P{n}" for n in range(1, 61)]
    said(api.http.get(f"/runs/{run.run_id}-part-4"), 404)


def test_next_linked_run_accepts_results_immediately(api: Api) -> None:
    run = api.begin(["docs", "docs", "docs"], max_phases=1)
    for number, name in enumerate((run.run_id, f"{run.run_id}-part-2", f"{run.run_id}-part-3"), 1):
        done(Run(api, name).result(phase_id=f"P{number}"), "COMPLETE")
        assert Run(api, name).states() == ("DONE_SUCCESS", ["COMPLETE"], ["COMPLETE"])


@pytest.mark.parametrize("asked", [{"run_scope": "single_tier"}, {"safety_profile": "safety_critical"}])
def test_single_tier_run_links_other_tiers(api: Api, asked: dict[str, str]) -> None:
    run = api.begin(["docs", "docs"], ["docs"], **asked)
    following = f"{run.run_id}-part-2"
    assert run.read()["linked_runs"] == [{"run_id": following, "part": 2, "phase_ids": ["P3"]}]
    assert run.read()["run_scope"] == "single_tier"
    assert f"it comes with the run {following}" in said(run.result(phase_id="P3"), 404)
    for phase_id in ("P1", "P2"):
        done(run.result(phase_id=phase_id), "COMPLETE")
    assert run.states()[0] == "DONE_SUCCESS"
    assert _phases(Run(api, following).read()) == ["P3"]
    done(Run(api, following).result(phase_id="P3"), "COMPLETE")


def test_run_without_free_linked_ids_is_refused(api: Api) -> None:
    first = new_id()
    api.begin(run_id=f"{first}-part-2")
    refused = Run(api, first).start(plan([["docs", "docs"]]), max_phases=1)
    assert f"there is a run {first}-part-2 already" in said(refused, 409)
    said(api.http.get(f"/runs/{first}"), 404)


def test_a_run_may_be_named_like_a_part(api: Api) -> None:
    run = api.begin(["docs", "docs"], run_id=f"{new_id()}-part-2", max_phases=1)
    assert [one["run_id"] for one in run.read()["linked_runs"]] == [f"{run.run_id}-part-2"]


def _phases(run: dict[str, Any]) -> list[str]:
    return [phase["phase_id"] for tier in run["tiers"] for phase in tier["phases"]]


def _linked(api: Api, run_id: str) -> dict[str, Any]:
    """The run, once the one before has started it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = api.http.get(f"/runs/{run_id}")
        if answer.status_code == 200 and answer.json()["state"] == "RUN_CREATED":
            return answer.json()
        assert answer.status_code in {200, 404}
        time.sleep(0.05)
    raise AssertionError(f"{run_id} was not started")
