"""git itself, over HTTP, with tokens."""

import os
import subprocess
from pathlib import Path

import httpx

from app.hub.githttp import basic
from tests.hub.world import REPOSITORY, WORKFLOW, Receiver, World


def _git(folder: Path, *args: str, token: str | None = None) -> tuple[int, str]:
    """Run git with the token in a header that is in no file; its status and output."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {f"GIT_{who}_{what}": "tester" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    if token is not None:
        env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader"}
        env["GIT_CONFIG_VALUE_0"] = f"Authorization: {basic(token)}"
    done = subprocess.run(["git", *args], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def _clone(world: World, folder: Path, token: str, *flags: str) -> Path:
    status, text = _git(folder, "clone", *flags, f"{world.hub.url}/{REPOSITORY}.git", "work", token=token)
    assert status == 0, text
    return folder / "work"


def _change(work: Path, path: str, content: str) -> None:
    (work / path).parent.mkdir(parents=True, exist_ok=True)
    (work / path).write_text(content)
    _git(work, "add", "-A")
    assert _git(work, "commit", "-m", f"Change {path}")[0] == 0


def test_clone_and_push_with_an_installation_token(world: World, tmp_path: Path, receiver: Receiver) -> None:
    token = world.token()
    work = _clone(world, tmp_path, token)
    assert (work / "a.txt").read_text() == "one\n"
    _change(work, "b.txt", "b\n")
    status, text = _git(work, "push", "origin", "HEAD:refs/heads/autonomous/run", token=token)
    assert status == 0, text
    world.hub.webhooks.wait_drained()
    push = next(one.payload for one in receiver.deliveries if one.event == "push")
    assert (push["ref"], push["created"]) == ("refs/heads/autonomous/run", True)
    assert push["sender"]["login"] == "autopack[bot]"
    entry = world.hub.journal(REPOSITORY)[-1]
    assert (entry.kind, entry.name) == ("ref.created", "refs/heads/autonomous/run")


def test_partial_clone_and_fetch_by_sha(world: World, tmp_path: Path) -> None:
    old = world.hub.git(REPOSITORY, "rev-parse", "main")
    world.commit("main", {"a.txt": "newer\n"})
    work = _clone(world, tmp_path, world.token(), "--filter=blob:none", "--depth=1", "--no-checkout")
    assert _git(work, "fetch", "--depth=1", "origin", old, token=world.token())[0] == 0


def test_private_repositories_need_a_token(world: World, tmp_path: Path) -> None:
    world.hub.import_repository("octo/hidden", private=True)
    url = f"{world.hub.url}/octo/hidden.git"
    assert _git(tmp_path, "ls-remote", url)[0] != 0
    assert _git(tmp_path, "ls-remote", url, token=world.token())[0] != 0
    assert _git(tmp_path, "ls-remote", url, token=world.hub.add_user("octo"))[0] == 0
    assert _git(tmp_path, "ls-remote", f"{world.hub.url}/{REPOSITORY}.git")[0] == 0


def test_pushes_by_role(world: World, tmp_path: Path) -> None:
    work = _clone(world, tmp_path, world.token())
    _change(work, "b.txt", "b\n")
    assert _git(work, "push", "origin", "HEAD:main")[0] != 0
    assert _git(work, "push", "origin", "HEAD:main", token=world.hub.add_user("outsider"))[0] != 0
    reader = world.token(permissions={"contents": "read"})
    assert _git(work, "push", "origin", "HEAD:refs/heads/x", token=reader)[0] != 0
    assert _git(work, "push", "origin", "HEAD:main", token=world.hub.add_user("writer"))[0] == 0


def test_protected_branch_and_workflows_refuse_an_apps_push(world: World, tmp_path: Path) -> None:
    world.hub.protect(REPOSITORY)
    token = world.token()
    work = _clone(world, tmp_path, token)
    _change(work, "b.txt", "b\n")
    status, text = _git(work, "push", "origin", "HEAD:main", token=token)
    assert (status, "GH006: Protected branch update failed for refs/heads/main" in text) == (1, True)
    _change(work, ".github/workflows/ci.yml", WORKFLOW)
    status, text = _git(work, "push", "origin", "HEAD:refs/heads/autonomous/run", token=token)
    assert (status, "without `workflows` permission" in text) == (1, True)
    assert world.hub.git(REPOSITORY, "for-each-ref", "refs/heads/autonomous") == ""
    assert _git(work, "push", "origin", "HEAD:main", token=world.hub.add_user("maintainer"))[0] == 0


def test_a_push_moves_the_pull_and_starts_ci(world: World, tmp_path: Path) -> None:
    world.commit("main", {".github/workflows/ci.yml": WORKFLOW, "check.sh": "true\n"})
    number = world.pull()
    work = _clone(world, tmp_path, world.token(), "--branch=feature")
    _change(work, "c.txt", "c\n")
    assert _git(work, "push", "origin", "HEAD:feature", token=world.token())[0] == 0
    sha = _git(work, "rev-parse", "HEAD")[1].strip()
    assert world.bot().get(f"/repos/{REPOSITORY}/pulls/{number}").json()["head"]["sha"] == sha
    world.hub.runner.wait_idle()
    runs = world.bot().get(f"/repos/{REPOSITORY}/actions/runs", params={"head_sha": sha}).json()
    assert {run["event"] for run in runs["workflow_runs"]} == {"push", "pull_request"}


def test_tokens_that_were_revoked_are_refused_by_git(world: World, tmp_path: Path) -> None:
    url, token, kept = f"{world.hub.url}/{REPOSITORY}.git", world.token(), world.token(permissions={"contents": "read"})
    assert _git(tmp_path, "ls-remote", url, token=token)[0] == 0
    world.hub.revoke_tokens({"contents": "read"})
    status, text = _git(tmp_path, "ls-remote", url, token=kept)
    assert (status, "could not read Username" in text) == (128, True)
    assert _git(tmp_path, "ls-remote", url, token=token)[0] == 0
    world.hub.revoke_tokens()
    assert _git(tmp_path, "ls-remote", url, token=token)[0] == 128
    refused = httpx.get(f"{url}/info/refs?service=git-upload-pack", headers={"Authorization": basic(token)})
    assert (refused.status_code, refused.text.split(".")[0]) == (401, "Invalid username or token")
