"""Events whose deliveries never came, not even as failed ones: labels and comments are read again from GitHub.

What is found goes into the inbox like a delivery, and is acted on by the same handlers, permission check included.
"""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

from app.db import deliveries, repository_runs, run_rows
from app.db.deliveries import StoredDelivery
from app.github import issues, recent_events
from app.github.client import GitHubApp, Repo
from app.github.github_errors import GitHubRefused
from app.github.issues import LABEL
from app.github.recent_events import InstalledRepository, LabelGiven, RecentComment
from app.workflows.services import call_db
from app.workflows.steps import utcnow

EVERY = timedelta(minutes=3)
"""Between two looks at least: with the pauses of the reconciler that is four, and with the grace five."""
GRACE = timedelta(minutes=1)
"""A delivery may be on its way for so long."""
OVERLAP = timedelta(minutes=10)
"""Of two looks: GitHub's lists may show an event late."""
LOOK_BACK = timedelta(days=3)
REPOSITORIES = 100
"""Of one look; where there are more, they take turns."""

log = logging.getLogger(__name__)


class MissedEvents:
    """Looks in the repositories of all installations for what people did since the last delivery that came in."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._looked: datetime | None = None
        self._first = 0
        """The repository with which the next look begins."""

    @classmethod
    async def since_last_delivery(cls) -> "MissedEvents":
        """What came before the first delivery was never missed."""
        now = utcnow()
        return cls(max(await call_db(deliveries.last_received) or now, now - LOOK_BACK))

    async def store(self, app: GitHubApp) -> int:
        """Put what was missed into the inbox; how many events. A repository that cannot be read is left out."""
        began = utcnow()
        if self._looked is not None and began - self._looked < EVERY:
            return 0
        self._looked = began
        listed = [one async for one in recent_events.list_repositories(app)]
        turn = (listed[self._first :] + listed[: self._first])[:REPOSITORIES]
        self._first = (self._first + len(turn)) % max(1, len(listed))
        missed: list[StoredDelivery] = []
        for installation_id, repository in turn:
            repo = await app.installation(installation_id, repository.full_name, repository.id)
            try:
                missed += await _missed(repo, repository, self._since, began - GRACE)
            except GitHubRefused as refusal:
                log.warning("%s is not looked through for missed events: %s", repository.full_name, refusal)
        new = await call_db(deliveries.store, missed, began) if missed else set[str]()
        if len(turn) == len(listed) or not self._first:
            self._since = max(self._since, began - OVERLAP)
        return len(new)


async def _missed(
    repo: Repo, repository: InstalledRepository, since: datetime, until: datetime
) -> list[StoredDelivery]:
    found: list[StoredDelivery] = []
    for given in await recent_events.labels_given(repo):
        ours = given.label is not None and given.label.name.casefold() == LABEL
        if ours and since <= given.created_at <= until and await _is_unknown(repo, given):
            found.append(_of_label(repo, repository, given))
    names = ("autopack", repo.app_slug.casefold())
    open_runs = await call_db(repository_runs.list_runs_of, repository.id, repository.full_name)
    at_work = {number for run in open_runs for number in (run.issue_number, run.pull_number) if number}
    comments = [
        one
        for one in await recent_events.recent_comments(repo)
        if since <= one.created_at <= until
        and one.by_person
        and (one.issue_number in at_work or any(name in one.text.casefold() for name in names))
    ]
    known = await call_db(deliveries.list_known_subjects, [one.subject for one in comments])
    return found + [await _of_comment(repo, repository, one) for one in comments if one.subject not in known]


async def _is_unknown(repo: Repo, given: LabelGiven) -> bool:
    """Whether no run of the issue was open when it got the label, or began since."""
    if given.issue is None or given.actor is None or given.issue.is_pull:
        return False
    newest = await call_db(run_rows.find_newest_run, repo.id, given.issue.number)
    return newest is None or (newest.completed_at is not None and newest.completed_at < given.created_at - GRACE)


def _of_label(repo: Repo, repository: InstalledRepository, given: LabelGiven) -> StoredDelivery:
    issue = given.issue.model_dump(mode="json") if given.issue else {}
    about: dict[str, Any] = {
        "action": "labeled",
        "label": {"name": LABEL},
        "issue": issue | {"updated_at": given.created_at.isoformat()},
        "sender": given.actor.model_dump() if given.actor else None,
    }
    return StoredDelivery(f"missed-label-{given.id}", "issues", _payload(repo, repository, about))


async def _of_comment(repo: Repo, repository: InstalledRepository, comment: RecentComment) -> StoredDelivery:
    issue = await issues.read_issue(repo, comment.issue_number)
    about: dict[str, Any] = {
        "action": "created",
        "issue": {
            "number": issue.number,
            "title": issue.title,
            "body": issue.body,
            "state": "open" if issue.open else "closed",
            "pull_request": {} if issue.is_pull else None,
        },
        "comment": {
            "id": comment.id,
            "body": comment.body,
            "html_url": comment.html_url,
            "created_at": comment.created_at.isoformat(),
        },
        "sender": comment.user.model_dump() if comment.user else None,
    }
    payload = _payload(repo, repository, about)
    return StoredDelivery(f"missed-comment-{comment.id}", "issue_comment", payload, comment.subject)


def _payload(repo: Repo, repository: InstalledRepository, about: dict[str, Any]) -> str:
    where = {"id": repository.id, "full_name": repository.full_name, "default_branch": repository.default_branch}
    return json.dumps(about | {"repository": where, "installation": {"id": repo.installation_id}})
