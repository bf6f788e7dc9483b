"""Results that external builders post: the gate, in one transaction with all that it causes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from app.db import finding_rows
from app.db.engine import Database
from app.db.tables import Phase, Run
from app.domain import patch_policy
from app.domain.api_errors import Conflict, Unprocessable
from app.domain.api_requests import BuilderResult
from app.domain.api_responses import BuilderReceipt
from app.domain.budget import Role
from app.domain.findings import Finding, Severity, Source
from app.domain.patch import Patch
from app.domain.plan import PlannedPhase
from app.domain.posted_patch import parse_posted_patch
from app.domain.ruleset import PatchRules
from app.domain.states import PhaseState, RunState
from app.domain.strategy import Engine
from app.runs import phase_moves, submissions
from app.runs.submissions import AUDIT, WORK, PostOutcome


def post_result(
    db: Database,
    run_id: str,
    phase_id: str,
    result: BuilderResult,
    now: datetime,
    *,
    misfit: str = "",
) -> PostOutcome[BuilderReceipt]:
    """Take in what a builder made of a phase; `misfit` says why its patch does not apply, where that was tried.

    Raises `Unknown`, `Conflict` when the phase takes no result any more, and `Unusable` for a patch that cannot be
    read or does not apply, which is recorded as an issue first and costs no attempt.
    """
    with db.writing() as session:
        run, phase = submissions.lock_run_and_phase(session, run_id, phase_id, result.run_id, result.phase_id)
        first = submissions.find_attempt(session, phase, Role.BUILDER, result.builder_attempts)
        if first is not None:
            receipt = BuilderReceipt.model_validate(first.answer or submissions.pending_receipt(phase))
            return PostOutcome(receipt, None if first.answer else first.id)
        _require_open_phase(run, phase)
        patch = _read(result, misfit)
        if not isinstance(patch, Unprocessable):
            return _judge(session, run, phase, result, patch, now)
        problem = submissions.unusable_patch(phase, str(patch), Source.STATIC_CHECK)
        submissions.record_findings(session, run, phase, (problem,), f"patch {now.isoformat()}", now)
    raise patch


def send_back_or_fail(
    session: Session, run: Run, phase: Phase, note: str, found: Sequence[Finding], now: datetime
) -> None:
    """Back to the builder while it has tries left; then the phase has failed, and the run with it."""
    phase.awaiting = ""
    if phase.builder_attempts < phase_moves.strategy_of(run).of_phase(phase.phase_id).builder_tries:
        phase_moves.send_back(session, run, phase, note, now)
        return
    forbidden = patch_policy.violates_policy(found)
    ending = RunState.DONE_FAILED_POLICY_VIOLATION if forbidden else RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    phase_moves.fail_phase(session, run, phase, note, now, ending)


def _read(result: BuilderResult, misfit: str) -> Patch | Unprocessable | None:
    if misfit:
        return Unprocessable(misfit)
    try:
        return parse_posted_patch(result.patch_content) if result.patch_content is not None else None
    except Unprocessable as error:
        return error


def _require_open_phase(run: Run, phase: Phase) -> None:
    if run.engine != Engine.EXTERNAL:
        raise Conflict(f"The run {run.run_id} is built by Autopack itself; results of others are not taken")
    if run.completed_at is not None:
        raise Conflict(f"The run {run.run_id} has ended ({run.state}); a new result cannot change it")
    if PhaseState(phase.state).ended:
        raise Conflict(f"{phase.phase_id} has ended ({phase.state}); a new result cannot change it")


def _judge(
    session: Session, run: Run, phase: Phase, result: BuilderResult, patch: Patch | None, now: datetime
) -> PostOutcome[BuilderReceipt]:
    """Store the attempt, judge it, and move the phase to where that leads."""
    number = result.builder_attempts
    stored = submissions.store(session, phase, Role.BUILDER, number, result.model_dump(mode="json"), now)
    if phase.state == PhaseState.GATE:
        phase_moves.send_back(session, run, phase, f"attempt {number} takes the place of the one at the gate", now)
    phase_moves.move_to_gate(session, run, phase, f"attempt {number} posted", now)
    posted = submissions.count(session, run.run_id, phase.phase_id, Role.BUILDER)
    phase.builder_attempts = max(phase.builder_attempts, number, posted)
    phase.awaiting = ""
    if patch is not None:
        phase.changed_paths = list(patch.paths)
    run.active_seconds += (result.duration_minutes or 0) * 60
    found = _gate_findings(result, patch, submissions.planned_phase(run, phase), phase_moves.strategy_of(run).patch)
    suggested = result.suggested_issues or ()
    submissions.record_posted_issues(session, run, phase, suggested, "cursor_self_doubt", f"builder {number}", now)
    submissions.record_findings(session, run, phase, found, f"gate {number}", now)
    if not found:
        finding_rows.resolve_sources(
            session, run, phase, (Source.STATIC_CHECK, Source.PROBE), f"gone in attempt {number}"
        )
    phase_moves.book_tokens(session, run, phase, Role.BUILDER, result.tokens_used, f"builder:{number}", now)
    if not phase_moves.end_if_exhausted(session, run, phase, Role.BUILDER, now):
        _after_gate(session, run, phase, result, found, now)
    receipt = BuilderReceipt(message=_receipt_message(phase, number), phase_state=PhaseState(phase.state))
    if phase.awaiting == WORK:
        return PostOutcome(receipt, stored.id)
    stored.answer = receipt.model_dump(mode="json")
    return PostOutcome(receipt)


def _after_gate(
    session: Session, run: Run, phase: Phase, result: BuilderResult, found: Sequence[Finding], now: datetime
) -> None:
    rules = phase_moves.strategy_of(run).of_phase(phase.phase_id)
    if result.status == "failed" or found:
        note = " ".join(one.problem for one in found) or result.notes or "its builder says that it failed"
        send_back_or_fail(session, run, phase, note, found, now)
    elif phase.builder_attempts > rules.builder_tries:
        note = f"{phase.builder_attempts} attempts, {rules.builder_tries} are allowed"
        phase_moves.fail_phase(session, run, phase, note, now, RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW)
    elif run.repository is not None:
        phase.awaiting = WORK
    elif result.status == "needs_review" or not rules.auto_apply:
        phase.awaiting = AUDIT
    else:
        phase_moves.move_phase(
            session, run, phase, PhaseState.COMPLETE, f"attempt {result.builder_attempts} passed", now
        )


def _gate_findings(
    result: BuilderResult, patch: Patch | None, spec: PlannedPhase, rules: PatchRules
) -> tuple[Finding, ...]:
    """What keeps the result from passing: probes that failed, and what the policy forbids of the patch."""
    probes = tuple(
        Finding(
            issue_key=one.key,
            severity=Severity.MAJOR,
            source=Source.PROBE,
            category="probe",
            problem=f"The probe {one.probe_type} ended with exit code {one.exit_code}.",
        )
        for one in result.probe_results or ()
        if one.exit_code != 0
    )
    return probes + (() if patch is None else patch_policy.check_patch(patch, spec, rules))


def _receipt_message(phase: Phase, number: int) -> str:
    waits = "waits for its audit" if phase.awaiting == AUDIT else "is to be pushed"
    told = {
        PhaseState.COMPLETE: "passed its gate",
        PhaseState.GATE: f"passed its gate and {waits}",
        PhaseState.RETRY: f"is sent back: {phase.note}",
        PhaseState.FAILED: f"failed: {phase.note}",
    }
    return f"Attempt {number} of {phase.phase_id} {told.get(PhaseState(phase.state), 'is recorded')}"
