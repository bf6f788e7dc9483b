"""The changes that people requested of a run, and which of its phases have ended: read and stored."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from app.db.engine import LOCK, Database
from app.db.tables import Phase, Run
from app.domain.phase_account import ShownDiff
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.states import PhaseState


def store_requested(db: Database, run_id: str, read: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Store what people ask for on the pull request as it was read now; what is stored.

    An answer stays with what it answers.
    """
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        known = {one.key: one for one in run.objections or ()}
        now = {one.key for one in read}
        heard = [one for one in known.values() if one.key not in now and _is_kept(one)]
        stored = [*heard, *[_with_answer(one, known.get(one.key)) for one in read]]
        run.objections = tuple(stored)
        return stored


def _is_kept(one: RequestedChange) -> bool:
    """Whether it stays though it is not read again: said without a review, or settled in its thread."""
    said = one.kind in {RequestKind.FIX, RequestKind.COMMENT}
    return said or (one.kind is RequestKind.THREAD and one.answered)


def _with_answer(read: RequestedChange, known: RequestedChange | None) -> RequestedChange:
    answer = {"answered_by": known.answered_by, "declined": known.declined} if known is not None else {}
    return read.model_copy(update=answer)


def answer_requested(db: Database, run_id: str, answers: Mapping[str, Mapping[str, str]]) -> list[RequestedChange]:
    """Store answers to requested changes by their keys, `answered_by` or `declined`; those that are answered now."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        stored = [one.model_copy(update=answers.get(one.key, {})) for one in run.objections or ()]
        run.objections = tuple(stored)
        return [one for one in stored if one.key in answers]


def get_skip(db: Database, run_id: str, phase_id: str) -> str:
    """The person who skips the phase; empty where no person does."""
    with db.reading() as session:
        return session.get_one(Phase, (run_id, phase_id)).skip_by


def read_head(db: Database, run_id: str) -> str | None:
    """The newest commit of the run's branch; None while it has none."""
    with db.reading() as session:
        return session.get_one(Run, run_id).head_sha


def list_audited(db: Database, run_id: str) -> tuple[tuple[str, ShownDiff | None], ...]:
    """The commits with which phases of the run are complete, each approved by an audit, and what it was shown.

    None where that is not known: of an audit that another agent posted.
    """
    audited = (Phase.run_id == run_id, Phase.state == PhaseState.COMPLETE, Phase.auditor_attempts > 0)
    with db.reading() as session:
        rows = session.execute(sa.select(Phase.head_sha, Phase.account).where(*audited).order_by(Phase.phase_index))
        return tuple((sha, account.shown if account else None) for sha, account in rows if sha is not None)


def is_complete_at(db: Database, run_id: str, sha: str) -> bool:
    """Whether a phase of the run is complete with this commit: it is audited, and not red."""
    with db.reading() as session:
        complete = (Phase.run_id == run_id, Phase.state == PhaseState.COMPLETE, Phase.head_sha == sha)
        return session.scalar(sa.select(Phase.phase_id).where(*complete).limit(1)) is not None


def has_ended(db: Database, run_id: str, phase_id: str) -> bool:
    """Whether the phase is complete, skipped or failed."""
    with db.reading() as session:
        return session.get_one(Phase, (run_id, phase_id)).state.ended
