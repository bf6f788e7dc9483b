"""What is only told on GitHub: a refusal or an outage of any kind is logged, and raises nothing."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
import respx

from app.domain.findings import Recommendation
from app.github import checks, comments, commits, issues, pulls, reviews, text
from app.github.client import Repo
from app.github.commits import WorkBranch
from app.github.github_errors import GitHubRefused
from app.github.placement import Placement
from app.github.pulls import Pull
from app.github.telling import TRIES, Untold
from app.github.text import CheckText

SHA = "a" * 40
PULL = Pull(
    number=2,
    node_id="PR_2",
    open=True,
    draft=True,
    merged=False,
    merge_commit_sha=None,
    title="Before",
    body="",
    url="",
    head="autonomous/r1",
    head_sha=SHA,
    base="main",
)
BODY = text.review_body(Recommendation.APPROVE, "Fine.", phase_id="P1", builders=["a"], auditors=["b"])
CALLS: dict[str, Callable[[Repo], Awaitable[object]]] = {
    "comment": lambda repo: comments.upsert(repo, 1, "status:r1", "Planning"),
    "comment once": lambda repo: comments.post_once(repo, 1, "summary:r1", "Done"),
    "reaction to an issue": lambda repo: issues.react_to_issue(repo, 1),
    "reaction to a comment": lambda repo: issues.react_to_comment(repo, 4),
    "label": issues.ensure_label,
    "check run": lambda repo: checks.upsert_check(
        repo, "autopack", SHA, "r1", CheckText("in_progress", None, "t", "s")
    ),
    "review": lambda repo: reviews.post_review(repo, 2, SHA, "audit:r1", BODY, Placement((), ())),
    "threads": lambda repo: reviews.resolve_threads(repo, 2, ["f" * 8], "Fixed."),
    "text of a pull request": lambda repo: pulls.show_text(repo, 2, title="After", body="text"),
    "text of a pull request that was read": lambda repo: pulls.update_pull(repo, PULL, title="After", body="text"),
    "snapshot": lambda repo: commits.keep_snapshot(repo, "r1", "P1", SHA),
}


@pytest.mark.parametrize("status", [403, 404, 410, 422])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_refused_call_is_logged_and_left_out(
    call: Callable[[Repo], Awaitable[object]],
    status: int,
    repo: Repo,
    github: respx.MockRouter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    github.route(path__startswith="/repos/acme/widgets/").respond(status, json={"message": "Not here"})
    untold = await call(repo)
    assert isinstance(untold, Untold)
    assert not untold.for_now
    assert f"is left out: GitHub refused ({status}): " in caplog.text
    assert "/repos/acme/widgets/" in caplog.text
    assert "Not here" in caplog.text


@pytest.mark.parametrize("trouble", [500, 502, 503, httpx.ReadTimeout("no answer"), httpx.ConnectError("down")])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_call_without_answer_is_owed(
    call: Callable[[Repo], Awaitable[object]],
    trouble: int | httpx.TransportError,
    repo: Repo,
    github: respx.MockRouter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    route = github.route(path__startswith="/repos/acme/widgets/")
    if isinstance(trouble, int):
        route.respond(trouble)
    else:
        route.mock(side_effect=trouble)
    untold = await call(repo)
    assert isinstance(untold, Untold)
    assert untold.for_now
    assert " is owed: GitHub is unavailable: " in caplog.text
    tried = route.call_count
    assert TRIES <= tried <= TRIES + 1, "a ref is made without a look before, and then looked for"
    assert isinstance(await call(repo), Untold)
    assert route.call_count == tried, "for a minute nothing of this kind is tried again"
    repo.app.silence.end()
    await call(repo)
    assert route.call_count == 2 * tried


@pytest.mark.parametrize("status", [403, 410, 422])
async def test_refused_branch_is_raised(status: int, repo: Repo, github: respx.MockRouter) -> None:
    github.route(path__startswith="/repos/acme/widgets/").respond(status, json={"message": "Not here"})
    with pytest.raises(GitHubRefused):
        await commits.create_branch(repo, WorkBranch("autonomous/r1"), SHA)
