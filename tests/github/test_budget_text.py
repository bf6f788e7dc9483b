"""Which caps are near, how the one that ended a run is raised, and how linked runs point at each other."""

import pytest

from app.domain.budget import Cap, Exhausted, Kind, Role, Scope
from app.domain.states import RunState
from app.domain.status_view import Headline, LinkedRun
from app.github import text
from app.github.text.escape import advice
from tests.github.views import run


def exhausted(scope: Scope, name: str, kind: Kind, limit: float, used: float, needs: int = 0) -> Exhausted:
    return Exhausted(scope=scope, name=name, kind=kind, limit=limit, used=used, needs=needs)


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        (exhausted(Scope.RUN, "r1", Kind.TOKENS, 50_000, 48_900, 3_200), "`/autopack run --tokens 100k`"),
        (exhausted(Scope.RUN, "r1", Kind.TOKENS, 50_000, 48_900, 3_200), "`tokens: 100000`"),
        (exhausted(Scope.RUN, "r1", Kind.TOKENS, 750_000, 750_000), "`/autopack run --tokens 1.5M`"),
        (exhausted(Scope.RUN, "r1", Kind.TOKENS, 1_001, 0), "`/autopack run --tokens 2.002k`"),
        (exhausted(Scope.RUN, "r1", Kind.TOKENS, 10_000, 9_000, 60_000), "`/autopack run --tokens 69k`"),
        (exhausted(Scope.ISSUE, "#3", Kind.TOKENS, 15_000_000, 14_999_000), "`issue.tokens: 30000000`"),
        (exhausted(Scope.PHASE, "P2", Kind.TOKENS, 300_000, 0), "`categories.tests.incident_token_cap: 600000`"),
        # two phases of 300k each, so the cap was three times their sum
        (exhausted(Scope.TIER, "T1", Kind.TOKENS, 1_800_000, 0), "`tier.token_factor: 6`"),
        (exhausted(Scope.TIER, "T1", Kind.CI_RUNS, 4, 4, 1), "`tier.ci_runs_per_phase: 4`"),
        (exhausted(Scope.RUN, "r1", Kind.CI_RUNS, 7, 7, 1), "`tier.ci_runs_per_phase: 7`"),
        (exhausted(Scope.PHASE, "P2", Kind.CI_RUNS, 3, 3, 1), "`categories.tests.builder_tries: 4`"),
        (exhausted(Scope.RUN, "r1", Kind.MINUTES, 120.0, 121.5), "`minutes: 240`"),
    ],
)
def test_each_cap_has_its_own_way_up(spent: Exhausted, said: str) -> None:
    advised = text.how_to_raise(run(), spent)
    assert said in advised
    assert said in advice(advised), "it is shown as code, so that it can be copied"
    assert advised.endswith("comment `/autopack run`.")


def test_near_caps_are_named_with_figures() -> None:
    caps = (
        Cap(scope=Scope.RUN, name="r1", limit=500_000, used=399_999),
        Cap(scope=Scope.RUN, name="r1", kind=Kind.MINUTES, limit=120.0, used=96.0),
        Cap(scope=Scope.ISSUE, name="#3", limit=15_000_000, used=12_000_000),
        Cap(scope=Scope.TIER, name="T1", kind=Kind.CI_RUNS, limit=4, used=4),
        Cap(scope=Scope.PHASE, name="P2", limit=300_000, used=150_000, warn_at=0.5),
        Cap(scope=Scope.PHASE, name="P2", kind=Kind.CI_RUNS, limit=3, used=2),
    )
    view = run(caps=caps)
    expected = (
        "⚠️ **Near a cap:** run `r1` 96 of 120 active minutes (80%); issue `#3` 12M of 15M tokens (80%); "
        "tier `T1` 4 of 4 CI runs (100%); phase `P2` 150k of 300k tokens (50%)\n"
    )
    assert expected in text.status_comment(view)
    ended = view.model_copy(update={"state": RunState.DONE_SUCCESS, "headline": Headline.DONE})
    assert expected in f"{text.check_output(ended).summary}\n"
    assert "Near a cap" not in text.status_comment(run(caps=caps[:1]))


def test_who_spent_what_stands_beside_the_sum() -> None:
    assert "$1.26 = planner 12.3k ($0.056), builder 400k ($1.20)" in text.status_comment(run())
    one = run(usage={Role.PLANNER: run().usage[Role.PLANNER]})
    assert "· $0.056\n" in text.status_comment(one)


def test_linked_runs_name_each_other() -> None:
    second = run(part=2, parts=3, before=LinkedRun(run_id="a", pull_number=4), after=LinkedRun(run_id="c"))
    line = "**Part 2 of 3** of the plan, on top of `a` (#4), next: `c`."
    for said in (text.status_comment(second), text.pull_body(second), text.final_summary(second)):
        assert line in said


def test_only_the_last_part_closes_the_issue() -> None:
    assert text.pull_body(run(part=1, parts=2)).startswith("Part 1 of 2 of #3\n")
    assert text.pull_body(run(part=2, parts=2)).startswith("Closes #3\n")


def test_failed_part_names_the_unstarted_rest() -> None:
    failed = run(part=1, parts=2, state=RunState.DONE_FAILED_ENVIRONMENT, headline=Headline.FAILED)
    assert "**Part 1 of 2** of the plan, the parts after it are not started" in text.incident(failed, "", "")
    assert "of the plan" not in text.status_comment(run())
