"""People's reviews that request changes: each becomes a phase of the run, is answered, and keeps promotion closed.

Level-triggered, like CI: an event only has the reviews read again. GitHub's own rule says who still objects.
"""

from app.agents.tasks import Feedback
from app.db import run_rows
from app.domain.plan import BuilderMode, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.promotion import Objection
from app.domain.strategy import Engine, Strategy
from app.github import comments, people_reviews, text
from app.workflows import promote
from app.workflows.build import AttemptStart
from app.workflows.extra_phase import run_extra_phase
from app.workflows.run_context import RunContext
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run
from app.workflows.start_run import rules_of
from app.workflows.steps import effect
from app.workflows.waiting import raise_if_stopped

MAX_ROUNDS = 5
"""Of reviews that are answered by one run; later ones keep promotion closed."""
_REVIEW = PlannedTier(tier_id="REVIEW", tier_index=0, name="What people's reviews ask for")


async def settle(context: RunContext, plan: Plan, strategy: Strategy, head_sha: str) -> tuple[Plan, Strategy, str]:
    """Do what reviews ask for and bring the branch up to date with its base, until neither leaves anything to do."""
    for _ in range(MAX_ROUNDS):
        await raise_if_stopped(context.run_id)
        requested = await read_requested(context.run_id)
        unanswered = [one for one in requested if not one.answered_by]
        if unanswered and strategy.engine is not Engine.EXTERNAL:
            phase = _review_phase(context, plan, unanswered)
            start = AttemptStart(head_sha=head_sha, feedback=tuple(map(_feedback, unanswered)))
            cause = f"{phase.phase_id} makes the changes that {_names(unanswered)} requested in a review"
            plan, strategy, head_sha = await run_extra_phase(context, plan, _REVIEW, phase, start, cause)
            await answer(context.run_id, [one.review_id for one in unanswered], head_sha)
        plan, strategy, head_sha = await promote.merge_base(context, plan, strategy, head_sha)
        if all(one.answered_by for one in await read_requested(context.run_id)):
            break
        if strategy.engine is Engine.EXTERNAL:
            break
    return plan, strategy, head_sha


async def note_requested(run_id: str) -> list[Objection]:
    """Read whose review requests changes now, and store that."""
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None:
        return []
    read = await people_reviews.requested_changes(await repo_of_run(run_id), run.pull_number)
    if not read and not run.objections:
        return []
    return await call_db(run_rows.store_objections, run_id, read)


read_requested = effect(note_requested)


@Telling
async def answer(run_id: str, review_ids: list[int], head_sha: str) -> list[object]:
    """Say on the pull request, and in each thread of the reviews, which commit does what they ask for."""
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None:
        return []
    answered = [one for one in run.objections if one.review_id in review_ids]
    others = [one for one in run.objections if one.review_id not in review_ids]
    done = [one.model_copy(update={"answered_by": head_sha}) for one in answered]
    await call_db(run_rows.update, run_id, {"objections": (*others, *done)})
    repo = await repo_of_run(run_id)
    came_to: list[object] = []
    for one in done:
        came_to.append(
            await people_reviews.answer_review(repo, run.pull_number, one.review_id, f"Done in {head_sha[:7]}.")
        )
        key, said = f"answered:{one.review_id}", text.review_answered(one)
        came_to.append(await comments.post_once(repo, run.pull_number, key, said))
    return came_to


def _feedback(one: Objection) -> Feedback:
    return Feedback(title=f"{one.login} reviewed the pull request and requests changes", text=one.text)


def _names(objections: list[Objection]) -> str:
    return ", ".join(dict.fromkeys(one.login for one in objections))


def _review_phase(context: RunContext, plan: Plan, unanswered: list[Objection]) -> PlannedPhase:
    category = TaskCategory.FEATURE_SCAFFOLDING
    return PlannedPhase(
        phase_id=f"REVIEW-{1 + len(plan.phases_of(_REVIEW.tier_id))}",
        tier_id=_REVIEW.tier_id,
        phase_index=len(plan.phases),
        name=f"Make the changes that {_names(unanswered)} requested in a review",
        description="A person with write access reviewed the pull request: make the requested changes, no others.",
        acceptance_criteria=("Each change that the review requests is made.", "All tests pass."),
        task_category=category,
        complexity=rules_of(context).complexities[category],
        builder_mode=BuilderMode.COMPOSE,
    )
