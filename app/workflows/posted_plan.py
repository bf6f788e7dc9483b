"""The plan that is posted on an issue: as people left it, it is what the next run of the issue carries out."""

from dataclasses import dataclass

from app.db import run_rows
from app.domain.plan import Plan
from app.domain.plan_edit import PlanUnreadable, changes, joined
from app.github import comments, text
from app.github.client import Repo
from app.workflows.services import call_db


@dataclass(frozen=True)
class PostedPlan:
    """A plan to carry out, and what a person reads about where it comes from."""

    plan: Plan
    notice: str


async def plan_of_issue(repo: Repo, issue_number: int) -> PostedPlan | None:
    """The issue's newest plan as it is in its comment now; None where none is posted, or its comment is deleted.

    Raises `PlanUnreadable`.
    """
    run = await call_db(run_rows.find_plan_run, repo.full_name, issue_number)
    if run is None or run.plan is None:
        return None
    comment = await comments.find(repo, issue_number, f"plan:{run.run_id}")
    if comment is None:
        return None
    posted = joined((run.plan, *run.rest))
    plan = text.read_plan(comment.body, posted)
    changed = changes(posted, plan)
    edited = f", as people edited it: {'; '.join(changed)}" if changed else ""
    return PostedPlan(plan, f"Carries out the plan of {run.run_id}{edited}."[:1_000])


async def note_edit(run_id: str, before: str, after: str, by: str) -> str:
    """Record on the plan's run what a person changed of its comment; why the plan cannot be read now, else empty."""
    run = await call_db(run_rows.get, run_id)
    if run.plan is None:
        return ""
    posted = joined((run.plan, *run.rest))
    try:
        plan = text.read_plan(after, posted)
    except PlanUnreadable as trouble:
        return str(trouble)
    try:
        earlier = text.read_plan(before, posted)
    except PlanUnreadable:
        earlier = posted
    if changed := changes(earlier, plan):
        version = 2 + sum(notice.startswith("Version ") for notice in run.notices)
        said = f"Version {version} of the plan, edited by {by}: {'; '.join(changed)}."
        await call_db(run_rows.add_notice, run_id, said[:1_000])
    return ""
