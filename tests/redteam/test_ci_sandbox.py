"""CI of a trial runs what models wrote on a user's machine: it finds no key, no home, and no network but to install."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.hub import Hub
from app.trial import Trial, TrialFailed
from app.workspace.ci_sandbox import confined

REPOSITORY = "octo/demo"
FILE = ".github/workflows/ci.yml"
KEY = "canary-of-the-user"
SPY = """
import os, pathlib, socket, sys
for process in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        print("KEY" if b"%s" in process.read_bytes() else "none")
    except OSError:
        print("none")
for place in ("%s", "/var/lib", "/etc/shadow", "/sys/kernel"):
    try:
        print("SEEN", place, os.listdir(place) if os.path.isdir(place) else open(place).read())
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)
    print("REACHED")
except OSError:
    print("no network")
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub", confine=confined)
    hub.start()
    hub.import_repository(REPOSITORY)
    yield hub
    hub.stop()


def _log(hub: Hub, sha: str) -> str:
    hub.runner.wait_idle()
    with hub.as_user("octo") as github:
        api = f"/repos/{REPOSITORY}/actions"
        run = github.get(f"{api}/runs", params={"head_sha": sha}).json()["workflow_runs"][0]["id"]
        job = github.get(f"{api}/runs/{run}/jobs").json()["jobs"][0]["id"]
        return httpx.get(github.get(f"{api}/jobs/{job}/logs").headers["location"]).text


def test_ci_finds_no_key_and_no_home(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        steps = f"      - run: python3 spy.py {port}\n      - run: pip --version; python3 spy.py {port}\n"
        steps += "      - run: echo kept > ../kept; id -un\n      - run: cat ../kept\n"
        workflow = f"name: CI\non: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
        secret = tmp_path / "secret.txt"
        secret.write_text("the user's own file")
        files: dict[str, str | None] = {FILE: workflow, "spy.py": SPY % (KEY, secret)}
        log = _log(hub, hub.commit_files(REPOSITORY, "feature", files, "Spy", as_user="octo"))
    said = log.replace(SPY, "")
    assert "KEY" not in said
    assert "SEEN" not in said
    assert said.count("no network") == 1
    assert said.count("REACHED") == 1, "a step that installs reaches the network, as its workflow needs"
    assert said.count("kept\n") >= 2, "the steps of a job share its folder"
    assert "Process completed with exit code" not in said


def test_processes_of_a_job_end_with_it(hub: Hub) -> None:
    steps = "      - run: setsid sleep 4713.5 & echo left\n"
    workflow = f"name: CI\non: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    assert "left" in _log(hub, hub.commit_files(REPOSITORY, "feature", {FILE: workflow}, "Leave", as_user="octo"))
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert b"4713.5" not in process.read_bytes()
        except OSError:
            continue


def test_trial_with_a_model_needs_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.trial.sandbox_available", lambda: "no namespaces")
    trial = Trial(repository=tmp_path, issue=tmp_path / "issue.md", work=tmp_path / "work")
    with pytest.raises(TrialFailed, match=r"no namespaces.*--without-sandbox"):
        trial.may_confine(recorded=False)
    assert trial.may_confine(recorded=True) is False


def test_python_of_the_trial_is_there(hub: Hub) -> None:
    steps = "      - run: python3 -c 'import sys; print(sys.prefix)'\n"
    workflow = f"name: CI\non: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
    assert sys.prefix in _log(hub, hub.commit_files(REPOSITORY, "feature", {FILE: workflow}, "Say", as_user="octo"))
