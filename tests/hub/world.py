"""What the hub's tests share: a started hub with clients for it, and received webhooks."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from githubkit import AppAuthStrategy, AppInstallationAuthStrategy, GitHub

from app.hub import Hub
from tests.support.tokens import app_jwt

K = TypeVar("K", bound=GitHub[Any])
REPOSITORY = "octo/demo"
WORKFLOW = """
name: CI
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: bash check.sh
"""


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll a condition; AssertionError when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the awaited condition did not come true"
        time.sleep(0.01)


@dataclass
class World:
    """A started hub, the installation, and REST clients: the App's token and the users'."""

    hub: Hub
    installation: int
    clients: dict[str, httpx.Client] = field(default_factory=dict[str, httpx.Client])
    kits: list[GitHub[Any]] = field(default_factory=list[GitHub[Any]])

    def token(self, **body: Any) -> str:
        """A fresh installation token."""
        answer = self.app().post(f"/app/installations/{self.installation}/access_tokens", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def app(self) -> httpx.Client:
        """A client that sends the App's JWT."""
        return self.client("jwt", app_jwt(self.hub))

    def client(self, name: str, token: str) -> httpx.Client:
        """A client with a token; closed at the test's end."""
        if name not in self.clients:
            self.clients[name] = httpx.Client(base_url=self.hub.url, timeout=20)
        self.clients[name].headers["Authorization"] = f"Bearer {token}"
        return self.clients[name]

    def bot(self, **body: Any) -> httpx.Client:
        """A client with an installation token (all permissions unless the body names some)."""
        return self.client(f"bot {json.dumps(body)}", self.token(**body))

    def user(self, login: str) -> httpx.Client:
        """A client that acts as a user."""
        return self.client(login, self.hub.add_user(login))

    def kit(self) -> GitHub[AppInstallationAuthStrategy]:
        """A real githubkit client of the installation."""
        auth = AppInstallationAuthStrategy(self.hub.app_id, self.hub.private_key_pem, self.installation)
        return self._kept(GitHub(auth, base_url=self.hub.url))

    def app_kit(self) -> GitHub[AppAuthStrategy]:
        """A real githubkit client of the App."""
        return self._kept(GitHub(AppAuthStrategy(self.hub.app_id, self.hub.private_key_pem), base_url=self.hub.url))

    def _kept(self, kit: K) -> K:
        # githubkit's namespaces hold their client weakly.
        self.kits.append(kit)
        return kit

    def commit(self, branch: str, files: dict[str, str | None], message: str = "Change") -> str:
        """The owner pushes a commit; its sha."""
        return self.hub.commit_files(REPOSITORY, branch, files, message, as_user="octo")

    def pull(self, branch: str = "feature", content: str = "one\ntwo\nthree\n", *, draft: bool = False) -> int:
        """The App opens a pull request that changes `a.txt`; its number."""
        self.commit(branch, {"a.txt": content})
        body = {"title": "A change", "head": branch, "base": "main", "draft": draft}
        answer = self.bot().post(f"/repos/{REPOSITORY}/pulls", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["number"])


@dataclass
class Delivery:
    """A webhook request as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """Event and action, such as `issues.labeled`."""
        action = self.payload.get("action")
        return self.headers["x-github-event"] + (f".{action}" if action else "")

    @property
    def payload(self) -> dict[str, Any]:
        """The parsed body."""
        return dict(json.loads(self.body))

    def signed_with(self, secret: str) -> bool:
        """Whether the signature fits the raw body."""
        digest = hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers["x-hub-signature-256"], f"sha256={digest}")


@dataclass
class Receiver:
    """Collects deliveries; `status` is what it answers."""

    url: str
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    status: int = 202

    def events(self) -> list[str]:
        """Event and action of each delivery, in order of arrival."""
        return [delivery.event for delivery in self.deliveries]
