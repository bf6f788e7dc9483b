"""A world for stories: an embedded GitHub, recorded models and the service, on one database."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import httpx
import sqlalchemy as sa

from app.hub import Hub, webhook_sender
from app.replay import ModelServer
from app.trial import APP_REFS
from tests.support.service import Service
from tests.support.tokens import app_jwt

WAIT_SECONDS = 40.0
LOOK_SECONDS = 0.1
"""Between two looks: a look costs milliseconds of the processor for which the service waits."""
_UNFINISHED = ("PENDING", "ENQUEUED", "DELAYED")
VENDORS = ("anthropic", "openai")
_PREFIXES = {
    "anthropic": "ANTHROPIC",
    "openai": "OPENAI",
    "azure": "AZURE_OPENAI",
    "local": "AUTOPACK_LOCAL",
}
"""Of the variables with a vendor's key."""


class World:
    """One hub, one model server, one service. Its stories have a repository of their own each."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        runners: int = 1,
        vendors: Sequence[str] = VENDORS,
        workers: int = 0,
        settings: Mapping[str, str] | None = None,
        by_command: bool = False,
    ) -> None:
        """`vendors` are those for which the service has a key. With `workers`, the service only serves the web.

        `settings` are more variables of the service's environment. `by_command` starts it as a user does, with memory
        of its own from the first import.
        """
        self._by_command = by_command
        self._settings = dict(settings or {})
        self.hub = Hub(folder / "hub", runners=runners, app_refs=APP_REFS)
        self.models = ModelServer()
        self.vendors = vendors
        self._folder = folder
        self._database_url = database_url
        self._database = sa.create_engine(_driver(database_url))
        self._clients: dict[str, httpx.Client] = {}
        self._numbers = count(1)
        self._started = ExitStack()
        self.service: Service
        self.workers = [
            Service(folder / f"worker-{number}", {}, command=["worker"]) for number in range(1, workers + 1)
        ]
        """Each has a data folder of its own, as on another machine."""

    def start(self) -> None:
        """Start everything, or nothing; the hub's webhooks go to the service."""
        with ExitStack() as started:
            started.callback(self.hub.stop)
            self.hub.start()
            started.callback(self.models.stop)
            self.models.start()
            started.callback(self._database.dispose)
            command = ["serve", "--web"] if self.workers else ["serve"]
            self.service = Service(
                self._folder / "service", self.environment(), command=command, by_command=self._by_command
            )
            started.callback(self.service.stop)
            self.service.start()
            for worker in self.workers:
                worker.give(self.environment())
                started.callback(worker.stop)
                worker.start()
            self.hub.set_webhook_url(self.service.webhook_url)
            self._started = started.pop_all()

    def stop(self) -> None:
        """End everything, even where something does not end well; the first fault is raised."""
        for client in self._clients.values():
            self._started.callback(client.close)
        self._clients.clear()
        self._started.close()

    def environment(self) -> dict[str, str]:
        """The service's environment."""
        return {
            **{f"{_PREFIXES[vendor]}_API_KEY": f"recorded-{vendor}" for vendor in self.vendors},
            "ANTHROPIC_BASE_URL": self.models.anthropic_base_url,
            "OPENAI_BASE_URL": self.models.openai_base_url,
            "AZURE_OPENAI_ENDPOINT": self.models.azure_endpoint,
            "AUTOPACK_LOCAL_BASE_URL": self.models.openai_base_url if "local" in self.vendors else "",
            "DATABASE_URL": self._database_url,
            "GITHUB_APP_ID": str(self.hub.app_id),
            "GITHUB_PRIVATE_KEY": self.hub.private_key_pem,
            "GITHUB_WEBHOOK_SECRET": self.hub.webhook_secret,
            "GITHUB_API_URL": self.hub.url,
            "GITHUB_SERVER_URL": self.hub.url,
            **self._settings,
        }

    def new_repository_name(self) -> str:
        """`owner/name` of a repository that does not exist yet; the owner is new too."""
        number = next(self._numbers)
        return f"acme{number}/garden{number}"

    def user(self, login: str) -> httpx.Client:
        """A REST client that acts as this user."""
        if login not in self._clients:
            self._clients[login] = self.hub.as_user(login)
        return self._clients[login]

    def app_client(self, full_name: str) -> httpx.Client:
        """A REST client that acts as the App in a repository."""
        if full_name not in self._clients:
            signed = {"Authorization": f"Bearer {app_jwt(self.hub)}"}
            with httpx.Client(base_url=self.hub.url, headers=signed) as client:
                installation = client.get(f"/repos/{full_name}/installation").raise_for_status().json()["id"]
                answer = client.post(f"/app/installations/{installation}/access_tokens").raise_for_status()
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            self._clients[full_name] = httpx.Client(base_url=self.hub.url, headers=headers)
        return self._clients[full_name]

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Return when `condition` holds. It is looked at ten times a second at most. Raises `AssertionError`."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.service.running, "the service has died"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            time.sleep(LOOK_SECONDS)

    def wait_idle(self, seconds: float = WAIT_SECONDS) -> None:
        """Return when nothing more will happen by itself."""
        self.wait_until(self.idle, "every delivery is handled, and no workflow is under way", seconds)

    def wait_handled(self, seconds: float = WAIT_SECONDS) -> None:
        """Return when every delivery so far has been acted on; runs may still be under way."""
        self.wait_until(self._handled, "every delivery is handled", seconds)

    def execute(self, statement: sa.Executable) -> None:
        """Change the service's database behind its back."""
        with self._database.begin() as connection:
            connection.execute(statement)

    @property
    def database_file(self) -> Path:
        """Of SQLite."""
        return Path(self._database.url.database or "")

    def move(self, folder: Path, database_url: str) -> None:
        """Serve from another folder and database; the service must have ended."""
        self._database.dispose()
        self._database_url, self._database = database_url, sa.create_engine(_driver(database_url))
        self.service = Service(folder, self.environment())
        self._started.callback(self.service.stop)
        self.service.start()
        self.hub.set_webhook_url(self.service.webhook_url)

    def log(self) -> str:
        """All that its workers, which tests may end, and its service have written."""
        return "".join(one.log() for one in (*self.workers, self.service))

    def scalar(self, query: sa.Executable) -> object:
        """One value from the service's database."""
        with self._database.connect() as connection:
            return connection.scalar(query)

    def owed(self) -> int:
        """How many texts the service owes GitHub."""
        with self._database.connect() as connection:
            return connection.scalar(sa.text("SELECT count(*) FROM owed_texts")) or 0

    def failed_workflows(self) -> list[str]:
        """Name and id of every run and delivery whose workflow ended with an exception."""
        main = "name IN ('run', 'delivery')"
        query = sa.text(f"SELECT name, workflow_uuid, status FROM {self.status_table} WHERE {main}")
        with self._database.connect() as connection:
            rows = [(str(name), str(uuid), str(status)) for name, uuid, status in connection.execute(query)]
        return [f"{name} {uuid}" for name, uuid, status in rows if status not in {"SUCCESS", *_UNFINISHED}]

    def idle(self) -> bool:
        """Whether every delivery has been sent and handled, and no workflow is under way."""
        return self._handled("TRUE")

    def _handled(self, which: str = "name = 'delivery'") -> bool:
        if webhook_sender.pending(self.hub.state):
            return False
        unfinished = ", ".join(f"'{status}'" for status in _UNFINISHED)
        waiting = sa.text("SELECT count(*) FROM deliveries WHERE handed_at IS NULL")
        working = sa.text(f"SELECT count(*) FROM {self.status_table} WHERE status IN ({unfinished}) AND {which}")
        with self._database.connect() as connection:
            return connection.scalar(waiting) == 0 and connection.scalar(working) == 0

    @property
    def status_table(self) -> str:
        return "workflow_status" if self._database.dialect.name == "sqlite" else "dbos.workflow_status"


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
