"""A run in each of the ways in which it can be: what happened is given here, every text is made from it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.domain.budget import Cap, Exhausted, Kind, Role, Scope
from app.domain.deadlines import WorkClock, deadline_of
from app.domain.outcome import after_success, why_success
from app.domain.phase_account import PhaseAccount
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.run_end import after_failure, final_headline
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import UNJUDGED, Headline, LinkedRun, PhaseView, RunView, TierView
from app.github import text
from tests.github.views import SHA, finding, phase, plan_comment, run

COMPLETE, QUEUED = PhaseState.COMPLETE, PhaseState.QUEUED
PARSER = PhaseAccount(
    summary="Adds `app/parse.py`, which reads dates in ISO form. Leap days are kept.",
    audit="The parser does what the criteria ask for.",
)


def first(state: PhaseState = COMPLETE, **other: Any) -> PhaseView:
    given: dict[str, Any] = {"builder_attempts": 1, "auditor_attempts": 1, "tokens": 41_250, "head_sha": SHA}
    given |= {"account": PARSER, "paths": ("app/parse.py", "tests/test_parse.py"), "snapshot": state is COMPLETE}
    given |= {"criteria": ("Dates are read.",), "builders": ("one:builder",), "auditors": ("two:auditor",)}
    if state is QUEUED:
        given = {}
    return phase("P1", "Write the parser", state, **{**given, **other})


def second(state: PhaseState = COMPLETE, **other: Any) -> PhaseView:
    given: dict[str, Any] = {"builder_attempts": 1, "auditor_attempts": 1, "tokens": 12_000, "head_sha": SHA[::-1]}
    given |= {
        "account": PhaseAccount(summary="Tests for leap days.", audit="Enough."),
        "paths": ("tests/test_leap.py",),
    }
    given |= {"builders": ("one:builder",), "auditors": ("two:auditor",), "snapshot": state is COMPLETE}
    if state in {QUEUED, PhaseState.SKIPPED}:
        given = {}
    return phase("P2", "Test leap days", state, **{**given, **other})


def at_work(headline: Headline, next_action: str, *phases: PhaseView, **other: Any) -> RunView:
    tiers = (TierView(tier_id="T1", name="Dates", state=TierState.RUNNING, phases=phases),) if phases else ()
    given: dict[str, Any] = {"headline": headline, "next_action": next_action, "tiers": tiers, "findings": ()}
    given |= {"state": RunState.PHASE_EXECUTION}
    if not phases:
        given |= {"head_sha": None, "pull_number": None, "state": RunState.PLAN_BOOTSTRAP}
    since = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
    clock = WorkClock(seconds=600, since=since, max_minutes=120)
    deadline = deadline_of(headline, since, other.pop("deadline", None), clock, ci_minutes=30)
    given |= {"deadline": deadline.at, "after_deadline": deadline.then} if deadline else {"deadline": None}
    return run(**{**given, **other})


def ended(state: RunState, reason: str = "", *phases: PhaseView, **other: Any) -> RunView:
    """A run that ended in this state; what it says next follows from it."""
    tier = TierState.BLOCKED if state is not RunState.DONE_SUCCESS else TierState.COMPLETE
    tiers = (TierView(tier_id="T1", name="Dates", state=tier, phases=phases),) if phases else ()
    given: dict[str, Any] = {"state": state, "reason": reason, "tiers": tiers, "findings": (), "deadline": None}
    given |= {"headline": final_headline(state, plan_only=other.get("plan_only", False))}
    if not phases:
        given |= {"head_sha": None, "pull_number": None}
    view = run(**{**given, **other})
    if state is RunState.DONE_SUCCESS:
        said = {"reason": why_success(view), "next_action": after_success(view)}
    elif view.exhausted is not None:
        said = {"next_action": text.how_to_raise(view, view.exhausted)}
    else:
        said = {"next_action": after_failure(state, reason)}
    blockers = view.promotion_blockers or (
        (f"the run is {state}, not DONE_SUCCESS",) if state is not RunState.DONE_SUCCESS else ()
    )
    return view.model_copy(update={**said, "promotion_blockers": blockers})


def success(*phases: PhaseView, **other: Any) -> RunView:
    return ended(RunState.DONE_SUCCESS, "", *(phases or (first(), second())), **other)


def _asked(kind: RequestKind, **answer: Any) -> str:
    return RequestedChange(kind=kind, id=7, login="maintainer", **answer).words


def _spent(kind: Kind, limit: float, used: float, needs: float) -> Exhausted:
    return Exhausted(
        scope=Scope.RUN, name="r1", kind=kind, limit=limit, used=used, needs=needs, role=Role.BUILDER, phase_id="P2"
    )


HUMAN, ENVIRONMENT = RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, RunState.DONE_FAILED_ENVIRONMENT
CI_RED = "P2 (Test leap days) did not pass: CI is red: failed: test"
JOB = "https://github.test/acme/widgets/actions/runs/12/job/34"
FAILED = (first(), second(PhaseState.FAILED, builder_attempts=3, note="CI is red: failed: test", snapshot=False))
OUTCOMES: Mapping[str, Callable[[], RunView]] = {
    "planning": lambda: at_work(Headline.PLANNING, "The Planner reads the issue and the repository."),
    "building": lambda: at_work(
        Headline.BUILDING,
        "The Builder works on P1 (Write the parser), attempt 1 of 3.",
        first(PhaseState.EXECUTING, auditor_attempts=0, head_sha=None, snapshot=False, auditors=()),
        second(QUEUED),
    ),
    "building again": lambda: at_work(
        Headline.BUILDING,
        "The Builder works on P2 (Test leap days), attempt 2 of 3.",
        first(),
        second(PhaseState.RETRY, builder_attempts=2, note="CI is red: failed: test", snapshot=False),
    ),
    "auditing": lambda: at_work(
        Headline.AUDITING, "The Auditor reviews P1.", first(PhaseState.GATE, snapshot=False), second(QUEUED)
    ),
    "waiting for CI": lambda: at_work(
        Headline.WAITING_FOR_CI,
        "CI judges 1a2b3c4; the run goes on by itself when it has.",
        first(PhaseState.GATE, snapshot=False),
        second(QUEUED),
        state=RunState.CI_RUNNING,
    ),
    "waiting for a person in CI": lambda: at_work(
        Headline.WAITING_FOR_YOU,
        "deploy waits for a person's approval on GitHub; the run goes on by itself when it has it.",
        first(PhaseState.GATE, snapshot=False),
        second(QUEUED),
        state=RunState.CI_RUNNING,
        deadline=datetime(2026, 1, 3, 10, 0, tzinfo=UTC),
    ),
    "waiting for posted results": lambda: at_work(
        Headline.WAITING_FOR_YOU,
        "Awaited: a builder's result for P1.",
        first(QUEUED),
        second(QUEUED),
        state=RunState.RUN_CREATED,
        head_sha=None,
        pull_number=None,
        deadline=datetime(2026, 1, 3, 10, 0, tzinfo=UTC),
    ),
    "paused": lambda: at_work(
        Headline.PAUSED,
        "Comment `/autopack resume`. It was building before, and goes on there.",
        first(),
        second(PhaseState.EXECUTING, head_sha=None, auditor_attempts=0, snapshot=False, auditors=()),
        reason="paused by maintainer",
        deadline=datetime(2026, 1, 16, 10, 0, tzinfo=UTC),
        after_deadline="the run is cancelled",
    ),
    "provider down": lambda: at_work(
        Headline.PROVIDER_DOWN,
        "The next try is at 10:15 UTC.",
        first(PhaseState.EXECUTING, head_sha=None, auditor_attempts=0, snapshot=False, auditors=()),
        reason="model unavailable: one:builder: the provider answered 529",
        deadline=datetime(2026, 1, 2, 10, 15, tzinfo=UTC),
    ),
    "near its cap": lambda: at_work(
        Headline.BUILDING,
        "The Builder works on P2 (Test leap days), attempt 1 of 3.",
        first(),
        second(PhaseState.EXECUTING, head_sha=None, auditor_attempts=0, snapshot=False, auditors=()),
        run_cap=Cap(scope=Scope.RUN, name="r1", limit=500_000, used=460_000),
    ),
    "resumed after a crash": lambda: at_work(
        Headline.BUILDING,
        "The Builder works on P1 (Write the parser), attempt 1 of 3.",
        first(PhaseState.EXECUTING, head_sha=None, auditor_attempts=0, snapshot=False, auditors=()),
        notices=("Resumed after a crash or restart at 2026-01-02 10:04 UTC; nothing was done twice.",),
    ),
    "part of a larger plan": lambda: at_work(
        Headline.BUILDING,
        "The Builder works on P1 (Write the parser), attempt 1 of 3.",
        first(PhaseState.EXECUTING, head_sha=None, auditor_attempts=0, snapshot=False, auditors=()),
        part=2,
        parts=3,
        before=LinkedRun(run_id="r1", pull_number=6),
    ),
    "done": success,
    "done without CI": lambda: success(
        notices=(f"{UNJUDGED} the commits: no workflow is there.",),
        promotion_blockers=("no CI judged the commits, as the notices say",),
    ),
    "done with a skipped phase": lambda: success(
        first(), second(PhaseState.SKIPPED, skipped_by="maintainer", note="skipped by maintainer")
    ),
    "done but not audited": lambda: success(
        first(), second(auditor_attempts=0, auditors=()), promotion_blockers=("not audited: P2",)
    ),
    "done by one vendor": lambda: success(
        notices=("Builder and Auditor are of the same vendor: no key of a second one is configured.",)
    ),
    "done with an open finding": lambda: success(findings=(finding("Leap seconds are not read"),)),
    "changes are requested": lambda: success(promotion_blockers=(_asked(RequestKind.REVIEW),)),
    "requested changes are made": lambda: success(promotion_blockers=(_asked(RequestKind.REVIEW, answered_by=SHA),)),
    "requested changes are declined": lambda: success(
        promotion_blockers=(_asked(RequestKind.REVIEW, declined="The issue wants it so."),)
    ),
    "a line comment is open": lambda: success(promotion_blockers=(_asked(RequestKind.THREAD),)),
    "merged": lambda: success(promoted=True),
    "planned": lambda: ended(
        RunState.DONE_SUCCESS, "", first(QUEUED), second(QUEUED), plan_only=True, head_sha=None, pull_number=None
    ),
    "CI stays red": lambda: ended(HUMAN, CI_RED, *FAILED, failed_job_url=JOB),
    "Auditor rejects": lambda: ended(
        HUMAN,
        "P2 (Test leap days) did not pass: the Auditor requested changes 3 times, at last: leap days are lost",
        *FAILED,
        findings=(finding("Leap days are lost"),),
    ),
    "forbidden change": lambda: ended(
        RunState.DONE_FAILED_POLICY_VIOLATION,
        "P2 (Test leap days) did not pass: .github/workflows/ci.yml is protected",
        *FAILED,
    ),
    "settings do not fit": lambda: ended(HUMAN, ".github/autopack.yml does not fit: line 2: tokens: 2M is no number"),
    "CI never comes": lambda: ended(
        ENVIRONMENT, "CI did not judge 1a2b3c4 in time: ci is still awaited at the deadline", *FAILED
    ),
    "no model answers": lambda: ended(ENVIRONMENT, "model rejected: one:builder: the provider answered 401: bad key"),
    "GitHub is down": lambda: ended(ENVIRONMENT, "GitHub is unavailable: 502 for half an hour", *FAILED),
    "branch is rewritten": lambda: ended(HUMAN, "maintainer rewrote the run's branch to 1a2b3c4", *FAILED),
    "base moves too often": lambda: ended(HUMAN, "main moved 5 times while the run was ending", first(), second()),
    "tokens are used up": lambda: ended(
        RunState.DONE_FAILED_BUDGET_EXHAUSTED,
        "run r1: 490,000 of 500,000 tokens used, the next builder request (P2) may need 20,000",
        *FAILED,
        exhausted=_spent(Kind.TOKENS, 500_000, 490_000, 20_000),
    ),
    "money is used up": lambda: ended(
        RunState.DONE_FAILED_BUDGET_EXHAUSTED,
        "run r1: 49.90 of 50.00 US dollars used, the next builder request (P2) may need 0.40",
        *FAILED,
        exhausted=_spent(Kind.USD, 50, 49.9, 0.4),
    ),
    "cancelled": lambda: ended(
        RunState.DONE_CANCELLED, "cancelled by maintainer", first(), second(PhaseState.SKIPPED, note="cancelled")
    ),
    "cancelled before the plan": lambda: ended(RunState.DONE_CANCELLED, "the issue was closed by maintainer"),
    "another run goes on": lambda: ended(HUMAN, CI_RED, *FAILED, continued_by="issue-3-1a2b3c4d").model_copy(
        update={"next_action": "Nothing: the run issue-3-1a2b3c4d goes on from here."}
    ),
}
"""By name, each as the status comment of the issue shows it."""
PAGES: Mapping[str, Callable[[], str]] = {
    **{f"status, {name}": (lambda make=make: text.status_comment(make())) for name, make in OUTCOMES.items()},
    "pull request at work": lambda: _pull(OUTCOMES["building again"]()),
    "pull request, done": lambda: _pull(success()),
    "pull request, failed": lambda: _pull(OUTCOMES["CI stays red"]()),
    "incident": lambda: text.incident(OUTCOMES["CI stays red"](), "E   assert 28 == 29", " app/parse.py | 2 +-"),
    "summary": lambda: text.final_summary(success()),
    "plan": lambda: plan_comment("Leap days are kept", "anthropic", "openai", parts=2),
    "help": text.help_text,
}


def _pull(view: RunView) -> str:
    return f"# {text.pull_title(view)}\n\n{text.pull_body(view)}"
