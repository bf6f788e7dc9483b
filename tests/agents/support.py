"""What the agents' tests share: a ledger in memory, tasks, answers and a small repository."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.agents.conversation import AgentDeps
from app.agents.guard import ModelPlan, PendingRequest
from app.agents.model_access import ModelAccess
from app.agents.models import RequestLimits
from app.agents.tasks import AuditTask, BuilderTask, IssueText, PlannerTask
from app.domain.budget import Cap, ModelFailed, Role, RunStopped, Scope, Usage, check_fit
from app.domain.plan import Complexity, PlannedPhase, TaskCategory
from app.replay import ModelServer
from app.workspace.mirror import Mirror
from app.workspace.worktree import Worktree

REPOSITORY = "acme/slug"
CLAUDE = "anthropic:claude-sonnet-5-5"
GPT = "openai:gpt-6.1-terra"
AZURE = "azure:gpt-6.1-terra"
LOCAL = "local:gpt-4.1"
"""A name with a price, which a local server does not ask for."""

PHASE = PlannedPhase(
    phase_id="P1",
    tier_id="T1",
    phase_index=0,
    name="Slugs keep digits",
    description="Make slug() keep digits.",
    acceptance_criteria=("slug('a1') is 'a1'",),
    expected_paths=("slug.py",),
    task_category=TaskCategory.FEATURE_SCAFFOLDING,
    complexity=Complexity.LOW,
)

PLAN_ANSWER: dict[str, Any] = {
    "summary": "one phase",
    "tiers": [
        {
            "name": "Digits",
            "phases": [
                {
                    "name": "Slugs keep digits",
                    "description": "Make slug() keep digits.",
                    "acceptance_criteria": ["slug('a1') is 'a1'"],
                    "task_category": "feature_scaffolding",
                    "complexity": "low",
                }
            ],
        }
    ],
}
DONE: dict[str, Any] = {"status": "done", "summary": "Digits are kept."}

FILES = {
    "slug.py": 'import re\n\n\ndef slug(text: str) -> str:\n    return re.sub(r"[^a-z]+", "-", text.lower())\n',
    "test_slug.py": 'from slug import slug\n\nassert slug("A b") == "a-b"\n',
}


@dataclass
class MemoryLedger:
    """Reserves against one cap. `reserved` and `settled` keep what happened, in order."""

    limit: int = 1_000_000
    stopped: bool = False
    reserved: list[PendingRequest] = field(default_factory=list[PendingRequest])
    settled: list[Usage] = field(default_factory=list[Usage])
    open: dict[str, int] = field(default_factory=dict[str, int])
    failures: list[ModelFailed] = field(default_factory=list[ModelFailed])
    """Why models gave way."""

    async def reserve(self, call: PendingRequest) -> str:
        if self.stopped:
            raise RunStopped("cancelled")
        used = sum(usage.against_caps for usage in self.settled)
        cap = Cap(scope=Scope.RUN, name="r1", limit=self.limit, used=used, reserved=sum(self.open.values()))
        check_fit(call.tokens, [cap])
        self.reserved.append(call)
        reservation = f"reservation-{len(self.reserved)}"
        self.open[reservation] = call.tokens
        return reservation

    async def settle(self, reservation: str, usage: Usage) -> None:
        del self.open[reservation]
        self.settled.append(usage)

    async def record_failure(self, _: Role, failed: ModelFailed) -> None:
        self.failures.append(failed)


LIMITS = RequestLimits(timeout_seconds=20, max_retries=0)


def access_to(server: ModelServer) -> ModelAccess:
    return ModelAccess(
        anthropic_api_key=SecretStr("test-key"),
        anthropic_base_url=server.anthropic_base_url,
        openai_api_key=SecretStr("test-key"),
        openai_base_url=server.openai_base_url,
        azure_openai_api_key=SecretStr("test-key"),
        azure_openai_endpoint=server.azure_endpoint,
        autopack_local_base_url=server.openai_base_url,
    )


def plan_of(*models: str, request_limit: int = 20) -> ModelPlan:
    return ModelPlan(models=models or (CLAUDE,), max_output_tokens=6_000, request_limit=request_limit)


def deps_of(role: Role, ledger: MemoryLedger, plan: ModelPlan | None = None, **more: Any) -> AgentDeps:
    more.setdefault("record_failure", getattr(ledger, "record_failure", None))
    return AgentDeps(role=role, ledger=ledger, plan=plan or plan_of(), **more)


def planner_task(attempt: int = 1, **more: Any) -> PlannerTask:
    issue = more.pop("issue", IssueText(number=7, title="Keep digits", body="slug('a1') gives 'a'"))
    return PlannerTask(repository=REPOSITORY, run_id="issue-7-ab12cd", issue=issue, attempt=attempt, **more)


def builder_task(attempt: int = 1, **more: Any) -> BuilderTask:
    issue = more.pop("issue", IssueText(number=7, title="Keep digits", body="slug('a1') gives 'a'"))
    phase = more.pop("phase", PHASE)
    return BuilderTask(
        repository=REPOSITORY, run_id="issue-7-ab12cd", issue=issue, attempt=attempt, phase=phase, **more
    )


def audit_task(attempt: int = 1, **more: Any) -> AuditTask:
    issue = IssueText(number=7, title="Keep digits")
    return AuditTask(repository=REPOSITORY, run_id="issue-7-ab12cd", issue=issue, attempt=attempt, phase=PHASE, **more)


def make_repository(folder: Path, files: Mapping[str, str] = FILES) -> str:
    """Make the bare repository `acme/slug.git` under `folder` with one commit; return its sha."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    _git(source, "init", "-q", "-b", "main")
    _git(source, "add", ".")
    _git(source, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "start")
    (folder / "acme").mkdir()
    _git(folder, "clone", "-q", "--bare", str(source), str(folder / "acme" / "slug.git"))
    return _git(source, "rev-parse", "HEAD")


def _git(cwd: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True, timeout=30)
    return result.stdout.strip()


async def open_worktree(folder: Path, sha: str, run_id: str = "issue-7-ab12cd") -> Worktree:
    """The run's worktree at `sha`, over a mirror of the repository that `make_repository` made."""
    mirror = Mirror(folder / "work", "acme", "slug", server_url=folder.as_uri())
    await mirror.fetch(None)
    await mirror.hydrate(None, sha)
    return await Worktree.open(mirror, run_id, sha)
