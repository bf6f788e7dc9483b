"""Results that external builders post: the gate, in one transaction with all that it causes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from app.db import finding_rows
from app.db.engine import Database
from app.db.tables import Phase, Run
from app.domain import gate, patch_policy
from app.domain.api_errors import Conflict, Unprocessable
from app.domain.api_requests import BuilderResult
from app.domain.api_responses import BuilderReceipt
from app.domain.budget import Role
from app.domain.findings import Finding, Severity, Source
from app.domain.gate import NextStep, PhaseStatus
from app.domain.integrity import Flag, Level, without_ignored
from app.domain.patch import Patch
from app.domain.plan import PlannedPhase
from app.domain.posted_patch import parse_posted_patch
from app.domain.ruleset import PatchRules
from app.domain.states import PhaseState
from app.domain.strategy import Engine
from app.runs import phase_moves, submissions
from app.runs.submissions import PostOutcome


def post_result(
    db: Database,
    run_id: str,
    phase_id: str,
    result: BuilderResult,
    now: datetime,
    *,
    misfit: str = "",
    flags: Sequence[Flag] = (),
) -> PostOutcome[BuilderReceipt]:
    """Take in what a builder made of a phase; `misfit` says why its patch does not apply, where that was tried.

    `flags` are what the integrity rules found in it: what they refuse sends it back, what needs a person is an issue.

    Raises `Unknown`, `Conflict` when the phase takes no result any more, and `Unusable` for a patch that cannot be
    read or does not apply, which is recorded as an issue first and costs no attempt.
    """
    with db.writing() as session:
        run, phase = phase_moves.lock_run_and_phase(session, run_id, phase_id, result.run_id, result.phase_id)
        first = submissions.find_attempt(session, phase, Role.BUILDER, result.builder_attempts)
        if first is not None:
            if first.answer is not None:
                return PostOutcome(BuilderReceipt.model_validate(first.answer))
            receipt = BuilderReceipt(message=submissions.IN_WORK, phase_state=phase.state)
            return PostOutcome(receipt, first.id)
        _require_open_phase(run, phase)
        patch = _read(result, misfit)
        if not isinstance(patch, Unprocessable):
            return _judge(session, run, phase, result, patch, flags, now)
        problem = submissions.unusable_patch(phase, str(patch), Source.STATIC_CHECK)
        submissions.record_findings(session, run, phase, (problem,), f"patch {now.isoformat()}", now)
    raise patch


def after_refusal(run: Run, phase: Phase, note: str, found: Sequence[Finding]) -> NextStep:
    """Where a phase goes whose work is refused because of `found`."""
    policy, rules = patch_policy.violates_policy(found), phase_moves.gate_rules_of(run, phase)
    return gate.after_refusal(note, violates_policy=policy, attempts=phase.builder_attempts, rules=rules)


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
    if phase.state.ended:
        raise Conflict(f"{phase.phase_id} has ended ({phase.state}); a new result cannot change it")


def _judge(
    session: Session,
    run: Run,
    phase: Phase,
    result: BuilderResult,
    patch: Patch | None,
    flags: Sequence[Flag],
    now: datetime,
) -> PostOutcome[BuilderReceipt]:
    """Store the attempt, judge it, and move the phase to where that leads."""
    number = result.builder_attempts
    if phase.state == PhaseState.GATE:
        phase_moves.send_back(session, run, phase, f"attempt {number} takes the place of the one at the gate", now)
    stored = submissions.store(session, phase, Role.BUILDER, number, result, now)
    phase_moves.move_to_gate(session, run, phase, f"attempt {number} posted", now)
    posted = submissions.count(session, run.run_id, phase.phase_id, Role.BUILDER)
    phase.builder_attempts = max(phase.builder_attempts, number, posted)
    if patch is not None:
        phase.changed_paths = list(patch.paths)
    run.active_seconds += (result.duration_minutes or 0) * 60
    strategy = phase_moves.strategy_of(run)
    flags = without_ignored(flags, strategy.integrity.ignore)
    found = _gate_findings(result, patch, submissions.planned_phase(run, phase), strategy.patch)
    found += tuple(flag.as_finding() for flag in flags if flag.level is Level.REFUSE)
    suggested = result.suggested_issues or ()
    submissions.record_posted_issues(session, run, phase, suggested, "cursor_self_doubt", f"builder {number}", now)
    submissions.record_findings(session, run, phase, found, f"gate {number}", now)
    if not found:
        finding_rows.resolve_sources(
            session, run, phase, (Source.STATIC_CHECK, Source.PROBE), f"gone in attempt {number}"
        )
    doubtful = tuple(flag.as_finding() for flag in flags if flag.level is Level.PERSON)
    submissions.record_findings(session, run, phase, doubtful, f"integrity {number}", now)
    phase_moves.book_tokens(session, run, phase, Role.BUILDER, result.tokens_used, f"builder:{number}", now)
    if not phase_moves.end_if_exhausted(session, run, phase, Role.BUILDER, now):
        phase_moves.take_step(session, run, phase, _next_step(run, phase, result, found), now)
    status = phase_moves.status_of(session, run, phase)
    receipt = BuilderReceipt(message=_receipt_message(phase, number, status), phase_state=phase.state)
    if status.in_work:
        return PostOutcome(receipt, stored.id)
    stored.answer = receipt.model_dump(mode="json")
    return PostOutcome(receipt)


def _next_step(run: Run, phase: Phase, result: BuilderResult, found: Sequence[Finding]) -> NextStep:
    if result.status == "failed" or found:
        note = " ".join(one.problem for one in found) or result.notes or "its builder says that it failed"
        return after_refusal(run, phase, note, found)
    return gate.after_result(
        attempt=result.builder_attempts,
        attempts=phase.builder_attempts,
        needs_review=result.status == "needs_review",
        rules=phase_moves.gate_rules_of(run, phase),
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


def _receipt_message(phase: Phase, number: int, status: PhaseStatus) -> str:
    waits = "waits for its audit" if status is PhaseStatus.AWAITS_AUDIT else "will be pushed"
    told = {
        PhaseState.COMPLETE: "passed its gate",
        PhaseState.GATE: f"passed its gate and {waits}",
        PhaseState.RETRY: f"is sent back: {phase.note}",
        PhaseState.FAILED: f"failed: {phase.note}",
    }
    return f"Attempt {number} of {phase.phase_id} {told.get(phase.state, 'is recorded')}"
