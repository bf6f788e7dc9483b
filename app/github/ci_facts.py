"""What GitHub knows of a head commit's CI: all of it, read again every time."""

from typing import Literal
from urllib.parse import quote

from pydantic import Field

from app.domain.ci import CheckFact, CiFacts, RequiredCheck
from app.github.api_calls import ApiModel, parse_response
from app.github.checks import OWN_CHECKS, CheckRun
from app.github.client import Repo
from app.github.github_errors import GitHubRefused


class _SuiteId(ApiModel):
    id: int


class _ListedCheck(CheckRun):
    check_suite: _SuiteId | None = None


class _HeadRepository(ApiModel):
    id: int | None = None
    full_name: str


class WorkflowRun(ApiModel):
    """A run of a workflow file; re-runs keep its id and raise `run_attempt`."""

    id: int
    name: str | None = None
    workflow_id: int
    event: str = ""
    status: str | None = None
    conclusion: str | None = None
    run_attempt: int = 1
    check_suite_id: int | None = None
    html_url: str = ""
    path: str = ""
    head_repository: _HeadRepository | None = None


class _Status(ApiModel):
    id: int
    context: str
    state: str
    target_url: str | None = None


class _Required(ApiModel):
    context: str
    integration_id: int | None = None


class _RuleParameters(ApiModel):
    required_status_checks: list[_Required] = Field(default_factory=list[_Required])


class _Rule(ApiModel):
    type: str
    parameters: _RuleParameters | None = None


class _ProtectedCheck(ApiModel):
    context: str
    app_id: int | None = None


class _ProtectedChecks(ApiModel):
    contexts: list[str] = Field(default_factory=list[str])
    checks: list[_ProtectedCheck] = Field(default_factory=list[_ProtectedCheck])
    """The same with the App that each is pinned to; -1 is any App."""


class _Protection(ApiModel):
    required_status_checks: _ProtectedChecks | None = None


class _Branch(ApiModel):
    protection: _Protection | None = None


async def read_ci(repo: Repo, head_sha: str, required: tuple[RequiredCheck, ...]) -> CiFacts:
    """Read all check runs, workflow runs and statuses of `head_sha` but Autopack's own; `required` are of its base.

    Check suites are not facts: some Apps' never get a run, and a suite can be complete before its last workflow is.
    Of several runs of one workflow for the same kind of event, the newest counts, with its check runs.
    """
    runs = await _workflow_runs(repo, head_sha)
    foreign = {run.check_suite_id for run in runs if _of_fork(repo, run)} - {None}
    newest: dict[tuple[int, str], WorkflowRun] = {}
    for run in sorted(runs, key=lambda one: one.id):
        if not _of_fork(repo, run):
            newest[run.workflow_id, run.event] = run
    counted = {run.id for run in newest.values()}
    by_suite = {run.check_suite_id: run.id for run in runs if run.check_suite_id is not None}
    facts: list[CheckFact] = [_workflow_fact(run) for run in newest.values()]
    for check in await _check_runs(repo, head_sha):
        suite_id = check.check_suite.id if check.check_suite else None
        run_id = None if suite_id is None else by_suite.get(suite_id)
        if suite_id not in foreign and (run_id is None or run_id in counted):
            facts.append(_check_fact(check, run_id))
    facts.extend(_status_fact(status) for status in await _statuses(repo, head_sha))
    return CiFacts(head_sha=head_sha, checks=tuple(facts), required=required)


async def required_checks(repo: Repo, base: str) -> tuple[RequiredCheck, ...]:
    """The checks, other than Autopack's, that rulesets and branch protection require on `base`.

    What the App may not read counts as not required.
    """
    branch = quote(base, safe="/")
    found: list[RequiredCheck] = []
    try:
        rules = await repo.pages(
            lambda page: repo.rest.repos.async_get_branch_rules(repo.owner, repo.name, branch, per_page=100, page=page),
            _Rule,
        )
    except GitHubRefused as refusal:
        _tolerate(refusal)
    else:
        parameters = [rule.parameters for rule in rules if rule.type == "required_status_checks" and rule.parameters]
        required = [one for each in parameters for one in each.required_status_checks]
        found += [RequiredCheck(name=one.context, app_id=one.integration_id) for one in required]
    try:
        response = await repo.call(lambda: repo.rest.repos.async_get_branch(repo.owner, repo.name, branch))
    except GitHubRefused as refusal:
        _tolerate(refusal)
    else:
        protection = parse_response(response, _Branch).protection
        if protection is not None and protection.required_status_checks is not None:
            protected = protection.required_status_checks
            pinned = {one.context: one.app_id for one in protected.checks if (one.app_id or 0) > 0}
            found += [RequiredCheck(name=name, app_id=pinned.get(name)) for name in protected.contexts]
    others = {(one.name, one.app_id or 0): one for one in found if one.name not in OWN_CHECKS}
    return tuple(one for _, one in sorted(others.items()) if one.app_id != repo.app_id)


async def _workflow_runs(repo: Repo, head_sha: str) -> list[WorkflowRun]:
    try:
        return await repo.pages(
            lambda page: repo.rest.actions.async_list_workflow_runs_for_repo(
                repo.owner, repo.name, head_sha=head_sha, per_page=100, page=page
            ),
            WorkflowRun,
            key="workflow_runs",
        )
    except GitHubRefused as refusal:
        if refusal.status != 404:  # Actions are turned off
            raise
        return []


async def _check_runs(repo: Repo, head_sha: str) -> list[_ListedCheck]:
    listed = await repo.pages(
        lambda page: repo.rest.checks.async_list_for_ref(
            repo.owner, repo.name, head_sha, filter_="latest", per_page=100, page=page
        ),
        _ListedCheck,
        key="check_runs",
    )
    return [check for check in listed if check.app is None or check.app.id != repo.app_id]


async def _statuses(repo: Repo, head_sha: str) -> list[_Status]:
    return await repo.pages(
        lambda page: repo.rest.repos.async_get_combined_status_for_ref(
            repo.owner, repo.name, head_sha, per_page=100, page=page
        ),
        _Status,
        key="statuses",
    )


def _of_fork(repo: Repo, run: WorkflowRun) -> bool:
    """A fork may hold the same commit; its runs judge the fork."""
    head = run.head_repository
    if head is None:
        return False
    if repo.id is not None and head.id is not None:
        return head.id != repo.id  # its name may be a new one
    return head.full_name.casefold() != repo.full_name.casefold()


def _progress(status: str | None) -> Literal["queued", "in_progress", "waiting", "completed"]:
    """GitHub also has requested and pending: nothing runs yet. `waiting` is for a deployment's reviewer."""
    if status == "completed":
        return "completed"
    if status == "waiting":
        return "waiting"
    return "in_progress" if status == "in_progress" else "queued"


def _workflow_fact(run: WorkflowRun) -> CheckFact:
    return CheckFact(
        name=run.name or f"workflow {run.workflow_id}",
        source="workflow_run",
        status=_progress(run.status),
        conclusion=run.conclusion,
        id=run.id,
        url=run.html_url,
        workflow_run_id=run.id,
        attempt=run.run_attempt,
        path=run.path.partition("@")[0],
    )


def _check_fact(check: _ListedCheck, run_id: int | None) -> CheckFact:
    return CheckFact(
        name=check.name,
        source="check_run",
        status=_progress(check.status),
        conclusion=check.conclusion,
        id=check.id,
        url=check.html_url or check.details_url or "",
        app_id=check.app.id if check.app else None,
        workflow_run_id=run_id,
    )


def _status_fact(status: _Status) -> CheckFact:
    conclusion = {"success": "success", "pending": None}.get(status.state, "failure")
    return CheckFact(
        name=status.context,
        source="status",
        status="completed" if conclusion else "in_progress",
        conclusion=conclusion,
        id=status.id,
        url=status.target_url or "",
    )


def _tolerate(refusal: GitHubRefused) -> None:
    """Rules and protection need permissions, or a plan, that not every repository has."""
    if refusal.status not in {403, 404}:
        raise refusal
