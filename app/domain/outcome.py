"""The outcome of a run, derived from what happened: every text about it states this and no more."""

from datetime import datetime

from app.domain.budget import Usage
from app.domain.frozen import Frozen
from app.domain.run_end import next_part
from app.domain.states import PhaseState, RunState
from app.domain.status_view import Headline, RunView
from app.domain.strategy import Engine


class Outcome(Frozen):
    """What happened and why, what a person can do and by when, what it cost, and how much of the plan is complete."""

    state: RunState
    headline: Headline
    why: str
    """Why it waits, or how it ended; empty while it works."""
    next_action: str
    """What happens next, or what a person can do."""
    since: datetime
    """When the headline last changed."""
    deadline: datetime | None
    """When the state is over at the latest; null for a run that has ended."""
    after_deadline: str
    """What the run does then."""
    tokens: int
    cost_usd: float | None
    """In US dollars; null where a price is not known."""
    phases: int
    complete: int
    failed: int
    skipped: int
    left_out: tuple[str, ...]
    """Phases that a person had skipped."""
    not_audited: tuple[str, ...]
    """Complete phases that no audit saw."""
    judged: bool
    """Whether CI judged every commit that it was asked about."""

    @property
    def progress(self) -> str:
        """How far the plan is carried out; empty before there is one."""
        if not self.phases:
            return ""
        others = ((self.failed, "failed"), (self.skipped, "skipped"))
        counts = [f"{self.complete} of {self.phases} phases complete"]
        return ", ".join(counts + [f"{count} {what}" for count, what in others if count])

    @property
    def line(self) -> str:
        """The outcome in one line, for a log."""
        parts = [self.headline.value, self.progress, self.why or self.next_action]
        return "; ".join(" ".join(part.split())[:300] for part in parts if part)


def outcome_of(view: RunView) -> Outcome:
    phases = [phase for tier in view.tiers for phase in tier.phases]
    states = [phase.state for phase in phases]
    complete = [phase for phase in phases if phase.state is PhaseState.COMPLETE]
    spent = sum(view.usage.values(), Usage())
    return Outcome(
        state=view.state,
        headline=view.headline,
        why=view.reason,
        next_action=view.next_action,
        since=view.since,
        deadline=view.deadline,
        after_deadline=view.after_deadline,
        tokens=spent.total,
        cost_usd=None if spent.cost_usd is None else float(spent.cost_usd),
        phases=len(phases),
        complete=len(complete),
        failed=states.count(PhaseState.FAILED),
        skipped=states.count(PhaseState.SKIPPED) if view.state.terminal else 0,
        left_out=tuple(phase.phase_id for phase in phases if phase.state is PhaseState.SKIPPED and phase.skipped_by),
        not_audited=tuple(phase.phase_id for phase in complete if not phase.auditor_attempts),
        judged=view.ci_judged,
    )


def why_success(view: RunView) -> str:
    """Why the run ended well."""
    if view.plan_only:
        return "the plan is posted, and nothing is built"
    outcome = outcome_of(view)
    if outcome.phases and not outcome.complete:
        return f"no phase is complete: {', '.join(outcome.left_out)} skipped"
    which = "every other phase" if outcome.left_out else "every phase"
    green = f"{which} is green" if outcome.judged else f"{which} is complete, and CI did not judge every commit"
    if outcome.not_audited:
        said = f"{green}; not audited: {', '.join(outcome.not_audited)}"
    else:
        said = f"{green} and audited" if outcome.judged else f"{green}; {which} is audited"
    return f"skipped: {', '.join(outcome.left_out)}; {said}" if outcome.left_out else said


def after_success(view: RunView) -> str:
    """What a person does next with a run that ended well."""
    if view.plan_only:
        return "Comment `/autopack run`: it builds the plan as it is in its comment then, which you can edit before."
    if view.promoted:
        return "Nothing is left to do: the pull request is merged."
    if view.promotion_blockers:
        action = "Settle what keeps the pull request from being merged: the reasons are below."
    else:
        action = "Review and merge the pull request; Autopack never merges."
    return action + (next_part(view.part, view.parts) if view.after is not None else "")


def after_closing(view: RunView, by: str) -> str:
    """What a person does next with an ended run whose pull request was closed without a merge."""
    closed = f"The pull request was closed{by} without a merge"
    if view.state is RunState.DONE_SUCCESS:
        return f"{closed}: reopen it to merge it, or comment `/autopack run` to start again."
    return f"{closed}: reopen it and comment `/autopack retry` to go on, or `/autopack run` to start again."


def promotion_answer(view: RunView, moved_to: str = "") -> str:
    """What keeps a run from being promoted now, or that nothing does; `moved_to` is a commit of someone else's."""
    if not view.state.terminal:
        return f"The run {view.run_id} has not ended: it is offered by itself once nothing prevents it."
    if view.promoted:
        return "The pull request is merged."
    if view.promotion_blockers:
        return f"The run may not be promoted: {'; '.join(view.promotion_blockers)}."
    if moved_to:
        return (
            f"Nothing prevents promotion up to {(view.head_sha or '')[:7]}. The branch is at {moved_to[:7]} now, "
            "which Autopack neither wrote nor audited: judge that yourself."
        )
    return f"Nothing prevents promotion: {why_success(view)}. Merging is yours."


def how_it_was_made(view: RunView) -> str:
    """What the pull request's commits have passed."""
    outcome = outcome_of(view)
    if not outcome.complete:
        return "Written by Autopack, phase by phase. No phase is complete."
    passed = ["their gate", *(["CI"] if outcome.judged else [])]
    if len(outcome.not_audited) < outcome.complete:
        passed.append(_audit(view))
    listed = f"{', '.join(passed[:-1])} and {passed[-1]}" if len(passed) > 1 else passed[0]
    said = f"Written by Autopack, phase by phase. {outcome.progress.capitalize()}; the complete ones passed {listed}."
    missing = [] if outcome.judged else ["CI did not judge every commit."]
    if outcome.not_audited:
        missing.append(f"Not audited: {', '.join(outcome.not_audited)}.")
    return " ".join([said, *missing])


def _audit(view: RunView) -> str:
    if view.strategy is None or view.strategy.engine is Engine.EXTERNAL:
        return "an audit"
    vendor = "another vendor" if view.strategy.cross_vendor else "the Builder's own vendor"
    return f"an audit by a model of {vendor}"
