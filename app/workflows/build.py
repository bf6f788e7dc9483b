"""The Builder's attempt at a phase, and what refuses it before anything is pushed."""

from dbos import DBOS

from app.agents import builder
from app.agents.conversation import AgentDeps, ConversationFailed, MergeSides
from app.agents.guard import ModelPlan
from app.agents.tasks import BuilderTask, Feedback
from app.domain.budget import ModelFailure, Role
from app.domain.findings import BuilderAnswer, Finding
from app.domain.frozen import Frozen
from app.domain.patch import FileChange, MergeConflict, Patch
from app.domain.strategy import ModelChoice
from app.workflows.repositories import mirror_at
from app.workflows.run_context import PhaseContext, RunContext
from app.workflows.run_ledger import RunLedger
from app.workflows.steps import effect
from app.workspace.mirror import Mirror
from app.workspace.worktree import Worktree


class AttemptStart(Frozen):
    """Where an attempt begins: a commit of the branch, and what of an unpushed attempt is carried on."""

    head_sha: str
    merging: str | None = None
    """The base commit being merged, when the attempt solves its conflicts."""
    unread_since: str | None = None
    """The commit after which something was pushed that no Auditor read whole: the next audit starts there."""
    carried: tuple[FileChange, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    findings: tuple[Finding, ...] = ()
    previous_diff: str = ""
    """What the attempt before changed."""


class AttemptResult(Frozen):
    answer: BuilderAnswer
    patch: Patch
    conflicts: tuple[MergeConflict, ...] = ()
    """Paths in which the merge at the attempt's start left conflict markers."""
    refused: tuple[Finding, ...] = ()
    """Why it cannot pass its gate, with any patch."""
    pushed_sha: str | None = None
    """Its commit, where nothing is left to push."""


class Interrupted(Frozen):
    """An attempt whose models all failed, and where it stood: it can go on from there."""

    failure: ModelFailure
    reason: str
    said: str
    """The conversation, as JSON."""
    patch: Patch


@DBOS.workflow(name="build_attempt")
async def build_attempt(
    phase: PhaseContext,
    attempt: int,
    start: AttemptStart,
    resumed: Interrupted | None = None,
    said: tuple[str, ...] = (),
) -> AttemptResult | Interrupted:
    """Let the Builder work in a worktree at `start`, or where an interrupted attempt stood, and return its patch.

    A workflow of its own, so that only the attempt in flight is replayed after a crash. The worktree is opened outside
    a step on purpose: it is made again from the commit, and the Builder's edits are made again in it.
    """
    context = phase.context
    worktree, conflicts = await open_worktree(context, start)
    if resumed is not None:
        await worktree.apply_changes(resumed.patch.changes)
    ledger = RunLedger(context.run_id, phase.phase_id)
    deps = AgentDeps(
        role=Role.BUILDER,
        ledger=ledger,
        record_failure=ledger.record_failure,
        read_tokens_left=ledger.read_tokens_left,
        plan=model_plan(phase, phase.rules.builder, phase.strategy.output_tokens.builder),
        worktree=worktree,
        sides=MergeSides(start.head_sha, start.merging) if start.merging else None,
        commands_allowed=context.commands_refused is None,
        command_timeout_seconds=phase.strategy.commands.timeout_seconds,
    )
    task = BuilderTask(
        repository=context.repository,
        run_id=context.run_id,
        issue=context.issue,
        outline=context.outline,
        notes=context.notes,
        phase=phase.phase,
        attempt=attempt,
        feedback=(*start.feedback, *_told(conflicts), *(Feedback(title=_SAID, text=one) for one in said)),
        findings=start.findings,
        previous_diff=start.previous_diff,
    )
    try:
        answer = await builder.build(task, deps, resumed.said if resumed else "")
    except ConversationFailed as failed:
        left = await worktree.patch()
        return Interrupted(failure=failed.failure, reason=failed.reason, said=failed.said, patch=left)
    return AttemptResult(answer=answer, patch=await worktree.patch(), conflicts=conflicts)


_SAID = "Said since the run began, by someone who may steer it; it holds where it concerns your phase"
_ADVICE = {
    "modify/delete": "one side changed it, the other deleted it: keep it as it is, or delete it.",
    "binary": "it is binary, and the worktree has the branch's version: keep that, or take the base's.",
    "rename/rename": "both sides renamed it, each to another name: keep one of them.",
    "rename/delete": "one side renamed it, the other deleted it: keep it, or delete it.",
    "file/directory": "one side has a file where the other has a folder: give one of them another name.",
}
_TAKE = "`take_side` gives a path the whole version of one side, and deletes it where that side has none."


def _told(conflicts: tuple[MergeConflict, ...]) -> tuple[Feedback, ...]:
    """Each path of the merge on which the sides clash, with its kind and what can be done."""
    lines = [
        f"- {one.path} ({one.kind}): "
        + ("remove its conflict markers." if one.marked else _ADVICE.get(one.kind, "decide what it shall be."))
        for one in conflicts
    ]
    return (Feedback(title="These paths are in conflict", text="\n".join([*lines, _TAKE])),) if lines else ()


def model_plan(phase: PhaseContext, choice: ModelChoice, output_tokens: int) -> ModelPlan:
    return ModelPlan(
        models=choice.ids,
        max_output_tokens=output_tokens,
        request_limit=phase.strategy.requests_per_attempt,
        timeout_seconds=phase.context.settings.model_timeout_seconds,
        effort=phase.rules.effort,
    )


@effect
async def fetch_start(context: RunContext, start: AttemptStart) -> None:
    """Have on disk what the attempt starts from, so that opening the worktree needs no network."""
    await _mirror_of(context, start)


async def open_worktree(context: RunContext, start: AttemptStart) -> tuple[Worktree, tuple[MergeConflict, ...]]:
    """The run's worktree at the attempt's start, with nothing else in it, and the paths whose conflicts it shows."""
    mirror, base, conflicts = await base_of(context, start)
    worktree = await Worktree.open(mirror, context.run_id, base)
    await worktree.apply_changes(start.carried)
    return worktree, conflicts


async def base_of(context: RunContext, start: AttemptStart) -> tuple[Mirror, str, tuple[MergeConflict, ...]]:
    """The commit that an attempt's patch is against: the head of the branch, or its merge with the base so far."""
    mirror = await _mirror_of(context, start)
    if start.merging is None:
        return mirror, start.head_sha, ()
    merged, conflicts = await mirror.merge_with_markers(start.head_sha, start.merging)
    return mirror, merged, conflicts


async def _mirror_of(context: RunContext, start: AttemptStart) -> Mirror:
    """The mirror with the attempt's start on disk; for a merge, both sides and the commit where they part."""
    mirror = await mirror_at(context.run_id, start.head_sha)
    if start.merging is not None:
        await mirror_at(context.run_id, start.merging)
        fork = await mirror.merge_base(start.head_sha, start.merging)
        if fork is not None:
            await mirror_at(context.run_id, fork)
    return mirror
