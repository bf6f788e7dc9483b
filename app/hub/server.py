"""The embedded GitHub as a Python object: started and stopped, set up, and read by tests and `autopack try`."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.hub import (
    actions,
    apps,
    checks_api,
    gitdata,
    githttp,
    graphql,
    issues_api,
    pulls_api,
    reactions_api,
    recent_api,
    repos_api,
    reviews_api,
    rulesets,
    runner,
    setup,
    webhook_sender,
)
from app.hub.controls import Owner, Runner, Webhooks
from app.hub.faults import FaultMiddleware, Faults
from app.hub.git_repos import bare
from app.hub.github_problems import Refusal
from app.hub.journal import JournalEntry, entries
from app.hub.refs import write_hook
from app.hub.routing import ById, find_repository, mount, refuse
from app.hub.state import Confine, HubState, load_app
from app.hub.store import Row, Store

START_SECONDS = 10.0
STOP_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open. uvicorn's five seconds end while a busy client is about to use it again."""

# `actions` and `checks` come before `repos`: their paths are longer forms of `commits/{ref}`.
ROUTED = (
    apps,
    webhook_sender,
    graphql,
    recent_api,
    issues_api,
    reactions_api,
    gitdata,
    actions,
    checks_api,
    reviews_api,
    pulls_api,
    repos_api,
)
"""The modules with routes of the API, in the order in which paths are matched."""


def build_app(hub: HubState) -> FastAPI:
    """The web application over one hub's state."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for module in ROUTED:
        mount(app, hub, module.routes)
    githttp.mount(app, hub)

    def log(job_id: int, expires: int, signature: str) -> Response:
        return actions.log_text(hub, job_id, expires, signature)

    app.add_api_route("/_logs/{job_id}", log, methods=["GET"], response_model=None)

    async def missing(request: Request, error: Exception) -> Response:
        del request
        status = error.status_code if isinstance(error, HTTPException) else 500
        return refuse(Refusal(status, "Not Found" if status == 404 else "Method Not Allowed"))

    app.add_exception_handler(HTTPException, missing)
    app.add_middleware(ById, hub=hub)
    return app


class Hub:
    """An embedded GitHub with one GitHub App, on a free port of loopback. State lives under `root`."""

    def __init__(
        self,
        root: Path,
        *,
        app_slug: str = "autopack",
        webhook_url: str | None = None,
        port: int = 0,
        runners: int = 1,
        token_seconds: float = 3600.0,
        app_refs: tuple[str, ...] = (),
        confine: Confine | None = None,
    ) -> None:
        """`app_refs`: beginnings of the refs that a rule lets the App write to; none: no such rule."""
        root.mkdir(parents=True, exist_ok=True)
        store = Store(root / "hub.sqlite3")
        identity = load_app(store, app_slug)
        self.state = HubState(root.resolve(), store, identity, token_seconds=token_seconds, app_refs=app_refs)
        self.state.confine = confine
        self.faults = Faults()
        self.webhooks = Webhooks(self.state)
        self.runner = Runner(self.state)
        self._port, self._runners = port, runners
        self._threads: list[threading.Thread] = []
        self._server: uvicorn.Server | None = None
        write_hook(self.state, (Path(__file__).parent / "hooks" / "pre-receive").read_text(encoding="utf-8"))
        if webhook_url is not None:
            self.set_webhook_url(webhook_url)

    @property
    def url(self) -> str:
        """The base URL of API, web and git, without a trailing slash; empty before `start`."""
        return self.state.url

    @property
    def app_id(self) -> int:
        """The App's id."""
        return self.state.app.id

    @property
    def app_slug(self) -> str:
        """The App's slug; its bot is `<slug>[bot]`."""
        return self.state.app.slug

    @property
    def private_key_pem(self) -> str:
        """The App's private key."""
        return self.state.app.private_key_pem

    @property
    def webhook_secret(self) -> str:
        """The secret that webhook deliveries are signed with."""
        return self.state.app.webhook_secret

    def start(self) -> None:
        """Serve in background threads; returns when the server answers. RuntimeError after ten seconds."""
        # Named TCP, or asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self.state.url = f"http://127.0.0.1:{self._port}"
        self.state.stopping.clear()
        runner.recover(self.state)
        web = FaultMiddleware(build_app(self.state), self.faults)
        config = uvicorn.Config(
            web,
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=1,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        server = self._server = uvicorn.Server(config)
        self._thread("hub-web", lambda: server.run(sockets=[listener]))
        self._thread("hub-webhooks", lambda: webhook_sender.work(self.state))
        for index in range(self._runners):
            self._thread(f"hub-runner-{index}", lambda: runner.work(self.state))
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not self._threads[0].is_alive():
                raise RuntimeError("the hub did not start")
            time.sleep(0.005)

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop server, worker and runner; the state stays on disk and a new `Hub(root)` continues with it."""
        self.state.stopping.set()
        self.state.notify()
        if self._server is not None:
            self._server.should_exit = True
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        alive = [thread.name for thread in self._threads if thread.is_alive()]
        self._threads.clear()
        if alive:
            raise RuntimeError(f"did not stop within {STOP_SECONDS:.0f} s: {', '.join(alive)}")
        self.state.store.close()

    def set_webhook_url(self, url: str) -> None:
        """Where the App's webhook deliveries go from now on."""
        with self.state.store.transaction():
            self.state.store.set_setting("webhook_url", url)

    # Setting up

    def add_user(self, login: str) -> str:
        """Make a user unless there is one; a new token that acts as this user."""
        with self.state.store.transaction():
            return setup.add_user(self.state, login)

    def as_user(self, login: str) -> httpx.Client:
        """A REST client that acts as a user (who is made if new). The caller closes it."""
        headers = {
            "Authorization": f"Bearer {self.add_user(login)}",
            "X-GitHub-Api-Version": self.state.api_versions[-1],
        }
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def import_repository(
        self,
        full_name: str,
        source: Path | None = None,
        *,
        default_branch: str = "main",
        owner_role: dict[str, str] | None = None,
        private: bool = False,
    ) -> None:
        """Make a repository, empty or with all branches and tags of a local one. `owner_role`: login to role."""
        with self.state.store.transaction():
            repo = setup.create_repository(self.state, full_name, default_branch, private=private)
            if source is not None:
                setup.import_branches(self.state, repo, source)
            for login, role in (owner_role or {}).items():
                setup.set_role(self.state, repo, login, role)

    def install_app(
        self, full_name: str, permissions: dict[str, str] | None = None, events: list[str] | None = None
    ) -> int:
        """Install the App on a repository (adding it to its owner's installation); the installation's id."""
        with self._repository(full_name) as repo:
            return setup.install_app(self.state, repo, permissions, events)

    def permissions(self, full_name: str) -> dict[str, str]:
        """What the installation that covers a repository may do."""
        with self._repository(full_name) as repo:
            found = webhook_sender.installation_of(self.state, repo)
            return dict(found["permissions"]) if found else {}

    def revoke_tokens(self, permissions: dict[str, str] | None = None) -> int:
        """Take no installation token any more, or none with exactly these permissions; how many there were.

        As `DELETE /installation/token` does for one, and time for all: both answer 401 from then on
        (https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token).
        """
        store = self.state.store
        with store.transaction():
            rows = store.rows("SELECT * FROM tokens WHERE installation_id IS NOT NULL")
            chosen = [row["token"] for row in rows if permissions in (None, row["permissions"])]
            for token in chosen:
                store.execute("DELETE FROM tokens WHERE token = ?", token)
        return len(chosen)

    def set_role(self, full_name: str, login: str, role: str) -> None:
        """Give a user admin, maintain, write, triage, read or none."""
        with self._repository(full_name) as repo:
            setup.set_role(self.state, repo, login, role)

    def require_checks(
        self, full_name: str, branch: str, names: list[str], *, ruleset: bool = False, app_slug: str = ""
    ) -> None:
        """Demand these checks on a branch, by branch protection or by a ruleset; with `app_slug` of this App alone."""
        with self._repository(full_name) as repo:
            pins = {name: setup.other_app(self.state, repo, app_slug) for name in names} if app_slug else {}
            setup.protect(self.state, repo, branch, names, "ruleset" if ruleset else "protection", pins)

    def report_check(self, full_name: str, sha: str, name: str, *, app_slug: str, conclusion: str | None) -> None:
        """Another App reports a check run on a commit; without a conclusion it never ends."""
        with self._repository(full_name) as repo:
            setup.report_check(self.state, repo, app_slug, sha, name, conclusion)

    def review_deployments(self, full_name: str, environment: str) -> None:
        """From now on runs with a job of this environment wait for a reviewer."""
        with self._repository(full_name) as repo:
            listed: list[str] = [*(repo["reviewed_environments"] or []), environment]
            self.state.store.update("repositories", repo["id"], reviewed_environments=listed)

    def approve_deployments(self, full_name: str) -> None:
        """A reviewer lets what waits begin."""
        with self._repository(full_name) as repo:
            self.state.store.execute(
                "UPDATE workflow_runs SET status = 'queued' WHERE repo_id = ? AND status = 'waiting'", repo["id"]
            )
        self.state.notify()

    def add_rule(self, full_name: str, kind: str, pattern: str = "", branches: str = "**") -> None:
        """Put a rule of a ruleset on branches (a glob); `rulesets.KINDS` are the kinds."""
        with self._repository(full_name) as repo:
            rulesets.add(self.state, repo, kind, pattern, branches)

    def protect(self, full_name: str, branch: str | None = None) -> None:
        """Protect a branch (the default branch unless given): changes come through pull requests."""
        with self._repository(full_name) as repo:
            setup.protect(self.state, repo, branch or repo["default_branch"], [], "protection")

    def ghost_suite(self, full_name: str, app_slug: str) -> int:
        """From now on pushes also get a check suite of this App, which never gets a run; the App's id."""
        with self._repository(full_name) as repo:
            return setup.ghost_suite(self.state, repo, app_slug)

    def commit_files(
        self, full_name: str, branch: str, files: dict[str, str | None], message: str, *, as_user: str
    ) -> str:
        """Someone pushes a commit to a branch (made from the default branch if new); its sha. None deletes a file."""
        with self._repository(full_name) as repo:
            return setup.commit_files(self.state, repo, branch, files, message, as_user)

    def backdate(self, full_name: str, minutes: float) -> None:
        """Have the comments and labels of a repository's issues come from some minutes earlier."""
        moment = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._repository(full_name) as repo:
            setup.backdate(self.state, repo, moment)

    def as_owner(self, login: str) -> Owner:
        """What this person does with repositories, issues and the installation."""
        return Owner(self.state, login)

    # Reading

    def git(self, full_name: str, *args: str) -> str:
        """Run git in the bare repository; its output. GitError when it fails."""
        with self._repository(full_name) as repo:
            return bare(self.state, repo).run(*args)

    def journal(self, full_name: str | None = None) -> list[JournalEntry]:
        """Every write made with an App token, oldest first."""
        return entries(self.state, full_name)

    @contextlib.contextmanager
    def _repository(self, full_name: str) -> Generator[Row, None, None]:
        owner, _, name = full_name.partition("/")
        with self.state.store.transaction():
            yield find_repository(self.state, owner, name)
        self.state.notify()
