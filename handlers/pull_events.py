"""`pull_request`: closing a run's pull request cancels the run; merging it ends it as promoted; reopening is said."""

from app.db import run_rows
from app.db.run_rows import RunRow
from app.domain.outcome import after_closing, after_success
from app.domain.states import RunState
from app.github import commits
from app.github.events import PullRequestEvent
from app.runs import transitions
from app.workflows import audited_tree, finish_run, github_status
from app.workflows.services import call_db
from app.workflows.steps import utcnow
from handlers.outcomes import Action, WakeRun
from handlers.permission_and_start import repo_of_event
from handlers.push_events import stop_for_foreign_push


def is_relevant(event: PullRequestEvent) -> bool:
    """Whether a run's pull request was closed or reopened."""
    return event.action in {"closed", "reopened"} and event.pull_request.head.ref.startswith(commits.PREFIX)


async def handle(event: PullRequestEvent) -> list[Action]:
    run = await call_db(run_rows.find_run_by_branch, event.repository.full_name, event.pull_request.head.ref)
    if run is None or run.pull_number != event.number:
        return []
    by = f" by {event.sender.login}" if event.sender else ""
    if event.action == "reopened":
        return await _show_again(run, finish_run.next_action_of(await github_status.read_view(run.run_id)))
    if not event.pull_request.merged and run.completed_at is None and await _branch_is_gone(event):
        return await stop_for_foreign_push(run, event.sender, "deleted the run's branch")
    if event.pull_request.merged:
        await call_db(run_rows.update, run.run_id, {"promoted_at": utcnow()})
        await github_status.show_promotion.at_once(run.run_id)
        if run.state is RunState.DONE_SUCCESS and event.pull_request.merge_commit_sha is not None:
            await audited_tree.compare_landed.at_once(run.run_id, event.pull_request.merge_commit_sha)
        reason = f"the pull request was merged{by} before the run had ended"
    else:
        reason = f"the pull request was closed{by}"
    if run.completed_at is None:
        await call_db(transitions.request_stop, run.run_id, RunState.DONE_CANCELLED, reason)
        return [WakeRun(run.run_id)]
    view = await github_status.read_view(run.run_id)
    return await _show_again(run, after_success(view) if view.promoted else after_closing(view, by))


async def _show_again(run: RunRow, next_action: str) -> list[Action]:
    """Say of a run that has ended what a person can do now."""
    if run.completed_at is not None and run.continued_by is None:
        await call_db(run_rows.update, run.run_id, {"next_action": next_action})
        await github_status.show_run.at_once(run.run_id)
    return []


async def _branch_is_gone(event: PullRequestEvent) -> bool:
    """Whether GitHub closed the pull request because its branch was deleted; the push event may come later."""
    repo = await repo_of_event(event)
    return repo is not None and await commits.branch_head(repo, event.pull_request.head.ref) is None
