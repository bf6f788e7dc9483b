"""The external engine: what any other agent posts takes the part of the Builder and the Auditor.

What is posted is judged and stored when it comes (`app.db`). The run's workflow waits for it; where the run has a
repository, it applies, pushes, has CI judge and tags what was posted, phase by phase, by the same governed path.
"""

from pydantic import BaseModel, ConfigDict

from app.db import landing, progress, runs
from app.db.landing import Look, Work
from app.domain.ci import CiState
from app.domain.findings import BuilderAnswer, Finding
from app.domain.patch import Patch
from app.domain.plan import Phase, Plan
from app.domain.ruleset import RepositorySettings, Ruleset
from app.domain.states import RunState
from app.domain.strategy import Engine, RunOptions, Strategy, compile_strategy
from app.domain.view import Headline
from app.lifecycle import apply, record, show, verify
from app.lifecycle.apply import GatedPatch
from app.lifecycle.build import Built, Start, fetch_start, open_worktree
from app.lifecycle.job import Job, RunEnded
from app.lifecycle.patience import check_stop, sleep_until_woken
from app.lifecycle.services import services
from app.lifecycle.steps import effect, step, utcnow
from app.workspace.errors import PatchError, PathError


def strategy_for(rules: Ruleset, plan: Plan, options: RunOptions, settings: RepositorySettings) -> Strategy:
    """The strategy of an externally built run without a repository: no pull request, so nothing is required of one."""
    strategy = compile_strategy(rules, plan, options, settings, services().vendors, engine=Engine.EXTERNAL)
    free = strategy.promotion.model_copy(update={"require_ci": False, "require_audit": False})
    return strategy.model_copy(update={"promotion": free})


async def until_over(run_id: str) -> None:
    """Wait until every phase of a run without a repository has ended. Raises `RunEnded` when nobody posts any more."""
    await _govern(run_id)
    while not (look := await _look(run_id)).over:
        await _sleep(run_id, look)


async def build(job: Job, plan: Plan, strategy: Strategy) -> str:
    """Land what is posted, as it comes, until every phase has ended; return the branch's head."""
    phases = {phase.phase_id: phase for phase in plan.phases}
    while not (look := await _look(job.run_id)).over:
        if look.phase_id is None:
            await _sleep(job.run_id, look)
        else:
            await _work(job, strategy, phases[look.phase_id], look.head_sha or job.base_sha)
    return look.head_sha or job.base_sha


async def _work(job: Job, strategy: Strategy, phase: Phase, head_sha: str) -> None:
    """Bring a phase as far as it can be: to its audit, to CI, to its snapshot, or back to its builder."""
    rules = strategy.of_phase(phase.phase_id)
    work = await _todo(job.run_id, phase.phase_id)
    if work is None or (work.head_sha is None and not rules.auto_apply and not work.approved):
        await _await_audit(job.run_id, phase.phase_id)
        return
    if work.head_sha is None or work.suggested:
        landed = await _land(job, strategy, phase, work, head_sha)
        if landed is None:
            return
        head_sha = landed
    elif work.head_sha != head_sha:
        head_sha = work.head_sha
    await _verify(job, strategy, phase, head_sha)


async def _land(job: Job, strategy: Strategy, phase: Phase, work: Work, head_sha: str) -> str | None:
    """Push the builder's patch and then the auditor's, each as a commit; None when one of them was refused."""
    own = () if work.head_sha is not None else (work.patch,)
    shas: list[str] = []
    for diff in own + work.suggested:
        start = Start(head_sha=head_sha)
        await fetch_start(job, start)
        applied = await _apply(job, start, diff)
        gated = apply.gate(applied.built, phase, strategy.patch) if applied.built else (applied.problem(phase),)
        if not isinstance(gated, GatedPatch):
            await _refuse(job.run_id, phase.phase_id, gated, f"gate {work.attempt}")
            return None
        await record.claim_ci_run(job.run_id, phase.phase_id)
        head_sha = await apply.push(job, strategy, phase, work.attempt, start, gated, work.summary)
        await record.pushed(job.run_id, phase.phase_id, head_sha, gated.patch.paths)
        await show.supersede(job, start.head_sha, head_sha)
        await record.pull_opened(job.run_id, await apply.ensure_pull(job))
        shas.append(head_sha)
    await _pushed(job.run_id, phase.phase_id, shas[0] if own else None, shas[len(own) :])
    return head_sha


async def _verify(job: Job, strategy: Strategy, phase: Phase, head_sha: str) -> None:
    """CI judges the commit: red goes back to the builder, green waits for its audit or is tagged."""
    await show.say(
        job.run_id, Headline.WAITING_FOR_CI, f"CI judges {head_sha[:7]}; the run goes on by itself when it has."
    )
    verdict = await verify.await_verdict(job, head_sha, strategy.ci)
    if verdict.state is CiState.NEVER_CAME:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"CI did not judge {head_sha[:7]} in time: {verdict.reason}")
    if verdict.state is CiState.RED:
        await verify.failure_feedback(job, head_sha, verdict)
        await _refuse(job.run_id, phase.phase_id, verify.as_findings(verdict.failed), f"ci {head_sha[:7]}")
        return
    if verdict.state is CiState.ABSENT:
        if strategy.ci.when_absent == "fail":
            raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"no CI to judge {head_sha[:7]}: {verdict.reason}")
        await record.notice(
            job.run_id, f"No CI judged the commits: {verdict.reason}.", ci_absent=strategy.ci.when_absent == "report"
        )
    work = await _todo(job.run_id, phase.phase_id)
    if work is None or not work.approved:
        await _await_audit(job.run_id, phase.phase_id)
        await show.say(
            job.run_id, Headline.WAITING_FOR_YOU, f"An audit of {phase.phase_id} is awaited at auditor_result."
        )
        return
    green = verdict.state is CiState.GREEN
    if green:
        await apply.tag_snapshot(job, phase, head_sha)
    await _complete(job.run_id, phase.phase_id, f"{head_sha[:7]} is {verdict.state} and audited", snapshot=green)


class _Applied(BaseModel):
    """A posted diff on top of the branch, or why it does not apply there."""

    model_config = ConfigDict(frozen=True)

    built: Built | None = None
    trouble: str = ""

    def problem(self, phase: Phase) -> Finding:
        return landing.misfit(phase.phase_id, self.trouble)


@effect
async def _apply(job: Job, start: Start, diff: str) -> _Applied:
    answer = BuilderAnswer(status="done", summary="posted")
    if not diff:
        return _Applied(built=Built(answer=answer, patch=Patch(base_sha=start.head_sha, diff="", changes=())))
    worktree, _ = await open_worktree(job, start)
    try:
        await worktree.apply(diff)
    except (PatchError, PathError) as trouble:
        return _Applied(trouble=str(trouble))
    return _Applied(built=Built(answer=answer, patch=await worktree.patch()))


async def _sleep(run_id: str, look: Look) -> None:
    """Wait for something to be posted, or for the deadline. Raises `RunStopped` and `RunEnded`."""
    await check_stop(run_id)
    left = await _left(run_id, look)
    if left <= 0:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, "no result was posted in time; start another run to go on")
    await sleep_until_woken(left)


@step
def _look(run_id: str) -> Look:
    """The run as it stands. Raises `RunEnded` when what was posted has ended it."""
    look = landing.look(services().db, run_id)
    if look.state.terminal and look.state is not RunState.DONE_SUCCESS:
        raise RunEnded(look.state, look.reason)
    return look


@step
def _left(run_id: str, look: Look) -> float:
    """Seconds until something has to be posted."""
    minutes = runs.strategy(services().db, run_id).external_deadline_minutes
    return (landing.deadline(look, minutes) - utcnow()).total_seconds()


@step
def _govern(run_id: str) -> None:
    """Give a later part of a plan its strategy: by the figures of the part before."""
    db = services().db
    run = runs.get(db, run_id)
    if run.follows is None or run.plan is None:
        return
    before = runs.strategy(db, run.follows)
    options = RunOptions(
        tokens=before.token_cap,
        phases=max(before.max_phases, len(run.plan.phases)),
        minutes=before.max_minutes,
        safety=before.safety_profile,
        scope=before.run_scope,
    )
    runs.store_strategy(db, run_id, run.plan, strategy_for(services().ruleset, run.plan, options, RepositorySettings()))
    if run.state is RunState.PLAN_BOOTSTRAP:
        progress.move_run(db, run_id, RunState.RUN_CREATED, f"part {run.part} of a plan", utcnow())


@step
def _todo(run_id: str, phase_id: str) -> Work | None:
    return landing.work(services().db, run_id, phase_id)


@step
def _await_audit(run_id: str, phase_id: str) -> None:
    landing.await_audit(services().db, run_id, phase_id, utcnow())


@step
def _refuse(run_id: str, phase_id: str, found: tuple[Finding, ...], seen_in: str) -> None:
    landing.refuse(services().db, run_id, phase_id, found, seen_in, utcnow())


@step
def _pushed(run_id: str, phase_id: str, built: str | None, suggested: list[str]) -> None:
    landing.pushed(services().db, run_id, phase_id, built, suggested, utcnow())


@step
def _complete(run_id: str, phase_id: str, cause: str, *, snapshot: bool) -> None:
    landing.complete(services().db, run_id, phase_id, cause, utcnow(), snapshot=snapshot)
