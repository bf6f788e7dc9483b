"""The Actions runner: executes queued workflow runs job by job on this machine, and keeps GitHub-like logs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.hub.actions import actor_of, latest_jobs, tell
from app.hub.git_repos import Bare, GitCommandError, bare
from app.hub.state import HubState, Json, items, mapping, now
from app.hub.store import Row
from app.hub.suites import settle_suite, tell_run
from app.hub.workflow_files import expand

JOB_SECONDS = 600.0  # when a job names no `timeout-minutes`
MAX_LOG_CHARACTERS = 4_000_000
POLL_SECONDS = 0.02


class Log:
    """A job's log: lines stamped as GitHub stamps them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        """Add the lines of a text, unless the log is full."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        for line in text.splitlines():
            self._size += len(line)
            if self._size < MAX_LOG_CHARACTERS:
                self.lines.append(f"{stamp} {line}")

    def text(self) -> str:
        """The whole log."""
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class Space:
    """Where one job runs: its folder, the checkout in it, its log and the (monotonic) time of its end."""

    hub: HubState
    run_id: int
    folder: Path
    workspace: Path
    log: Log
    deadline: float
    values: Json


def recover(hub: HubState) -> None:
    """Queue again what a stopped hub left half done."""
    with hub.store.transaction():
        hub.store.execute("UPDATE workflow_runs SET status = 'queued' WHERE status = 'in_progress'")
        hub.store.execute("UPDATE jobs SET status = 'queued' WHERE status = 'in_progress'")


def work(hub: HubState) -> None:
    """Execute queued runs, oldest first, until the hub stops; runs in its own thread."""
    while not hub.stopping.is_set():
        run = _take(hub)
        if run is None:
            with hub.wake:
                hub.wake.wait(timeout=0.05)
            continue
        repo, red, cancelled = run["repository"], set[str](), set[str]()
        for job in run["jobs"]:
            if hub.stopping.is_set():
                return
            if job["status"] == "completed":
                outcome = job["conclusion"]
            elif job["definition"].get("skipped") or red.intersection(job["definition"]["needs"]):
                outcome = _finish_job(hub, repo, run, job, "skipped", [], None)
            elif job["key"] in cancelled or run["id"] in hub.cancelled:
                outcome = _finish_job(hub, repo, run, job, "cancelled", [], "")
            else:
                outcome = _job(hub, repo, run, job)
            if outcome is None:
                return
            if outcome != "success":
                red.add(job["key"])
            if outcome == "failure" and _fails_fast(job["definition"]):
                cancelled.add(job["key"])
        _finish_run(hub, repo, run["id"])


def _fails_fast(definition: Json) -> bool:
    """Whether a failed job of a matrix cancels the others, as they do unless `fail-fast` says no:
    https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategyfail-fast
    """
    return bool(definition["matrix"]) and mapping(definition.get("strategy")).get("fail-fast", True) is not False


def _take(hub: HubState) -> Row | None:
    """The oldest queued run, marked as in progress, with its repository and jobs; None while runs are held."""
    with hub.store.transaction():
        if hub.runner_held:
            return None
        run = hub.store.row(
            "SELECT * FROM workflow_runs r WHERE status = 'queued' AND NOT EXISTS (SELECT 1 FROM workflow_runs o WHERE"
            " o.concurrency = r.concurrency AND o.repo_id = r.repo_id AND o.status = 'in_progress')"
            " ORDER BY updated_at, id LIMIT 1"
        )
        if run is None:
            return None
        repo = hub.store.get("repositories", run["repo_id"])
        hub.store.update("workflow_runs", run["id"], status="in_progress", updated_at=now())
        tell(hub, repo, run["id"], "in_progress")
        return run | {"repository": repo, "jobs": latest_jobs(hub, run["id"])}


def _finish_run(hub: HubState, repo: Row, run_id: int) -> None:
    """The suite completes first, then the run's own event follows: the order in which GitHub may well send them."""
    with hub.store.transaction():
        run = hub.store.get("workflow_runs", run_id)
        hub.cancelled.discard(run_id)
        conclusions = {job["conclusion"] for job in latest_jobs(hub, run_id)}
        ranked = ("failure", "timed_out", "cancelled", "success")
        worst = next((name for name in ranked if name in conclusions), "skipped")
        settle_suite(hub, repo, actor_of(hub, run), run["suite_id"])
        conclusion = "failure" if worst == "timed_out" else worst
        hub.store.update("workflow_runs", run_id, status="completed", conclusion=conclusion, updated_at=now())
        tell(hub, repo, run_id, "completed")
    hub.notify()


def _job(hub: HubState, repo: Row, run: Row, job: Row) -> str | None:
    """Execute one job: its conclusion, or None when the hub stops meanwhile (its next start queues the job again)."""
    with hub.store.transaction():
        hub.store.update("jobs", job["id"], status="in_progress", started_at=now())
        hub.store.update("check_runs", job["check_run_id"], status="in_progress", started_at=now())
    folder = hub.root / "runner" / str(job["id"])
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "home").mkdir(parents=True)
    definition: Json = job["definition"]
    merged = bare(hub, repo).ref(run["ref"]) if run["event"] != "push" else None
    run = run | {"head_sha": merged or run["head_sha"]}
    values = {f"matrix.{name}": value for name, value in definition["matrix"].items()}
    values |= {"github.sha": run["head_sha"], "github.ref": run["ref"], "github.event_name": run["event"]}
    seconds = float(definition["timeout-minutes"]) * 60 if definition.get("timeout-minutes") else JOB_SECONDS
    space = Space(hub, run["id"], folder, folder / repo["name"], Log(), time.monotonic() + seconds, values)
    env = _environment(run, space, job)
    conclusion, steps = "success", list[Json]()
    try:
        _checkout(bare(hub, repo), run["head_sha"], space.workspace, definition)
    except GitCommandError as error:
        space.log.write(f"##[error]{error}")
        conclusion = "failure"
    for step in items(definition.get("steps")):
        started = now()
        outcome = _step(space, step, conclusion, env)
        if hub.stopping.is_set():
            return None
        shown: Json = {"name": _step_name(step, values), "number": len(steps) + 1, "conclusion": outcome}
        steps.append(shown | {"status": "completed", "started_at": started, "completed_at": now()})
        if outcome in ("failure", "timed_out", "cancelled") and not step.get("continue-on-error"):
            conclusion = outcome
    shutil.rmtree(folder, ignore_errors=True)
    return _finish_job(hub, repo, run, job, conclusion, steps, space.log.text())


def _step_name(step: Json, values: Json) -> str:
    what = step.get("uses") or str(step.get("run", "")).partition("\n")[0]
    return expand(step.get("name") or f"Run {what}", values)


def _finish_job(
    hub: HubState, repo: Row, run: Row, job: Row, conclusion: str, steps: list[Json], log: str | None
) -> str:
    done = {"status": "completed", "conclusion": conclusion, "completed_at": now()}
    with hub.store.transaction():
        hub.store.update("jobs", job["id"], **done, steps=steps, log=log)
        hub.store.update("check_runs", job["check_run_id"], **done)
        tell_run(hub, repo, actor_of(hub, run), job["check_run_id"], "completed")
    hub.notify()
    return conclusion


def _checkout(git: Bare, sha: str, workspace: Path, definition: Json) -> None:
    uses: list[Json] = [step for step in items(definition.get("steps")) if "actions/checkout" in str(step.get("uses"))]
    full = any(str(mapping(step.get("with")).get("fetch-depth")) == "0" for step in uses)
    workspace.mkdir()
    clone = Bare(workspace)
    clone.run("init", "--quiet")
    depth = [] if full else ["--depth=1"]
    clone.run("fetch", "--quiet", *depth, git.path.as_uri(), sha)
    clone.run("checkout", "--quiet", "--detach", "FETCH_HEAD")


def _environment(run: Row, space: Space, job: Row) -> dict[str, str]:
    """The variables of a job's steps; nothing of the hub's own environment but PATH."""
    files = {name: space.folder / name.lower() for name in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.touch()
    home = str(space.folder / "home")
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    fixed = {"PATH": search, "HOME": home, "CI": "true", "GITHUB_ACTIONS": "true", "LANG": "C.UTF-8"}
    fixed |= {"GITHUB_SHA": run["head_sha"], "GITHUB_REF": run["ref"], "GITHUB_REF_NAME": run["head_branch"]}
    fixed |= {"GITHUB_RUN_ID": str(run["id"]), "GITHUB_RUN_ATTEMPT": str(job["attempt"]), "GITHUB_JOB": job["key"]}
    fixed |= {"GITHUB_EVENT_NAME": run["event"], "GITHUB_WORKSPACE": str(space.workspace)}
    fixed |= {name: str(path) for name, path in files.items()} | {"RUNNER_TEMP": home, "RUNNER_OS": "Linux"}
    return fixed | {name: expand(value, space.values) for name, value in job["definition"]["env"].items()}


def _step(space: Space, step: Json, so_far: str, job_env: dict[str, str]) -> str:
    """Run one step; "skipped" unless its `if` (always, failure or nothing) fits what came before."""
    condition, log = str(step.get("if", "")), space.log
    if so_far != "success" and "always()" not in condition and "failure()" not in condition:
        return "skipped"
    if so_far == "success" and "failure()" in condition:
        return "skipped"
    if "run" not in step:
        log.write(f"##[group]Run {step.get('uses')}\n##[endgroup]\nNot executed by the embedded GitHub.")
        return "success"
    env = job_env | {name: expand(value, space.values) for name, value in mapping(step.get("env")).items()}
    script = expand(step["run"], space.values | {f"env.{name}": value for name, value in env.items()})
    log.write(f"##[group]Run {script.partition(chr(10))[0]}\n{script}\nshell: /usr/bin/bash -e {{0}}\n##[endgroup]")
    folder = space.workspace / str(step.get("working-directory", "."))
    if not folder.is_dir():
        log.write(f"##[error]No such file or directory: '{step.get('working-directory')}'")
        return "failure"
    status = _execute(space, script, folder, env)
    if status is None and space.run_id in space.hub.cancelled:
        log.write("##[error]The operation was canceled.")
        return "cancelled"
    if status is None:
        log.write("##[error]The operation was canceled: the job exceeded its maximum execution time.")
        return "timed_out"
    if status != 0:
        log.write(f"##[error]Process completed with exit code {status}.")
    return "success" if status == 0 else "failure"


def _is_cut_off(space: Space) -> bool:
    return space.hub.stopping.is_set() or space.run_id in space.hub.cancelled


def _execute(space: Space, script: str, folder: Path, env: dict[str, str]) -> int | None:
    """The exit status of a script, or None when its time was over or the hub stops. Nothing of it stays alive."""
    output = space.folder.with_suffix(".output")
    command = ["bash", "-e", "-c", script]
    confine = space.hub.confine
    with ExitStack() as stack:
        sink = stack.enter_context(output.open("wb"))
        arguments, files = (
            stack.enter_context(confine(command, space.folder, folder, script)) if confine else (command, list[int]())
        )
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=files,
        )
        status: int | None = None
        while status is None and time.monotonic() < space.deadline and not _is_cut_off(space):
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(timeout=POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # usually the script has left nothing behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
    space.log.write(output.read_text(encoding="utf-8", errors="replace"))
    output.unlink()
    return status
