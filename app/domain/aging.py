"""The backlog of a project: issues over all its runs, how they age, and when they need a clean-up."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from app.domain.findings import Severity
from app.domain.frozen import Frozen


class BacklogStatus(StrEnum):
    OPEN = "open"
    NEEDS_CLEANUP = "needs_cleanup"
    """Aged past the threshold: it counts as major, and the next run of the project gets a phase that fixes it."""
    RESOLVED = "resolved"


class BacklogEntry(Frozen):
    """One issue of a project. Ages are counts of distinct runs and tiers that left it open."""

    issue_key: str
    category: str
    base_severity: Severity
    task_category: str = ""
    complexity: str = ""
    problem: str = ""
    status: BacklogStatus
    occurrences: int = 0
    age_in_runs: int
    age_in_tiers: int
    seen_in_tiers: tuple[str, ...]
    first_seen_run_id: str
    last_seen_run_id: str
    last_seen_at: datetime
    resolved_by_run_id: str | None = None

    @property
    def effective_severity(self) -> Severity:
        return Severity.MAJOR if self.status is BacklogStatus.NEEDS_CLEANUP else self.base_severity


class AgingThresholds(Frozen):
    """From which age on an issue needs a clean-up."""

    runs: int = 3
    tiers: int = 2


class SightingFacts(Frozen):
    """That a run saw an issue in these tiers; `left_open` until that run, or a later one, fixed it."""

    run_id: str
    tiers: tuple[str, ...]
    left_open: bool = True


class Age(Frozen):
    """How many distinct runs, and distinct tiers of those runs, have left an issue open since it was last resolved."""

    runs: int
    tiers: int

    def past(self, thresholds: AgingThresholds) -> bool:
        """Whether it is time for a clean-up: left by so many runs, or in so many tiers of distinct runs.

        A run counts for one tier at most here, so that what one run sees in two tiers does not age in that run.
        """
        return self.runs >= thresholds.runs or min(self.runs, self.tiers) >= thresholds.tiers


def age(sightings: Iterable[SightingFacts]) -> Age:
    """The age by all sightings of an issue."""
    open_ones = [sighting for sighting in sightings if sighting.left_open]
    return Age(
        runs=len({sighting.run_id for sighting in open_ones}),
        tiers=len({tier for sighting in open_ones for tier in sighting.tiers}),
    )


def status_after_sighting(before: BacklogStatus | None, now: Age, thresholds: AgingThresholds) -> BacklogStatus:
    """The status once a run has seen the issue. What needs a clean-up needs it until it is resolved."""
    if before is BacklogStatus.NEEDS_CLEANUP or now.past(thresholds):
        return BacklogStatus.NEEDS_CLEANUP
    return BacklogStatus.OPEN


class FindingPlace(Frozen):
    """Where a run left a finding of an issue; no path: it was about a whole patch."""

    tier_id: str
    task_category: str = ""
    path: str | None = None
    fingerprint: str = ""
    reachable: bool = True
    """Whether a later run could see it: the run that left it was over, and its work merged, when that one began."""


class CompletedPhase(Frozen):
    """A phase that a run completed, with the issues that it should fix and the files that its commits changed."""

    tier_id: str
    task_category: str
    mends: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()


def resolved_by(
    key: str, left: Sequence[FindingPlace], completed: Sequence[CompletedPhase], mended: frozenset[str] = frozenset()
) -> bool:
    """Whether a run that succeeded, and does not leave the issue open itself, has resolved it.

    `left` are the findings that earlier runs left, `mended` the fingerprints of those that this run saw and closed. It
    has, if one of its phases was there to fix the issue, or if it touched every finding that is left: it closed that
    very finding, or completed a phase of the same category that changed the finding's file, or, where no file is known,
    one of the same category in the same tier. What it could not have seen stays open.
    """
    if any(key in phase.mends for phase in completed):
        return True
    return bool(left) and all(
        place.fingerprint in mended or any(_touches(phase, place) for phase in completed) for place in left
    )


def _touches(phase: CompletedPhase, place: FindingPlace) -> bool:
    if not place.reachable or not place.task_category or phase.task_category != place.task_category:
        return False
    return phase.tier_id == place.tier_id if place.path is None else place.path in phase.paths
