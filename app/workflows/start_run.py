"""PLAN_BOOTSTRAP: the run is acknowledged, its surroundings are read from the base branch, and the plan is made."""

from dataclasses import dataclass

from dbos import DBOS

from app.agents import planner
from app.agents.conversation import AgentDeps
from app.agents.guard import ModelPlan
from app.agents.tasks import IssueText, PlannerTask
from app.config.loader import parse_settings
from app.config.yaml_errors import SettingsError
from app.db import backlog, run_rows
from app.db.budget_usage import EarlyCaps
from app.domain.budget import Role
from app.domain.plan import EXTRA_TIERS, Plan
from app.domain.plan_splitting import parts_of, with_debt_cleanup
from app.domain.repository_rules import EffectiveRules, RepositorySettings, effective_rules
from app.domain.run_end import SETTINGS_MISFIT
from app.domain.states import RunState
from app.domain.strategy import (
    Engine,
    ModelChoice,
    NoModel,
    Strategy,
    TooManyPhases,
    compile_strategy,
    max_phases_of,
    planner_model,
)
from app.github import commits, issues, pulls, settings_files
from app.github.client import Repo
from app.github.permissions import may_steer
from app.github.telling import Untold
from app.runs import kept_phases
from app.workflows import github_status
from app.workflows.repositories import mirror_at
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.run_ledger import RunLedger
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run, services
from app.workflows.steps import blocking_step, effect
from app.workspace.mirror import Mirror
from app.workspace.sandbox import sandbox_available

MAX_COMMENTS = 20
MAX_AUTHORS = 20
"""Of comments, whose permission is asked of GitHub at a run's start."""
ISSUE_CHANGED = (
    "The issue was changed after the run was requested; the run works with the text as it was then. "
    "Say what to do about it with `/autopack fix`, or cancel and start again."
)
"""The newest comments of the issue that the models see."""
MAX_OUTLINE_LINES = 400


@Telling
async def acknowledge(run_id: str) -> list[object]:
    """👀 on what requested the run; refused, it is not worth a word."""
    run = await call_db(run_rows.get, run_id)
    if not run.issue_number:
        return []
    repo = await repo_of_run(run.run_id)
    if run.trigger_comment_id is not None:
        reacted = await issues.react_to_comment(repo, run.trigger_comment_id)
    else:
        reacted = await issues.react_to_issue(repo, run.issue_number)
    return [reacted] if isinstance(reacted, Untold) and reacted.for_now else []


@Telling
async def take_over_pull(run_id: str) -> list[object]:
    """A run that goes on with another's pull request has it in draft while it works, and the other one says so."""
    run = await call_db(run_rows.get, run_id)
    if run.continues is None:
        return []
    await github_status.show_run.at_once(run.continues)
    if run.pull_number is None:
        return []
    repo = await repo_of_run(run_id)
    return [await pulls.mark_draft(repo, await pulls.read_pull(repo, run.pull_number))]


@effect
async def read_context(run_id: str) -> RunContext:
    """Read issue, base commit, settings and instructions. Raises `RunEnded` when the settings file does not fit."""
    run = await call_db(run_rows.get, run_id)
    repo = await repo_of_run(run.run_id)
    base = await read_base_commit(repo, run)
    files = await settings_files.read_settings_files(repo, base.governing_sha)
    try:
        settings = parse_settings(files.settings or "")
    except SettingsError as error:
        raise RunEnded(RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, f"{SETTINGS_MISFIT}: {error}") from error
    issue = await _read_issue(repo, run, settings)
    mirror = await mirror_at(run.run_id, base.sha)
    unread_since = await _unread_since(run, mirror, base.sha)
    paths = [entry.path for entry in await mirror.list_files(base.sha)]
    rules = effective_rules(services().ruleset, settings)
    token_cap = run.options.tokens or rules.run.tokens
    intent = _intent(run, settings)
    known = {
        "intent": intent,
        "base_branch": base.branch,
        "base_sha": base.sha,
        "issue_title": issue.title,
        "token_cap": token_cap,
    }
    await call_db(run_rows.update, run_id, known)
    refused = sandbox_available() if settings.commands.allowed else "the repository's settings forbid commands"
    return RunContext(
        run_id=run_id,
        repository=run.repository,
        installation_id=run.installation_id,
        intent=intent,
        issue=issue,
        requester=run.requester,
        requester_id=run.requester_id,
        options=run.options,
        base_branch=base.branch,
        target_branch=run.target_branch,
        base_sha=base.sha,
        branch=run.branch,
        start_sha=run.start_sha or base.sha,
        unread_since=unread_since,
        earlier=(await call_db(run_rows.get, run.continues)).reason if run.continues else "",
        settings=settings,
        notes="\n\n".join(f"{path}:\n{text}" for path, text in files.instructions.items()),
        outline=_outline(paths),
        provider_pauses_minutes=rules.provider_pauses_minutes,
        commands_refused=refused,
    )


def _intent(run: run_rows.RunRow, settings: RepositorySettings) -> str:
    """Whether the run builds, or only plans since no plan is approved yet."""
    approved = run.plan is not None or run.follows is not None or run.continues is not None
    return "plan" if settings.approval == "required" and not approved else run.intent


async def _unread_since(run: run_rows.RunRow, mirror: Mirror, base_sha: str) -> str | None:
    """The last commit of the branch that an audit saw, where the run goes on with one that holds later ones."""
    if run.start_sha is None:
        return None
    await mirror_at(run.run_id, run.start_sha)
    kept = await call_db(kept_phases.last_kept_sha, run.run_id)
    seen = kept or await mirror.merge_base(base_sha, run.start_sha) or base_sha
    return seen if seen != run.start_sha else None


async def _read_issue(repo: Repo, run: run_rows.RunRow, settings: RepositorySettings) -> IssueText:
    """The issue that requested the run, as the models see it; of a run without one, its title is all there is.

    Title and text are those of the event by which someone said go: whoever wrote the issue may change it since.
    """
    if not run.issue_number:
        return IssueText(title=run.issue_title)
    issue = await issues.read_issue(repo, run.issue_number)
    if run.follows is not None and not issue.open:
        raise RunEnded(RunState.DONE_CANCELLED, f"the issue was closed before part {run.part} of the plan began")
    comments = await _comments_to_read(repo, run, settings)
    if run.issue_body is None:
        return IssueText(number=run.issue_number, title=issue.title, body=issue.body, comments=comments)
    changed = (_lines(issue.title), _lines(issue.body)) != (_lines(run.issue_title), _lines(run.issue_body))
    if changed and not any("changed the issue" in one for one in run.notices):  # else the event has said so
        await call_db(run_rows.add_notice, run.run_id, ISSUE_CHANGED)
    return IssueText(number=run.issue_number, title=run.issue_title, body=run.issue_body, comments=comments)


async def _comments_to_read(repo: Repo, run: run_rows.RunRow, settings: RepositorySettings) -> tuple[str, ...]:
    """The newest comments from before the run was requested, by people whose word the settings take."""
    if settings.issue_comments == "none":
        return ()
    said = [one for one in await issues.comments(repo, run.issue_number) if not one.bot]
    before = [one for one in said if one.created_at <= run.created_at]
    if settings.issue_comments == "steering":
        authors = list(dict.fromkeys(one.author for one in reversed(before)))[:MAX_AUTHORS]
        steering = {name for name in authors if name == run.requester or await may_steer(repo, name)}
        before = [one for one in before if one.author in steering]
    return tuple(f"{one.author}: {one.body}" for one in before[-MAX_COMMENTS:])


def _lines(text: str) -> str:
    """Text of an event and of a reading differ in their line ends at most."""
    return "\n".join(text.split())


@dataclass(frozen=True)
class BaseCommit:
    """What a run builds on. `governing_sha` is the commit whose settings and instructions govern it."""

    branch: str
    sha: str
    governing_sha: str


async def read_base_commit(repo: Repo, run: run_rows.RunRow) -> BaseCommit:
    """The run's base branch, or the target branch where the run before was merged and its branch deleted.

    The target branch alone governs, never a branch that the Builder wrote. Raises `RunEnded` when it has no commit.
    """
    governing_sha = await commits.branch_head(repo, run.target_branch)
    if governing_sha is None:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"the branch {run.target_branch} has no commit yet")
    if run.base_branch != run.target_branch:
        sha = await commits.branch_head(repo, run.base_branch)
        if sha is not None:
            return BaseCommit(run.base_branch, sha, governing_sha)
    return BaseCommit(run.target_branch, governing_sha, governing_sha)


def _outline(paths: list[str]) -> str:
    """The file list, folders summed up when there are too many files for a prompt."""
    if len(paths) <= MAX_OUTLINE_LINES:
        return "\n".join(paths)
    counts: dict[str, int] = {}
    for path in paths:
        folder = "/".join(path.split("/")[:2]) if "/" in path else path
        counts[folder] = counts.get(folder, 0) + 1
    lines = [f"{folder} ({count} files)" if count > 1 else folder for folder, count in counts.items()]
    return "\n".join(lines[:MAX_OUTLINE_LINES])


def rules_of(context: RunContext) -> EffectiveRules:
    """The rules that govern the run: those of the service, with what the repository changes of them."""
    return effective_rules(services().ruleset, context.settings)


@DBOS.workflow(name="make_plan")
async def make_plan(context: RunContext) -> Plan:
    """Ask the Planner. Raises `RunEnded` when no model can be reached."""
    choice, rules = await _planner_choice(context), rules_of(context)
    ledger = RunLedger(context.run_id, None, EarlyCaps(rules.issue.tokens, rules.usd))
    deps = AgentDeps(
        role=Role.PLANNER,
        ledger=ledger,
        record_failure=ledger.record_failure,
        read_tokens_left=ledger.read_tokens_left,
        plan=ModelPlan(
            models=choice.ids,
            max_output_tokens=rules.output_tokens.planner,
            request_limit=rules.requests_per_attempt,
            timeout_seconds=context.settings.model_timeout_seconds,
            effort=rules.effort.planner,
        ),
    )
    task = PlannerTask(
        repository=context.repository,
        run_id=context.run_id,
        issue=context.issue,
        outline=context.outline,
        notes=context.notes,
        max_phases=context.options.phases or rules.run.phases,
    )
    return (await planner.plan(task, deps)).as_plan()


@blocking_step
def stored_plan_and_strategy(run_id: str) -> tuple[Plan, Strategy] | None:
    """Plan and strategy of a run that came with both, over the REST API."""
    run = run_rows.get(services().db, run_id)
    return (run.plan, run.strategy) if run.plan is not None and run.strategy is not None else None


@blocking_step
def given_plan(run_id: str) -> Plan | None:
    """The plan that came with the run, where there is one: a part of a larger plan."""
    return run_rows.get(services().db, run_id).plan


@blocking_step
def split_plan(context: RunContext, plan: Plan) -> tuple[Plan, ...]:
    """The plan as the runs that it takes: with clean-ups of what has aged, and cut where it is too large for one."""
    db = services().db
    run = run_rows.get(db, context.run_id)
    if run.continues is not None:
        return (plan,)  # it was divided when it was first made
    if run.follows is None and run.plan is None and run.engine is Engine.AUTOPACK:
        with db.reading() as session:
            plan = with_debt_cleanup(plan, backlog.list_entries(session, run.project_id), rules_of(context))
    return parts_of(plan, rules_of(context), context.options)


@blocking_step
def compile_run_strategy(context: RunContext, plan: Plan) -> Strategy:
    """Compile the strategy; recorded, so that a restart with other keys or rules changes nothing for an open run.

    Phases that came up during a run are not counted against the cap on a plan's phases.
    Raises `RunEnded` when the plan or the models do not fit the rules.
    """
    rules, options, engine = rules_of(context), context.options, run_rows.get(services().db, context.run_id).engine
    extra = sum(phase.tier_id.startswith(EXTRA_TIERS) for phase in plan.phases)
    if extra:
        options = options.model_copy(update={"phases": max_phases_of(rules, options) + extra})
    try:
        return compile_strategy(rules, plan, options, services().vendors, engine=engine)
    except NoModel as error:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(error)) from error
    except TooManyPhases as error:
        raise RunEnded(RunState.DONE_FAILED_BUDGET_EXHAUSTED, str(error)) from error


@blocking_step
def _planner_choice(context: RunContext) -> ModelChoice:
    try:
        return planner_model(rules_of(context), context.options, services().vendors)
    except NoModel as error:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(error)) from error
