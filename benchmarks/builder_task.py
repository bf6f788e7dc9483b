"""A Builder's task of seven requests over a small real repository: seconds, and characters sent to the model.

Measured twice in one run: through the agent in a durable workflow, and the same seven bodies sent by the vendor's
client alone. Run with `python -m benchmarks.builder_task`.
"""

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
from dbos import DBOS, DBOSConfig
from pydantic import SecretStr

from app.agents.builder import build
from app.agents.conversation import AgentDeps
from app.agents.guard import ModelPlan, PendingRequest
from app.agents.model_access import ModelAccess
from app.agents.models import close, configure
from app.agents.tasks import BuilderTask, IssueText
from app.domain.budget import Role, Usage
from app.domain.plan import PlannedPhase
from app.replay import ModelServer
from app.workspace.mirror import Mirror
from app.workspace.worktree import Worktree

ROUNDS = 5
MODEL = "claude-sonnet-5-5"
FILES = {
    "README.md": "# shelf\n\nCounts parts.\n",
    "AGENTS.md": "Standard library only. Tests run with `python3 -m unittest`.\n",
    "shelf/__init__.py": "",
    "shelf/count.py": "def count(parts):\n    return len(parts)\n" + "\n\ndef unused():\n    return None\n" * 40,
    "shelf/report.py": "from shelf.count import count\n\n\ndef report(parts):\n    return f'{count(parts)} parts'\n",
    "tests/__init__.py": "",
    "tests/test_report.py": (
        "import unittest\n\nfrom shelf.report import report\n\n\nclass ReportTest(unittest.TestCase):\n"
        "    def test_counts(self):\n        self.assertEqual(report([1]), '1 parts')\n"
    ),
}
TURNS: list[dict[str, Any]] = [
    {"tool_calls": [{"name": "search", "args": {"regex": "count"}}]},
    {"tool_calls": [{"name": "read_file", "args": {"path": "shelf/count.py"}}]},
    {"tool_calls": [{"name": "read_file", "args": {"path": "shelf/report.py"}}]},
    {"tool_calls": [{"name": "read_file", "args": {"path": "tests/test_report.py"}}]},
    {
        "tool_calls": [
            {
                "name": "edit_file",
                "args": {"path": "shelf/count.py", "old": "return len(parts)", "new": "return sum(1 for _ in parts)"},
            }
        ]
    },
    {"tool_calls": [{"name": "run_command", "args": {"command": "python3 -m unittest"}}]},
    {"answer": {"status": "done", "summary": "count() takes any iterable."}},
]
PHASE = PlannedPhase(
    phase_id="P1",
    tier_id="T1",
    phase_index=0,
    name="count() takes iterables",
    description="Let count() take any iterable of parts, not only sequences.",
    acceptance_criteria=("count(iter([1])) is 1",),
    expected_paths=("shelf/count.py",),
)


class OpenLedger:
    """Grants everything, in steps, as the real ledger does."""

    async def reserve(self, call: PendingRequest) -> str:
        return await DBOS.run_step_async({"name": "reserve"}, self._reserve, call.tokens)

    async def settle(self, reservation: str, usage: Usage) -> None:
        await DBOS.run_step_async({"name": "settle"}, self._settle, reservation, usage.total)

    async def _reserve(self, tokens: int) -> str:
        return f"reservation of {tokens}"

    async def _settle(self, reservation: str, tokens: int) -> None:
        assert reservation
        assert tokens


@dataclass
class Bench:
    """What the workflow reaches past its stored arguments."""

    folder: Path
    sha: str


BENCH: list[Bench] = []


@DBOS.workflow(name="bench_build")
async def build_once(number: int) -> str:
    """One Builder's attempt over a fresh worktree; returns the diff."""
    bench = BENCH[0]
    mirror = Mirror(bench.folder / "work", "acme", "shelf", server_url=bench.folder.as_uri())
    worktree = await Worktree.open(mirror, f"run-{number}", bench.sha)
    deps = AgentDeps(
        role=Role.BUILDER,
        ledger=OpenLedger(),
        plan=ModelPlan(models=(f"anthropic:{MODEL}",), max_output_tokens=8_000, request_limit=40),
        worktree=worktree,
        commands_allowed=True,
    )
    issue = IssueText(number=1, title="count() fails on generators", body="len() of a generator raises TypeError.")
    task = BuilderTask(
        repository="acme/shelf",
        run_id=f"run-{number}",
        issue=issue,
        phase=PHASE,
        outline="\n".join(FILES),
        notes=FILES["AGENTS.md"],
    )
    await build(task, deps)
    return (await worktree.patch()).diff


def make_repository(folder: Path) -> None:
    """Make `acme/shelf.git` under `folder`, with one commit."""
    source = folder / "source"
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for command in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "start")):
        subprocess.run(["git", *command], cwd=source, check=True)
    bare = folder / "acme" / "shelf.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(source), str(bare)], check=True)


async def mirror_repository(folder: Path) -> str:
    """Mirror it and return its commit."""
    mirror = Mirror(folder / "work", "acme", "shelf", server_url=folder.as_uri())
    await mirror.fetch(None)
    sha = await mirror.resolve("main")
    await mirror.hydrate(None, sha)
    return sha


async def send_raw(url: str, bodies: list[bytes]) -> None:
    """The same requests by the vendor's client alone, one after the other."""
    async with anthropic.AsyncAnthropic(api_key="recorded", base_url=url, max_retries=0) as client:
        for body in bodies:
            fields: dict[str, Any] = json.loads(body)
            await client.post("/v1/messages", body=fields, cast_to=object)


async def seconds_of(action: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await action()
    return time.perf_counter() - began


def print_report(server: ModelServer, agent: list[float], raw: list[float]) -> None:
    first = server.requests()[: len(TURNS)]
    body: dict[str, Any] = json.loads(first[0].body)
    fixed = len(json.dumps(body["system"])) + len(json.dumps(body["tools"]))
    sent = [seen.body_characters for seen in first]
    ratio = statistics.median(agent) / statistics.median(raw)
    print(f"requests                          {len(sent)}")
    print(f"characters sent, each request     {', '.join(f'{size:,}' for size in sent)}")
    print(f"characters sent, in total         {sum(sent):,}")
    print(f"of these fixed in every request   {fixed:,} (system prompt and tool schemas)")
    print(f"seconds, agent in a workflow      {statistics.median(agent):.3f} (median of {len(agent)})")
    print(f"seconds, vendor's client alone    {statistics.median(raw):.3f} (median of {len(raw)})")
    print(f"ratio                             {ratio:.1f}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as name, ModelServer() as server:
        folder = Path(name)
        make_repository(folder)
        BENCH.append(Bench(folder, await mirror_repository(folder)))
        server.play("acme/shelf", {"builder": {"P1": {1: TURNS}}})
        configure(ModelAccess(anthropic_api_key=SecretStr("recorded"), anthropic_base_url=server.anthropic_base_url))
        config: DBOSConfig = {
            "name": "builder-task",
            "system_database_url": f"sqlite:///{folder / 'dbos.sqlite'}",
            "log_level": "ERROR",
        }
        DBOS(config=config)
        DBOS.launch()
        await build_once(0)  # imports and caches
        bodies = [seen.body for seen in server.requests()]
        agent: list[float] = []
        raw: list[float] = []
        for number in range(1, ROUNDS + 1):  # in turn, so that both meet the same load of the machine
            agent.append(await seconds_of(lambda n=number: build_once(n)))
            raw.append(await seconds_of(lambda: send_raw(server.url, bodies)))
        await close()
        DBOS.destroy()
        print_report(server, agent, raw)


if __name__ == "__main__":
    asyncio.run(main())
