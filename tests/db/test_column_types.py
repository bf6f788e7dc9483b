"""Columns hold domain types: enums by value, pydantic values as JSON, texts without NUL."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError

import app
from app.db import finding_rows
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import FindingRow, Run
from app.domain.api_requests import AuditorResult, BuilderResult
from app.domain.budget import Role
from app.domain.findings import Recommendation
from app.domain.plan import Plan
from app.domain.states import RunState
from app.domain.strategy import Strategy
from tests.db.sample_rows import NOW, PLAN, finding, planned_run, strategy_of

UNTYPED = re.compile(
    r"model_validate\((run|phase|row|built|audited|waiting)\.(?!\w+\()|(Run|Phase|Tier)State\((run|phase|tier|row)\.|"
    r"\.(plan|strategy|body|finding)\[\"(?!\w+\"\]\.as_)|\b(strategy|body)\.get\("
)


def test_columns_are_read_typed_everywhere() -> None:
    rooms = [Path(app.__file__).parent / room for room in ("artifacts", "db", "queries", "runs", "web", "workflows")]
    lines = [line for room in rooms for file in room.rglob("*.py") for line in file.read_text().splitlines()]
    assert [line.strip() for line in lines if UNTYPED.search(line)] == []


def test_run_comes_back_typed(db: Database) -> None:
    run_id = planned_run(db)
    with db.reading() as session:
        run = session.get_one(Run, run_id)
    assert run.state is RunState.RUN_CREATED
    assert (type(run.plan), run.plan) == (Plan, PLAN)
    assert (type(run.strategy), run.strategy) == (Strategy, strategy_of())


def test_unknown_state_is_refused(db: Database) -> None:
    run_id = planned_run(db)
    with pytest.raises(StatementError, match="PAUSED"), db.writing() as session:
        session.execute(sa.update(Run).where(Run.run_id == run_id).values(state="PAUSED"))


def test_body_is_typed_by_role(db: Database) -> None:
    run_id = planned_run(db)
    built = BuilderResult(run_id=run_id, phase_id="P1", status="success")
    audited = AuditorResult(
        run_id=run_id, phase_id="P1", review_notes="fine", recommendation=Recommendation.APPROVE, auditor_attempts=1
    )
    with db.writing() as session:
        for role, body in ((Role.BUILDER, built), (Role.AUDITOR, audited)):
            session.add(Submission(run_id=run_id, phase_id="P1", role=role, attempt=1, body=body, at=NOW))
    with db.reading() as session:
        first, second = session.scalars(sa.select(Submission).order_by(Submission.id))
    assert (first.builder_result, second.auditor_result) == (built, audited)
    with pytest.raises(TypeError, match="BuilderResult"):
        _ = first.auditor_result


def test_nul_in_json_is_replaced(db: Database) -> None:
    run_id = planned_run(db)
    odd = finding().model_copy(update={"category": "a\0b", "problem": "c\0d"})
    finding_rows.record(db, run_id, "P1", [odd], "audit 1", NOW)
    with db.reading() as session:
        row = session.scalars(sa.select(FindingRow)).one()
        index = finding_rows.run_index(session, run_id)
    assert (row.finding.category, row.finding.problem) == ("a\N{REPLACEMENT CHARACTER}b", "c\N{REPLACEMENT CHARACTER}d")
    assert [entry.category for entry in index.values()] == ["a\N{REPLACEMENT CHARACTER}b"]


def test_fields_of_other_releases_are_ignored(db: Database) -> None:
    run_id = planned_run(db)
    with db.writing() as session:
        strategy = strategy_of().model_dump(mode="json") | {"of_another_release": 1}
        table = sa.table("runs", sa.column("strategy", sa.JSON), sa.column("run_id", sa.String))
        session.connection().execute(sa.update(table).where(table.c.run_id == run_id).values(strategy=strategy))
    with db.reading() as session:
        assert session.get_one(Run, run_id).strategy == strategy_of()
