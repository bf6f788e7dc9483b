"""The demo tells a story that really happens: its edits fit, its tests fail and pass when the recording says so."""

import asyncio
import sys
from pathlib import Path

from app.agents import auditor, planner
from app.agents.builder import build
from app.agents.conversation import AgentDeps
from app.agents.tasks import AuditTask, BuilderTask, IssueText, PlannerTask
from app.domain.budget import Role
from app.domain.findings import AuditReport, Recommendation, Severity
from app.domain.plan import Plan, PlannedPhase
from app.replay import ModelServer, load_recordings
from app.workspace.worktree import Worktree
from tests.agents.support import GPT, MemoryLedger, make_repository, open_worktree, plan_of

DEMO = next(path for path in Path(__file__).parents[2].glob("**/recording.yaml") if (path.parent / "issue.md").exists())
REPOSITORY = "acme/slug"


def files_of_the_sample() -> dict[str, str]:
    root = DEMO.parent / "repository"
    paths = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(root)): path.read_text() for path in paths}


class Story:
    """Plays the recording over one worktree, attempt by attempt."""

    def __init__(self, server: ModelServer, worktree: Worktree) -> None:
        server.play("*", load_recordings(DEMO)["*"])
        self.worktree = worktree
        self.plan: Plan | None = None

    async def planned(self) -> Plan:
        task = PlannerTask(repository=REPOSITORY, run_id="r1", issue=IssueText(title="Reserve parts"))
        self.plan = (await planner.plan(task, self._deps(Role.PLANNER))).as_plan()
        return self.plan

    async def tests_pass_after(self, phase_id: str, attempt: int) -> bool:
        task = BuilderTask(
            repository=REPOSITORY, run_id="r1", issue=IssueText(title="x"), attempt=attempt, phase=self._phase(phase_id)
        )
        answer = await build(task, self._deps(Role.BUILDER))
        assert answer.status == "done"
        command = (sys.executable, "-B", "-m", "unittest")
        tests = await asyncio.create_subprocess_exec(*command, cwd=self.worktree.path, stderr=asyncio.subprocess.PIPE)
        await asyncio.wait_for(tests.communicate(), timeout=60)
        return tests.returncode == 0

    async def audited(self, phase_id: str, attempt: int) -> AuditReport:
        task = AuditTask(
            repository=REPOSITORY,
            run_id="r1",
            issue=IssueText(title="x"),
            attempt=attempt,
            phase=self._phase(phase_id),
            diff=(await self.worktree.patch()).diff,
        )
        return await auditor.audit(task, self._deps(Role.AUDITOR))

    def _phase(self, phase_id: str) -> PlannedPhase:
        assert self.plan is not None
        return next(phase for phase in self.plan.phases if phase.phase_id == phase_id)

    def _deps(self, role: Role) -> AgentDeps:
        ledger = MemoryLedger()
        return AgentDeps(role=role, ledger=ledger, plan=plan_of(GPT), worktree=self.worktree, commands_allowed=True)


async def test_story_of_the_demo_happens(server: ModelServer, tmp_path: Path) -> None:
    worktree = await open_worktree(tmp_path, make_repository(tmp_path, files_of_the_sample()))
    story = Story(server, worktree)
    assert [(phase.tier_id, phase.phase_id) for phase in (await story.planned()).phases] == [
        ("T1", "P1"),
        ("T1", "P2"),
        ("T2", "P3"),
    ]
    assert not await story.tests_pass_after("P1", 1), "CI is red"
    assert (await story.audited("P1", 1)).recommendation is Recommendation.APPROVE
    assert await story.tests_pass_after("P1", 2)
    assert (await story.audited("P1", 2)).recommendation is Recommendation.APPROVE

    assert await story.tests_pass_after("P2", 1), "CI does not see the defect"
    first = await story.audited("P2", 1)
    finding = first.findings[0]
    lines = (worktree.path / str(finding.path)).read_text().split("\n")
    assert (first.recommendation, finding.severity) == (Recommendation.REVISE, Severity.MAJOR)
    assert "count <= threshold" in lines[(finding.line or 0) - 1]
    assert await story.tests_pass_after("P2", 2)
    assert finding.replacement in (worktree.path / str(finding.path)).read_text().split("\n")
    second = await story.audited("P2", 2)
    assert second.fixed == [finding.as_finding().fingerprint]

    assert await story.tests_pass_after("P3", 1)
    assert (await story.audited("P3", 1)).recommendation is Recommendation.APPROVE
    assert set((await worktree.patch()).paths) == {path for p in story_paths(story) for path in p}


def story_paths(story: Story) -> list[tuple[str, ...]]:
    assert story.plan is not None
    return [phase.expected_paths for phase in story.plan.phases]
