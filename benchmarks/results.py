"""Builder results over the REST API per second, judged and stored, against the same service's answers to `GET /`.

Each result belongs to a phase of its own, is gated, counted, booked and moves phase, tier and run in one transaction.
Usage: python -m benchmarks.results [--runs 8] [--phases 25]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks.deliveries import server

PATCH = (
    "diff --git a/greeting.txt b/greeting.txt\nnew file mode 100644\n--- /dev/null\n+++ b/greeting.txt\n"
    "@@ -0,0 +1 @@\n+hello\n"
)


def started(client: httpx.Client, number: int, phases: int) -> str:
    """A new run of one tier; its id."""
    run_id = f"run-{number}"
    listed = [
        {"phase_id": f"P{one}", "phase_index": one, "tier_id": "T1", "name": f"Step {one}", "task_category": "docs"}
        for one in range(phases)
    ]
    body = {
        "run": {"run_id": run_id, "max_phases": phases},
        "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "All"}],
        "phases": listed,
    }
    client.post("/runs/start", json=body).raise_for_status()
    return run_id


def result(run_id: str, phase_id: str) -> dict[str, Any]:
    return {"run_id": run_id, "phase_id": phase_id, "status": "success", "patch_content": PATCH, "tokens_used": 100}


def timed(requests: list[Callable[[], httpx.Response]]) -> tuple[float, list[float]]:
    """Send the requests from four threads; how many a second, and the seconds that each took."""

    def one(send: Callable[[], httpx.Response]) -> float:
        began = time.perf_counter()
        send().raise_for_status()
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(one, requests))
    return len(requests) / (time.perf_counter() - began), taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--phases", type=int, default=25)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server("app.main:app", Path(folder), {"PYTHONPATH": str(Path(__file__).parents[1])}) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        runs = [started(client, number, options.phases) for number in range(options.runs)]
        bare, _ = timed([lambda: client.get("/")] * (options.runs * options.phases))
        posts = [
            lambda run_id=run_id, phase_id=f"P{one}": client.post(
                f"/runs/{run_id}/phases/{phase_id}/builder_result", json=result(run_id, phase_id)
            )
            for one in range(options.phases)
            for run_id in runs
        ]
        judged, taken = timed(posts)
    print(f"GET / (nothing is read)      {bare:8.0f} a second")
    print(f"builder_result (SQLite)      {judged:8.0f} a second, median {statistics.median(taken) * 1000:.1f} ms")
    print(f"ratio                        {judged / bare:8.3f}")


if __name__ == "__main__":
    main()
