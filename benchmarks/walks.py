"""The two walks of docs/architecture.md: which files of the project a request passes, recorded while it happens.

The service runs in this process against the embedded GitHub. `sys.setprofile` records every function of `app/` and
`handlers/` that runs for the request. A request passes a file when one of the file's functions runs. Two numbers are
printed: the files that this request passes, and the plumbing that every request passes. Methods of values
(`app/domain`) do not count, and neither do the stand-ins (`app/hub`, `app/replay`).
Usage: python -m benchmarks.walks
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx

from benchmarks.results import result, started

ROOT = Path(__file__).parents[1]
COUNTED = tuple(f"{ROOT / room}{os.sep}" for room in ("app", "handlers"))
DOMAIN = f"{ROOT / 'app' / 'domain'}{os.sep}"
STAND_INS = tuple(f"{ROOT / 'app' / room}{os.sep}" for room in ("hub", "replay"))
PLUMBING = frozenset(
    {
        "app/db/change_tracking.py",
        "app/db/column_types.py",
        "app/db/engine.py",
        "app/db/tables.py",
        "app/web/access.py",
        "app/web/background.py",
        "app/web/body_limit.py",
        "app/web/dependencies.py",
        "app/workflows/services.py",
        "app/workflows/steps.py",
    }
)
"""Sessions, column types, request limits, access, and how steps and services are reached."""
DEADLINE_SECONDS = 60.0

_on_walk: ContextVar[bool] = ContextVar("on_walk", default=False)


class Walk:
    """Records the files that are passed from the first call of one of `starts` until `end` is called.

    Functions are named `path/of/file.py:function`. What runs in the same context as a start is on the walk: the tasks,
    threads and workflows that it begins.
    """

    def __init__(self, starts: set[str], end: str) -> None:
        self._starts = starts
        self._end = end
        self._names: dict[CodeType, str] = {}
        self.files: dict[str, list[str]] = {}
        """The functions that ran, by file, in the order of the first call."""
        self.over = threading.Event()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ARG002 - the profiler's signature
        if event != "call" or self.over.is_set():
            return
        name = self._name(frame.f_code)
        if not name:
            return
        if name in self._starts:
            _on_walk.set(True)
        if name == self._end and self.files:  # a queue of the workflow engine starts it, not the request itself
            self.over.set()
        elif not _on_walk.get():
            return
        file, _, function = name.partition(":")
        functions = self.files.setdefault(file, [])
        if function not in functions:
            functions.append(function)

    def _name(self, code: CodeType) -> str:
        """`path:function`; empty for what is not counted."""
        if code not in self._names:
            path = code.co_filename
            counted = path.startswith(COUNTED) and not path.startswith(STAND_INS) and not code.co_name.startswith("<")
            if path.startswith(DOMAIN) and code.co_varnames[:1] in {("self",), ("cls",)}:
                counted = False
            self._names[code] = f"{Path(path).relative_to(ROOT)}:{code.co_name}" if counted else ""
        return self._names[code]


class Switch:
    """The profiler of every thread: hands each call to the walk that is being recorded, if any."""

    def __init__(self) -> None:
        self.walk: Walk | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.walk is not None:
            self.walk(frame, event, argument)


@contextlib.contextmanager
def service(environment: dict[str, str]) -> Generator[str]:
    """Run the service in a thread of this process; yields its address."""
    os.environ.update(environment)
    import uvicorn

    from app.main import app

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, name="service")
    thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the service did not start")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)


def label_to_run(switch: Switch, folder: Path, url: str, hub: Any) -> Walk:
    """A label on an issue, until the run's workflow begins."""
    source = folder / "repository"
    source.mkdir()
    (source / "README.md").write_text("A sample.\n", encoding="utf-8")
    who = ("-c", "user.name=Sample", "-c", "user.email=sample@localhost")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "The sample")):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    hub.add_user("maintainer")
    hub.import_repository("local/sample", source, default_branch="main", owner_role={"maintainer": "admin"})
    hub.set_webhook_url(f"{url}/webhooks/github")
    hub.install_app("local/sample")
    hub.webhooks.wait_drained()
    starts = {
        "app/web/webhooks.py:receive",
        "app/web/intake.py:_store",
        "app/web/drainer.py:_drain",
        "handlers/dispatch.py:handle_delivery",
    }
    walk = Walk(starts, "app/workflows/run.py:run")
    with hub.as_user("maintainer") as github:
        opened = github.post("/repos/local/sample/issues", json={"title": "Say hello", "body": ""}).raise_for_status()
        hub.webhooks.wait_drained()
        time.sleep(1)  # the deliveries of the new repository and issue are acted on before the walk begins
        switch.walk = walk
        path = f"/repos/local/sample/issues/{opened.json()['number']}/labels"
        github.post(path, json={"labels": ["autopack"]}).raise_for_status()
        walk.over.wait(DEADLINE_SECONDS)
    switch.walk = None
    return walk


def result_to_answer(switch: Switch, url: str) -> Walk:
    """A builder result of a run without a repository, until its answer."""
    walk = Walk({"app/web/body_limit.py:__call__", "app/web/result_routes.py:builder_result"}, "")
    with httpx.Client(base_url=url, timeout=DEADLINE_SECONDS) as client:
        run_id = started(client, 1, 2)
        switch.walk = walk
        client.post(f"/runs/{run_id}/phases/P0/builder_result", json=result(run_id, "P0")).raise_for_status()
    switch.walk = None
    return walk


def show(title: str, walk: Walk) -> None:
    passed = [file for file in walk.files if file not in PLUMBING]
    plumbing = [file for file in walk.files if file in PLUMBING]
    functions = sum(len(walk.files[file]) for file in passed)
    print(f"{title}: {len(passed)} files, {functions} functions; and {len(plumbing)} files of plumbing")
    for file in passed:
        print(f"  {file}: {', '.join(walk.files[file])}")
    print(f"  plumbing: {', '.join(plumbing)}")


def main() -> None:
    from app.hub import Hub

    switch = Switch()
    threading.setprofile(switch)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        hub = Hub(folder / "github")
        hub.start()
        stack.callback(hub.stop)
        environment = {
            "AUTONOMOUS_RUNS_DIR": str(folder / "runs"),
            "DATABASE_URL": f"sqlite:///{folder / 'autopack.db'}",
            "GITHUB_APP_ID": str(hub.app_id),
            "GITHUB_PRIVATE_KEY": hub.private_key_pem,
            "GITHUB_WEBHOOK_SECRET": hub.webhook_secret,
            "GITHUB_API_URL": hub.url,
            "GITHUB_SERVER_URL": hub.url,
            "ANTHROPIC_API_KEY": "none",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        }
        url = stack.enter_context(service(environment))
        posted = result_to_answer(switch, url)
        label = label_to_run(switch, folder, url, hub)
    show("label to run()", label)
    show("posted result to answer, without a repository", posted)


if __name__ == "__main__":
    sys.exit(main())
