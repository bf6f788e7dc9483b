"""What a run shows on GitHub: a status comment edited in place, a check run per head commit, the pull request."""

import logging
from datetime import datetime

from dbos import DBOS

from app.db import run_rows
from app.db.run_rows import RunRow
from app.domain.outcome import outcome_of
from app.domain.state_labels import DESCRIPTIONS, state_labels
from app.domain.status_view import Headline, RunView
from app.github import checks, comments, issues, pulls, text
from app.github.client import Repo
from app.github.write_locks import write_lock
from app.queries import run_view
from app.workflows.run_telling import Telling, note_refusals
from app.workflows.services import call_db, repo_of_run, services
from app.workflows.steps import utcnow

log = logging.getLogger(__name__)


@DBOS.step(name="say")
async def set_headline(
    run_id: str, headline: Headline, next_action: str, reason: str = "", deadline: datetime | None = None
) -> None:
    """Change the headline, with its next action, and show it."""
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
    log.info("run %s: %s", run_id, outcome_of(await read_view(run_id)).line)
    await show_run.at_once(run_id)


@Telling
async def show_run(run_id: str) -> list[object]:
    """Make GitHub show the run as it is. Sends nothing that is shown already.

    Comment, check run and pull request are independent: where one is refused (a locked issue), the others say so.

    The picture is taken in its turn: a command's handler and the run itself never write an older one over a newer.
    """
    run = await call_db(run_rows.get, run_id)
    if not run.repository:
        return []
    repo = await repo_of_run(run.run_id)
    async with write_lock(repo, "run", run_id):
        came_to = await _show(repo, run)
        return await _show(repo, run) if await note_refusals(run_id, came_to) else came_to


async def _show(repo: Repo, run: RunRow) -> list[object]:
    run_id = run.run_id
    view = await read_view(run_id)
    came_to: list[object] = []
    if view.issue_number:
        came_to.append(await comments.upsert(repo, view.issue_number, f"status:{run_id}", text.status_comment(view)))
    if view.continued_by is not None:  # the other run has labels, check and pull request
        return came_to
    if view.issue_number and view.strategy is not None and view.strategy.state_labels:
        came_to.append(await issues.show_labels(repo, view.issue_number, state_labels(view), DESCRIPTIONS))
    untouched = view.head_sha == run.start_sha and not view.state.terminal
    if view.head_sha is not None and not untouched:  # until its first commit, the check is the run's before
        output = text.check_output(view)
        came_to.append(await checks.upsert_check(repo, checks.RUN_CHECK, view.head_sha, _check_id(run), output))
    if view.pull_number is not None:
        title, body = text.pull_title(view), text.pull_body(view)
        known_open = not view.state.terminal  # to close it ends the run
        shown = await pulls.show_text(repo, view.pull_number, title=title, body=body, known_open=known_open)
        came_to.append(shown)
    return came_to


@Telling
async def answer_rerun(run_id: str) -> list[object]:
    """Send both checks of the head commit again: "Re-run" was pressed, and GitHub shows the suite as queued since then.

    https://docs.github.com/en/rest/checks/runs#rerequest-a-check-run
    """
    run = await call_db(run_rows.get, run_id)
    if run.head_sha is None:
        return []
    repo = await repo_of_run(run.run_id)
    view = await read_view(run_id)
    said = {checks.RUN_CHECK: (_check_id(run), text.check_output(view))}
    if view.state.terminal:
        said[checks.PROMOTION_CHECK] = (f"{_check_id(run)}:promotion", text.promotion_check(view))
    return [
        await checks.upsert_check(repo, name, run.head_sha, external_id, output, again=True)
        for name, (external_id, output) in said.items()
    ]


@Telling
async def supersede_check(run_id: str, older_sha: str, newer_sha: str) -> list[object]:
    """End the check run of the branch's head before, so that none is left running for ever.

    In its turn: a call that shows the run at this moment may still write the older picture.
    """
    run = await call_db(run_rows.get, run_id)
    if older_sha == run.base_sha:
        return []
    repo = await repo_of_run(run.run_id)
    output = text.superseded_check(newer_sha)
    async with write_lock(repo, "run", run_id):
        return [await checks.upsert_check(repo, checks.RUN_CHECK, older_sha, _check_id(run), output)]


async def read_view(run_id: str) -> RunView:
    """The run's status view as of now."""
    return await call_db(run_view.read_run_view, run_id, services().server_url)


@Telling
async def show_promotion(run_id: str) -> list[object]:
    """Set the promotion check of the head commit: success when nothing prevents merging, else the reasons."""
    run = await call_db(run_rows.get, run_id)
    if run.head_sha is None:
        return []
    repo = await repo_of_run(run.run_id)
    async with write_lock(repo, "promotion", run_id):
        said = text.promotion_check(await read_view(run_id))
        key = f"{_check_id(run)}:promotion"
        return [await checks.upsert_check(repo, checks.PROMOTION_CHECK, run.head_sha, key, said)]


def _check_id(run: RunRow) -> str:
    """By which a check is known again: the same for runs that go on with each other's branch."""
    return run.branch_of or run.run_id
