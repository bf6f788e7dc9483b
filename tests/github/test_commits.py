"""Commits land once, on a work branch, and only on top of the commit that they were made for."""

import base64
import json

import httpx
import pytest
import respx

from app.domain.patch import ChangeKind, FileChange
from app.github import commits
from app.github.client import Repo
from app.github.commits import MergeState, NotAWorkBranch, WorkBranch
from app.github.github_errors import BranchMoved
from app.github.telling import Untold
from tests.github.gitdata import GitData

BRANCH = WorkBranch("autonomous/r1")
CHANGE = FileChange(path="a.py", kind=ChangeKind.ADDED, content=b"print()\n")


@pytest.fixture
def git(github: respx.MockRouter) -> GitData:
    return GitData(github)


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "autonomous",
        "autonomous/",
        "autonomous/../main",
        "autonomous/a/b",
        "autonomous/a..b",
        "autonomous/x.lock",
        "refs/heads/autonomous/x",
        "autonomous/a b",
        "autonomous/x\n",
        "Autonomous/x",
    ],
)
def test_no_other_branch_can_be_written(name: str) -> None:
    with pytest.raises(NotAWorkBranch):
        WorkBranch(name)


async def test_a_missing_branch_is_made_at_the_commit(repo: Repo, git: GitData) -> None:
    commit = await commits.push_commit(repo, BRANCH, git.base, [CHANGE], "P1: add")
    assert git.refs["refs/heads/autonomous/r1"] == commit.sha
    assert commit.parents == (git.base,)
    assert git.trees[-1]["base_tree"] == "t0"


async def test_the_same_push_twice_is_one_commit(repo: Repo, git: GitData) -> None:
    await commits.create_branch(repo, BRANCH, git.base)
    first = await commits.push_commit(repo, BRANCH, git.base, [CHANGE], "P1: add\n")
    count = len(git.commits)
    assert await commits.push_commit(repo, BRANCH, git.base, [CHANGE], "P1: add\n") == first
    assert len(git.commits) == count


@pytest.mark.parametrize("lost", ["/trees", "/commits", "/refs"])
@pytest.mark.parametrize("exists", [True, False])
async def test_lost_answer_keeps_one_commit(repo: Repo, git: GitData, lost: str, exists: bool) -> None:
    if exists:
        await commits.create_branch(repo, BRANCH, git.base)
    git.lose_next = lost
    commit = await commits.push_commit(repo, BRANCH, git.base, [CHANGE], "P1: add")
    assert git.lose_next is None
    assert git.refs["refs/heads/autonomous/r1"] == commit.sha
    assert commit.parents == (git.base,)


async def test_somebody_elses_push_is_not_overwritten(repo: Repo, git: GitData) -> None:
    await commits.create_branch(repo, BRANCH, git.base)
    theirs = git.commit("theirs", tree="t9", parents=[git.base])
    git.refs["refs/heads/autonomous/r1"] = theirs
    with pytest.raises(BranchMoved) as caught:
        await commits.push_commit(repo, BRANCH, git.base, [CHANGE], "P1: add")
    assert (caught.value.expected, caught.value.actual) == (git.base, theirs)
    assert git.refs["refs/heads/autonomous/r1"] == theirs


async def test_a_push_between_look_and_write_is_noticed(repo: Repo, git: GitData, github: respx.MockRouter) -> None:
    await commits.create_branch(repo, BRANCH, git.base)
    theirs = git.commit("theirs", tree="t9", parents=[git.base])

    def overtaken(request: httpx.Request) -> httpx.Response:
        git.refs["refs/heads/autonomous/r1"] = theirs
        body = json.loads(request.content)
        sha = git.commit(body["message"], body["tree"], body["parents"])
        return httpx.Response(201, json=git.commits[sha])

    github.post("/repos/acme/widgets/git/commits").mock(side_effect=overtaken)
    with pytest.raises(BranchMoved):
        await commits.push_commit(repo, BRANCH, git.base, [CHANGE], "P1: add")
    assert git.refs["refs/heads/autonomous/r1"] == theirs


async def test_text_is_inline_and_binary_a_blob(repo: Repo, git: GitData) -> None:
    changes = [
        FileChange(path="text.py", kind=ChangeKind.MODIFIED, content="é\r\n".encode()),
        FileChange(path="run.sh", kind=ChangeKind.ADDED, content=b"#!/bin/sh\n", mode="100755"),
        FileChange(path="logo.png", kind=ChangeKind.ADDED, content=b"\x89PNG\0\xff"),
        FileChange(path="big.txt", kind=ChangeKind.ADDED, content=b"x" * 200_000),
        FileChange(path="link", kind=ChangeKind.ADDED, content=b"text.py", mode="120000"),
        FileChange(path="gone.py", kind=ChangeKind.DELETED),
        FileChange(path="empty.txt", kind=ChangeKind.ADDED, content=b""),
    ]
    await commits.push_commit(repo, BRANCH, git.base, changes, "P1: add")
    entries = {entry["path"]: entry for entry in git.trees[-1]["tree"]}
    assert entries["text.py"] == {"path": "text.py", "mode": "100644", "type": "blob", "content": "é\r\n"}
    assert (entries["run.sh"]["mode"], entries["link"]["mode"]) == ("100755", "120000")
    assert set(entries["logo.png"]) == set(entries["big.txt"]) == {"path", "mode", "type", "sha"}
    assert entries["gone.py"]["sha"] is None
    assert entries["empty.txt"]["content"] == ""
    assert [base64.b64decode(blob) for blob in git.blobs] == [b"\x89PNG\0\xff", b"x" * 200_000]


async def test_a_snapshot_is_made_once_and_never_moved(
    repo: Repo, git: GitData, caplog: pytest.LogCaptureFixture
) -> None:
    git.lose_next = "/refs"
    for _ in range(2):
        assert await commits.keep_snapshot(repo, "r1", "P1", git.base) == "refs/autopack/r1/P1"
    assert set(git.writes) == {"POST /refs"}
    assert isinstance(await commits.keep_snapshot(repo, "r1", "P1", "f" * 40), Untold)
    assert f"refs/autopack/r1/P1 names {git.base}" in caplog.text
    assert git.refs["refs/autopack/r1/P1"] == git.base
    with pytest.raises(ValueError, match="ids of a run and a phase"):
        await commits.keep_snapshot(repo, "r1", "../heads/main", git.base)


async def test_a_base_branch_with_odd_characters_is_found(repo: Repo, github: respx.MockRouter) -> None:
    route = github.get(path__regex=r"/repos/acme/widgets/git/ref/heads/.+").respond(json={"object": {"sha": "abc"}})
    assert await commits.branch_head(repo, "fix#12?") == "abc"
    assert route.calls.last.request.url.raw_path.endswith(b"/git/ref/heads/fix%2312%3F")


async def test_repeated_merge_reports_the_same(repo: Repo, git: GitData, github: respx.MockRouter) -> None:
    await commits.create_branch(repo, BRANCH, git.base)
    merge = git.commit("Merge main", tree="t2", parents=[git.base, "b" * 40])

    def merged(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"base": BRANCH.name, "head": "main", "commit_message": "Merge main"}
        git.refs["refs/heads/autonomous/r1"] = merge
        return httpx.Response(201, json={"sha": merge})

    github.post("/repos/acme/widgets/merges").mock(side_effect=merged)
    assert await commits.merge_base_into(repo, BRANCH, "main", "Merge main") == commits.Merge(
        state=MergeState.MERGED, sha=merge
    )
    github.post("/repos/acme/widgets/merges").respond(204)
    again = await commits.merge_base_into(repo, BRANCH, "main", "Merge main")
    assert (again.state, again.sha) == (MergeState.MERGED, merge)
    other = await commits.merge_base_into(repo, BRANCH, "main", "another merge")
    assert other.state is MergeState.UP_TO_DATE
    github.post("/repos/acme/widgets/merges").respond(409, json={"message": "Merge conflict"})
    assert (await commits.merge_base_into(repo, BRANCH, "main", "m")).state is MergeState.CONFLICT
