"""Reads a run in full, and what belongs to a project, for the files that are written of them."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import backlog
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import DEFAULT_PROJECT, Run, Transition
from app.domain import finding_counts
from app.domain.api_requests import BuilderResult
from app.domain.finding_counts import PhaseIssues
from app.domain.ruleset import Ruleset
from app.domain.run_export import Backlogs, PostedPatch, ProjectRules, RunArchive, TransitionEntry
from app.domain.strategy import Strategy
from app.queries.run_metrics import run_summary
from app.queries.run_tree import PhaseNode, RunTree, read_run_tree
from app.queries.run_view import run_view


def read_run_archive(db: Database, run_id: str, ruleset: Ruleset, server_url: str) -> RunArchive:
    """The run as it is now. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        tree = read_run_tree(session, session.get_one(Run, run_id))
        history, patches = _history(session, run_id), _patches(session, run_id)
    run = tree.run
    return RunArchive(
        summary=run_summary(tree, ruleset.run),
        view=run_view(tree, server_url),
        plan=run.plan,
        strategy=run.strategy.model_dump(mode="json") if run.strategy else None,
        base_sha=run.base_sha,
        follows=run.follows,
        part=run.part,
        parts=run.parts,
        last_log=run.last_log,
        issues={phase.row.phase_id: _phase_file(tree, phase) for phase in tree.phases},
        index=finding_counts.run_index(tree.records),
        history=history,
        patches=patches,
    )


def _phase_file(tree: RunTree, phase: PhaseNode) -> PhaseIssues:
    phase_id = phase.row.phase_id
    of_phase = [record for record in tree.records if record.phase_id == phase_id]
    return finding_counts.phase_file(phase_id, phase.row.tier_id, of_phase)


def list_recent_run_ids(db: Database, ended: int) -> list[str]:
    """The ids of all runs that have not ended, and of those that ended last, `ended` at most."""
    with db.reading() as session:
        working = session.scalars(sa.select(Run.run_id).where(Run.completed_at.is_(None)).order_by(Run.created_at))
        over = sa.select(Run.run_id).where(Run.completed_at.is_not(None)).order_by(Run.completed_at.desc())
        return [*working, *session.scalars(over.limit(ended))]


def list_run_ids(db: Database) -> list[str]:
    """The ids of all runs, oldest first."""
    with db.reading() as session:
        return list(session.scalars(sa.select(Run.run_id).order_by(Run.created_at, Run.run_id)))


def list_project_ids(db: Database) -> list[str]:
    """The service's own project, and all that have a run or a backlog."""
    with db.reading() as session:
        of_runs = set(session.scalars(sa.select(Run.project_id).distinct()))
        return sorted({DEFAULT_PROJECT} | of_runs | set(backlog.list_projects(session)))


def read_backlogs(db: Database) -> Backlogs:
    """The backlogs of all projects."""
    with db.reading() as session:
        return backlog.list_projects(session)


def read_project_rules(db: Database, project_id: str, ruleset: Ruleset) -> ProjectRules:
    """By which rules the project's runs are governed, as far as is known here."""
    query = (
        sa.select(Run.run_id, Run.strategy)
        .where(Run.project_id == project_id, Run.strategy["token_cap"].as_integer().is_not(None))
        .order_by(Run.created_at.desc(), Run.run_id.desc())
        .limit(1)
    )
    with db.reading() as session:
        newest = session.execute(query).one_or_none()
    strategy: Strategy | None = newest.strategy if newest else None
    common = strategy.model_dump(mode="json", exclude={"phases", "tiers"}) if strategy else None
    return ProjectRules(
        project_id=project_id, ruleset=ruleset, last_run_id=newest.run_id if newest else None, strategy=common
    )


def read_history(db: Database, run_id: str) -> tuple[TransitionEntry, ...]:
    """Every step of the run, oldest first. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        session.get_one(Run, run_id)
        return _history(session, run_id)


def _history(session: Session, run_id: str) -> tuple[TransitionEntry, ...]:
    found = session.scalars(sa.select(Transition).where(Transition.run_id == run_id).order_by(Transition.id))
    return tuple(TransitionEntry.model_validate(row) for row in found)


def _patches(session: Session, run_id: str) -> tuple[PostedPatch, ...]:
    found = session.scalars(sa.select(Submission).where(Submission.run_id == run_id).order_by(Submission.id))
    return tuple(patch for row in found for patch in _posted(row))


def _posted(row: Submission) -> list[PostedPatch]:
    body = row.body
    if isinstance(body, BuilderResult):
        given = [body.patch_content] if body.patch_content else []
    else:
        given = [one.patch_content for one in body.suggested_patches or () if one.patch_content]
    return [
        PostedPatch(phase_id=row.phase_id, role=row.role, attempt=row.attempt, number=number, text=text)
        for number, text in enumerate(given, 1)
    ]
