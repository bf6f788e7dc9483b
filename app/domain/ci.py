"""The CI verdict over one head commit: level-triggered, decided from everything that GitHub knows of it now."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from app.domain.frozen import Frozen


class CheckFact(Frozen):
    """One check run, workflow run or commit status that is not Autopack's own."""

    name: str
    source: Literal["check_run", "workflow_run", "status"]
    status: Literal["queued", "in_progress", "completed"]
    conclusion: str | None = None
    id: int
    url: str = ""
    app_id: int | None = None
    workflow_run_id: int | None = None
    attempt: int = 1
    """Of a workflow run: how often its jobs have been run."""


class CiFacts(Frozen):
    """All that is known of the CI of `head_sha`."""

    head_sha: str
    checks: tuple[CheckFact, ...] = ()
    required: tuple[str, ...] = ()
    """Names of checks that branch protection or rulesets demand on the base branch."""


class CiState(StrEnum):
    WAITING = "waiting"
    GREEN = "green"
    RED = "red"
    NEVER_CAME = "never came"
    """The deadline passed and something demanded has not finished."""
    ABSENT = "absent"
    """The repository has no CI at all."""


class CiVerdict(Frozen):
    state: CiState
    reason: str = ""
    failed: tuple[CheckFact, ...] = ()

    @property
    def settled(self) -> bool:
        return self.state is not CiState.WAITING


class CiWait(Frozen):
    """How long CI has been awaited, in seconds, and what the policy says of it."""

    waited_seconds: float
    grace_seconds: float
    """From then on, zero runs in a repository without workflows means that it has no CI."""
    deadline_seconds: float
    workflows_present: bool
    """Whether the head tree holds workflow files, so that workflow runs are expected."""


PASSING = frozenset({"success", "neutral", "skipped"})
INFRASTRUCTURE = frozenset({"cancelled", "stale", "startup_failure", "timed_out"})
"""Conclusions that say that a job did not get to judge the commit, as against `failure`."""


def decide(facts: CiFacts, wait: CiWait) -> CiVerdict:
    """Judge the commit. Zero runs is never green; a required check must exist and pass; one red check is red."""
    failed = tuple(c for c in facts.checks if c.status == "completed" and c.conclusion not in PASSING)
    running = [c.name for c in facts.checks if c.status != "completed"]
    seen = {c.name for c in facts.checks}
    missing = [name for name in facts.required if name not in seen]
    if failed and not running:
        failed = _most_precise(failed)
        names = ", ".join(sorted({check.name for check in failed}))
        return CiVerdict(state=CiState.RED, reason=f"failed: {names}", failed=failed)
    passed = [c for c in facts.checks if c.conclusion == "success"]
    judged = wait.waited_seconds >= wait.grace_seconds or not wait.workflows_present or _has_workflow_run(facts)
    if passed and judged and not running and not missing:
        return CiVerdict(state=CiState.GREEN, reason=f"{len(passed)} checks passed")
    if wait.waited_seconds >= wait.deadline_seconds:
        pending = ", ".join(missing + running) or "no check run, workflow run or status at all"
        return CiVerdict(state=CiState.NEVER_CAME, reason=f"still awaited at the deadline: {pending}")
    settled = wait.waited_seconds >= wait.grace_seconds and not running and not missing
    if settled and not facts.checks and not wait.workflows_present:
        return CiVerdict(state=CiState.ABSENT, reason="the repository has no workflow, status or required check")
    if settled and facts.checks and not passed:
        return CiVerdict(state=CiState.ABSENT, reason="every check was skipped or neutral")
    return CiVerdict(state=CiState.WAITING, reason=", ".join(missing + running) or "no run yet")


def workflow_runs_to_rerun(facts: CiFacts, verdict: CiVerdict) -> dict[int, int]:
    """The workflow runs to run again before anybody is blamed, with the attempt that failed.

    Only when all that is red is the fault of infrastructure.
    """
    if verdict.state is not CiState.RED or any(check.conclusion not in INFRASTRUCTURE for check in verdict.failed):
        return {}
    failed = {check.workflow_run_id for check in verdict.failed}
    return {c.id: c.attempt for c in facts.checks if c.source == "workflow_run" and c.workflow_run_id in failed}


def what_ci_waits_for(facts: CiFacts, seen_attempts: Mapping[int, int]) -> CiFacts:
    """The facts while a run that was requested again may still show its earlier attempt: it counts as queued."""
    stale = {c.id for c in facts.checks if c.source == "workflow_run" and c.attempt <= seen_attempts.get(c.id, 0)}
    checks = tuple(
        c.model_copy(update={"status": "queued", "conclusion": None}) if c.workflow_run_id in stale else c
        for c in facts.checks
    )
    return facts.model_copy(update={"checks": checks})


def _has_workflow_run(facts: CiFacts) -> bool:
    return any(check.source == "workflow_run" for check in facts.checks)


def _most_precise(failed: tuple[CheckFact, ...]) -> tuple[CheckFact, ...]:
    """Leave out a failed workflow run where its failed jobs are named themselves."""
    of_jobs = {check.workflow_run_id for check in failed if check.source == "check_run"}
    return tuple(check for check in failed if check.source != "workflow_run" or check.workflow_run_id not in of_jobs)
