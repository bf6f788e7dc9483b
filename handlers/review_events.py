"""`pull_request_review`: a review of a run's pull request has people's requests for changes read again.

A run at work does what they ask for. Of one that has ended, promotion closes, and opens again once they are settled.
"""

from app.db import run_rows
from app.domain.requested_change import RequestedChange, RequestKind
from app.github import commits, people_reviews
from app.github.events import PullRequestReviewEvent
from app.workflows import github_status, promote, requested_changes
from app.workflows.services import call_db
from handlers.outcomes import Action
from handlers.permission_and_start import repo_of_event


def is_relevant(event: PullRequestReviewEvent) -> bool:
    """Whether a person reviewed a run's pull request, or took that back; a comment on a line comes as a review too."""
    by_person = event.sender is not None and not event.sender.bot
    says = event.action in {"submitted", "dismissed"}
    return by_person and says and event.pull_request.head.ref.startswith(commits.PREFIX)


async def handle(event: PullRequestReviewEvent) -> list[Action]:
    run = await call_db(run_rows.find_run_by_branch, event.repository.full_name, event.pull_request.head.ref)
    if run is None or run.pull_number != event.pull_request.number:
        return []
    requested, verdicts = await requested_changes.hear_people(run.run_id)
    new = requested_changes.new_among(run.objections, requested)
    unchanged = not new and not verdicts and requested == list(run.objections)
    if unchanged and event.review.state == "commented":
        return []  # it says nothing that anything follows from
    for one in new:
        when = "It is seen to once the phases of the plan are complete." if run.completed_at is None else ""
        await call_db(run_rows.add_notice, run.run_id, f"{one.asked}. {when}".strip())
    await _acknowledge(event, new)
    if run.completed_at is not None:
        await promote.reconsider.at_once(run.run_id)
    await github_status.show_run.at_once(run.run_id)
    return []


async def _acknowledge(event: PullRequestReviewEvent, new: list[RequestedChange]) -> None:
    """👀 on comments on lines; GitHub has no reactions to reviews."""
    threads, repo = [one for one in new if one.kind is RequestKind.THREAD], await repo_of_event(event)
    if repo is not None:
        for one in threads:
            await people_reviews.react_to_line_comment(repo, one.id)
