"""`push`: what a person adds to a run's branch is taken in; a branch that is deleted or rewritten stops the run."""

from app.db import run_rows
from app.db.run_rows import RunRow
from app.domain.states import RunState
from app.github.events import Account, PushEvent
from app.runs import transitions
from app.workflows import github_status
from app.workflows.services import call_db
from handlers.outcomes import Action, WakeRun
from handlers.permission_and_start import repo_of_event


def is_relevant(event: PushEvent) -> bool:
    """Whether it is a push to a run's branch."""
    return event.branch is not None and event.branch.startswith("autonomous/")


async def handle(event: PushEvent) -> list[Action]:
    run = await call_db(run_rows.find_run_by_branch, event.repository.full_name, event.branch or "")
    if run is None or run.completed_at is not None:
        return []
    repo = await repo_of_event(event)
    if repo is None or event.sender is None or event.sender.login == repo.bot_login:
        return []
    if event.deleted or event.forced:
        what = "deleted the run's branch" if event.deleted else f"rewrote the run's branch to {event.after[:7]}"
        return await stop_for_foreign_push(run, event.sender, what)
    said = (
        f"{event.sender.login} pushed {event.after[:7]} to the run's branch: it is taken in, audited and judged by CI."
    )
    await call_db(run_rows.add_notice, run.run_id, said)
    await github_status.show_run.at_once(run.run_id)
    return [WakeRun(run.run_id)]


async def stop_for_foreign_push(run: RunRow, who: Account | None, what: str) -> list[Action]:
    """Stop the run because a person changed its branch; `what` is what the person did."""
    name = who.login if who else "somebody"
    reason = f"{name} {what}; the run does not build on commits that it did not make"
    await call_db(transitions.request_stop, run.run_id, RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason)
    return [WakeRun(run.run_id)]
