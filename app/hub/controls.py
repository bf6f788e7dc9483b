"""What tests hold up and let go: the delivery of webhooks, and the Actions runner."""

import time

from app.hub import webhook_sender
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
