"""`pull_request`: closing a run's pull request cancels the run; merging it ends it as promoted."""

from app.db import run_rows
from app.domain.outcome import after_success
from app.domain.states import RunState
from app.github import commits
from app.github.events import PullRequestEvent
from app.runs import transitions
from app.workflows import github_status
from app.workflows.services import call_db
from app.workflows.steps import utcnow
from handlers.outcomes import Action, WakeRun
from handlers.permission_and_start import repo_of_event
from handlers.push_events import stop_for_foreign_push


def is_relevant(event: PullRequestEvent) -> bool:
    """Whether a run's pull request was closed."""
    return event.action == "closed" and event.pull_request.head.ref.startswith(commits.PREFIX)


async def handle(event: PullRequestEvent) -> list[Action]:
    run = await call_db(run_rows.find_run_by_branch, event.repository.full_name, event.pull_request.head.ref)
    if run is None or run.pull_number != event.number:
        return []
    if not event.pull_request.merged and run.completed_at is None and await _branch_is_gone(event):
        return await stop_for_foreign_push(run, event.sender, "deleted the run's branch")
    by = f" by {event.sender.login}" if event.sender else ""
    if event.pull_request.merged:
        await call_db(run_rows.update, run.run_id, {"promoted_at": utcnow()})
        await github_status.show_promotion.at_once(run.run_id)
        reason = f"the pull request was merged{by} before the run had ended"
    else:
        reason = f"the pull request was closed{by}"
    if run.completed_at is None:
        await call_db(transitions.request_stop, run.run_id, RunState.DONE_CANCELLED, reason)
        return [WakeRun(run.run_id)]
    view = await github_status.read_view(run.run_id)
    if view.promoted:
        await call_db(run_rows.update, run.run_id, {"next_action": after_success(view)})
    await github_status.show_run.at_once(run.run_id)
    return []


async def _branch_is_gone(event: PullRequestEvent) -> bool:
    """Whether GitHub closed the pull request because its branch was deleted; the push event may come later."""
    repo = await repo_of_event(event)
    return repo is not None and await commits.branch_head(repo, event.pull_request.head.ref) is None
