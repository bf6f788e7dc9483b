"""Who may steer, and how a run comes to be: the same for the label and for the command."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.db import run_rows
from app.db.run_rows import NewRun
from app.domain.plan_edit import PlanUnreadable
from app.domain.strategy import RunOptions
from app.github import text
from app.github.client import Repo
from app.github.events import Account, IssueRef, RepositoryEvent
from app.github.permissions import may_steer
from app.workflows.posted_plan import plan_of_issue
from app.workflows.services import call_db, repo_of, services
from app.workflows.steps import utcnow
from handlers.answering import reply
from handlers.outcomes import StartRun


async def repo_of_event(event: RepositoryEvent) -> Repo | None:
    """The event's repository as the App reaches it; None for an event that names no installation."""
    if event.installation is None:
        return None
    repo = await repo_of(event.repository.full_name, event.installation.id, event.repository.id)
    return replace(repo, for_person=True)


async def check_permission(repo: Repo, who: Account, number: int) -> bool:
    """Ask GitHub whether the person may steer; the first time they may not, tell them so politely."""
    if await may_steer(repo, who.login):
        return True
    await reply(repo, number, f"refusal:{who.login}", text.permission_refusal(who.login))
    return False


LATE = timedelta(minutes=2)
"""Deliveries that come in so long after their event were missed when they were due."""


def missed_since(event: RepositoryEvent, happened_at: datetime | None) -> str:
    """What a run says that starts by an event whose delivery was missed; empty for one that came in time."""
    if happened_at is None or event.received_at is None or event.received_at - happened_at < LATE:
        return ""
    form = "%H:%M UTC" if event.received_at.date() == happened_at.date() else "%Y-%m-%d %H:%M UTC"
    return f"Started late: a delivery of {happened_at.astimezone(UTC):{form}} was missed."


async def create_run(
    repo: Repo,
    issue: IssueRef,
    who: Account,
    *,
    base_branch: str,
    missed: str = "",
    intent: str = "build",
    options: RunOptions | None = None,
    comment_id: int | None = None,
) -> StartRun | None:
    """Store the run, unless one is open on the issue for the same purpose: then that one is named.

    A run that builds carries out the plan that is posted on the issue, as it is now. None, and the person is answered,
    where that plan cannot be read.
    """
    options, posted = options or RunOptions(), None
    if intent == "build":
        try:
            posted = await plan_of_issue(repo, issue.number)
        except PlanUnreadable as problem:
            await reply(
                repo, issue.number, f"plan-unreadable:{comment_id or who.login}", text.plan_unreadable(str(problem))
            )
            return None
    notices = (missed, posted.notice if posted is not None else "")
    run_id = await call_db(
        run_rows.create,
        NewRun(
            run_id=f"issue-{issue.number}-{secrets.token_hex(4)}",
            repository=repo.full_name,
            repository_id=repo.id,
            installation_id=repo.installation_id,
            issue_number=issue.number,
            issue_title=issue.title,
            issue_body=issue.body or "",
            intent=intent,
            requester=who.login,
            requester_id=who.id,
            trigger_comment_id=comment_id,
            options=options,
            base_branch=base_branch,
            notices=tuple(filter(None, notices)),
            plan=posted.plan if posted is not None else None,
            token_cap=options.tokens or services().ruleset.run.tokens,
        ),
        utcnow(),
    )
    return StartRun(run_id)
