"""Which runs are at work on the commits that CI speaks of."""

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from app.db.engine import Database
from app.db.tables import Run


class Head(NamedTuple):
    """The newest commit of a branch, in the repository of this name or id."""

    repository: str
    repository_id: int | None
    sha: str


def find_runs_by_heads(db: Database, heads: Collection[Head]) -> set[str]:
    """The ids of the open runs whose newest commits these are."""
    named, by_id = {(one.repository, one.sha) for one in heads}, {(one.repository_id, one.sha) for one in heads}
    columns = (Run.run_id, Run.repository, Run.repository_id, Run.head_sha)
    known = Run.head_sha.in_({one.sha for one in heads})
    with db.reading() as session:
        found = session.execute(sa.select(*columns).where(Run.completed_at.is_(None), known)).all()
    return {
        run_id
        for run_id, repository, repository_id, sha in found
        if (repository, sha) in named or (repository_id is not None and (repository_id, sha) in by_id)
    }
