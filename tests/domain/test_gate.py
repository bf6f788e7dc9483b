"""What a phase at its gate waits for, and what a result or an audit leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import gate
from app.domain.findings import Recommendation
from app.domain.gate import AuditAtGate, GateRules, Move, PhaseStatus, ResultAtGate
from app.domain.states import PhaseState, RunState, advance_phase

RULES = st.builds(
    GateRules,
    pushes=st.booleans(),
    audit_first=st.booleans(),
    builder_tries=st.integers(1, 5),
    auditor_tries=st.integers(0, 5),
)
RESULTS = st.none() | st.builds(
    ResultAtGate, submission_id=st.integers(1, 3), pushed=st.booleans(), judged=st.booleans()
)
AUDITS = st.none() | st.builds(
    AuditAtGate,
    recommendation=st.sampled_from(Recommendation),
    judged_submission_id=st.none() | st.integers(1, 3),
    suggests=st.booleans(),
)
OPEN = st.sampled_from([state for state in PhaseState if not state.ended])
PUSHES = GateRules(pushes=True, audit_first=False, builder_tries=3, auditor_tries=2)
AUDIT_FIRST = PUSHES.model_copy(update={"audit_first": True})
APPROVAL = AuditAtGate(recommendation=Recommendation.APPROVE, judged_submission_id=1)


@given(state=st.sampled_from(PhaseState), result=RESULTS, audit=AUDITS, rules=RULES)
def test_status_follows_the_state(
    state: PhaseState, result: ResultAtGate | None, audit: AuditAtGate | None, rules: GateRules
) -> None:
    status = gate.phase_status(state, result, audit, rules)
    assert (status is PhaseStatus.ENDED) is state.ended
    assert (status is PhaseStatus.AWAITS_RESULT) is (state is not PhaseState.GATE and not state.ended)
    assert bool(status.awaiting) is (state is PhaseState.GATE)


@given(result=RESULTS, audit=AUDITS, rules=RULES)
def test_workflow_works_with_results_of_repositories_only(
    result: ResultAtGate | None, audit: AuditAtGate | None, rules: GateRules
) -> None:
    if gate.phase_status(PhaseState.GATE, result, audit, rules).in_work:
        assert rules.pushes
        assert result is not None


@given(result=RESULTS, audit=AUDITS, rules=RULES)
def test_audit_first_work_is_not_pushed_unaudited(
    result: ResultAtGate | None, audit: AuditAtGate | None, rules: GateRules
) -> None:
    status = gate.phase_status(PhaseState.GATE, result, audit, rules)
    if rules.audit_first and result is not None and not result.pushed and status is PhaseStatus.READY_TO_PUSH:
        assert audit is not None
        assert audit.recommendation is Recommendation.APPROVE
        assert audit.judged_submission_id == result.submission_id


@given(result=RESULTS, audit=AUDITS)
def test_judged_work_without_approval_waits_for_an_audit(
    result: ResultAtGate | None, audit: AuditAtGate | None
) -> None:
    suggests = audit is not None and audit.suggests
    if result is not None and result.judged and not gate.is_approved(result, audit) and not suggests:
        assert gate.phase_status(PhaseState.GATE, result, audit, PUSHES) is PhaseStatus.AWAITS_AUDIT


@pytest.mark.parametrize(
    ("result", "audit", "rules", "status"),
    [
        (None, APPROVAL, PUSHES, PhaseStatus.AWAITS_AUDIT),
        (ResultAtGate(submission_id=1), None, PUSHES, PhaseStatus.READY_TO_PUSH),
        (ResultAtGate(submission_id=1), None, AUDIT_FIRST, PhaseStatus.AWAITS_AUDIT),
        (ResultAtGate(submission_id=1), APPROVAL, AUDIT_FIRST, PhaseStatus.READY_TO_PUSH),
        (ResultAtGate(submission_id=2), APPROVAL, AUDIT_FIRST, PhaseStatus.AWAITS_AUDIT),
        (ResultAtGate(submission_id=1, pushed=True), None, PUSHES, PhaseStatus.IN_CI),
        (ResultAtGate(submission_id=1, pushed=True, judged=True), None, PUSHES, PhaseStatus.AWAITS_AUDIT),
        (ResultAtGate(submission_id=1, pushed=True, judged=True), APPROVAL, PUSHES, PhaseStatus.IN_CI),
        (
            ResultAtGate(submission_id=1, pushed=True, judged=True),
            APPROVAL.model_copy(update={"suggests": True}),
            PUSHES,
            PhaseStatus.READY_TO_PUSH,
        ),
    ],
)
def test_status_at_the_gate(
    result: ResultAtGate | None, audit: AuditAtGate | None, rules: GateRules, status: PhaseStatus
) -> None:
    assert gate.phase_status(PhaseState.GATE, result, audit, rules) is status


@given(rules=RULES, attempts=st.integers(1, 9), policy=st.booleans())
def test_refused_work_fails_without_tries(rules: GateRules, attempts: int, policy: bool) -> None:
    step = gate.after_refusal("no", violates_policy=policy, attempts=attempts, rules=rules)
    assert (step.move is Move.FAIL) is (attempts >= rules.builder_tries)
    if step.move is Move.FAIL:
        assert (step.run_state is RunState.DONE_FAILED_POLICY_VIOLATION) is policy


@given(rules=RULES, attempts=st.integers(1, 9), needs_review=st.booleans())
def test_result_completes_only_without_audit_and_push(rules: GateRules, attempts: int, needs_review: bool) -> None:
    step = gate.after_result(attempt=attempts, attempts=attempts, needs_review=needs_review, rules=rules)
    assert (step.move is Move.FAIL) is (attempts > rules.builder_tries)
    if step.move is Move.COMPLETE:
        assert not any((rules.pushes, rules.audit_first, needs_review))


@given(recommendation=st.sampled_from(Recommendation), rejections=st.integers(0, 9), state=OPEN, rules=RULES)
def test_audit_leads_where_the_machine_goes(
    recommendation: Recommendation, rejections: int, state: PhaseState, rules: GateRules
) -> None:
    step = gate.after_audit(recommendation, number=1, review="", rejections=rejections, state=state, rules=rules)
    if recommendation is Recommendation.ESCALATE:
        assert step.move is Move.FAIL
    if recommendation is Recommendation.REVISE:
        assert step.move is (Move.BUILD if rejections <= rules.auditor_tries else Move.FAIL)
    if step.move is Move.COMPLETE:
        assert advance_phase(state, PhaseState.COMPLETE)
        assert recommendation is Recommendation.APPROVE
        assert not rules.pushes
