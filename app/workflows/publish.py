"""The governed apply path: the only way by which a patch reaches GitHub, and only onto the run's own branch."""

from dataclasses import dataclass

from app.db import run_rows
from app.domain import patch_policy
from app.domain.findings import Finding
from app.domain.patch import ChangeKind, FileChange, Patch
from app.domain.ruleset import CiProfile
from app.domain.states import RunState
from app.github import commits, pulls, text
from app.github.commits import WorkBranch
from app.github.github_errors import BranchMoved, GitHubRefused, breaks_rule, refuses_content
from app.workflows.build import AttemptResult, AttemptStart, base_of
from app.workflows.github_status import read_view
from app.workflows.repositories import mirror_at
from app.workflows.run_context import PhaseContext, PushedByHand, RunContext, RunEnded
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run, services
from app.workflows.start_run import read_base_commit
from app.workflows.steps import effect


@dataclass(frozen=True)
class GatedPatch:
    """A patch that the policy lets through. Only `gate` makes one, and only one of these can be pushed."""

    patch: Patch


def gate_patch(phase: PhaseContext, built: AttemptResult) -> GatedPatch | tuple[Finding, ...]:
    """Judge an attempt: the right to push its patch, or what forbids it."""
    kept_as_merged = built.patch.empty and built.conflicts
    forbidden = () if kept_as_merged else patch_policy.check_patch(built.patch, phase.phase, phase.strategy.patch)
    refused = built.refused or forbidden + patch_policy.check_conflicts(built.patch, built.conflicts)
    return refused or GatedPatch(built.patch)


@effect
async def push(
    phase: PhaseContext, attempt: int, start: AttemptStart, gated: GatedPatch, summary: str
) -> str | Finding | PushedByHand:
    """Commit the patch on top of the attempt's start and return the commit's sha; what GitHub refuses in its content.

    Nothing is pushed where someone else added commits to the branch: these. Raises `RunEnded` where they rewrote it.
    """
    context = phase.context
    repo = await repo_of_run(context.run_id)
    message = text.commit_message(
        run_id=context.run_id,
        phase=phase.phase,
        attempt=attempt,
        strict=phase.rules.ci_profile is CiProfile.STRICT,
        requester_login=context.requester,
        requester_id=context.requester_id or None,
        summary=summary,
        server_url=services().server_url,
    )
    branch, changes = WorkBranch(context.branch), await _changes(context, start, gated.patch)
    changed = start.merging or start.head_sha
    tree = await (await mirror_at(context.run_id, changed)).tree_of(changed)
    try:
        commit = await commits.push_commit(
            repo, branch, start.head_sha, changes, message, merging=start.merging, base_tree=tree
        )
    except BranchMoved as moved:
        return await pushed_by_hand(context, start.head_sha, moved.actual)
    except GitHubRefused as refusal:
        if refuses_content(refusal):
            return patch_policy.refused_by_github(refusal.words)
        if breaks_rule(refusal):
            raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, _forbidden(branch, refusal)) from refusal
        raise
    return commit.sha


async def pushed_by_hand(context: RunContext, head_sha: str, actual: str | None) -> PushedByHand:
    """What someone else added to the branch after `head_sha`. Raises `RunEnded` where that is not in it any more."""
    if actual is not None:
        mirror = await mirror_at(context.run_id, head_sha, actual)
        if await mirror.merge_base(head_sha, actual) == head_sha:
            return PushedByHand(head_sha=actual, paths=await mirror.changed_paths(head_sha, actual))
    raise _ended_by(BranchMoved(context.branch, head_sha, actual))


def _ended_by(moved: BranchMoved) -> RunEnded:
    """The end of a run whose branch is not what it left any more."""
    return RunEnded(RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, f"someone else wrote to the run's branch: {moved}")


@effect
async def take_back(phase: PhaseContext, start_sha: str, head_sha: str) -> str:
    """Undo in a commit what was pushed for a phase since `start_sha`; the commit's sha.

    Raises `RunEnded` when someone else wrote to the branch.
    """
    context = phase.context
    repo = await repo_of_run(context.run_id)
    mirror = await mirror_at(context.run_id, start_sha, head_sha)
    changes = await mirror.changes(head_sha, start_sha)
    message = text.take_back_message(context.run_id, phase.phase_id)
    branch, tree = WorkBranch(context.branch), await mirror.tree_of(head_sha)
    try:
        return (await commits.push_commit(repo, branch, head_sha, changes, message, base_tree=tree)).sha
    except BranchMoved as moved:
        raise _ended_by(moved) from moved


def _forbidden(branch: WorkBranch, refusal: GitHubRefused) -> str:
    said = " ".join(refusal.words.split())
    return (
        f"a rule of the repository keeps the App from writing to {branch.name} ({said}): leave autonomous/** out of "
        "the ruleset, or let the App bypass it"
    )


async def _changes(context: RunContext, start: AttemptStart, patch: Patch) -> tuple[FileChange, ...]:
    """The patch's changes; while merging, all that the branch changes in the base that it merges."""
    if start.merging is None:
        return patch.changes
    mirror, merged, _ = await base_of(context, start)
    by_path = {change.path: change for change in await mirror.changes(start.merging, merged)}
    by_path |= {change.path: change for change in patch.changes}
    # GitHub refuses to delete what the base's tree does not hold: such a file was the branch's own.
    there = {entry.path for entry in await mirror.list_files(start.merging)}
    return tuple(change for change in by_path.values() if change.kind is not ChangeKind.DELETED or change.path in there)


@effect
async def ensure_pull(context: RunContext) -> int:
    """The draft pull request of the run's branch; made once."""
    run = await call_db(run_rows.get, context.run_id)
    if run.pull_number is not None:
        return run.pull_number
    repo = await repo_of_run(context.run_id)
    view = await read_view(context.run_id)
    linked = context.base_branch != context.target_branch
    base = (await read_base_commit(repo, run)).branch if linked else run.base_branch
    pull = await pulls.ensure_pull(repo, WorkBranch(context.branch), base, text.pull_title(view), text.pull_body(view))
    return pull.number


@Telling
async def keep_snapshot(run_id: str, phase_id: str, head_sha: str) -> list[object]:
    """Keep the phase's green commit as `refs/autopack/<run>/<phase>`."""
    run = await call_db(run_rows.get, run_id)
    repo = await repo_of_run(run.run_id)
    return [await commits.keep_snapshot(repo, run_id, phase_id, head_sha)]


@effect
async def diff_since(context: RunContext, base_sha: str, head_sha: str) -> str:
    """The unified diff between two commits of the repository."""
    mirror = await mirror_at(context.run_id, base_sha, head_sha)
    return await mirror.diff(base_sha, head_sha)
