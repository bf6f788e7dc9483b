"""Clients that send any sequence of requests never lead a run, tier or phase out of SPEC's machines.

The machines are written out here from SPEC §2; the stored transitions are read behind the service's back.
"""

from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.api.support import HIGH_RISK, PHASE_STATES, PHASE_STEPS, WORKFLOW_PATCH, Api
from tests.support.service import Service

WORKING = (
    *("PLAN_BOOTSTRAP", "RUN_CREATED", "PHASE_QUEUEING", "PHASE_EXECUTION"),
    *("GATE", "CI_RUNNING", "SNAPSHOT_CREATED"),
)
FAILURES = (
    *("DONE_FAILED_BUDGET_EXHAUSTED", "DONE_FAILED_POLICY_VIOLATION"),
    *("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "DONE_FAILED_ENVIRONMENT"),
)
STEPS = {
    "run": {
        *pairwise(WORKING),
        *product(WORKING, (*FAILURES, "DONE_CANCELLED")),
        ("SNAPSHOT_CREATED", "PHASE_QUEUEING"),  # the next phase
        *product(("PHASE_EXECUTION", "GATE", "CI_RUNNING"), ("PHASE_QUEUEING", "PHASE_EXECUTION")),  # sent back
        *product(("RUN_CREATED", "PHASE_QUEUEING", "SNAPSHOT_CREATED"), ("DONE_SUCCESS",)),
    },
    "tier": {
        *(("PENDING", "RUNNING"), ("PENDING", "BLOCKED")),  # BLOCKED: its run has ended before its turn
        *product(("RUNNING",), ("COMPLETE", "NOT_CLEAN", "BLOCKED")),
    },
    "phase": PHASE_STEPS,
}
FIRST = {"run": "", "tier": "PENDING", "phase": "QUEUED"}
ENDED = {"COMPLETE", "FAILED", "SKIPPED", "NOT_CLEAN", "BLOCKED"}
TRANSITIONS = sa.text("SELECT machine, subject, old, new FROM transitions WHERE run_id = :run ORDER BY id")

categories = st.lists(st.sampled_from(["docs", "tests", "feature_scaffolding", *HIGH_RISK[:3]]), min_size=1, max_size=2)
phases = st.sampled_from(["P1", "P2", "P3", "P4"])
tokens = st.sampled_from([0, 1, 999, 50_000])


class Machine(RuleBasedStateMachine):
    """A client, and what it knows to be true from what it posted."""

    api: Api
    stored: sa.Engine

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, str] = {}
        self.states: dict[tuple[str, str], str] = {}
        self.spent: dict[tuple[str, str], int] = {}
        self.keys: set[tuple[str, str]] = set()
        self.unusable: set[str] = set()
        self.forbidden: set[str] = set()
        self.approved: set[str] = set()
        self.answers: list[tuple[str, str, dict[str, Any], Any]] = []

    @initialize(tiers=st.lists(categories, min_size=1, max_size=2), cap=st.sampled_from([100_000, 5_000_000]))
    def start(self, tiers: list[list[str]], cap: int) -> None:
        self.run = self.api.begin(*tiers, token_cap=cap)
        listed = [category for tier in tiers for category in tier]
        self.kinds = {f"P{number}": category for number, category in enumerate(listed, 1)}

    @rule(phase=phases, state=st.sampled_from(PHASE_STATES), used=st.none() | tokens)
    def update_status(self, phase: str, state: str, used: int | None) -> None:
        before = self.states.get(("phase", phase))
        answer = self._send(phase, "update_status", {"state": state, "tokens_used": used})
        if answer.status_code == 200:
            assert (before, state) in PHASE_STEPS
            if used is not None:
                self.spent[phase, "status"] = used

    @rule(phase=phases, used=tokens, kind=st.sampled_from(["success", "failed", "needs_review", "forbidden", "probe"]))
    def builder_result(self, phase: str, used: int, kind: str) -> None:
        body: dict[str, Any] = {"status": "success" if kind in {"forbidden", "probe"} else kind, "tokens_used": used}
        if kind == "forbidden":
            body["patch_content"] = WORKFLOW_PATCH
        if kind == "probe":
            body["probe_results"] = [{"probe_type": "unit", "exit_code": 1}]
        answer = self._post(phase, "builder", body)
        if answer is None:
            return
        self.approved.discard(phase)
        if kind in {"forbidden", "probe"}:
            self.forbidden |= {(f"{phase} {kind}")}
        else:
            self.forbidden -= {f"{phase} forbidden", f"{phase} probe"}
            self.unusable.discard(phase)

    @rule(phase=phases)
    def unreadable_patch(self, phase: str) -> None:
        body = {"run_id": self.run.run_id, "phase_id": phase, "status": "success", "patch_content": "diff --git..."}
        number = 1 + sum(self._is(one, phase, "builder_result") for one in self.answers)
        answer = self._send(phase, "builder_result", {**body, "builder_attempts": number})
        assert answer.status_code in {404, 409, 422}
        if answer.status_code == 422:
            self.unusable.add(phase)

    @rule(phase=phases)
    def auditor_request(self, phase: str) -> None:
        answer = self.run.post(phase, "auditor_request")
        assert answer.status_code == (200 if phase in self.kinds else 404)

    @rule(phase=phases, used=tokens, verdict=st.sampled_from(["approve", "approve", "revise", "escalate"]))
    def auditor_result(self, phase: str, used: int, verdict: str) -> None:
        open_before = self.states.get(("phase", phase)) not in ENDED
        body = {"review_notes": "Read", "recommendation": verdict, "tokens_used": used}
        if self._post(phase, "auditor", body) is not None and open_before:
            (self.approved.add if verdict == "approve" else self.approved.discard)(phase)

    @rule(phase=phases, name=st.sampled_from("ab"))
    def record_issue(self, phase: str, name: str) -> None:
        key = f"{self.run.run_id}__{name}"
        body = {"issue_key": key, "severity": "minor", "source": "test", "category": "test_failure"}
        if self._send(phase, "record_issue", body).status_code == 200:
            self.keys.add((phase, key))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        phase, what, body, first = data.draw(st.sampled_from(self.answers))
        again = self.run.post(phase, what, body)
        assert (again.status_code, again.json()) == (200, first)

    @invariant()
    def stays_within_the_machines(self) -> None:
        if not self.kinds:
            return
        read = self.run.read()
        now = {("run", self.run.run_id): read["state"]}
        for tier in read["tiers"]:
            now["tier", tier["tier_id"]] = tier["state"]
            now |= {("phase", phase["phase_id"]): phase["state"] for phase in tier["phases"]}
        self._expect_paths(now)
        for subject, state in self.states.items():
            assert state not in ENDED or now[subject] == state, f"{subject} had ended as {state}"
            assert not state.startswith("DONE_") or now[subject] == state
        self.states = now
        self._expect_ends(read)
        self._expect_counts(read)
        for phase, category in self.kinds.items():
            if category in HIGH_RISK and now["phase", phase] == "COMPLETE":
                assert phase in self.approved, f"{phase} is {category} and was not approved"

    def _expect_paths(self, now: dict[tuple[str, str], str]) -> None:
        """Every stored step is one of the machine, and begins where the one before ended."""
        last: dict[tuple[str, str], str] = {subject: FIRST[subject[0]] for subject in now}
        with self.stored.connect() as connection:
            for machine, subject, old, new in connection.execute(TRANSITIONS, {"run": self.run.run_id}):
                assert last[machine, subject] == old
                assert (old, new) in STEPS[machine] or (old, new) == ("", "PLAN_BOOTSTRAP")
                last[machine, subject] = new
        assert last == now

    def _expect_ends(self, read: dict[str, Any]) -> None:
        """A tier ends with its phases, and only then; a run with its tiers."""
        tiers = [tier["state"] in ENDED for tier in read["tiers"]]
        for tier, ended in zip(read["tiers"], tiers, strict=True):
            assert ended == all(phase["state"] in ENDED for phase in tier["phases"])
        assert read["state"].startswith("DONE_") == all(tiers)
        assert (read["completed_at"] is not None) == all(tiers)

    def _expect_counts(self, read: dict[str, Any]) -> None:
        """Tokens are sums of what was posted, issues distinct keys, at every level."""
        assert read["tokens_used"] == sum(self.spent.values())
        for tier in read["tiers"]:
            ids = [phase["phase_id"] for phase in tier["phases"]]
            assert tier["tokens_used"] == sum(n for (phase, _), n in self.spent.items() if phase in ids)
            assert _issues(tier) == self._open(ids)
            for phase in tier["phases"]:
                own = [n for (phase_id, _), n in self.spent.items() if phase_id == phase["phase_id"]]
                assert phase["tokens_used"] == sum(own)
                assert _issues(phase) == self._open([phase["phase_id"]])
        assert _issues(read) == self._open(list(self.kinds))

    def _open(self, ids: list[str]) -> int:
        """How many distinct issues of these phases are open: reported ones, unreadable patches, refusals by kind."""
        reported = {key for phase, key in self.keys if phase in ids}
        refused = {one.partition(" ")[2] for one in self.forbidden if one.partition(" ")[0] in ids}
        return len(reported) + len(self.unusable & set(ids)) + len(refused)

    def _post(self, phase: str, role: str, body: dict[str, Any]) -> Any:
        """Post the next attempt; its answer, or None when it was not taken."""
        what = f"{role}_result"
        number = 1 + sum(self._is(one, phase, what) for one in self.answers)
        whole = {"run_id": self.run.run_id, "phase_id": phase, f"{role}_attempts": number, **body}
        answer = self._send(phase, what, whole)
        if answer.status_code != 200:
            return None
        self.spent[phase, f"{role} {number}"] = body["tokens_used"]
        self.answers.append((phase, what, whole, answer.json()))
        return answer.json()

    def _send(self, phase: str, what: str, body: dict[str, Any]) -> httpx.Response:
        answer = self.run.post(phase, what, body)
        assert answer.status_code in ({200, 409, 422} if phase in self.kinds else {404}), answer.text
        return answer

    def _is(self, one: tuple[str, str, dict[str, Any], Any], phase: str, what: str) -> bool:
        return one[:2] == (phase, what)


def _issues(counted: dict[str, Any]) -> int:
    """Both severities: what earlier runs left open may count as major by now."""
    return counted["minor_issues_count"] + counted["major_issues_count"]


@pytest.fixture(scope="module")
def stored(service: Service) -> Iterator[sa.Engine]:
    """The service's database."""
    file: Path = service.folder.parent / "autopack.db"
    assert file.is_file()
    engine = sa.create_engine(f"sqlite:///{file}")
    yield engine
    engine.dispose()


def test_whatever_clients_do_the_machines_hold(service: Service, stored: sa.Engine) -> None:
    api = Api(service.url)
    bounds = settings(
        max_examples=15,
        stateful_step_count=12,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    here = type("Machine", (Machine,), {"api": api, "stored": stored})
    run_state_machine_as_test(here, settings=bounds)
    api.http.close()
