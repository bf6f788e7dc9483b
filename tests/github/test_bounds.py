"""What GitHub would let go on for ever ends."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
import respx

from app.github import issues, redelivery
from app.github.client import GitHubApp, Repo
from app.github.github_errors import GitHubRefused
from app.github.redelivery import MAX_REFUSALS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def attempts(guid: str, codes: list[int]) -> list[dict[str, object]]:
    """One attempt a minute, all failed."""
    return [
        {
            "id": number,
            "guid": guid,
            "delivered_at": (NOW + timedelta(minutes=number)).isoformat(),
            "status": "failed",
            "status_code": code,
            "event": "push",
        }
        for number, code in enumerate(codes, 1)
    ]


async def test_refused_delivery_is_given_up(app: GitHubApp, github: respx.MockRouter) -> None:
    listed = [
        *attempts("refused", [413] * MAX_REFUSALS),
        *attempts("once less", [400] * (MAX_REFUSALS - 1)),
        *attempts("unanswered", [502, 0] * MAX_REFUSALS),
    ]
    github.get("/app/hook/deliveries").respond(json=listed)
    failed = await redelivery.list_failed_since(app, NOW)
    assert {one.guid for one in failed} == {"once less", "unanswered"}


async def test_endless_list_is_refused(repo: Repo, github: respx.MockRouter) -> None:
    one = {"id": 1, "body": "", "user": None, "created_at": "2026-01-01T00:00:00Z"}
    more = {"Link": '<https://api.github.com/next>; rel="next"'}
    github.get("/repos/acme/widgets/issues/1/comments").mock(return_value=httpx.Response(200, json=[one], headers=more))
    with pytest.raises(GitHubRefused, match="more than 5000 entries: GET /repos/acme/widgets/issues/1/comments"):
        await issues.comments(repo, 1)
