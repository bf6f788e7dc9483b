"""The audit of an attempt: the Auditor reads the diff; its findings go into the ledger and decide whether it passes."""

from collections.abc import Collection

from dbos import DBOS

from app.agents import auditor
from app.agents.conversation import AgentDeps
from app.agents.tasks import AuditTask, Feedback
from app.domain.audit_window import OVER_WINDOW
from app.domain.budget import Role
from app.domain.findings import AuditReport, Finding, Recommendation, Severity, Source, distinct
from app.domain.frozen import Frozen
from app.domain.phase_account import ShownDiff
from app.domain.plan import AuditorProfile
from app.domain.status_view import Headline
from app.workflows import db_steps, github_status
from app.workflows.build import model_plan
from app.workflows.run_context import PhaseContext
from app.workflows.run_ledger import RunLedger
from app.workflows.waiting import with_provider_pauses

MAX_DISMISSED = 50
"""Findings that people called wrong, of which the Auditor is told."""


class Audit(Frozen):
    """What an audit came to."""

    number: int
    """The audit round of the phase, from 1."""
    recommendation: Recommendation
    summary: str
    found: tuple[Finding, ...]
    fixed: tuple[Finding, ...]
    still_open: tuple[Finding, ...]
    shown: ShownDiff | None = None

    @property
    def accepted(self) -> bool:
        """Approved, and no major finding of any audit of the phase is still open."""
        return self.recommendation is Recommendation.APPROVE and not any(
            finding.severity is Severity.MAJOR for finding in self.still_open
        )

    def without(self, wrong: Collection[str]) -> "Audit":
        """The audit without findings that people call wrong; with nothing else to ask for, it approves."""
        found = tuple(one for one in self.found if one.fingerprint not in wrong)
        if len(found) == len(self.found):
            return self
        still_open = tuple(one for one in self.still_open if one.fingerprint not in wrong)
        changed: dict[str, object] = {"found": found, "still_open": still_open}
        if not found and self.recommendation is Recommendation.REVISE:
            changed["recommendation"] = Recommendation.APPROVE
        left_out = f"Left out: {len(self.found) - len(found)} of its findings, which people call wrong."
        changed["summary"] = f"{self.summary[:7_800]}\n\n{left_out}"
        return self.model_copy(update=changed)

    @property
    def unread(self) -> bool:
        """The diff was larger than the Auditor's window, and no model was asked."""
        return any(finding.issue_key == OVER_WINDOW for finding in self.found)

    @property
    def feedback(self) -> Feedback:
        return Feedback(title="The Auditor asks for changes", text=self.summary)


@DBOS.workflow(name="audit_round")
async def _run_audit(
    phase: PhaseContext,
    number: int,
    diff: str,
    ci: str,
    known: tuple[Finding, ...],
    profile: AuditorProfile | None,
    said: tuple[str, ...],
    dismissed: tuple[str, ...],
) -> AuditReport:
    context, rules = phase.context, phase.rules
    ledger = RunLedger(phase.run_id, phase.phase_id)
    deps = AgentDeps(
        role=Role.AUDITOR,
        ledger=ledger,
        record_failure=ledger.record_failure,
        read_tokens_left=ledger.read_tokens_left,
        plan=model_plan(phase, rules.auditor, phase.strategy.output_tokens.auditor),
    )
    task = AuditTask(
        repository=context.repository,
        run_id=context.run_id,
        issue=context.issue,
        outline=context.outline,
        notes=context.notes,
        phase=phase.phase,
        attempt=number,
        diff=diff,
        profile=profile or AuditorProfile(rules.auditor_profile or AuditorProfile.GENERAL),
        ci=ci,
        open_findings=known,
        said=said,
        dismissed=dismissed,
    )
    return await auditor.audit(task, deps)


async def audit(
    phase: PhaseContext,
    number: int,
    diff: str,
    *,
    ci: str,
    against: tuple[str, ...] = (),
    profile: AuditorProfile | None = None,
) -> Audit:
    """Have the diff audited, record what was found and what is fixed. `profile` outweighs the category's.

    `against` are the commits that the diff is against, as `ShownDiff` has them; none where it is of no commit.
    """
    await db_steps.start_audit(phase.run_id, phase.phase_id, number)
    await github_status.set_headline(phase.run_id, Headline.AUDITING, f"The Auditor reviews {phase.phase_id}.")
    known = tuple(
        view.finding
        for view in await db_steps.list_open_findings(phase.run_id, phase.phase_id)
        if view.finding.source == Source.AUDITOR
    )
    open_ = tuple(finding for finding in known if finding.issue_key != OVER_WINDOW)
    said = await db_steps.list_comments(phase.run_id)
    dismissed = await db_steps.list_dismissed(phase.run_id)
    words = tuple(one.words for one in dismissed[:MAX_DISMISSED])
    report = await with_provider_pauses(
        phase.context, lambda: _run_audit(phase, number, diff, ci, open_, profile, said, words)
    )
    found = distinct(one.as_finding() for one in report.findings)
    again = {finding.fingerprint for finding in found}
    said_fixed = {*report.fixed, *(f.fingerprint for f in known if f.issue_key == OVER_WINDOW)}
    fixed = tuple(f for f in known if f.fingerprint in said_fixed - again)
    closed = {finding.fingerprint for finding in fixed}
    done = Audit(
        number=number,
        recommendation=report.recommendation,
        summary=report.summary,
        found=found,
        fixed=fixed,
        still_open=tuple(f for f in known if f.fingerprint not in closed | again) + found,
        shown=ShownDiff(against=against, digest=auditor.digest_shown(diff)) if against else None,
    ).without({one.fingerprint for one in dismissed})
    await db_steps.record_findings(phase.run_id, phase.phase_id, done.found, f"audit {number}")
    await db_steps.record_audit(phase.run_id, phase.phase_id, done.summary)
    return done
