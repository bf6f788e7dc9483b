"""Pending work of externally built runs with a repository, and its results."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import finding_rows, run_rows
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import Phase, Run, Transition
from app.domain.api_requests import SuggestedPatch
from app.domain.api_responses import AuditReceipt, BuilderReceipt
from app.domain.budget import Role
from app.domain.findings import Finding, Recommendation, Severity, Source, issue_key
from app.domain.frozen import Frozen
from app.domain.gate import PhaseStatus
from app.domain.states import PhaseState, RunState
from app.queries import phase_status
from app.queries.phase_status import newest_submission
from app.runs import audits, builder_results, phase_moves, posted_audits, submissions

NOTHING_POSTED = "no result was posted in time; start another run to go on"
"""Why a run ends at its deadline."""


class PendingPhases(Frozen):
    """The status of an externally built run, as its workflow sees it."""

    state: RunState
    reason: str
    head_sha: str | None
    phase_id: str | None
    """The phase that the workflow has something to do with."""
    awaited: str
    """What has to be posted for the run to go on; empty when nothing has."""
    over: bool
    """Every phase has ended."""
    unshown: bool
    """Audits were posted that are not on the pull request yet."""
    last: datetime
    """When something was last posted or moved."""


class PendingWork(Frozen):
    """The pending work of one phase."""

    submission: int
    """The builder's result that is meant: what is done for it holds for no later one."""
    attempt: int
    patch: str
    """The builder's diff; empty once it is pushed, and where nothing was posted."""
    suggested: tuple[str, ...]
    """The auditor's diffs that are not pushed yet."""
    summary: str
    head_sha: str | None
    """The phase's commit, where the builder's patch is pushed already."""


class CompletionResult(StrEnum):
    """What became of a phase whose commit CI did not find fault with."""

    COMPLETE = "complete"
    AUDIT = "audit"
    """An approving audit is awaited."""
    OVERTAKEN = "overtaken"
    """Something was posted meanwhile that takes its place."""


def read_pending(db: Database, run_id: str) -> PendingPhases:
    """Read the run again."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        phases = session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index))
        statuses = {phase.phase_id: phase_moves.status_of(session, run, phase) for phase in phases}
        moved = session.scalar(sa.select(sa.func.max(Transition.at)).where(Transition.run_id == run_id))
        posted = session.scalar(sa.select(sa.func.max(Submission.at)).where(Submission.run_id == run_id))
        return PendingPhases(
            state=run.state,
            reason=run.reason,
            head_sha=run.head_sha,
            phase_id=next((phase_id for phase_id, status in statuses.items() if status.in_work), None),
            awaited=_awaited(statuses),
            over=bool(statuses) and all(status is PhaseStatus.ENDED for status in statuses.values()),
            unshown=run.pull_number is not None and posted_audits.has_due(session, run_id),
            last=max(at for at in (run.created_at, run.resumed_at, moved, posted) if at is not None),
        )


def next_work(db: Database, run_id: str, phase_id: str) -> PendingWork | None:
    """The pending work of a phase; None when no result was posted for it."""
    with db.reading() as session:
        phase = session.get_one(Phase, (run_id, phase_id))
        built = newest_submission(session, run_id, phase_id, Role.BUILDER)
        if built is None:
            return None
        result, pushed_already = built.builder_result, built.commit_sha is not None
        return PendingWork(
            submission=built.id,
            attempt=phase.builder_attempts,
            patch="" if pushed_already else result.patch_content or "",
            suggested=tuple(one.patch_content for one in _suggested(session, phase)),
            summary=result.notes or "",
            head_sha=phase.head_sha if pushed_already else None,
        )


def record_work_findings(
    db: Database, run_id: str, phase_id: str, found: Sequence[Finding], seen_in: str, now: datetime
) -> None:
    """Record findings that send no one back: of suggestions that could not be used."""
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        submissions.record_findings(session, run, phase_moves.get_phase(session, run, phase_id), found, seen_in, now)


def send_back_work(
    db: Database, run_id: str, phase_id: str, work: PendingWork, found: Sequence[Finding], now: datetime
) -> None:
    """Send a phase back because of what was found in its work: by the policy, or by CI.

    Found in work that something newer has taken the place of, it is recorded only.
    """
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        phase = phase_moves.get_phase(session, run, phase_id)
        submissions.record_findings(session, run, phase, found, f"attempt {work.attempt}", now)
        if _is_current(session, run, phase, work):
            note = " ".join(one.problem for one in found)
            phase_moves.take_step(session, run, phase, builder_results.after_refusal(run, phase, note, found), now)
            _answer_waiting(session, run, phase, now)


def record_pushed(
    db: Database, run_id: str, phase_id: str, work: PendingWork, sha: str, suggested: int, now: datetime
) -> None:
    """The work is on the branch, with so many of the auditor's suggestions. CI judges it; the client is answered."""
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        phase = phase_moves.get_phase(session, run, phase_id)
        built = session.get_one(Submission, work.submission)
        built.commit_sha, built.judged = built.commit_sha or sha, False
        for audit in submissions.list_submissions(session, run_id, phase_id, Role.AUDITOR):
            if audit.judged_submission_id == built.id and audit.show_on is None:
                audit.show_on = sha
        if built.answer is None:
            pushed = f"Attempt {built.attempt} is pushed; CI judges it"
            receipt = BuilderReceipt(message=pushed, phase_state=phase.state, commit_sha=sha)
            built.answer = receipt.model_dump(mode="json")
        if not run.state.terminal:
            phase_moves.advance_run_to(session, run, RunState.CI_RUNNING, f"{phase_id} pushed", now)
        if _is_current(session, run, phase, work):
            _answer_waiting(session, run, phase, now, applied=suggested, commit_sha=sha)


def complete_work(
    db: Database, run_id: str, phase_id: str, work: PendingWork, cause: str, now: datetime
) -> CompletionResult:
    """Complete a phase whose commit CI has judged, if it is audited and nothing newer was posted."""
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        phase = phase_moves.get_phase(session, run, phase_id)
        if not _is_current(session, run, phase, work) or _suggested(session, phase):
            return CompletionResult.OVERTAKEN
        if not phase_status.is_approved(session, phase):
            session.get_one(Submission, work.submission).judged = True
            verdict = CompletionResult.AUDIT
        else:
            phase.note = ""
            finding_rows.resolve_sources(session, run, phase, (Source.CI, Source.STATIC_CHECK), cause)
            phase_moves.move_phase(session, run, phase, PhaseState.COMPLETE, cause, now)
            verdict = CompletionResult.COMPLETE
        _answer_waiting(session, run, phase, now)
        return verdict


def is_superseded(db: Database, run_id: str, phase_id: str, work: PendingWork) -> bool:
    """Whether the verdict on this work is obsolete: a newer result was posted, or the phase was reset."""
    with db.reading() as session:
        return not _is_current(session, session.get_one(Run, run_id), session.get_one(Phase, (run_id, phase_id)), work)


def get_deadline(db: Database, run_id: str) -> datetime:
    """When the next post for the run is due."""
    return post_deadline(read_pending(db, run_id), run_rows.get_strategy(db, run_id).external_deadline_minutes)


def seconds_left(db: Database, run_id: str, now: datetime) -> float:
    """Seconds until something has to be posted for the run."""
    return (get_deadline(db, run_id) - now).total_seconds()


def post_deadline(seen: PendingPhases, minutes: float) -> datetime:
    """When the next post is due."""
    return seen.last + timedelta(minutes=minutes)


def patch_conflict_finding(phase_id: str, problem: str, severity: Severity = Severity.MAJOR) -> Finding:
    """The finding of a patch that does not apply on top of what has landed meanwhile."""
    return Finding(
        issue_key=issue_key("patch", phase_id, "misfit"),
        severity=severity,
        source=Source.STATIC_CHECK,
        category="patch",
        problem=problem,
    )


def _awaited(statuses: Mapping[str, PhaseStatus]) -> str:
    audits_of = [phase_id for phase_id, status in statuses.items() if status is PhaseStatus.AWAITS_AUDIT]
    results_of = [phase_id for phase_id, status in statuses.items() if status is PhaseStatus.AWAITS_RESULT]
    parts = [f"an audit of {', '.join(audits_of)}"] if audits_of else []
    if results_of:
        parts.append(f"a builder's result for {results_of[0]}")
    return f"Awaited: {' and '.join(parts)}." if parts else ""


def _is_current(session: Session, run: Run, phase: Phase, work: PendingWork) -> bool:
    """Whether the phase is still at its gate with this work, and the run goes on."""
    newest = newest_submission(session, run.run_id, phase.phase_id, Role.BUILDER)
    at_gate = phase.state == PhaseState.GATE and not run.state.terminal
    return at_gate and newest is not None and newest.id == work.submission


def _suggested(session: Session, phase: Phase) -> list[SuggestedPatch]:
    """Patches of the newest audit, until it is answered."""
    audited = newest_submission(session, phase.run_id, phase.phase_id, Role.AUDITOR)
    if audited is None or audited.answer is not None:
        return []
    return audited.auditor_result.suggested_patches or []


def _answer_waiting(
    session: Session, run: Run, phase: Phase, now: datetime, *, applied: int = 0, commit_sha: str | None = None
) -> None:
    """Let a waiting audit lead where it says, then answer all that waits with where the phase is.

    `applied` of the waiting audit's suggestions became `commit_sha`.
    """
    audited = newest_submission(session, run.run_id, phase.phase_id, Role.AUDITOR)
    waiting = audited if audited is not None and audited.answer is None else None
    revise = waiting is not None and waiting.auditor_result.recommendation == Recommendation.REVISE
    if waiting is not None and revise and phase.state == PhaseState.GATE:
        audits.apply_recommendation(session, run, phase, waiting.auditor_result, now)
    state = phase.state
    message = f"{phase.phase_id} is {state}" + (f": {phase.note}" if phase.note else "")
    for submission in submissions.list_unanswered(session, run.run_id, phase.phase_id):
        if submission.role == Role.AUDITOR:
            count = applied if submission is waiting else 0
            answer: BuilderReceipt | AuditReceipt = AuditReceipt(
                message=message,
                recommendation=submission.auditor_result.recommendation,
                patches_applied=count,
                commit_shas=[commit_sha] if count and commit_sha else [],
                phase_state=state,
            )
        else:
            answer = BuilderReceipt(message=message, phase_state=state)
        submission.answer = answer.model_dump(mode="json")
