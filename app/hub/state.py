"""What every part of the hub shares: its root folder, its database, the App's identity and the wake-up signal."""

import functools
import secrets
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.hub.disturbance import Disturbances
from app.hub.github_problems import Json
from app.hub.limits import RateLimits
from app.hub.store import Store

ACTIONS_APP_ID = 15368  # GitHub's own id of the app `github-actions`


@dataclass(frozen=True)
class AppIdentity:
    """The GitHub App under test: stable over restarts of the hub."""

    id: int
    slug: str
    bot_id: int
    client_id: str
    private_key_pem: str
    webhook_secret: str


class Confine(Protocol):
    """Wraps the command of a job's step: what to start instead of it, and the descriptors that this inherits."""

    def __call__(
        self, command: Sequence[str], folder: Path, working: Path, script: str
    ) -> AbstractContextManager[tuple[list[str], list[int]]]: ...


@dataclass
class HubState:
    """Shared by all modules of the hub; rows live in `store`, bare repositories under `root`."""

    root: Path
    store: Store
    app: AppIdentity
    url: str = ""
    token_seconds: float = 3600.0
    app_refs: tuple[str, ...] = ()
    """Beginnings of the refs that a rule lets the App write to; none: no such rule."""
    api_versions: tuple[str, ...] = ("2022-11-28", "2026-03-10")
    """What it speaks; GitHub Enterprise Server up to 3.20 knows the first alone."""
    limits: RateLimits = field(default_factory=RateLimits)
    confine: Confine | None = None
    """How steps of jobs are kept apart from the machine; None: they are not, as in tests of our own."""
    wake: threading.Condition = field(default_factory=threading.Condition)
    runner_held: bool = False
    cancelled: set[int] = field(default_factory=set[int])
    """Workflow runs at work that a newer run of their concurrency group ends."""
    lag: int = 0
    """How many reads of a thing that was just made do not see it yet."""
    unseen: dict[str, int] = field(default_factory=dict[str, int])
    """By path, the reads that will not see a thing."""
    deliveries_paused: bool = False
    disturbances: Disturbances = field(default_factory=Disturbances)
    stopping: threading.Event = field(default_factory=threading.Event)

    def notify(self) -> None:
        """Wake the webhook worker and the Actions runner: something may wait for them."""
        with self.wake:
            self.wake.notify_all()


def items(value: Any) -> list[Any]:
    """A JSON list that may be null or missing."""
    return list(value or [])


def mapping(value: Any) -> Json:
    """A JSON object that may be null or missing."""
    return dict(value or {})


def now() -> str:
    """The current time as GitHub writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def _new_key() -> str:
    """A private key, in PEM. Finding its primes takes up to half a second, so the new hubs of one process share it."""
    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        .decode()
    )


def load_app(store: Store, slug: str) -> AppIdentity:
    """Read the App's identity, or make it on the first start."""
    with store.transaction():
        if store.setting("app_id") is None:
            owner = store.insert("users", login="hub-admin", type="User")
            # Random, because clients cache tokens by app id, and one process may talk to several hubs.
            app_id = store.insert("apps", id=secrets.randbelow(800_000) + 100_000, slug=slug, name=slug, owner_id=owner)
            store.insert("apps", id=ACTIONS_APP_ID, slug="github-actions", name="GitHub Actions", owner_id=owner)
            bot_id = store.insert("users", login=f"{slug}[bot]", type="Bot")
            values = {"app_id": app_id, "slug": slug, "bot_id": bot_id, "client_id": f"Iv23li{secrets.token_hex(7)}"}
            values |= {"private_key": _new_key(), "webhook_secret": secrets.token_hex(20), "hook_id": store.next_id()}
            for name, value in values.items():
                store.set_setting(name, str(value))
        stored = {str(row["name"]): str(row["value"]) for row in store.rows("SELECT * FROM settings")}
    return AppIdentity(
        id=int(stored["app_id"]),
        slug=stored["slug"],
        bot_id=int(stored["bot_id"]),
        client_id=stored["client_id"],
        private_key_pem=stored["private_key"],
        webhook_secret=stored["webhook_secret"],
    )
