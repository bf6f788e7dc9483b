"""An issue ages by the runs that leave it open, never by how often one of them saw it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.aging import (
    Age,
    AgingThresholds,
    BacklogStatus,
    CompletedPhase,
    FindingPlace,
    SightingFacts,
    age,
    resolved_by,
    status_after_sighting,
)

NORMAL = AgingThresholds(runs=3, tiers=2)
SAFETY_CRITICAL = AgingThresholds(runs=2, tiers=1)
RUNS = st.sampled_from([f"r{number}" for number in range(6)])
TIERS = st.lists(st.sampled_from(["T1", "T2", "T3"]), min_size=1, unique=True).map(tuple)
SIGHTINGS = st.lists(st.builds(SightingFacts, run_id=RUNS, tiers=TIERS, left_open=st.booleans()))


def seen(run_id: str, *tiers: str) -> SightingFacts:
    return SightingFacts(run_id=run_id, tiers=tiers or ("T1",))


@given(SIGHTINGS)
def test_age_counts_runs_and_tiers(sightings: list[SightingFacts]) -> None:
    runs = {one.run_id for one in sightings if one.left_open}
    tiers = {tier for one in sightings if one.left_open for tier in one.tiers}
    assert age(sightings) == Age(runs=len(runs), tiers=len(tiers))


@given(SIGHTINGS, st.builds(SightingFacts, run_id=RUNS, tiers=TIERS, left_open=st.just(True)))
def test_what_is_seen_again_never_gets_younger(sightings: list[SightingFacts], further: SightingFacts) -> None:
    before, after = age(sightings), age([*sightings, further])
    assert after.runs >= before.runs
    assert after.tiers >= before.tiers
    assert after.past(NORMAL) >= before.past(NORMAL)


@given(SIGHTINGS, RUNS, st.lists(TIERS, min_size=1))
def test_run_ages_an_issue_once(sightings: list[SightingFacts], run_id: str, tiers: list[tuple[str, ...]]) -> None:
    often = [SightingFacts(run_id=run_id, tiers=one) for one in tiers]
    assert age([*sightings, *often]).runs <= age(sightings).runs + 1


@pytest.mark.parametrize(
    ("sightings", "thresholds", "due"),
    [
        ([seen("r1"), seen("r2")], NORMAL, False),
        ([seen("r1"), seen("r2"), seen("r3")], NORMAL, True),
        ([seen("r1", "T1"), seen("r2", "T2")], NORMAL, True),
        ([seen("r1", "T1", "T2", "T3")], NORMAL, False),
        ([seen("r1", "T1", "T2"), seen("r2", "T1")], NORMAL, True),
        ([seen("r1"), seen("r2"), SightingFacts(run_id="r3", tiers=("T1",), left_open=False)], NORMAL, False),
        ([seen("r1")], SAFETY_CRITICAL, True),
        ([], SAFETY_CRITICAL, False),
    ],
    ids=["2 runs", "3 runs", "2 tiers of 2 runs", "3 tiers of 1 run", "2 tiers", "1 taken back", "safety", "nothing"],
)
def test_when_a_clean_up_is_due(sightings: list[SightingFacts], thresholds: AgingThresholds, due: bool) -> None:
    assert age(sightings).past(thresholds) is due


@pytest.mark.parametrize("before", [None, BacklogStatus.OPEN])
def test_cleanup_starts_at_the_threshold(before: BacklogStatus | None) -> None:
    assert status_after_sighting(before, Age(runs=2, tiers=1), NORMAL) is BacklogStatus.OPEN
    assert status_after_sighting(before, Age(runs=3, tiers=1), NORMAL) is BacklogStatus.NEEDS_CLEANUP


def test_aged_issue_is_old_under_every_profile() -> None:
    status = status_after_sighting(BacklogStatus.NEEDS_CLEANUP, Age(runs=1, tiers=1), NORMAL)
    assert status is BacklogStatus.NEEDS_CLEANUP


def phase(category: str = "docs", *paths: str, tier_id: str = "T1", mends: tuple[str, ...] = ()) -> CompletedPhase:
    return CompletedPhase(tier_id=tier_id, task_category=category, mends=mends, paths=frozenset(paths))


def place(path: str | None = "a.py", *, reachable: bool = True) -> FindingPlace:
    return FindingPlace(tier_id="T1", task_category="docs", path=path, fingerprint=f"of {path}", reachable=reachable)


@pytest.mark.parametrize(
    ("left", "completed", "mended", "resolved"),
    [
        ([place()], [phase("debt_cleanup", mends=("k",))], [], True),
        ([place(reachable=False)], [phase("debt_cleanup", mends=("k",))], [], True),
        ([place()], [phase("debt_cleanup", mends=("another",))], [], False),
        ([place()], [phase("docs", "a.py")], [], True),
        ([place()], [phase("docs", "b.py")], [], False),
        ([place()], [phase("tests", "a.py")], [], False),
        ([place(reachable=False)], [phase("docs", "a.py")], [], False),
        ([place(), place("b.py")], [phase("docs", "a.py")], [], False),
        ([place(), place("b.py")], [phase("docs", "a.py"), phase("docs", "b.py")], [], True),
        ([place(), place("b.py")], [phase("docs", "a.py")], ["of b.py"], True),
        ([place(None)], [phase("docs", "a.py")], [], True),
        ([place(None)], [phase("docs", "a.py", tier_id="T2")], [], False),
        ([place(reachable=False)], [], ["of a.py"], True),
        ([place()], [], [], False),
        ([], [phase("docs", "a.py")], [], False),
    ],
)
def test_what_a_run_resolves(
    left: list[FindingPlace], completed: list[CompletedPhase], mended: list[str], resolved: bool
) -> None:
    assert resolved_by("k", left, completed, frozenset(mended)) is resolved


@given(st.lists(st.builds(FindingPlace, tier_id=st.sampled_from(["T1", "T2"]), path=st.none() | st.text()), min_size=1))
def test_a_run_that_completed_nothing_resolves_nothing(left: list[FindingPlace]) -> None:
    assert not resolved_by("k", left, [])
