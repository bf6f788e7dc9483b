"""Services and queries as durable steps, each named as its function. Nothing here touches GitHub."""

from collections.abc import Sequence

from app.db import finding_rows, model_calls, run_rows
from app.domain.budget import Exhausted
from app.domain.plan import Plan
from app.domain.states import RunState
from app.domain.status_view import RunView
from app.domain.strategy import Strategy
from app.queries import run_view
from app.runs import (
    continuation,
    finding_verdicts,
    heard_comments,
    kept_phases,
    own_phases,
    retry,
    run_requests,
    steering,
    tier_outcome,
    transitions,
)
from app.workflows.services import services
from app.workflows.steps import blocking_step, db_step, utcnow

move_run = db_step(transitions.move_run)
move_tier = db_step(transitions.move_tier)
tier_outcome_of = db_step(tier_outcome.read_tier_outcome)
append_phase = db_step(run_rows.append_phase)
add_notice = db_step(run_rows.add_notice)
object_to_promotion = db_step(run_rows.object_to_promotion)
set_ci_absent = db_step(run_rows.set_ci_absent)
get_stop_request = db_step(run_rows.get_stop_request)
read_standing = db_step(steering.read_standing)
cancel_overdue = db_step(steering.cancel_overdue)
leave_out = db_step(steering.leave_out)
get_skip = db_step(run_requests.get_skip)
has_ended = db_step(run_requests.has_ended)
read_head = db_step(run_requests.read_head)
is_complete_at = db_step(run_requests.is_complete_at)
answer_requested = db_step(run_requests.answer_requested)
take_comments = db_step(heard_comments.take_comments)
list_comments = db_step(heard_comments.list_comments)
note_not_taken = db_step(heard_comments.note_not_taken)
list_dismissed = db_step(finding_verdicts.list_dismissed)
last_kept_sha = db_step(kept_phases.last_kept_sha)
create_next = db_step(continuation.create_next)
go_on_with_late_requests = db_step(retry.go_on_with_late_requests)
mark_announced = db_step(run_rows.mark_announced)

start_attempt = db_step(own_phases.start_attempt)
move_to_gate = db_step(own_phases.move_to_gate)
start_audit = db_step(own_phases.start_audit)
record_push = db_step(own_phases.record_push)
record_pull = db_step(own_phases.record_pull)
record_audit = db_step(own_phases.record_audit)
move_to_ci = db_step(own_phases.move_to_ci)
send_back = db_step(own_phases.send_back)
fail_phase = db_step(own_phases.fail_phase)
complete_phase = db_step(own_phases.complete_phase)
mark_snapshot = db_step(own_phases.mark_snapshot)

record_findings = db_step(finding_rows.record)
resolve_findings = db_step(finding_rows.resolve)
list_open_findings = db_step(finding_rows.list_open_findings)

check_ci_budget = db_step(model_calls.check_ci_budget)
_ci_runs = db_step(model_calls.ci_runs)
_claim_ci_run = db_step(model_calls.claim_ci_run)


async def claim_ci_run(run_id: str, phase_id: str | None) -> None:
    """Count one more CI run for the phase, or for a merge with the base.

    Raises `BudgetExhausted` when a cap has no room for it; then nothing may be pushed.
    """
    await _claim_ci_run(run_id, phase_id, await _ci_runs(run_id, phase_id) + 1)


@blocking_step
def begin_planning(run_id: str) -> None:
    transitions.begin_planning(services().db, run_id, services().ruleset.run.minutes, utcnow())


@blocking_step
def store_strategy(run_id: str, plan: Plan, strategy: Strategy, rest: Sequence[Plan]) -> None:
    transitions.store_strategy(services().db, run_id, plan, strategy, utcnow(), rest)


@blocking_step
def read_view(run_id: str) -> RunView:
    """The run as GitHub shows it."""
    return run_view.read_run_view(services().db, run_id, services().server_url)


@blocking_step
def end_run(run_id: str, state: RunState, reason: str, spent: Exhausted | None = None) -> tuple[RunState, str]:
    """End what is still open: the phase at work, its tier, and the run; the state it ended in, and why."""
    return transitions.end_run(services().db, run_id, state, reason, utcnow(), spent)
