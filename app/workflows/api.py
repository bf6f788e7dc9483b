"""What clients of the REST API post: stored with all it causes; the run's workflow is notified, and its answer awaited.

Everything that a client may read back at once (states, counts, findings) is in the database when the answer is sent.
"""

import secrets
from collections.abc import Sequence
from typing import TypeVar

from dbos import DBOS

from app.config.loader import parse_settings
from app.config.yaml_errors import SettingsError
from app.db import backlog, run_rows
from app.db.engine import Database
from app.db.run_rows import RunRow
from app.domain.aging import BacklogEntry
from app.domain.api_errors import Conflict, Unavailable, Unprocessable
from app.domain.api_requests import AuditorResult, AuditRequest, BuilderResult, RunStart, StatusUpdate
from app.domain.api_responses import AuditReceipt, AuditRequestReceipt, BuilderReceipt
from app.domain.api_run import PhaseCard, RunCard
from app.domain.commands import REGISTRY, Argument, CommandName
from app.domain.integrity import Flag
from app.domain.plan import Plan
from app.domain.plan_splitting import split, with_debt_cleanup
from app.domain.posted_issue import IssueReport
from app.domain.repository_rules import EffectiveRules, RepositorySettings, effective_rules
from app.domain.steer_request import SteerRequest, number_of
from app.domain.strategy import Engine, NoModel, RunOptions, Strategy, compile_strategy, max_phases_of, scope_of
from app.github import commits, issues, settings_files
from app.github.client import Repo
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.queries import run_details
from app.queries.run_details import RunLocation
from app.runs import api_commands, audits, builder_results, submissions
from app.runs.api_commands import IssueReceipt, RunTarget
from app.runs.submissions import PostOutcome
from app.workflows import on_demand_audit
from app.workflows.answers import wait_for_answer
from app.workflows.finish_run import recheck_promotion
from app.workflows.repositories import mirror_at
from app.workflows.run import enqueue_run
from app.workflows.run_queue import end_if_waiting
from app.workflows.services import call_db, repo_of_run, services
from app.workflows.steer import steer
from app.workflows.steps import utcnow
from app.workflows.waiting import notify_run, wake
from app.workspace.integrity_scan import scan_posted_apart
from app.workspace.patch_apply import check_diffs
from app.workspace.workspace_errors import PatchError, PathError, WorkspaceError

R = TypeVar("R", BuilderReceipt, AuditReceipt)

ANSWER_SECONDS = 25.0
"""How long a posted result waits for the run's workflow; after that the client gets the phase's status."""


async def start_run(asked: RunStart) -> RunCard:
    """Make a run with the given plan and set its workflow off; what is too much for one run is left to linked ones.

    Raises `Conflict` when an id is taken or another run is on for the issue, and `Unusable` when the repository, the
    issue, the settings or the models do not fit.
    """
    target, settings = await _target(asked)
    rules = effective_rules(services().ruleset, settings)
    options = asked.run.options
    plan = asked.plan(rules.complexities)
    if target is not None and asked.run.builder is Engine.AUTOPACK:
        plan = with_debt_cleanup(plan, await call_db(_backlog_of, target.project_id), rules)
    most = max_phases_of(rules, options)
    if target is not None:
        most = min(most, rules.run.phases)
    parts = split(plan, most, one_tier_each=scope_of(rules, options).one_tier_each)
    # Later parts of a run with a repository are governed when they begin, by the repository's settings of then.
    known = parts[:1] if target else parts
    strategies = [_govern(asked, part, rules, options) for part in known]
    card = await call_db(api_commands.create_run, asked, parts, strategies, target, utcnow())
    if target is not None:
        await enqueue_run(card.run_id)
    return card


async def update_status(run_id: str, phase_id: str, update: StatusUpdate) -> PhaseCard:
    """Step a phase. Raises `Unknown` and `Conflict`."""
    card = await call_db(api_commands.update_status, run_id, phase_id, update, utcnow())
    if card.state.ended:
        await notify_run(run_id)
    return card


async def record_issue(run_id: str, phase_id: str, report: IssueReport) -> IssueReceipt:
    """Record an issue; each report is a sighting of its own. Raises `Unknown`."""
    seen_in = f"report {secrets.token_hex(8)}"
    receipt = await call_db(api_commands.record_issue, run_id, phase_id, report, seen_in, utcnow())
    await _recheck_promotion(run_id)
    return receipt


async def post_builder_result(run_id: str, phase_id: str, result: BuilderResult) -> BuilderReceipt:
    """Take in a result and answer with the phase's state after its gate. Raises `Unknown`, `Conflict`, `Unusable`."""
    run = await call_db(run_details.get_run_location, run_id)
    misfit = await _patch_conflict(run, phase_id, result)
    flags = await _scan(run, result.patch_content)
    posted = await call_db(builder_results.post_result, run_id, phase_id, result, utcnow(), misfit=misfit, flags=flags)
    return await _await_answer(run, posted)


async def post_auditor_result(run_id: str, phase_id: str, result: AuditorResult) -> AuditReceipt:
    """Take in an audit. Raises `Unknown` and `Unusable`."""
    run = await call_db(run_details.get_run_location, run_id)
    misfit = await _patch_conflict(run, phase_id, result)
    posted = await call_db(audits.post_audit, run_id, phase_id, result, utcnow(), misfit=misfit)
    await _recheck_promotion(run_id)
    return await _await_answer(run, posted)


async def _scan(run: RunLocation, patch: str | None) -> tuple[Flag, ...]:
    """What the integrity rules find in a patch that is never pushed; any other is looked through before its push."""
    if patch is None or run.repository is not None:
        return ()
    return await scan_posted_apart(patch, services().own_secrets)


async def request_audit(run_id: str, phase_id: str, request: AuditRequest) -> AuditRequestReceipt:
    """Bring a phase to its gate, and set our own Auditor to work where a model is configured.

    Raises `Unknown` and `Unusable`.
    """
    receipt = await call_db(audits.request_audit, run_id, phase_id, request, utcnow())
    begun = await on_demand_audit.start_audit(run_id, phase_id, request)
    how = "Autopack's own Auditor is at work" if begun else "post its result to auditor_result"
    return receipt.model_copy(update={"message": f"An audit of {phase_id} is requested: {how}"})


async def steer_run(
    run_id: str, command: CommandName, *, by: str, phase_id: str, text: str, options: RunOptions, request_id: str | None
) -> tuple[str, RunRow]:
    """Do what a command asks of a run; the answer, and the run that goes on.

    Raises `NotFound`, `Unprocessable` for what the command lacks, `Conflict` where the run is not in a state for it.
    """
    run = await call_db(run_details.get_run_location, run_id)
    if REGISTRY[command].argument is Argument.PHASE and not phase_id:
        raise Unprocessable(f"{command} needs phase_id: the phase that it is about")
    if REGISTRY[command].argument is Argument.TEXT and not text.strip():
        raise Unprocessable(f"{command} needs text: what to change")
    source_id = number_of(request_id or secrets.token_hex(16))
    asked = SteerRequest(
        command=command, by=by, phase_id=phase_id, text=text.strip(), options=options, source_id=source_id
    )
    try:
        answer = await steer(run_id, asked)
    except (GitHubUnavailable, GitHubRefused) as trouble:
        raise Unavailable(f"{run.repository} cannot be read now: {trouble}") from trouble
    if not answer.done:
        raise Conflict(answer.message)
    if answer.starts:
        await enqueue_run(answer.starts)
    elif run.repository is not None and not run.over:
        await wake(run_id)
        await end_if_waiting(run_id)
    return answer.message, await call_db(run_rows.get, answer.starts or run_id)


def _strategy_without_repository(rules: EffectiveRules, plan: Plan, options: RunOptions) -> Strategy:
    """The strategy of an externally built run without a repository: no pull request, so nothing is required of one."""
    strategy = compile_strategy(rules, plan, options, services().vendors, engine=Engine.EXTERNAL)
    free = strategy.promotion.model_copy(update={"require_ci": False, "require_audit": False})
    return strategy.model_copy(update={"promotion": free})


def _govern(asked: RunStart, plan: Plan, rules: EffectiveRules, options: RunOptions) -> Strategy:
    if asked.run.repository is None:
        return _strategy_without_repository(rules, plan, options)
    try:
        return compile_strategy(rules, plan, options, services().vendors, engine=asked.run.builder)
    except NoModel as trouble:
        raise Unprocessable(str(trouble)) from trouble


def _backlog_of(db: Database, project_id: str) -> Sequence[BacklogEntry]:
    with db.reading() as session:
        return backlog.list_entries(session, project_id)


async def _target(asked: RunStart) -> tuple[RunTarget | None, RepositorySettings]:
    """Where the work goes, and what governs it there."""
    name = asked.run.repository
    if name is None:
        return None, RepositorySettings()
    github = services().github
    if github is None:
        raise Unprocessable(
            f"GitHub is not configured, so nothing can be built in {name}; GET /health says what is missing"
        )
    try:
        repo = await github.installation_of(name)
        about = await commits.read_repository(repo)
        head = await commits.branch_head(repo, about.default_branch)
        files = await settings_files.read_settings_files(repo, head) if head else None
    except GitHubUnavailable as trouble:
        raise Unavailable(f"{name} cannot be read now: {trouble}") from trouble
    except GitHubRefused as refusal:
        raise Unprocessable(f"The App cannot reach {name} ({refusal.status}); install it there first") from refusal
    if files is None:
        raise Unprocessable(f"{name} has no commit yet")
    try:
        settings = parse_settings(files.settings or "")
    except SettingsError as trouble:
        raise Unprocessable(f"{settings_files.SETTINGS} of {name} does not fit: {trouble}") from trouble
    if asked.run.issue_number is not None:
        await _require_open_issue(repo, asked.run.issue_number)
    target = RunTarget(
        repository=about.full_name,
        repository_id=about.id,
        project_id=await call_db(run_rows.project_of, about.full_name, about.id),
        installation_id=repo.installation_id,
        base_branch=about.default_branch,
    )
    return target, settings


async def _require_open_issue(repo: Repo, number: int) -> None:
    name = f"{repo.full_name}#{number}"
    try:
        issue = await issues.read_issue(repo, number)
    except GitHubUnavailable as trouble:
        raise Unavailable(f"{name} cannot be read now: {trouble}") from trouble
    except GitHubRefused as refusal:
        raise Unprocessable(f"issue_number: there is no issue {name} ({refusal.status})") from refusal
    if issue.is_pull:
        raise Unprocessable(f"issue_number: {name} is a pull request; name an issue, or none")
    if not issue.open:
        raise Unprocessable(f"issue_number: {name} is closed; reopen it, or name another issue or none")


async def _patch_conflict(run: RunLocation, phase_id: str, result: BuilderResult | AuditorResult) -> str:
    """Why posted patches do not apply on the run's branch as it is now; empty where they do, or nothing is pushed."""
    if run.repository is None or run.over:
        return ""
    diffs = await call_db(submissions.diffs_to_apply, run.run_id, phase_id, result)
    if not diffs:
        return ""
    try:
        repo = await repo_of_run(run.run_id)
        head = run.head_sha or await commits.branch_head(repo, run.base_branch)
        if head is not None:
            mirror = await mirror_at(run.run_id, head)
            await check_diffs(mirror.path.absolute(), head, diffs)
    except (PatchError, PathError) as trouble:
        return str(trouble)
    except (GitHubUnavailable, GitHubRefused, WorkspaceError) as trouble:
        raise Unavailable(f"{run.repository} cannot be read now: {trouble}") from trouble
    return ""


async def _recheck_promotion(run_id: str) -> None:
    """Where the run is over, have its pull request say whether it may still be promoted."""
    run = await call_db(run_details.get_run_location, run_id)
    if run.repository is not None and run.over:
        await DBOS.start_workflow_async(recheck_promotion, run_id)


async def _await_answer(run: RunLocation, posted: PostOutcome[R]) -> R:
    """The receipt, once the run's workflow has processed what was posted; after a while, the phase's status.

    A run without a repository has no workflow: its answer is there.
    """
    if run.repository is not None:
        await wake(run.run_id)
    if posted.at_work is None:
        return posted.receipt
    answer = await wait_for_answer(run.run_id, posted.at_work, ANSWER_SECONDS)
    return posted.receipt if answer is None else type(posted.receipt).model_validate(answer)
