"""The whole room against the embedded GitHub: what a run does, each act repeated, some with faults on the way."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.domain.ci import CiWait, decide
from app.domain.diff import parse
from app.domain.findings import Finding, Recommendation, Severity, Source
from app.domain.patch import ChangeKind, FileChange
from app.github import (
    checks,
    ci_facts,
    ci_jobs,
    comments,
    commits,
    issues,
    permissions,
    pulls,
    redelivery,
    reviews,
    settings_files,
    text,
)
from app.github.api_calls import RetryPolicy
from app.github.client import GitHubApp, GitHubSettings, Repo
from app.github.commits import MergeState, WorkBranch
from app.github.github_errors import BranchMoved
from app.github.placement import place_findings
from app.github.telling import told
from app.github.text import CheckText
from app.hub import Hub

NAME = "octo/demo"
BRANCH = WorkBranch("autonomous/r1")
WORKFLOW = """
name: CI
on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: bash check.sh
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")
    hub.start()
    hub.import_repository(NAME, owner_role={"maintainer": "maintain", "writer": "write", "outsider": "read"})
    files: dict[str, str | None] = {"a.txt": "one\n", "AGENTS.md": "Be brief.\n", "check.sh": "test ! -e broken\n"}
    hub.commit_files(NAME, "main", files, "First", as_user="octo")
    yield hub
    hub.stop()


@pytest.fixture
async def repo(hub: Hub) -> AsyncIterator[Repo]:
    hub.install_app(NAME)
    settings = GitHubSettings(
        app_id=hub.app_id,
        private_key=SecretStr(hub.private_key_pem),
        webhook_secret=SecretStr(hub.webhook_secret),
        api_url=hub.url,
        server_url=hub.url,
        patience=RetryPolicy(total=20.0, first_wait=0.02, longest_wait=0.2),
    )
    app = GitHubApp(settings)
    yield await app.installation_of(NAME)
    await app.aclose()


def new_issue(hub: Hub) -> int:
    with hub.as_user("maintainer") as client:
        answer = client.post(f"/repos/{NAME}/issues", json={"title": "Add b", "body": "Please"})
        return int(answer.raise_for_status().json()["number"])


def change(path: str, content: str) -> FileChange:
    return FileChange(path=path, kind=ChangeKind.ADDED, content=content.encode())


async def pushed(repo: Repo, *changes: FileChange, message: str = "P1: change") -> str:
    parent = await commits.branch_head(repo, BRANCH.name) or await commits.branch_head(repo, "main")
    assert parent is not None
    return (await commits.push_commit(repo, BRANCH, parent, changes, message)).sha


FAULTS = ["502", "reset_before", "reset_after", "secondary_limit"]


async def test_an_issue_is_read_and_answered(hub: Hub, repo: Repo) -> None:
    number = new_issue(hub)
    await issues.ensure_label(repo)
    await issues.ensure_label(repo)
    await issues.react_to_issue(repo, number)
    await issues.react_to_issue(repo, number)
    comment = told(await comments.upsert(repo, number, "status:r1", "planning"))
    assert comment is not None
    await issues.react_to_comment(repo, comment)
    assert await comments.upsert(repo, number, "status:r1", "building") == comment
    read = await issues.read_issue(repo, number)
    assert (read.title, read.body, read.author, read.open) == ("Add b", "Please", "maintainer", True)
    (only,) = await issues.comments(repo, number)
    assert (only.id, only.bot, only.body) == (comment, True, "building\n\n<!-- autopack:status:r1 -->")


async def test_the_role_decides_who_may_steer(repo: Repo) -> None:
    allowed = {
        who: await permissions.may_steer(repo, who) for who in ("maintainer", "writer", "outsider", "nobody-here")
    }
    assert allowed == {"maintainer": True, "writer": True, "outsider": False, "nobody-here": False}


@pytest.mark.parametrize("fault", FAULTS)
async def test_comment_is_posted_once_despite_failures(hub: Hub, repo: Repo, fault: str) -> None:
    number = new_issue(hub)
    hub.faults.add("POST", r"/comments$", fault)  # pyright: ignore[reportArgumentType]  one of the kinds
    await comments.upsert(repo, number, "status:r1", "planning")
    assert len(await issues.comments(repo, number)) == 1
    assert hub.faults.waiting == []


@pytest.mark.parametrize("fault", ["502", "reset_after"])
@pytest.mark.parametrize("path", [r"/git/trees$", r"/git/commits$", r"/git/refs$", r"/git/refs/heads/"])
async def test_commit_lands_once_despite_failures(hub: Hub, repo: Repo, fault: str, path: str) -> None:
    first = await pushed(repo, change("b.txt", "one\n")) if path.endswith("heads/") else None
    hub.faults.add("PATCH" if first else "POST", path, fault)  # pyright: ignore[reportArgumentType]  one of the kinds
    head = await pushed(repo, change("c.txt", "two\n"), message="P2: more")
    assert hub.faults.waiting == []
    assert hub.git(NAME, "rev-list", "--count", f"main..{BRANCH.name}").strip() == ("2" if first else "1")
    assert hub.git(NAME, "show", f"{head}:c.txt") == "two"


async def test_pull_request_is_created_then_ready(hub: Hub, repo: Repo) -> None:
    await pushed(repo, change("b.txt", "one\n"))
    hub.faults.add("POST", r"/pulls$", "reset_after")
    first = await pulls.ensure_pull(repo, BRANCH, "main", "Title", "Body")
    again = await pulls.ensure_pull(repo, BRANCH, "main", "Title", "New body")
    assert (first.number, first.draft, again.number, again.body) == (again.number, True, first.number, "New body")
    for _ in range(2):
        await pulls.mark_ready(repo, await pulls.read_pull(repo, first.number))
        assert not (await pulls.read_pull(repo, first.number)).draft


async def test_audit_is_one_review_with_thread(hub: Hub, repo: Repo) -> None:
    head = await pushed(repo, change("b.txt", "one\ntwo\nthree\n"))
    pull = await pulls.ensure_pull(repo, BRANCH, "main", "Title", "Body")
    diff = parse(hub.git(NAME, "diff", "main", BRANCH.name))
    shared = {"severity": Severity.MAJOR, "source": Source.AUDITOR, "category": "correctness", "problem": "wrong"}
    found = [
        Finding.model_validate(
            {"issue_key": "a", "path": "b.txt", "start_line": 1, "line": 2, "replacement": "1", **shared}
        ),
        Finding.model_validate({"issue_key": "b", **shared}),
    ]
    body = text.review_body(Recommendation.REVISE, "Fix it", phase_id="P1", builders=["a:one"], auditors=["b:two"])
    hub.faults.add("POST", r"/reviews$", "reset_after")
    review = told(
        await reviews.post_review(repo, pull.number, head, "audit:r1:P1:1", body, place_findings(found, diff))
    )
    assert (
        await reviews.post_review(repo, pull.number, head, "audit:r1:P1:1", body, place_findings(found, diff)) == review
    )
    assert review is not None
    assert (review.posted, review.in_body) == ((found[0].fingerprint,), (found[1].fingerprint,))
    later = told(await reviews.post_review(repo, pull.number, head, "audit:r1:P1:2", body, place_findings(found, diff)))
    assert later is not None
    assert (later.posted, later.in_body) == ((), ())
    hub.faults.add("PATCH", r"/pulls/comments/\d+$", "reset_after")
    assert await reviews.resolve_threads(repo, pull.number, [found[0].fingerprint], "Fixed in abc1234.") == 1
    assert await reviews.resolve_threads(repo, pull.number, [found[0].fingerprint], "Fixed in abc1234.") == 0
    with hub.as_user("maintainer") as client:
        shown = client.get(f"/repos/{NAME}/pulls/{pull.number}/comments").json()
    assert [one["body"].count("Fixed in abc1234.") for one in shown] == [1]


async def test_lines_that_github_refuses_move_to_the_body(hub: Hub, repo: Repo) -> None:
    head = await pushed(repo, change("b.txt", "one\n"))
    pull = await pulls.ensure_pull(repo, BRANCH, "main", "Title", "Body")
    stale = parse("--- a/b.txt\n+++ b/b.txt\n@@ -0,0 +1,9 @@\n" + "+x\n" * 9)
    shared = {"severity": Severity.MINOR, "source": Source.AUDITOR, "category": "style", "problem": "wrong"}
    found = Finding.model_validate({"issue_key": "a", "path": "b.txt", "line": 9, **shared})
    review = told(
        await reviews.post_review(repo, pull.number, head, "audit:r1:P1:1", "body", place_findings([found], stale))
    )
    assert review is not None
    assert (review.posted, review.in_body) == ((), (found.fingerprint,))


async def test_red_ci_shows_logs_and_reruns(hub: Hub, repo: Repo) -> None:
    hub.require_checks(NAME, "main", ["test", "autopack/promotion"], ruleset=True)
    hub.commit_files(NAME, "main", {".github/workflows/ci.yml": WORKFLOW}, "CI", as_user="octo")
    head = await pushed(repo, change("broken", "x\n"))
    running = CheckText("in_progress", None, "Waiting for CI", "summary")
    assert await checks.upsert_check(repo, "autopack", head, "r1", running) == await checks.upsert_check(
        repo, "autopack", head, "r1", running
    )
    hub.runner.wait_idle()
    facts = await ci_facts.read_ci(repo, head, await ci_facts.required_checks(repo, "main"))
    assert [one.name for one in facts.required] == ["test"]
    assert {(one.source, one.name, one.conclusion) for one in facts.checks} == {
        ("workflow_run", "CI", "failure"),
        ("check_run", "test", "failure"),
    }
    wait = CiWait(waited_seconds=1, grace_seconds=9, deadline_seconds=9, workflows_present=True)
    verdict = decide(facts, wait)
    assert verdict.state == "red"
    (log,) = await ci_jobs.failed_job_logs(repo, facts)
    assert (log.name, "check.sh" in log.text) == ("test", True)
    run_id = facts.checks[0].workflow_run_id
    assert run_id is not None
    hub.faults.add("POST", r"/rerun-failed-jobs$", "reset_after")
    assert await ci_jobs.rerun_failed(repo, run_id, attempt=1) == 2
    hub.runner.wait_idle()
    assert await ci_jobs.rerun_failed(repo, run_id, attempt=1) == 2
    done = CheckText("completed", "failure", "Failed", "summary", "text")
    await checks.upsert_check(repo, "autopack", head, "r1", done)
    found = await checks.find_check(repo, "autopack", head, "r1")
    assert found is not None
    assert (found.status, found.conclusion, found.output.title) == ("completed", "failure", "Failed")


async def test_base_merges_once_or_conflicts(hub: Hub, repo: Repo) -> None:
    head = await pushed(repo, change("b.txt", "one\n"))
    assert (await commits.merge_base_into(repo, BRANCH, "main", "Merge main")).state is MergeState.UP_TO_DATE
    base = hub.commit_files(NAME, "main", {"c.txt": "new\n"}, "Second", as_user="octo")
    hub.faults.add("POST", r"/merges$", "reset_after")
    merged = await commits.merge_base_into(repo, BRANCH, base, "Merge main")
    assert merged.state is MergeState.MERGED
    assert merged.sha is not None
    assert (await commits.read_commit(repo, merged.sha)).parents == (head, base)
    compared = await commits.compare(repo, "main", BRANCH.name)
    assert (compared.status, compared.ahead_by, compared.behind_by) == ("ahead", 2, 0)
    other = hub.commit_files(NAME, "main", {"b.txt": "theirs\n"}, "Third", as_user="octo")
    assert (await commits.merge_base_into(repo, BRANCH, "main", "Merge main")).state is MergeState.CONFLICT
    solved = [FileChange(path="b.txt", kind=ChangeKind.MODIFIED, content=b"both\n")]
    commit = await commits.push_commit(repo, BRANCH, merged.sha, solved, "P9: solve", merging=other)
    assert commit == await commits.push_commit(repo, BRANCH, merged.sha, solved, "P9: solve", merging=other)
    assert commit.parents == (merged.sha, other)
    assert (await commits.merge_base_into(repo, BRANCH, "main", "Merge main again")).state is MergeState.UP_TO_DATE


async def test_somebody_elses_commit_stays_beside_the_snapshot(hub: Hub, repo: Repo) -> None:
    head = await pushed(repo, change("b.txt", "one\n"))
    for _ in range(2):
        await commits.keep_snapshot(repo, "r1", "P1", head)
    assert await commits.snapshots(repo, "r1") == ["refs/autopack/r1/P1"]
    assert await commits.snapshots(repo, "r") == []
    theirs = hub.commit_files(NAME, BRANCH.name, {"b.txt": "theirs\n"}, "Mine", as_user="writer")
    with pytest.raises(BranchMoved):
        await commits.push_commit(repo, BRANCH, head, [change("c.txt", "x\n")], "P2: more")
    assert await commits.branch_head(repo, BRANCH.name) == theirs


async def test_settings_come_from_the_base(hub: Hub, repo: Repo) -> None:
    base = await commits.branch_head(repo, "main")
    assert base is not None
    found = await settings_files.read_settings_files(repo, base)
    assert (found.settings, found.instructions) == (None, {"AGENTS.md": "Be brief.\n"})
    token = await repo.app.git_token(repo)
    assert token.expires_at > datetime.now(UTC)


async def test_failed_deliveries_are_sent_again(hub: Hub, repo: Repo) -> None:
    hub.set_webhook_url("http://127.0.0.1:9/nobody-listens")
    since = datetime.now(UTC) - timedelta(seconds=5)
    number = new_issue(hub)
    hub.webhooks.wait_drained()
    failed = await redelivery.list_failed_since(repo.app, since)
    opened = [one for one in failed if one.event == "issues" and one.action == "opened"]
    assert len(opened) == 1
    assert await redelivery.redeliver(repo.app, opened[0].id)
    hub.webhooks.wait_drained()
    rows = hub.webhooks.deliveries("issues", "opened")
    assert [json.loads(row["payload"])["issue"]["number"] for row in rows] == [number, number]
    assert len({row["guid"] for row in rows}) == 1


async def test_one_bad_line_takes_no_other_comment_along(hub: Hub, repo: Repo) -> None:
    """GitHub refuses a review whole for one line that is not in its diff (422), and does not say which."""
    head = await pushed(repo, change("b.txt", "one\ntwo\nthree\n"))
    pull = await pulls.ensure_pull(repo, BRANCH, "main", "Title", "Body")
    wrong = parse(hub.git(NAME, "diff", "main", BRANCH.name).replace("b.txt", "elsewhere.txt"))
    diff = [*parse(hub.git(NAME, "diff", "main", BRANCH.name)), *wrong]
    shared = {"severity": Severity.MAJOR, "source": Source.AUDITOR, "category": "correctness", "problem": "wrong"}
    good, bad = (
        Finding.model_validate({"issue_key": key, "path": path, "line": 2, **shared})
        for key, path in (("a", "b.txt"), ("b", "elsewhere.txt"))
    )
    placement = place_findings([good, bad], diff)
    assert len(placement.inline) == 2
    review = told(await reviews.post_review(repo, pull.number, head, "audit:r1:P1:1", "body", placement))
    assert review.posted == (good.fingerprint,)
    assert review.in_body == (bad.fingerprint,)
