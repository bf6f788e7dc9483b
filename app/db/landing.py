"""What a run's workflow does with posted work that is to land on a branch: what there is to do, what came of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from app.db import audits, builder_results, external, issues, posting
from app.db.engine import Database
from app.db.posting import AUDIT, WORK
from app.db.tables import Phase, Run, Submission, Transition
from app.domain.budget import Role
from app.domain.findings import Finding, Recommendation, Severity, Source, issue_key
from app.domain.requests import AuditorResult, BuilderResult, SuggestedPatch
from app.domain.states import PhaseState, RunState


class Look(BaseModel):
    """How an externally built run stands, as its workflow sees it."""

    model_config = ConfigDict(frozen=True)

    state: RunState
    reason: str
    head_sha: str | None
    stopped: str | None
    phase_id: str | None
    """The phase that the workflow has something to do with."""
    over: bool
    """Every phase has ended."""
    last: datetime
    """When something was last posted or moved."""


class Work(BaseModel):
    """What is to be done for one phase."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    patch: str
    """The builder's diff; empty once it is pushed, and where nothing was posted."""
    suggested: tuple[str, ...]
    """The auditor's diffs that are not pushed yet."""
    summary: str
    head_sha: str | None
    """The phase's commit, where the builder's patch is pushed already."""
    approved: bool


def look(db: Database, run_id: str) -> Look:
    """Read the run anew."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        phases = session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index)).all()
        waiting = [phase for phase in phases if phase.awaiting == WORK and not PhaseState(phase.state).ended]
        moved = session.scalar(sa.select(sa.func.max(Transition.at)).where(Transition.run_id == run_id))
        posted = session.scalar(sa.select(sa.func.max(Submission.at)).where(Submission.run_id == run_id))
        return Look(
            state=RunState(run.state),
            reason=run.reason,
            head_sha=run.head_sha,
            stopped=run.stop_reason if run.stop_state else None,
            phase_id=waiting[0].phase_id if waiting else None,
            over=bool(phases) and all(PhaseState(phase.state).ended for phase in phases),
            last=max(at for at in (run.created_at, moved, posted) if at is not None),
        )


def work(db: Database, run_id: str, phase_id: str) -> Work | None:
    """What is to be done for a phase; None when no result was posted for it."""
    with db.reading() as session:
        phase = session.get_one(Phase, (run_id, phase_id))
        built = posting.submissions(session, run_id, phase_id, Role.BUILDER)
        if not built:
            return None
        result, pushed_already = BuilderResult.model_validate(built[-1].body), built[-1].commit_sha is not None
        return Work(
            attempt=phase.builder_attempts,
            patch="" if pushed_already else result.patch_content or "",
            suggested=tuple(one.patch_content for one in _suggested(session, phase)),
            summary=result.notes or "",
            head_sha=phase.head_sha if pushed_already else None,
            approved=posting.approved(session, run_id, phase_id),
        )


def refuse(db: Database, run_id: str, phase_id: str, found: Sequence[Finding], seen_in: str, now: datetime) -> None:
    """Send a phase back because of what was found in its work: by the policy, or by CI."""
    with db.writing() as session:
        run = external.held_run(session, run_id)
        phase = external.the_phase(session, run, phase_id)
        posting.record(session, run, phase, found, seen_in, now)
        if phase.state == PhaseState.GATE:
            builder_results.again(session, run, phase, " ".join(one.problem for one in found), found, now)
        _settle(session, run, phase, (), now)


def await_audit(db: Database, run_id: str, phase_id: str, now: datetime) -> None:
    """The work is done as far as it can be without an approving audit."""
    with db.writing() as session:
        run = external.held_run(session, run_id)
        phase = external.the_phase(session, run, phase_id)
        if phase.awaiting == WORK:
            phase.awaiting = AUDIT
        _settle(session, run, phase, (), now)


def pushed(
    db: Database, run_id: str, phase_id: str, built: str | None, suggested: Sequence[str], now: datetime
) -> None:
    """Commits of the builder's patch and of the auditor's are on the branch; CI judges them, and the client is told."""
    with db.writing() as session:
        run = external.held_run(session, run_id)
        phase = external.the_phase(session, run, phase_id)
        external.lead(session, run, RunState.CI_RUNNING, f"{phase_id} pushed", now)
        if built is not None:
            newest = posting.submissions(session, run_id, phase_id, Role.BUILDER)[-1]
            newest.commit_sha = built
            if newest.answer is None:
                newest.answer = _standing(phase, f"Attempt {newest.attempt} is pushed; CI judges it") | {
                    "commit_sha": built
                }
        _settle(session, run, phase, suggested, now)


def complete(db: Database, run_id: str, phase_id: str, cause: str, now: datetime, *, snapshot: bool) -> None:
    """The phase's commit is green, or no CI judges it, and it is audited."""
    with db.writing() as session:
        run = external.held_run(session, run_id)
        phase = external.the_phase(session, run, phase_id)
        if phase.state == PhaseState.GATE:
            phase.snapshot, phase.awaiting, phase.note = snapshot, "", ""
            issues.resolve_sources(session, run, phase, (Source.CI, Source.STATIC_CHECK), cause)
            external.move(session, run, phase, PhaseState.COMPLETE, cause, now)
        _settle(session, run, phase, (), now)


def deadline(seen: Look, minutes: float) -> datetime:
    """Until when something has to be posted."""
    return seen.last + timedelta(minutes=minutes)


def misfit(phase_id: str, problem: str) -> Finding:
    """The finding of a patch that does not apply on top of what has landed meanwhile."""
    return Finding(
        issue_key=issue_key("patch", phase_id, "misfit"),
        severity=Severity.MAJOR,
        source=Source.STATIC_CHECK,
        category="patch",
        problem=problem,
    )


def _suggested(session: Session, phase: Phase) -> list[SuggestedPatch]:
    """Patches of the newest audit, until it is answered."""
    audited = posting.submissions(session, phase.run_id, phase.phase_id, Role.AUDITOR)
    if not audited or audited[-1].answer is not None:
        return []
    return AuditorResult.model_validate(audited[-1].body).suggested_patches or []


def _settle(session: Session, run: Run, phase: Phase, applied: Sequence[str], now: datetime) -> None:
    """Let a waiting audit lead where it says, and answer whatever waits with where the phase stands."""
    audited = posting.submissions(session, run.run_id, phase.phase_id, Role.AUDITOR)
    waiting = next((one for one in audited[-1:] if one.answer is None), None)
    if (
        waiting is not None
        and waiting.body["recommendation"] == Recommendation.REVISE
        and phase.state == PhaseState.GATE
    ):
        audits.follow(session, run, phase, AuditorResult.model_validate(waiting.body), now)
    built = posting.submissions(session, run.run_id, phase.phase_id, Role.BUILDER)
    said = f"{phase.phase_id} is {phase.state}" + (f": {phase.note}" if phase.note else "")
    for one in built:
        one.answer = one.answer or _standing(phase, said)
    for one in audited:
        commits = list(applied) if one is waiting else []
        one.answer = one.answer or _standing(phase, said) | {
            "recommendation": one.body["recommendation"],
            "patches_applied": len(commits),
            "commit_shas": commits,
        }


def _standing(phase: Phase, message: str) -> dict[str, Any]:
    return {"message": message, "phase_state": phase.state}
