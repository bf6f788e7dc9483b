"""What people say on the issue or pull request while a run is at work: given to the attempts that follow."""

from app.db.engine import LOCK, Database
from app.db.tables import Run
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.strategy import Engine

MAX_COMMENTS = 50
"""Of one run; what is beyond is not kept."""


def add_comment(db: Database, run_id: str, said: RequestedChange) -> bool:
    """Keep a comment for the next attempt; False where it is kept already, or the run cannot take it any more."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        known = run.objections or ()
        if run.state.terminal or len(_comments(run)) >= MAX_COMMENTS or any(one.key == said.key for one in known):
            return False
        run.objections = (*known, said)
        return True


def take_comments(db: Database, run_id: str, phase_id: str, attempt: int) -> tuple[str, ...]:
    """All that was said since the run began, for this attempt; what is new to the Builder is noted for the reader."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        new = [one for one in _comments(run) if not one.given_to]
        if new:
            given = f"attempt {attempt} of {phase_id}"
            run.objections = tuple(
                one.model_copy(update={"given_to": given}) if one in new else one for one in run.objections or ()
            )
            run.notices = [*run.notices, *(f"{_what(one)} is given to {given}." for one in new)]
        return _texts(run)


def list_comments(db: Database, run_id: str) -> tuple[str, ...]:
    """All that was said since the run began."""
    with db.reading() as session:
        return _texts(session.get_one(Run, run_id))


def note_not_taken(db: Database, run_id: str) -> None:
    """The run is over: say of each comment that no attempt was given that it is not taken into account."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        late = [one for one in _comments(run) if not one.given_to]
        external = run.engine is Engine.EXTERNAL  # which reads it over the REST API, or does not
        why = "was for the external builder to read" if external else "came after the last attempt"
        noted = [f"{_what(one)} {why}{'' if external else ': `/autopack fix` has it done'}." for one in late]
        run.notices = [*run.notices, *(text for text in noted if text not in run.notices)]


def _comments(run: Run) -> list[RequestedChange]:
    return [one for one in run.objections or () if one.kind is RequestKind.COMMENT]


def _texts(run: Run) -> tuple[str, ...]:
    return tuple(f"{one.login}: {one.text}" for one in _comments(run))


def _what(one: RequestedChange) -> str:
    return f"What {one.login} says in {one.url}" if one.url else f"What {one.login} says"
