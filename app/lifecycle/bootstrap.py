"""PLAN_BOOTSTRAP: the run is acknowledged, its surroundings are read from the base branch, and the plan is made."""

from dataclasses import dataclass

from dbos import DBOS

from app.agents import planner
from app.agents.conversation import AgentDeps
from app.agents.guard import ModelPlan
from app.agents.tasks import Issue, PlannerTask
from app.db import backlog, runs
from app.domain.budget import Role
from app.domain.plan import Plan
from app.domain.planning import parts_of, with_debt_cleanup
from app.domain.ruleset import ruleset_of
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
from app.github import commits, issues, settings_files
from app.github.client import Repo
from app.github.errors import GitHubRefused, GitHubUnavailable
from app.lifecycle.checked_yaml import SettingsError
from app.lifecycle.job import Job, RunEnded
from app.lifecycle.record import RunLedger
from app.lifecycle.rules import parse_settings
from app.lifecycle.services import NotConfigured, in_db, services
from app.lifecycle.steps import effect, optional_effect, step
from app.workspace.errors import GitError
from app.workspace.mirror import Mirror
from app.workspace.sandbox import sandbox_available

COMMENTS_GIVEN = 20
"""The newest comments of the issue that the models see."""
OUTLINE_LINES = 400


async def repo_of(repository: str, installation_id: int) -> Repo:
    """The repository as the App reaches it. Raises `NotConfigured` without the App's settings."""
    github = services().github
    if github is None:
        raise NotConfigured("GitHub is not configured: set GITHUB_APP_ID, GITHUB_PRIVATE_KEY and GITHUB_WEBHOOK_SECRET")
    return await github.installation(installation_id, repository)


async def mirror_at(repository: str, installation_id: int, *shas: str) -> Mirror:
    """The repository's mirror with the contents of these commits on disk, so that all reads of them are local.

    Nothing is fetched that is there. Raises `GitHubUnavailable` when the network or the server fails, `GitHubRefused`
    when GitHub takes neither the kept token nor a new one.
    """
    owner, _, name = repository.partition("/")
    mirror = Mirror(services().data_dir, owner, name, services().server_url)
    missing = [sha for sha in shas if not await mirror.holds(sha)]
    if missing:
        repo = await repo_of(repository, installation_id)
        await repo.app.renewing(lambda: _fetch(repo, mirror, missing))
    return mirror


async def _fetch(repo: Repo, mirror: Mirror, shas: list[str]) -> None:
    token = (await repo.app.git_token(repo)).token.get_secret_value()
    try:
        await mirror.fetch(token, *shas)
        for sha in shas:
            await mirror.hydrate(token, sha)
    except GitError as error:
        if error.unauthorized:
            check = "check that the App is installed there and may read contents, then start the run again"
            raise GitHubRefused(401, f"git may not fetch {repo.full_name} with a new token either: {check}") from error
        if error.network:
            raise GitHubUnavailable(str(error)) from error
        raise


@step
def has_repository(run_id: str) -> bool:
    """Whether the run works on a repository; one that came over the REST API need not."""
    return runs.get(services().db, run_id).repository != ""


@optional_effect
async def acknowledge(run_id: str) -> None:
    """👀 on what asked for the run."""
    run = await in_db(runs.get, run_id)
    if not run.issue_number:
        return
    repo = await repo_of(run.repository, run.installation_id)
    if run.trigger_comment_id is not None:
        await issues.react_to_comment(repo, run.trigger_comment_id)
    else:
        await issues.react_to_issue(repo, run.issue_number)


@effect
async def read_job(run_id: str) -> Job:
    """Read issue, base commit, settings and instructions. Raises `RunEnded` when the settings file does not fit."""
    run = await in_db(runs.get, run_id)
    repo = await repo_of(run.repository, run.installation_id)
    base = await find_base(repo, run)
    issue = await _read_issue(repo, run)
    files = await settings_files.read_settings_files(repo, base.governing_sha)
    try:
        settings = parse_settings(files.settings or "")
    except SettingsError as error:
        raise RunEnded(
            RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, f"{settings_files.SETTINGS} does not fit: {error}"
        ) from error
    mirror = await mirror_at(run.repository, run.installation_id, base.sha)
    paths = [entry.path for entry in await mirror.list_files(base.sha)]
    rules = ruleset_of(services().ruleset, settings)
    token_cap = run.options.tokens or rules.run.tokens
    known = {"base_branch": base.branch, "base_sha": base.sha, "issue_title": issue.title, "token_cap": token_cap}
    await in_db(runs.update, run_id, known)
    refused = sandbox_available() if settings.commands.allowed else "the repository's settings forbid commands"
    return Job(
        run_id=run_id,
        repository=run.repository,
        installation_id=run.installation_id,
        intent=run.intent,
        issue=issue,
        requester=run.requester,
        requester_id=run.requester_id,
        options=run.options,
        base_branch=base.branch,
        target_branch=run.target_branch,
        base_sha=base.sha,
        settings=settings,
        notes="\n\n".join(f"{path}:\n{text}" for path, text in files.instructions.items()),
        outline=_outline(paths),
        provider_pauses_minutes=rules.provider_pauses_minutes,
        commands_refused=refused,
    )


async def _read_issue(repo: Repo, run: runs.RunRow) -> Issue:
    """The issue that asked for the run, as the models see it; of a run without one, its title is all there is."""
    if not run.issue_number:
        return Issue(title=run.issue_title)
    issue = await issues.read_issue(repo, run.issue_number)
    if run.follows is not None and not issue.open:
        raise RunEnded(RunState.DONE_CANCELLED, f"the issue was closed before part {run.part} of the plan began")
    said = [one for one in await issues.comments(repo, run.issue_number) if not one.bot]
    comments = tuple(f"{one.author}: {one.body}" for one in said[-COMMENTS_GIVEN:])
    return Issue(number=run.issue_number, title=issue.title, body=issue.body, comments=comments)


@dataclass(frozen=True)
class Base:
    """What a run builds on. `governing_sha` is the commit whose settings and instructions govern it."""

    branch: str
    sha: str
    governing_sha: str


async def find_base(repo: Repo, run: Job | runs.RunRow) -> Base:
    """The run's base branch, or the target branch where the run before was merged and its branch deleted.

    The target branch alone governs, never a branch that the Builder wrote. Raises `RunEnded` when it has no commit.
    """
    governing_sha = await commits.branch_head(repo, run.target_branch)
    if governing_sha is None:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"the branch {run.target_branch} has no commit yet")
    if run.base_branch != run.target_branch:
        sha = await commits.branch_head(repo, run.base_branch)
        if sha is not None:
            return Base(run.base_branch, sha, governing_sha)
    return Base(run.target_branch, governing_sha, governing_sha)


def _outline(paths: list[str]) -> str:
    """The file list, folders summed up when there are too many files for a prompt."""
    if len(paths) <= OUTLINE_LINES:
        return "\n".join(paths)
    counts: dict[str, int] = {}
    for path in paths:
        folder = "/".join(path.split("/")[:2]) if "/" in path else path
        counts[folder] = counts.get(folder, 0) + 1
    lines = [f"{folder} ({count} files)" if count > 1 else folder for folder, count in counts.items()]
    return "\n".join(lines[:OUTLINE_LINES])


@DBOS.workflow(name="make_plan")
async def make_plan(job: Job) -> Plan:
    """Ask the Planner. Raises `RunEnded` when no model can be reached."""
    choice, rules = await _planner_choice(job), ruleset_of(services().ruleset, job.settings)
    deps = AgentDeps(
        role=Role.PLANNER,
        ledger=RunLedger(job.run_id, None, rules.issue.tokens),
        plan=ModelPlan(
            models=choice.ids,
            max_output_tokens=rules.output_tokens.planner,
            request_limit=rules.requests_per_attempt,
            timeout_seconds=job.settings.model_timeout_seconds,
        ),
    )
    task = PlannerTask(
        repository=job.repository,
        run_id=job.run_id,
        issue=job.issue,
        outline=job.outline,
        notes=job.notes,
        max_phases=job.options.phases or rules.run.phases,
    )
    return (await planner.plan(task, deps)).as_plan()


@step
def governed(run_id: str) -> tuple[Plan, Strategy] | None:
    """Plan and strategy of a run that came with both, over the REST API."""
    run = runs.get(services().db, run_id)
    return (run.plan, run.strategy) if run.plan is not None and run.strategy is not None else None


@step
def given_plan(run_id: str) -> Plan | None:
    """The plan that came with the run, where there is one: a part of a larger plan."""
    return runs.get(services().db, run_id).plan


@step
def divide(job: Job, plan: Plan) -> tuple[Plan, ...]:
    """The plan as the runs that it takes: with clean-ups of what has aged, and cut where it is too large for one."""
    db = services().db
    run = runs.get(db, job.run_id)
    if run.follows is None and run.engine is Engine.AUTOPACK:
        with db.reading() as session:
            plan = with_debt_cleanup(plan, backlog.of_project(session, run.project_id))
    return parts_of(plan, services().ruleset, job.options, job.settings)


@step
def govern(job: Job, plan: Plan, extra: int = 0) -> Strategy:
    """Compile the strategy; recorded, so that a restart with other keys or rules changes nothing for an open run.

    `extra` phases at most came up during the run: the cap on a plan's phases does not count them.
    Raises `RunEnded` when the plan or the models do not fit the rules.
    """
    rules, options, engine = services().ruleset, job.options, runs.get(services().db, job.run_id).engine
    if extra:
        options = options.model_copy(update={"phases": max_phases_of(rules, options, job.settings) + extra})
    try:
        return compile_strategy(rules, plan, options, job.settings, services().vendors, engine=engine)
    except NoModel as error:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(error)) from error
    except TooManyPhases as error:
        raise RunEnded(RunState.DONE_FAILED_BUDGET_EXHAUSTED, str(error)) from error


@step
def _planner_choice(job: Job) -> ModelChoice:
    try:
        return planner_model(services().ruleset, job.options, job.settings, services().vendors)
    except NoModel as error:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(error)) from error
