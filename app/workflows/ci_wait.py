"""The Verifier: the repository's own CI judges every pushed commit, and its word is final.

Level-triggered: an event, a timer or a restart only wakes it; it reads everything about the commit again and decides.
Before the Builder is blamed, the cause is looked for: red on the base too, flaky, or infrastructure.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from dbos import DBOS

from app.domain.budget import RunStopped
from app.domain.ci import INFRASTRUCTURE, CiState, CiVerdict
from app.domain.ci_schedule import gather_seconds, poll_seconds
from app.domain.ruleset import CiRules
from app.domain.states import RunState
from app.domain.status_view import UNJUDGED, Headline
from app.domain.strategy import Strategy
from app.workflows import ci_reading, db_steps, github_status
from app.workflows.ci_reading import CiReading, CiWatch
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.steps import now
from app.workflows.waiting import wait_for_wake


async def await_verdict(
    context: RunContext, head_sha: str, rules: CiRules, superseded: Callable[[], Awaitable[bool]] | None = None
) -> CiVerdict:
    """Wait until CI has judged `head_sha`, or the deadline, and find the cause of what is red.

    A verdict of red is the Builder's to mend; what is red for another cause is ABSENT, with the cause as its reason.
    Raises `RunStopped` when the run is asked to end, and `RunEnded` at the deadline and where infrastructure fails.

    Once the step `superseded` says that the verdict is obsolete, it stays at WAITING.
    """
    watch = await ci_reading.begin_watch(context, head_sha)
    reading = await _settled(context, head_sha, rules, watch, superseded)
    verdict = reading.verdict
    if verdict.state is not CiState.RED:
        return verdict
    red_on_base = await ci_reading.read_red_on_base(context, verdict)
    if red_on_base:
        return CiVerdict(state=CiState.ABSENT, reason=red_on_base)
    if _only_infrastructure(verdict):
        why = f"CI could not judge {head_sha[:7]}: {_conclusions(verdict)}"
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"{why}{_noted(verdict)}")
    return await _without_flakes(context, head_sha, rules, superseded, reading)


async def _settled(
    context: RunContext,
    head_sha: str,
    rules: CiRules,
    watch: CiWatch,
    superseded: Callable[[], Awaitable[bool]] | None,
) -> CiReading:
    """The last look, once jobs that infrastructure failed have been run again, as often as the rules say."""
    reruns, refused, shown = 0, "", ""
    woken, quiet = 0, 0
    while True:
        reading = await ci_reading.read_ci(context, head_sha, rules, watch)
        verdict, watch = reading.verdict, reading.watch
        if reading.stopped is not None:
            raise RunStopped(reading.stopped)
        again = reading.run_again if reruns < rules.reruns and not refused else {}
        if verdict.settled and not again:
            if verdict.state is CiState.NEVER_CAME:
                why = f"CI did not judge {head_sha[:7]} in time: {verdict.reason}"
                raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, why)
            notes = (f"could not be run again: {refused}",) if refused else ()
            settled = verdict.model_copy(update={"notes": (*verdict.notes, *notes)})
            return reading.model_copy(update={"verdict": settled})
        if superseded is not None and await superseded():
            return reading
        if again:
            await DBOS.sleep_async(rules.rerun_backoff_seconds * 2**reruns)
            refused = await ci_reading.rerun_failed_jobs(context, again)
            watch = watch.model_copy(update={"attempts": watch.attempts | ({} if refused else again)})
            reruns += 1
            continue
        if verdict.needs_person != shown:
            shown = verdict.needs_person
            await _show_wait(context, head_sha, rules, shown)
        patience = min(poll_seconds(quiet, events_arrive=woken > 0), reading.left_seconds)
        if await wait_for_wake(patience, gather_seconds(woken)):
            woken, quiet = woken + 1, 0
        else:
            quiet += 1


async def _without_flakes(
    context: RunContext,
    head_sha: str,
    rules: CiRules,
    superseded: Callable[[], Awaitable[bool]] | None,
    red: CiReading,
) -> CiVerdict:
    """The verdict when failed jobs have been run again on the same commit; green with the evidence where they pass."""
    evidence: tuple[str, ...] = ()
    reading, verdict = red, red.verdict
    for _ in range(rules.flaky_reruns):
        if any(check.workflow_run_id is None for check in verdict.failed):
            break  # another App's check, or a commit status: only its owner can run it again
        if superseded is not None and await superseded():
            break  # nobody waits for more than what is known
        evidence = evidence or await ci_reading.read_evidence(context, head_sha, verdict)
        refused = await ci_reading.rerun_failed_jobs(context, reading.failed_runs)
        if refused:
            return verdict.model_copy(update={"notes": (*verdict.notes, f"could not be run again: {refused}")})
        attempts = reading.watch.attempts | reading.failed_runs
        watch = reading.watch.model_copy(update={"attempts": attempts})
        reading = await _settled(context, head_sha, rules, watch, superseded)
        verdict = reading.verdict
        if verdict.state is CiState.GREEN:
            flaky = tuple(f"flaky on {head_sha[:7]}, red and then green on the same commit: {one}" for one in evidence)
            return verdict.model_copy(update={"notes": (*verdict.notes, *flaky)})
        if verdict.state is CiState.WAITING:  # superseded meanwhile: what was red stays recorded
            return red.verdict
        if verdict.state is not CiState.RED:
            return verdict
    return verdict


async def require_verdict(
    context: RunContext, strategy: Strategy, head_sha: str, superseded: Callable[[], Awaitable[bool]] | None = None
) -> CiVerdict:
    """Say that CI judges the commit, and wait for the verdict; a run without one ends. Raises `RunEnded`."""
    await _show_wait(context, head_sha, strategy.ci)
    verdict = await await_verdict(context, head_sha, strategy.ci, superseded)
    await record_verdict(context, strategy, head_sha, verdict)
    return verdict


async def record_verdict(context: RunContext, strategy: Strategy, head_sha: str, verdict: CiVerdict) -> None:
    """Note what a reader should know of the verdict. Raises `RunEnded` where a run without CI may not go on."""
    for note in verdict.notes:
        await db_steps.add_notice(context.run_id, f"CI: {note}.")
    if verdict.state is CiState.GREEN:
        await db_steps.set_ci_absent(context.run_id, absent=False)
    if verdict.state is CiState.CONFLICT:
        await db_steps.add_notice(context.run_id, f"{UNJUDGED} {head_sha[:7]}: {verdict.reason}.")
    if verdict.state is CiState.ABSENT:
        if strategy.ci.when_absent == "fail":
            raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"no CI to judge {head_sha[:7]}: {verdict.reason}")
        await db_steps.add_notice(context.run_id, f"{UNJUDGED} the commits: {verdict.reason}.")
        await db_steps.set_ci_absent(context.run_id, absent=strategy.ci.when_absent == "report")


async def _show_wait(context: RunContext, head_sha: str, rules: CiRules, person: str = "") -> None:
    if person:
        until = await now() + timedelta(minutes=rules.person_minutes)
        text = f"{person} waits for a person's approval on GitHub; the run goes on by itself when it has it."
        await github_status.set_headline(context.run_id, Headline.WAITING_FOR_YOU, text, deadline=until)
    else:
        text = f"CI judges {head_sha[:7]}; the run goes on by itself when it has."
        await github_status.set_headline(context.run_id, Headline.WAITING_FOR_CI, text)


def _only_infrastructure(verdict: CiVerdict) -> bool:
    """A job that times out may do so by what the Builder wrote; those that were cancelled or never began, do not."""
    return all(check.conclusion in INFRASTRUCTURE - {"timed_out"} for check in verdict.failed)


def _conclusions(verdict: CiVerdict) -> str:
    return ", ".join(sorted({f"{check.name} is {check.conclusion}" for check in verdict.failed}))


def _noted(verdict: CiVerdict) -> str:
    return f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
