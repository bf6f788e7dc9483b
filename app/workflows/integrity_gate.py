"""The integrity rules before each push, and over all that a pull request changes: the check `autopack/integrity`."""

from collections.abc import Sequence

from app.db import run_rows
from app.domain.findings import Finding
from app.domain.integrity import Flag, IntegrityReport, Level
from app.domain.patch import ChangeKind, FileChange, Patch
from app.domain.strategy import Strategy
from app.github import checks, text
from app.runs import integrity_reports
from app.workflows import github_status
from app.workflows.build import AttemptStart
from app.workflows.repositories import fork_of_pull, mirror_at
from app.workflows.run_context import PhaseContext, RunContext
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run, services
from app.workflows.steps import effect
from app.workspace.integrity_scan import scan_apart
from app.workspace.mirror import Mirror
from app.workspace.workspace_errors import WorkspaceError


@effect
async def scan_attempt(phase: PhaseContext, start: AttemptStart, patch: Patch) -> tuple[Finding, ...]:
    """What the rules refuse in an attempt's patch: that is never pushed."""
    before = tuple(sha for sha in (start.head_sha, start.merging) if sha is not None)
    mirror = await mirror_at(phase.run_id, *before)
    flags = await _scan(mirror, before, patch.changes, phase.strategy.integrity.ignore)
    return tuple(flag.as_finding() for flag in flags if flag.level is Level.REFUSE)


@effect
async def judge_branch(context: RunContext, strategy: Strategy, head_sha: str) -> None:
    """Look through all that the branch changes in its base, and keep what is found; what cannot be read is kept too.

    A commit that was looked through is not looked through again.
    """
    known = await call_db(integrity_reports.read_report, context.run_id)
    if known is not None and known.head_sha == head_sha and not known.trouble:
        return
    try:
        report = await _read_branch(context, strategy, head_sha)
    except (WorkspaceError, UnicodeError, RecursionError) as trouble:
        report = IntegrityReport(head_sha=head_sha, trouble=str(trouble)[:300])
    await call_db(integrity_reports.store_report, context.run_id, report)
    if report.needs_person:
        await show_integrity.at_once(context.run_id)


@Telling
async def show_integrity(run_id: str) -> list[object]:
    """Have the check on the branch's head say what was found."""
    report = await call_db(integrity_reports.read_report, run_id)
    if report is None:
        return []
    run, repo = await call_db(run_rows.get, run_id), await repo_of_run(run_id)
    key, said = f"{run.branch_of or run_id}:integrity", text.integrity_check(report)
    return [await checks.upsert_check(repo, checks.INTEGRITY_CHECK, report.head_sha, key, said)]


async def accept(run_id: str, approvals: dict[str, str]) -> None:
    """Settle what needs a person, where one who may steer approves the commit that was looked through."""
    if approvals and await call_db(integrity_reports.accept_report, run_id, approvals):
        await show_integrity.at_once(run_id)
        await github_status.show_run.at_once(run_id)


async def _read_branch(context: RunContext, strategy: Strategy, head_sha: str) -> IntegrityReport:
    repo = await repo_of_run(context.run_id)
    fork = await fork_of_pull(repo, context.run_id, context.base_branch, context.base_sha, head_sha)
    mirror = await mirror_at(context.run_id, head_sha)
    changes = await mirror.changes(fork, head_sha)
    return IntegrityReport(head_sha=head_sha, flags=await _scan(mirror, (fork,), changes, strategy.integrity.ignore))


async def _scan(
    mirror: Mirror, before: Sequence[str], changes: Sequence[FileChange], ignored: Sequence[str]
) -> tuple[Flag, ...]:
    """Scan changes against the texts in these commits: of a merge, those of both sides."""
    paths = [change.path for change in changes if change.kind is not ChangeKind.ADDED or len(before) > 1]
    known: dict[str, str] = {}
    for sha in before if paths else ():
        there = {entry.path for entry in await mirror.list_files(sha)}
        read = await mirror.read_texts(sha, [path for path in paths if path in there])
        for path, text_before in read.items():
            if text_before is not None:
                known[path] = f"{known[path]}\n{text_before}" if path in known else text_before
    return await scan_apart(changes, known, ignored, services().own_secrets)
