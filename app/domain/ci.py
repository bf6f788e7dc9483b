"""The CI verdict over one head commit: level-triggered, decided from everything that GitHub knows of it now.

Which checks count is policy. A check is *required* by branch protection or a ruleset, else *ignored* or *advisory* by
the repository's settings, else it counts. What another App says, and is not required, is waited for only a little
while where the repository's own workflows have judged the commit: it does not keep the pull request from merging.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from app.domain.frozen import Frozen
from app.domain.globs import matches_name


class CheckFact(Frozen):
    """One check run, workflow run or commit status that is not Autopack's own."""

    name: str
    source: Literal["check_run", "workflow_run", "status"]
    status: Literal["queued", "in_progress", "waiting", "completed"]
    """`waiting`: for a person, such as the reviewer of an environment."""
    conclusion: str | None = None
    id: int
    url: str = ""
    app_id: int | None = None
    """None for commit statuses: GitHub does not tell whose they are."""
    workflow_run_id: int | None = None
    attempt: int = 1
    """Of a workflow run: how often its jobs have been run."""
    path: str = ""
    """Of a workflow run: its file."""


class RequiredCheck(Frozen):
    """A check that must exist and pass; with `app_id`, only that App's counts."""

    name: str
    app_id: int | None = None


class CiFacts(Frozen):
    """All that is known of the CI of `head_sha`."""

    head_sha: str
    checks: tuple[CheckFact, ...] = ()
    required: tuple[RequiredCheck, ...] = ()
    """What branch protection or rulesets demand on the base branch."""


class CiPolicy(Frozen):
    """Which checks count, in addition to those that are required. Globs of names, `*` matches slashes too."""

    required_only: bool = False
    ignore: tuple[str, ...] = ()
    advisory: tuple[str, ...] = ()


class CiState(StrEnum):
    WAITING = "waiting"
    GREEN = "green"
    RED = "red"
    NEVER_CAME = "never came"
    """The deadline passed and something demanded has not finished."""
    ABSENT = "absent"
    """Nothing judges the commit: there is no CI, or none that applies to it."""
    CONFLICT = "conflict"
    """The branch conflicts with its base, so GitHub starts no workflow for the pull request."""


class CiVerdict(Frozen):
    state: CiState
    reason: str = ""
    failed: tuple[CheckFact, ...] = ()
    notes: tuple[str, ...] = ()
    """What did not count and a reader should know all the same."""
    needs_person: str = ""
    """What waits for a person, such as the approval of a deployment."""
    all_skipped: bool = False
    """Absent because everything that ran was skipped, as jobs are that wait for a pull request to leave draft."""

    @property
    def settled(self) -> bool:
        return self.state is not CiState.WAITING


class CiWait(Frozen):
    """How long CI has been awaited, in seconds, and what is expected of it."""

    waited_seconds: float
    """Since the newest of the push and the pull request's event."""
    grace_seconds: float
    """From then on, what has not begun and is not expected counts as not there."""
    deadline_seconds: float
    """Without any progress."""
    workflows_present: bool
    """Whether a workflow file of the head tree applies to the commit, so that workflow runs are expected."""
    expected: frozenset[str] = frozenset()
    """Those files. With a run of each, nothing more needs to be waited for."""
    idle_seconds: float | None = None
    """Since the facts last changed; None: they never did."""
    conflict: bool = False
    """Whether the pull request conflicts with its base."""
    person_seconds: float = 86_400
    """A person is given so long."""
    why_none: str = ""
    """Why the workflow files that there are do not apply."""

    @property
    def idle(self) -> float:
        return self.waited_seconds if self.idle_seconds is None else min(self.idle_seconds, self.waited_seconds)

    @property
    def overdue(self) -> bool:
        return self.idle >= self.deadline_seconds or self.waited_seconds >= MOST_DEADLINES * self.deadline_seconds


PASSING = frozenset({"success", "neutral", "skipped"})
INFRASTRUCTURE = frozenset({"cancelled", "stale", "startup_failure", "timed_out"})
"""Conclusions that say that a job did not get to judge the commit, as against `failure`."""
MOST_DEADLINES = 12
"""CI that makes progress for ever ends after so many deadlines."""
_ACTION_REQUIRED = "action_required"


class _Sorted(Frozen):
    """The checks that count, by what they say."""

    passed: tuple[CheckFact, ...]
    failed: tuple[CheckFact, ...]
    running: tuple[CheckFact, ...]
    for_person: tuple[CheckFact, ...]
    advisory: tuple[CheckFact, ...]
    """Failed or unfinished, and do not count."""
    missing: tuple[str, ...]
    any_counts: bool


def decide(facts: CiFacts, wait: CiWait, policy: CiPolicy | None = None) -> CiVerdict:
    """Judge the commit. Zero runs is never green; a required check must exist and pass; one red check is red."""
    checks = _sort(facts, policy or CiPolicy())
    if checks.failed and _red_is_certain(checks, wait):
        failed = _most_precise(checks.failed)
        names = ", ".join(sorted({check.name for check in failed}))
        return CiVerdict(state=CiState.RED, reason=f"failed: {names}", failed=failed)
    unfinished = [*checks.missing, *(check.name for check in (*checks.running, *checks.for_person))]
    judged = wait.waited_seconds >= wait.grace_seconds or not wait.workflows_present or _all_begun(facts, wait)
    if checks.passed and judged and not unfinished and (not _others_running(checks) or wait.idle >= wait.grace_seconds):
        reason = f"{len(checks.passed)} checks passed"
        return CiVerdict(state=CiState.GREEN, reason=reason, notes=_notes(checks))
    awaited = ", ".join(unfinished) or "no check run, workflow run or status at all"
    person = ", ".join(check.name for check in checks.for_person) if not checks.running else ""
    if (wait.overdue and not person) or (person and wait.idle >= wait.person_seconds):
        return CiVerdict(state=CiState.NEVER_CAME, reason=f"still awaited at the deadline: {awaited}")
    settled = wait.waited_seconds >= wait.grace_seconds and not unfinished
    if settled and not checks.any_counts and wait.conflict:
        return CiVerdict(state=CiState.CONFLICT, reason="the branch conflicts with its base, so no workflow starts")
    if settled and not checks.any_counts and not wait.workflows_present:
        return CiVerdict(state=CiState.ABSENT, reason=_why_absent(wait, checks), notes=_notes(checks))
    if settled and checks.any_counts and not checks.passed:
        return CiVerdict(state=CiState.ABSENT, reason="every check was skipped or neutral", all_skipped=True)
    return CiVerdict(state=CiState.WAITING, reason=", ".join(unfinished) or "no run yet", needs_person=person)


def workflow_runs_to_rerun(facts: CiFacts, verdict: CiVerdict) -> dict[int, int]:
    """The workflow runs to run again before anybody is blamed, with the attempt that failed.

    Only when all that is red is the fault of infrastructure.
    """
    if verdict.state is not CiState.RED or any(check.conclusion not in INFRASTRUCTURE for check in verdict.failed):
        return {}
    return failed_workflow_runs(facts, verdict)


def failed_workflow_runs(facts: CiFacts, verdict: CiVerdict) -> dict[int, int]:
    """The workflow runs of what failed, with the attempt that failed."""
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


def failed_on_base(verdict: CiVerdict, base: CiFacts) -> tuple[str, ...]:
    """The names of what failed, if all of it failed on the base commit too, each at its newest; else nothing."""
    newest = {check.name: check for check in base.checks if check.source != "workflow_run"}
    red = {name for name, check in newest.items() if is_failure(check) and check.conclusion not in INFRASTRUCTURE}
    names = {check.name for check in verdict.failed}
    return tuple(sorted(names)) if names and names <= red else ()


def is_failure(check: CheckFact) -> bool:
    """Whether it has ended and did not pass."""
    return check.status == "completed" and check.conclusion not in PASSING and check.conclusion != _ACTION_REQUIRED


def fingerprint(facts: CiFacts) -> tuple[str, ...]:
    """What changes when CI makes progress."""
    return tuple(sorted(f"{c.source} {c.id} {c.attempt} {c.status} {c.conclusion}" for c in facts.checks))


def _sort(facts: CiFacts, policy: CiPolicy) -> _Sorted:
    required = tuple(check for check in facts.checks if any(_meets(check, one) for one in facts.required))
    missing = tuple(one.name for one in facts.required if not any(_meets(check, one) for check in required))
    counted: list[CheckFact] = []
    aside: list[CheckFact] = []
    for check in _without_misled_runs(facts, policy, required):
        if check in required or not (policy.required_only or _any(policy.ignore, check)):
            (aside if check not in required and _any(policy.advisory, check) else counted).append(check)
    own_judged = any(c.workflow_run_id is not None and c.conclusion == "success" for c in counted)
    if own_judged:
        others = [c for c in counted if c.workflow_run_id is None and c not in required and c.conclusion not in PASSING]
        counted, aside = [c for c in counted if c not in others], [*aside, *others]
    not_judging = [c for c in counted if _judges_nothing(c) and c not in required]
    counted = [c for c in counted if c not in not_judging]
    held = {c.workflow_run_id for c in counted if c.source == "workflow_run" and c.status == "waiting"} - {None}
    return _Sorted(
        passed=tuple(c for c in counted if c.conclusion == "success"),
        failed=tuple(c for c in counted if is_failure(c)),
        running=tuple(
            c for c in counted if c.status == "in_progress" or (c.status == "queued" and c.workflow_run_id not in held)
        ),
        for_person=tuple(c for c in counted if c.status == "waiting" or c.conclusion == _ACTION_REQUIRED),
        advisory=tuple(c for c in aside if is_failure(c) or c.status != "completed"),
        missing=missing,
        any_counts=bool(counted),
    )


def _meets(check: CheckFact, required: RequiredCheck) -> bool:
    """A workflow's name is no check's name; of a status GitHub does not tell the App."""
    named = check.source != "workflow_run" and check.name == required.name
    return named and (required.app_id is None or check.app_id is None or check.app_id == required.app_id)


def _any(patterns: tuple[str, ...], check: CheckFact) -> bool:
    return any(matches_name(pattern, check.name) for pattern in patterns)


def _without_misled_runs(facts: CiFacts, policy: CiPolicy, required: tuple[CheckFact, ...]) -> list[CheckFact]:
    """The facts without workflow runs that are red, or not finished, only by jobs that do not count."""
    jobs = [c for c in facts.checks if c.source == "check_run" and (is_failure(c) or c.status != "completed")]
    named_aside = policy.ignore + policy.advisory
    telling = {c.workflow_run_id for c in jobs if c in required or not _any(named_aside, c)}
    misled = {c.workflow_run_id for c in jobs} - telling - {None}
    return [c for c in facts.checks if c.source != "workflow_run" or c.workflow_run_id not in misled]


def _judges_nothing(check: CheckFact) -> bool:
    """Another App's check that was cancelled or given up, such as a preview that a newer one superseded."""
    return check.source == "check_run" and check.workflow_run_id is None and check.conclusion in INFRASTRUCTURE


def _red_is_certain(checks: _Sorted, wait: CiWait) -> bool:
    """Red at once when nothing of it runs any more; else when nothing has moved for the grace, or at the deadline.

    A failed job's siblings may still tell more, and a cancelled one's may still fail.
    """
    if not checks.running:
        return True
    own_running = any(check.workflow_run_id is not None for check in checks.running)
    failure = any(check.conclusion not in INFRASTRUCTURE for check in checks.failed)
    return wait.overdue or (failure and (not own_running or wait.idle >= wait.grace_seconds))


def _others_running(checks: _Sorted) -> bool:
    return any(check.status != "completed" for check in checks.advisory)


def _notes(checks: _Sorted) -> tuple[str, ...]:
    red = sorted({check.name for check in checks.advisory if is_failure(check)})
    unfinished = sorted({check.name for check in checks.advisory if check.status != "completed"})
    notes = [f"red, and does not count: {', '.join(red)}"] if red else []
    return (*notes, f"not finished, and does not count: {', '.join(unfinished)}") if unfinished else tuple(notes)


def _why_absent(wait: CiWait, checks: _Sorted) -> str:
    if wait.why_none:
        return f"no workflow applies to the commit: {wait.why_none}"
    if checks.advisory:
        return "no check counts by the repository's settings"
    return "the repository has no workflow, status or required check"


def _all_begun(facts: CiFacts, wait: CiWait) -> bool:
    """Whether each workflow that is expected has a run: a quick one may be green before the next is even there."""
    begun = {check.path for check in facts.checks if check.source == "workflow_run"}
    return bool(begun) and wait.expected <= begun


def _most_precise(failed: tuple[CheckFact, ...]) -> tuple[CheckFact, ...]:
    """Leave out a failed workflow run where its failed jobs are named themselves."""
    of_jobs = {check.workflow_run_id for check in failed if check.source == "check_run"}
    return tuple(check for check in failed if check.source != "workflow_run" or check.workflow_run_id not in of_jobs)
