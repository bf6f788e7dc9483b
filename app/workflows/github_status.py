"""What a run shows on GitHub: a status comment edited in place, a check run per head commit, the pull request."""

from datetime import datetime

from dbos import DBOS

from app.db import run_rows
from app.domain.status_view import Headline, RunView
from app.github import checks, comments, pulls, text
from app.github.client import Repo
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.github.write_locks import write_lock
from app.queries import run_view
from app.workflows.run_context import RunContext
from app.workflows.services import call_db, repo_of, services
from app.workflows.steps import optional_effect, utcnow


@DBOS.step(name="say")
async def set_headline(
    run_id: str, headline: Headline, next_action: str, reason: str = "", deadline: datetime | None = None
) -> None:
    """Change the headline, with its next action, and show it. What GitHub does not let us show now is shown at the
    next change."""
    await call_db(
        run_rows.update,
        run_id,
        {
            "headline": headline,
            "next_action": next_action,
            "reason": reason,
            "headline_since": utcnow(),
            "deadline": deadline,
        },
    )
    try:
        await refresh_status(run_id)
    except (GitHubUnavailable, GitHubRefused) as trouble:
        DBOS.logger.warning("the status of %s is not shown for now: %s", run_id, trouble)


async def refresh_status(run_id: str) -> None:
    """Make GitHub show the run as it is. Sends nothing that is shown already.

    Comment, check run and pull request are independent: where one is refused (a locked issue), the others are shown.

    The picture is taken in its turn: a command's handler and the run itself never write an older one over a newer.
    """
    run = await call_db(run_rows.get, run_id)
    if not run.repository:
        return
    repo = await repo_of(run.repository, run.installation_id)
    async with write_lock(repo, "run", run_id):
        await _show(repo, run_id)


async def _show(repo: Repo, run_id: str) -> None:
    view = await read_view(run_id)
    if view.issue_number:
        await comments.upsert(repo, view.issue_number, f"status:{run_id}", text.status_comment(view))
    if view.head_sha is not None:
        await checks.upsert_check(repo, checks.RUN_CHECK, view.head_sha, run_id, text.check_output(view))
    if view.pull_number is not None:
        await pulls.show_text(repo, view.pull_number, title=text.pull_title(view), body=text.pull_body(view))


@optional_effect
async def supersede_check(context: RunContext, older_sha: str, newer_sha: str) -> None:
    """End the check run of the branch's head before, so that none is left running for ever."""
    if older_sha != context.base_sha:
        repo = await repo_of(context.repository, context.installation_id)
        await checks.upsert_check(repo, checks.RUN_CHECK, older_sha, context.run_id, text.superseded_check(newer_sha))


async def read_view(run_id: str) -> RunView:
    """The run's status view as of now."""
    return await call_db(run_view.read_run_view, run_id, services().server_url)


async def show_promotion(run_id: str) -> None:
    """Set the promotion check of the head commit: success when nothing prevents merging, else the reasons."""
    run = await call_db(run_rows.get, run_id)
    if run.head_sha is None:
        return
    repo = await repo_of(run.repository, run.installation_id)
    async with write_lock(repo, "promotion", run_id):
        said = text.promotion_check(await read_view(run_id))
        await checks.upsert_check(repo, checks.PROMOTION_CHECK, run.head_sha, f"{run_id}:promotion", said)
