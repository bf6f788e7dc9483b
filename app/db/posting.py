"""What builder results and audits have in common: each is stored once per attempt, and a repeat answered the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import external, issues
from app.db.engine import Database
from app.db.tables import Phase, Run, Submission
from app.domain.budget import Role
from app.domain.findings import Finding, Recommendation, Severity, issue_key
from app.domain.plan import Phase as PlannedPhase
from app.domain.plan import Plan
from app.domain.refusals import Unusable
from app.domain.requests import PostedIssue

R = TypeVar("R")

WORK = "work"
"""`Phase.awaiting`: the run's workflow has something to do with it."""
AUDIT = "audit"
"""`Phase.awaiting`: somebody has to post an audit."""


@dataclass(frozen=True)
class Posted(Generic[R]):
    """What came of a post: its receipt, and the submission that the run's workflow has to answer yet, if any."""

    receipt: R
    at_work: int | None = None


def addressed(session: Session, run_id: str, phase_id: str, said_run: str, said_phase: str) -> tuple[Run, Phase]:
    """Run and phase of the address, held. Raises `Unknown`, and `Unusable` when the body names others."""
    if (said_run, said_phase) != (run_id, phase_id):
        raise Unusable(
            f"The body speaks of {said_run}/{said_phase}, the address of {run_id}/{phase_id}: let them agree"
        )
    run = external.held_run(session, run_id)
    return run, external.the_phase(session, run, phase_id)


def submissions(session: Session, run_id: str, phase_id: str, role: Role) -> list[Submission]:
    """What was posted for a phase in one role, oldest first."""
    query = sa.select(Submission).where(
        Submission.run_id == run_id, Submission.phase_id == phase_id, Submission.role == role
    )
    return list(session.scalars(query.order_by(Submission.id)))


def known(session: Session, phase: Phase, role: Role, attempt: int) -> Submission | None:
    """The result of this attempt, if it was posted before."""
    return next(
        (one for one in submissions(session, phase.run_id, phase.phase_id, role) if one.attempt == attempt), None
    )


def store(session: Session, phase: Phase, role: Role, attempt: int, body: dict[str, Any], now: datetime) -> Submission:
    """Store what was posted; it is answered later."""
    stored = Submission(run_id=phase.run_id, phase_id=phase.phase_id, role=role, attempt=attempt, body=body, at=now)
    session.add(stored)
    session.flush()
    return stored


def answer_of(db: Database, submission_id: int) -> dict[str, Any] | None:
    """What was answered to a posted result; None while the run's workflow works on it."""
    with db.reading() as session:
        return session.get_one(Submission, submission_id).answer


def under_way(phase: Phase) -> dict[str, Any]:
    """The receipt of a repeated post whose first one is being worked on."""
    return {"message": "This result is being worked on", "phase_state": phase.state}


def approved(session: Session, run_id: str, phase_id: str) -> bool:
    """Whether an audit that came after the newest result of the phase approved it, and none after that objected."""
    built, audits = (
        submissions(session, run_id, phase_id, Role.BUILDER),
        submissions(session, run_id, phase_id, Role.AUDITOR),
    )
    since = [one for one in audits if not built or one.id > built[-1].id]
    return bool(since) and since[-1].body["recommendation"] == Recommendation.APPROVE


def planned(run: Run, phase: Phase) -> PlannedPhase:
    """The phase as the plan has it."""
    return next(one for one in Plan.model_validate(run.plan).phases if one.phase_id == phase.phase_id)


def record(session: Session, run: Run, phase: Phase, found: Sequence[Finding], seen_in: str, now: datetime) -> None:
    """Record findings of our own checks."""
    issues.record_in(session, run, phase, found, seen_in, now)


def record_posted(
    session: Session, run: Run, phase: Phase, posted: Sequence[PostedIssue], source: str, seen_in: str, now: datetime
) -> None:
    """Record issues that came with a result or audit; `source` is theirs unless they name one."""
    evidence = {one.issue_key: one.evidence_refs or () for one in posted}
    issues.record_in(session, run, phase, [one.as_finding(source) for one in posted], seen_in, now, evidence=evidence)


def unusable_patch(phase: Phase, problem: str, source: str) -> Finding:
    """The issue of a patch that cannot be read or does not apply."""
    return Finding(
        issue_key=issue_key("patch", phase.phase_id, "unusable"),
        severity=Severity.MINOR,
        source=source,
        category="patch",
        problem=problem[:4_000],
    )
