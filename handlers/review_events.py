"""`pull_request_review`: a review of a run's pull request has people's requests for changes read again.

A run at work does what they ask for. Of one that has ended, promotion closes, and opens again once they are settled.
"""

from app.db import run_rows
from app.domain.promotion import Objection
from app.github import commits
from app.github.events import PullRequestReviewEvent
from app.workflows import github_status, promote, requested_changes
from app.workflows.services import call_db
from handlers.outcomes import Action


def is_relevant(event: PullRequestReviewEvent) -> bool:
    """Whether a person decided on a run's pull request, or took that back; a comment decides nothing."""
    by_person = event.sender is not None and not event.sender.bot
    decides = event.action == "dismissed" or event.review.state in {"approved", "changes_requested"}
    return by_person and decides and event.pull_request.head.ref.startswith(commits.PREFIX)


async def handle(event: PullRequestReviewEvent) -> list[Action]:
    run = await call_db(run_rows.find_run_by_branch, event.repository.full_name, event.pull_request.head.ref)
    if run is None or run.pull_number != event.pull_request.number:
        return []
    objections = await requested_changes.note_requested(run.run_id)
    for one in _new(run.objections, objections):
        when = "They are made once the phases of the plan are complete." if run.completed_at is None else ""
        said = f"{one.login} requested changes in a review of the pull request. {when}".strip()
        await call_db(run_rows.add_notice, run.run_id, said)
    if run.completed_at is not None:
        await promote.reconsider.at_once(run.run_id)
    await github_status.show_run.at_once(run.run_id)
    return []


def _new(before: tuple[Objection, ...], now: list[Objection]) -> list[Objection]:
    known = {one.review_id for one in before}
    return [one for one in now if one.review_id not in known]
