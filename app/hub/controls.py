"""What tests hold up and let go: the delivery of webhooks, and the Actions runner."""

import contextlib
import time
from collections.abc import Generator

from app.hub import administration, setup, webhook_sender
from app.hub.auth import Actor
from app.hub.disturbance import Kind
from app.hub.routing import find_repository
from app.hub.state import HubState
from app.hub.store import Row


class Webhooks:
    """Test controls of webhook delivery."""

    def __init__(self, state: HubState) -> None:
        self._state = state

    def pause(self) -> None:
        """Keep deliveries from being sent; they stay pending."""
        self._state.deliveries_paused = True

    def resume(self) -> None:
        """Send what has waited."""
        self._state.deliveries_paused = False
        self._state.notify()

    def deliveries(self, event: str | None = None, action: str | None = None) -> list[Row]:
        """The delivery log, oldest first; `state` is pending or done, `payload` the JSON text."""
        store = self._state.store
        with store.transaction():
            rows = store.rows("SELECT * FROM deliveries ORDER BY id")
        return [row for row in rows if event in (None, row["event"]) and action in (None, row["action"])]

    def lose(self) -> None:
        """Forget what waits, without a trace: what happens where GitHub's webhooks are down."""
        with self._state.store.transaction():
            self._state.store.execute("DELETE FROM deliveries WHERE state = 'pending'")

    def disturb(self, full_name: str, kind: Kind, number: int | None = None) -> None:
        """Have a delivery of the repository lost, doubled, or swapped with the next; by its number from now, or all."""
        owner, _, name = full_name.partition("/")
        with self._state.store.transaction():
            repo = find_repository(self._state, owner, name)
        self._state.disturbances.set(repo["id"], kind, number)

    def repeat(self, delivery_id: int, times: int = 1) -> list[int]:
        """Deliver again under the same guid; the ids of the new deliveries."""
        return [webhook_sender.redeliver(self._state, delivery_id) for _ in range(times)]

    def reverse(self) -> None:
        """Turn the order of the pending deliveries around."""
        webhook_sender.reverse_pending(self._state)

    def wait_drained(self, seconds: float = 10.0) -> None:
        """Return when nothing is pending; TimeoutError otherwise."""
        deadline = time.monotonic() + seconds
        while webhook_sender.pending(self._state):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{webhook_sender.pending(self._state)} deliveries are still pending")
            with self._state.wake:
                self._state.wake.wait(0.02)


class Runner:
    """Test controls of the Actions runner."""

    def __init__(self, state: HubState) -> None:
        self._state = state

    def hold(self) -> None:
        """Start no further workflow run: CI that does not come."""
        self._state.runner_held = True

    def release(self) -> None:
        """Execute what has waited."""
        self._state.runner_held = False
        self._state.notify()

    def wait_idle(self, seconds: float = 60.0) -> None:
        """Return when no workflow run is queued or in progress; TimeoutError otherwise."""
        deadline = time.monotonic() + seconds
        while True:
            with self._state.store.transaction():
                row = self._state.store.row("SELECT name FROM workflow_runs WHERE status != 'completed'")
            if row is None:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"workflow run {row['name']} has not completed")
            with self._state.wake:
                self._state.wake.wait(0.02)


class Owner:
    """What an owner does with repositories, issues and the installation, on GitHub's web pages."""

    def __init__(self, state: HubState, login: str) -> None:
        self._state = state
        self._login = login

    def rename(self, full_name: str, new: str) -> None:
        """Rename or transfer a repository to `owner/name`."""
        owner, _, name = new.partition("/")
        with self._repository(full_name) as (repo, who):
            administration.rename(self._state, repo, who, owner, name)

    def archive(self, full_name: str, *, archived: bool = True) -> None:
        """Make a repository read-only, or open it again."""
        with self._repository(full_name) as (repo, who):
            administration.set_archived(self._state, repo, who, archived=archived)

    def delete(self, full_name: str) -> None:
        """Delete a repository."""
        with self._repository(full_name) as (repo, who):
            administration.delete(self._state, repo, who)

    def rename_default_branch(self, full_name: str, name: str) -> None:
        """Give the default branch another name."""
        with self._repository(full_name) as (repo, who):
            administration.rename_default_branch(self._state, repo, who, name)

    def end_issue(self, full_name: str, number: int, action: str) -> None:
        """Have an issue `deleted` or `transferred`."""
        with self._repository(full_name) as (repo, who):
            administration.end_issue(self._state, repo, who, number, action)

    def suspend(self, full_name: str, *, suspended: bool = True) -> None:
        """Suspend the installation that covers a repository, or end that."""
        with self._repository(full_name) as (repo, who):
            administration.set_suspended(self._state, self._installation(repo), who, suspended=suspended)

    def set_permissions(self, full_name: str, permissions: dict[str, str]) -> None:
        """Accept other permissions for the installation that covers a repository."""
        with self._repository(full_name) as (repo, who):
            administration.set_permissions(self._state, self._installation(repo), who, permissions)

    def uninstall(self, full_name: str) -> None:
        """Take the App away from the owner of a repository."""
        with self._repository(full_name) as (repo, who):
            administration.uninstall(self._state, self._installation(repo), who)

    def _installation(self, repo: Row) -> Row:
        found = webhook_sender.installation_of(self._state, repo)
        if found is None:
            raise ValueError("the App is not installed there")
        return found

    @contextlib.contextmanager
    def _repository(self, full_name: str) -> Generator[tuple[Row, Actor]]:
        owner, _, name = full_name.partition("/")
        store = self._state.store
        with store.transaction():
            who = store.get("users", setup.user_id(self._state, self._login))
            yield find_repository(self._state, owner, name), Actor("user", who)
        self._state.notify()
