"""What Prometheus scrapes, read from the database when it asks. Labels have few values: no run, no repository."""

import math
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.db.budget_usage import TokenSums
from app.db.engine import Database
from app.domain.aging import BacklogStatus
from app.domain.budget import Role
from app.domain.findings import Severity
from app.domain.plan import TaskCategory
from app.domain.states import RunState
from app.queries import prometheus_totals
from app.queries.prometheus_totals import ServiceTotals
from app.web import webhooks

OTHER = "other"
"""Label for a value that is none of the known ones, so that nothing foreign becomes a label."""
SCRAPE_LOCK = threading.Lock()


class Busy(RuntimeError):
    """Another scrape is still reading."""


def exposition(db: Database, now: datetime, wait_seconds: float, requests_left: int | None = None) -> bytes:
    """All metrics in Prometheus's text format. Raises `Busy` when another scrape does not end in time."""
    if not SCRAPE_LOCK.acquire(timeout=wait_seconds):
        raise Busy("another scrape is still under way")
    try:
        registry = CollectorRegistry()
        registry.register(_Totals(prometheus_totals.read_totals(db), now, requests_left))
        registry.register(webhooks.REFUSED)
        registry.register(webhooks.UNSIGNED)
        return generate_latest(registry)
    finally:
        SCRAPE_LOCK.release()


class _Totals(Collector):
    """The totals as metric families, in the shape that the client library asks for."""

    def __init__(self, counted: ServiceTotals, now: datetime, requests_left: int | None) -> None:
        self._counted = counted
        self._now = now
        self._requests_left = requests_left

    def collect(self) -> Iterator[Metric]:
        yield from _runs(self._counted)
        yield from _models(self._counted)
        yield from _work(self._counted)
        yield from _issues(self._counted)
        yield from _inbox(self._counted, self._now)
        yield from _github(self._counted, self._requests_left)


def _runs(counted: ServiceTotals) -> Iterator[Metric]:
    by_state = GaugeMetricFamily("autopack_runs", "Runs by the state they are in", labels=["state"])
    for state in RunState:
        by_state.add_metric([state], counted.runs.get(state, 0))
    yield by_state
    yield GaugeMetricFamily("autopack_open_runs", "Runs that have not ended", value=counted.open_runs)
    yield GaugeMetricFamily("autopack_waiting_runs", "Open runs that wait for their turn", value=counted.waiting_runs)
    ended = CounterMetricFamily("autopack_runs_ended", "Runs that have ended, by outcome", labels=["outcome"])
    outcomes = {
        "success": [RunState.DONE_SUCCESS],
        "failed": [state for state in RunState if state.failed],
        "cancelled": [RunState.DONE_CANCELLED],
    }
    for outcome, states in outcomes.items():
        ended.add_metric([outcome], sum(counted.runs.get(state, 0) for state in states))
    yield ended


def _models(counted: ServiceTotals) -> Iterator[Metric]:
    calls = GaugeMetricFamily("autopack_model_calls", "Model requests in the ledger", labels=["role", "status"])
    tokens = CounterMetricFamily("autopack_tokens", "Tokens used", labels=["role", "status"])
    cost = CounterMetricFamily("autopack_cost_usd", "US dollars, where prices are known", labels=["role"])
    for role in Role:
        sums = counted.roles.get(role, TokenSums())
        used = sums.usage
        calls.add_metric([role, "settled"], sums.settled_calls)
        calls.add_metric([role, "under_way"], counted.calls_under_way.get(role, 0))
        tokens.add_metric([role, "input"], used.input - used.cached)
        tokens.add_metric([role, "cached_input"], used.cached)
        tokens.add_metric([role, "output"], used.output)
        cost.add_metric([role], float(used.cost_usd or 0))
    yield from (calls, tokens, cost)


def _work(counted: ServiceTotals) -> Iterator[Metric]:
    phases = GaugeMetricFamily(
        "autopack_phases", "Phases by their category and the state they are in", labels=["category", "state"]
    )
    by_label: dict[tuple[str, str], int] = {}
    for (category, state), count in counted.phases.items():
        label = (_known(category, TaskCategory), state)
        by_label[label] = by_label.get(label, 0) + count
    for label, count in sorted(by_label.items()):
        phases.add_metric(label, count)
    yield phases
    yield CounterMetricFamily("autopack_ci_runs", "CI runs that pushed commits have started", value=counted.ci_runs)


def _issues(counted: ServiceTotals) -> Iterator[Metric]:
    findings = GaugeMetricFamily("autopack_issues", "Issues found in phases", labels=["severity", "status"])
    backlog = GaugeMetricFamily("autopack_backlog_issues", "Issues of all projects", labels=["severity", "status"])
    for severity in Severity:
        findings.add_metric([severity, "open"], counted.findings.get((severity, True), 0))
        findings.add_metric([severity, "settled"], counted.findings.get((severity, False), 0))
        for status in BacklogStatus:
            backlog.add_metric([severity, status], counted.backlog.get((severity, status), 0))
    yield from (findings, backlog)


def _inbox(counted: ServiceTotals, now: datetime) -> Iterator[Metric]:
    inbox = GaugeMetricFamily("autopack_inbox_deliveries", "Webhook deliveries that are kept", labels=["status"])
    inbox.add_metric(["waiting"], counted.waiting_deliveries)
    inbox.add_metric(["handed_over"], counted.deliveries - counted.waiting_deliveries)
    yield inbox
    age = (now - counted.oldest_waiting).total_seconds() if counted.oldest_waiting else 0.0
    yield GaugeMetricFamily(
        "autopack_oldest_waiting_delivery_seconds",
        "For how long the oldest webhook delivery has waited to be acted on",
        value=max(0.0, age),
    )


def _github(counted: ServiceTotals, requests_left: int | None) -> Iterator[Metric]:
    left = GaugeMetricFamily(
        "autopack_github_requests_left", "Requests left of GitHub's hourly limit, of the installation with the fewest"
    )
    left.add_metric([], math.nan if requests_left is None else requests_left)
    yield left
    yield GaugeMetricFamily("autopack_owed_texts", "Texts that GitHub did not take yet", value=counted.owed_texts)


def _known(value: str, names: Iterable[str]) -> str:
    return value if value in set(names) else OTHER
