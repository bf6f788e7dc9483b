"""What people request: each becomes part of a phase, is answered, and keeps promotion closed until then.

Level-triggered, like CI: an event only has reviews and comments read again. GitHub's own rule says who still objects.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.agents.tasks import Feedback
from app.db import run_rows
from app.domain.ci import CiState
from app.domain.finding_verdict import FindingVerdict
from app.domain.findings import DECLINED, BuilderAnswer
from app.domain.plan import BuilderMode, Plan, PlannedPhase, TaskCategory
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.states import RunState
from app.domain.strategy import Engine, Strategy
from app.github import comments, people_reviews, reviews, text
from app.runs import run_requests
from app.runs.finding_verdicts import apply_verdicts
from app.workflows import ci_wait, db_steps, integrity_gate, promote
from app.workflows.build import AttemptStart
from app.workflows.extra_phase import ExtraPhase, next_extra_id, run_extra_phase
from app.workflows.own_phase import start_on
from app.workflows.run_context import ForeignCommits, PushedByHand, RunContext, RunEnded
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run
from app.workflows.start_run import rules_of
from app.workflows.steps import effect, utcnow
from app.workflows.waiting import raise_if_stopped

MAX_ROUNDS = 5
"""Of requests that are answered by one run; later ones keep promotion closed."""
_REVIEW = "REVIEW"
_TIER = "What people request"
_BY_HAND = "What people pushed"


async def settle(context: RunContext, plan: Plan, strategy: Strategy, head_sha: str) -> tuple[Plan, Strategy, str]:
    """Do what people ask for and bring the branch up to date with its base, until neither leaves anything to do."""
    for _ in range(MAX_ROUNDS):
        await raise_if_stopped(context.run_id)
        unanswered = [one for one in await read_requested(context.run_id) if not one.answered]
        if unanswered and strategy.engine is not Engine.EXTERNAL:
            extra = await _make(context, plan, head_sha, unanswered)
            plan, strategy, head_sha = extra.plan, extra.strategy, extra.head_sha
            answered = await db_steps.answer_requested(context.run_id, _answers(unanswered, extra.answer, head_sha))
            await answer(context.run_id, [one.key for one in answered])
        try:
            plan, strategy, head_sha = await promote.merge_base(context, plan, strategy, head_sha)
        except ForeignCommits as foreign:
            if strategy.engine is Engine.EXTERNAL:
                raise
            extra = await _take_in(context, plan, head_sha, foreign.pushed)
            plan, strategy, head_sha = extra.plan, extra.strategy, extra.head_sha
            continue
        if all(one.answered for one in await read_requested(context.run_id)) or strategy.engine is Engine.EXTERNAL:
            break
    earlier_work = head_sha == context.start_sha != context.base_sha
    if earlier_work and not await db_steps.is_complete_at(context.run_id, head_sha):
        await _judge_earlier_work(context, strategy, head_sha)
    return plan, strategy, head_sha


async def _make(context: RunContext, plan: Plan, head_sha: str, unanswered: Sequence[RequestedChange]) -> ExtraPhase:
    """Have the changes made in a phase of their own."""
    phase = _review_phase(context, plan, unanswered)
    feedback = tuple(_feedback(number, one) for number, one in enumerate(unanswered, start=1))
    begun = start_on(context, head_sha)
    start = begun.model_copy(update={"feedback": (*begun.feedback, *feedback)})
    cause = f"{phase.phase_id} makes the changes that {_names(unanswered)} requested"
    return await run_extra_phase(context, plan, _TIER, phase, start, cause)


async def _take_in(context: RunContext, plan: Plan, head_sha: str, pushed: PushedByHand) -> ExtraPhase:
    """Have commits that someone pushed audited and judged, in a phase that makes them fit where they do not."""
    phase = _extra_phase(
        context,
        plan,
        f"Take in what was pushed to the branch by hand, up to {pushed.head_sha[:7]}",
        "Someone with write access pushed commits to the branch. Keep what they change. Where it fits the rest of the "
        "work, change nothing and say so; else make the rest fit.",
        ("What was pushed is kept.", "All tests pass."),
    )
    start = AttemptStart(head_sha=pushed.head_sha, unread_since=head_sha)
    return await run_extra_phase(context, plan, _BY_HAND, phase, start, f"{pushed.head_sha[:7]} was pushed by hand")


def _answers(
    unanswered: Sequence[RequestedChange], given: BuilderAnswer | None, head_sha: str
) -> dict[str, dict[str, str]]:
    """The answer to each request: the commit, or the Builder's reason for leaving it undone."""
    declined = given.declined if given is not None else {}
    return {
        one.key: {"declined": declined[number]} if number in declined else {"answered_by": head_sha}
        for number, one in enumerate(unanswered, start=1)
    }


async def _judge_earlier_work(context: RunContext, strategy: Strategy, head_sha: str) -> None:
    """Where nothing was left to build: CI judges what the branch holds, and what no audit saw closes promotion."""
    await db_steps.move_run(context.run_id, RunState.CI_RUNNING, "nothing is left to build")
    verdict = await ci_wait.require_verdict(context, strategy, head_sha)
    if verdict.state is CiState.RED:
        reason = f"CI is red on {head_sha[:7]} ({verdict.reason}), and no phase is left to build"
        raise RunEnded(RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason)
    if context.unread_since is not None:
        unseen = f"no audit saw the commits after {context.unread_since[:7]}: `/autopack fix` has them audited"
        await db_steps.object_to_promotion(context.run_id, unseen)


class PeopleHeard(NamedTuple):
    """What people ask for now, and their verdicts on findings that are new."""

    requested: list[RequestedChange]
    verdicts: list[FindingVerdict]


async def hear_people(run_id: str) -> PeopleHeard:
    """Read what people say on the pull request now, and store it; a finding that they call wrong is settled."""
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None:
        return PeopleHeard(list(run.objections), [])
    said = await people_reviews.read_people(await repo_of_run(run_id), run.pull_number)
    verdicts = await call_db(apply_verdicts, run_id, said.verdicts, utcnow()) if said.verdicts else []
    if verdicts:
        await _tell_verdicts.at_once(run_id, verdicts)
    await integrity_gate.accept(run_id, said.approvals)
    if not said.requested and not run.objections:
        return PeopleHeard([], verdicts)
    return PeopleHeard(await call_db(run_requests.store_requested, run_id, said.requested), verdicts)


async def note_requested(run_id: str) -> list[RequestedChange]:
    """Read whose review or comment asks for a change now, and store that."""
    return (await hear_people(run_id)).requested


read_requested = effect(note_requested)


@Telling
async def _tell_verdicts(run_id: str, verdicts: list[FindingVerdict]) -> list[object]:
    """👀 on each reply; the thread of a finding that is called wrong is resolved, with that at its end."""
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None:
        return []
    repo = await repo_of_run(run_id)
    came_to: list[object] = []
    for one in verdicts:
        came_to.append(await people_reviews.react_to_line_comment(repo, one.comment_id))
        if one.wrong:
            note = text.called_wrong(one)
            came_to.append(await reviews.resolve_threads(repo, run.pull_number, [one.fingerprint], note))
    return came_to


@Telling
async def answer(run_id: str, keys: list[str]) -> list[object]:
    """Say where it was asked which commit does it, or why it is left undone."""
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None:
        return []
    repo = await repo_of_run(run_id)
    came_to: list[object] = []
    for one in [one for one in run.objections if one.key in keys]:
        said = text.request_answered(one)
        if one.kind is RequestKind.REVIEW:
            came_to.append(await people_reviews.answer_review(repo, run.pull_number, one.id, text.short_answer(one)))
        if one.kind is RequestKind.THREAD:
            came_to.append(await people_reviews.answer_thread(repo, run.pull_number, one, text.short_answer(one)))
        else:
            came_to.append(await comments.post_once(repo, run.pull_number, f"answered:{one.key}", said))
    return came_to


def new_among(before: Sequence[RequestedChange], now: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Those that were not known before."""
    known: Mapping[str, RequestedChange] = {one.key: one for one in before}
    return [one for one in now if one.key not in known]


def _feedback(number: int, one: RequestedChange) -> Feedback:
    return Feedback(title=f"Request {number}: {one.asked}", text=one.text)


def _names(requested: Sequence[RequestedChange]) -> str:
    return ", ".join(dict.fromkeys(one.login for one in requested))


def _review_phase(context: RunContext, plan: Plan, unanswered: Sequence[RequestedChange]) -> PlannedPhase:
    return _extra_phase(
        context,
        plan,
        f"Make the changes that {_names(unanswered)} requested",
        "People with write access ask for changes in numbered requests: make these, and no others. "
        "One that is wrong, or asks for no change, you leave undone: tell so by a suggested issue of category "
        f"'{DECLINED}', with the request's number as component and the reason as description.",
        ("Each numbered request is carried out, or declined with a reason.", "All tests pass."),
    )


def _extra_phase(
    context: RunContext, plan: Plan, name: str, description: str, criteria: tuple[str, ...]
) -> PlannedPhase:
    category, phase_id = TaskCategory.FEATURE_SCAFFOLDING, next_extra_id(plan, _REVIEW)
    return PlannedPhase(
        phase_id=phase_id,
        tier_id=phase_id,
        phase_index=len(plan.phases),
        name=name,
        description=description,
        acceptance_criteria=criteria,
        task_category=category,
        complexity=rules_of(context).complexities[category],
        builder_mode=BuilderMode.COMPOSE,
    )
