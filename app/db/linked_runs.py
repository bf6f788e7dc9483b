"""Ids of linked runs, and the runs before and after one: a plan too large for one run is split into several."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.tables import Run
from app.domain.status_view import LinkedRun

_MAX_ID_LENGTH = 100
RESULTS_AWAITED = "Results are awaited at POST …/builder_result."


def next_run_id(run_id: str, part: int) -> str:
    """The id of the run that does the part after `part`, which this run does."""
    return linked_run_id(run_id, part, part + 1)


def linked_run_id(run_id: str, part: int, other: int) -> str:
    """The id of the run that does the part `other` of the plan of which this run does `part`.

    Derived from the first run's id; only a later run's own suffix is removed.
    """
    root = run_id.removesuffix(f"-part-{part}") if part > 1 else run_id
    suffix = f"-part-{other}"
    return root[: _MAX_ID_LENGTH - len(suffix)] + suffix


def following_run_ids(run: Run) -> list[str]:
    """The ids of the runs that follow this one, in order."""
    return [linked_run_id(run.run_id, run.part, run.part + number) for number in range(1, len(run.rest) + 1)]


def following_run_with_phase(run: Run, phase_id: str) -> str | None:
    """The id of the run, of those that follow this one, that has the phase."""
    parts = zip(following_run_ids(run), run.rest, strict=True)
    return next((following for following, plan in parts if phase_id in plan.phase_ids), None)


def linked_neighbors(session: Session, run: Run) -> tuple[LinkedRun | None, LinkedRun | None]:
    """The runs before and after this one, as far as there are any."""
    before = session.get(Run, run.follows) if run.follows else None
    after = session.scalar(sa.select(Run).where(Run.follows == run.run_id))
    return _link(before), _link(after)


def _link(run: Run | None) -> LinkedRun | None:
    return LinkedRun(run_id=run.run_id, pull_number=run.pull_number) if run else None
