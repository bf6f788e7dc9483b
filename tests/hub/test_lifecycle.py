"""The hub as a whole: ordered faults, a restart, and imported repositories."""

import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from app.hub import Hub
from tests.hub.world import REPOSITORY, WORKFLOW, World, wait_until

API = f"/repos/{REPOSITORY}"


def _comment(world: World) -> httpx.Response:
    return world.bot().post(f"{API}/issues/1/comments", json={"body": "Hello"})


def _comments(world: World) -> int:
    return len(world.bot().get(f"{API}/issues/1/comments").json())


def test_error_answers(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    world.hub.faults.add("POST", r"/comments$", "502", times=2, after=1)
    world.hub.faults.add("POST", r"/comments$", "secondary_limit")
    world.hub.faults.add("POST", r"/comments$", "too_quickly")
    answers = [_comment(world) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [201, 502, 502, 403, 422, 201]
    assert answers[3].headers["retry-after"] == "1"
    assert "secondary rate limit" in answers[3].json()["message"]
    assert _comments(world) == 2


def test_connection_breaks_before_or_after_writing(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    world.hub.faults.add("POST", r"/comments$", "reset_before")
    with pytest.raises(httpx.TransportError):
        _comment(world)
    assert _comments(world) == 0
    world.hub.faults.add("POST", r"/comments$", "reset_after")
    with pytest.raises(httpx.TransportError):
        _comment(world)
    assert _comments(world) == 1


def test_silence(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    bot = world.bot()
    world.hub.faults.add("GET", r"/issues/1$", "timeout")
    with pytest.raises(httpx.ReadTimeout):
        bot.get(f"{API}/issues/1", timeout=0.2)
    world.hub.faults.clear()
    assert bot.get(f"{API}/issues/1").status_code == 200


def test_state_survives_a_restart(tmp_path: Path) -> None:
    first = Hub(tmp_path / "hub")
    first.start()
    first.import_repository(REPOSITORY)
    first.runner.hold()
    first.commit_files(
        REPOSITORY, "main", {".github/workflows/ci.yml": WORKFLOW, "check.sh": "true\n"}, "A", as_user="o"
    )
    installation = first.install_app(REPOSITORY)
    first.stop()
    second = Hub(tmp_path / "hub")
    second.start()
    try:
        assert (second.app_id, second.private_key_pem) == (first.app_id, first.private_key_pem)
        assert second.webhook_secret == first.webhook_secret
        assert second.install_app(REPOSITORY) == installation
        second.runner.wait_idle()
        with second.as_user("octo") as octo:
            runs = octo.get(f"{API}/actions/runs").json()["workflow_runs"]
        assert [run["conclusion"] for run in runs] == ["success"]
    finally:
        second.stop()


def test_interrupted_job_runs_again(tmp_path: Path) -> None:
    hub = Hub(tmp_path / "hub")
    hub.start()
    hub.import_repository(REPOSITORY)
    mark = tmp_path / "mark"
    script = f"test -e {mark} && exit 0; touch {mark}; sleep 60\n"
    hub.commit_files(
        REPOSITORY, "main", {".github/workflows/ci.yml": WORKFLOW, "check.sh": script}, "A", as_user="octo"
    )
    wait_until(mark.exists)
    began = time.monotonic()
    hub.stop()
    assert time.monotonic() - began < 10
    again = Hub(tmp_path / "hub")
    again.start()
    try:
        again.runner.wait_idle(20)
        with again.as_user("octo") as octo:
            runs = octo.get(f"{API}/actions/runs").json()["workflow_runs"]
        assert [(run["conclusion"], run["run_attempt"]) for run in runs] == [("success", 1)]
    finally:
        again.stop()


def test_importing_a_local_repository(world: World, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    run = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*run, "init", "--quiet", "--initial-branch=trunk"], cwd=source, check=True)
    (source / "file.txt").write_text("content\n")
    subprocess.run([*run, "add", "."], cwd=source, check=True)
    subprocess.run([*run, "commit", "--quiet", "-m", "First"], cwd=source, check=True)
    world.hub.import_repository("octo/local", source, default_branch="trunk", owner_role={"maintainer": "admin"})
    assert world.hub.git("octo/local", "show", "trunk:file.txt") == "content"
    with world.hub.as_user("maintainer") as maintainer:
        assert maintainer.get("/repos/octo/local").json()["default_branch"] == "trunk"


def test_parallel_writes_lose_nothing(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    token, statuses = world.token(), list[int]()

    def comment() -> None:
        with httpx.Client(base_url=world.hub.url, headers={"Authorization": f"Bearer {token}"}, timeout=20) as client:
            statuses.extend(client.post(f"{API}/issues/1/comments", json={"body": "x"}).status_code for _ in range(5))

    threads = [threading.Thread(target=comment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [201] * 20
    assert _comments(world) == 20
