"""Audits as reviews of the pull request: those of Autopack's own Auditor, and those that others post."""

from app.db import model_calls, run_rows
from app.domain import diff
from app.domain.budget import Role
from app.domain.findings import Finding, Recommendation
from app.domain.frozen import Frozen
from app.github import reviews, text
from app.github.placement import on_the_base, place_findings
from app.github.telling import Untold
from app.github.write_locks import write_lock
from app.runs import posted_audits
from app.runs.posted_audits import DueAudit
from app.workflows.audit import Audit
from app.workflows.repositories import fork_of_pull, mirror_at
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run


class _AuditReview(Frozen):
    """What the review of an audit says, and where."""

    phase_id: str
    number: int
    recommendation: Recommendation
    summary: str
    found: tuple[Finding, ...]
    settled: tuple[Finding, ...]
    """What earlier audits found, and is settled: their threads are resolved."""
    settled_note: str
    head_sha: str
    audited_from: str
    """The commit that the audited diff is against."""
    own: bool = True
    """Autopack's own Auditor made it, so that its models are in the books."""
    unread: bool = False
    """No model was asked, as the diff is over the Auditor's window."""
    posted: bool = False

    @property
    def silent(self) -> bool:
        """Whether it approves and found nothing: then no review is posted, and the pull request's text has it."""
        return self.recommendation is Recommendation.APPROVE and not self.found


@Telling
async def post_review(run_id: str, phase_id: str, head_sha: str, audit: Audit, audited_from: str) -> list[object]:
    """One review for one audit of our own; threads of findings that are fixed are resolved.

    `audited_from` is the commit that the audited diff is against.
    """
    said = _AuditReview(
        phase_id=phase_id,
        number=audit.number,
        recommendation=audit.recommendation,
        summary=audit.summary,
        found=audit.found,
        settled=audit.fixed,
        settled_note=f"✅ Fixed in {head_sha[:7]}.",
        head_sha=head_sha,
        audited_from=audited_from,
        unread=audit.unread,
    )
    return await _post(run_id, said)


@Telling
async def show_posted_audits(run_id: str) -> list[object]:
    """One review for each posted audit that is not shown yet, on the commit that it is about."""
    came_to: list[object] = []
    async with write_lock(await repo_of_run(run_id), "audits", run_id):
        for due in await call_db(posted_audits.list_due, run_id):
            shown = await _post(run_id, await _review_of(run_id, due))
            came_to += shown
            if not any(isinstance(one, Untold) and one.for_now for one in shown):
                await call_db(posted_audits.mark_shown, due.submission)
    return came_to


async def _review_of(run_id: str, due: DueAudit) -> _AuditReview:
    mirror = await mirror_at(run_id, due.commit_sha)
    return _AuditReview(
        phase_id=due.phase_id,
        number=due.number,
        recommendation=due.recommendation,
        summary=due.summary,
        found=due.found,
        settled=due.settled,
        settled_note=f"✅ Approved in audit {due.number}, on {due.commit_sha[:7]}.",
        head_sha=due.commit_sha,
        audited_from=await mirror.first_parent(due.commit_sha) or due.commit_sha,
        posted=True,
        own=due.own,
    )


async def _post(run_id: str, said: _AuditReview) -> list[object]:
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None or run.base_sha is None:
        return []
    repo = await repo_of_run(run.run_id)
    fork = await fork_of_pull(repo, run_id, run.base_branch, run.base_sha, said.head_sha)
    mirror = await mirror_at(run_id, said.audited_from)
    models = await call_db(model_calls.models_of_phase, run_id, said.phase_id)
    body = text.review_body(
        said.recommendation,
        said.summary,
        phase_id=said.phase_id,
        builders=models.get(Role.BUILDER, ()),
        auditors=models.get(Role.AUDITOR, ()) if said.own and not said.unread else (),
        posted=said.posted,
    )
    key = f"audit:{run_id}:{said.phase_id}:{said.number}"
    earlier = diff.parse(await mirror.diff(fork, said.audited_from))
    placement = place_findings(on_the_base(said.found, earlier), diff.parse(await mirror.diff(fork, said.head_sha)))
    came_to: list[object] = []
    if not said.silent:
        came_to.append(await reviews.post_review(repo, run.pull_number, said.head_sha, key, body, placement))
    settled = [finding.fingerprint for finding in said.settled]
    if settled:
        came_to.append(await reviews.resolve_threads(repo, run.pull_number, settled, said.settled_note))
    return came_to
