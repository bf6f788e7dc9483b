"""Which runs and projects were written: recorded while a transaction writes, reported after its commit."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

_TRACKED_COLUMNS = ("run_id", "project_id")


@dataclass
class ChangedIds:
    """Ids of runs and projects of which something was written."""

    runs: set[str] = field(default_factory=set[str])
    projects: set[str] = field(default_factory=set[str])

    def __bool__(self) -> bool:
        return bool(self.runs or self.projects)

    def update(self, other: "ChangedIds") -> None:
        self.runs |= other.runs
        self.projects |= other.projects

    def note(self, column: str, ids: Iterable[str | None]) -> None:
        """Note values of a column, `run_id` or `project_id`."""
        (self.runs if column == "run_id" else self.projects).update(one for one in ids if one is not None)


class ChangeLog:
    """What was written by this process since it was last asked. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._touched = ChangedIds()

    def add(self, touched: ChangedIds) -> None:
        with self._lock:
            self._touched.update(touched)

    def take(self) -> ChangedIds:
        """All that was added since the last time."""
        with self._lock:
            taken, self._touched = self._touched, ChangedIds()
        return taken


class TrackingSession(Session):
    """A session that knows what it has written: objects by their attributes, bulk statements by the rows they meet."""

    def __init__(self, bind: sa.Engine) -> None:
        super().__init__(bind, expire_on_commit=False)
        self.touched = ChangedIds()


@event.listens_for(TrackingSession, "after_flush")
def _track_objects(session: TrackingSession, _flush: object) -> None:
    for row in (*session.new, *session.dirty, *session.deleted):
        for column in _TRACKED_COLUMNS:
            session.touched.note(column, [getattr(row, column, None)])


@event.listens_for(TrackingSession, "do_orm_execute")
def _track_statement(state: ORMExecuteState) -> None:
    statement, session = state.statement, state.session
    assert isinstance(session, TrackingSession)
    if isinstance(statement, sa.Insert):
        for column in _TRACKED_COLUMNS:
            session.touched.note(column, _inserted_values(state, statement.table, column))
    elif isinstance(statement, sa.Update | sa.Delete):
        for column in _TRACKED_COLUMNS:
            session.touched.note(column, _affected_values(session, statement.table, column, statement.whereclause))


def _affected_values(session: Session, table: Any, column: str, where: sa.ColumnElement[Any] | None) -> list[str]:
    """The values that a column, if the table has it, holds in the rows that a statement is about to write."""
    if column not in table.c:
        return []
    met: sa.Select[str] = sa.select(table.c[column]).distinct()
    return list(session.scalars(met if where is None else met.where(where)))


def _inserted_values(state: ORMExecuteState, table: Any, column: str) -> list[str]:
    """The values of a column in the rows that an INSERT is given.

    Raises `TypeError` when the statement's own text holds rows of a run, which cannot be read there.
    """
    given = state.parameters
    if given is None and column == "run_id" and column in table.c:
        raise TypeError("give an INSERT its rows as parameters, or add objects: what it writes of a run must be known")
    rows: list[Mapping[str, Any]] = [given] if isinstance(given, Mapping) else list(given or ())
    return [str(row[column]) for row in rows if column in row]
