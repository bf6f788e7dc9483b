"""A run's issues by key: what a phase's file and the run's index say of them, and how many there are at each level."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby

from pydantic import Field

from app.domain.findings import Severity
from app.domain.frozen import Frozen


class IssueState(StrEnum):
    NO_ISSUES = "no_issues"
    HAS_MINOR_ISSUES = "has_minor_issues"
    HAS_MAJOR_ISSUES = "has_major_issues"


class IssueRecord(Frozen):
    """What one phase knows of one finding; several findings of a phase can share a key."""

    phase_id: str
    phase_index: int
    tier_id: str
    issue_key: str
    severity: Severity
    source: str
    category: str
    task_category: str = ""
    complexity: str = ""
    expected_fail: bool = False
    occurrences: int = 1
    evidence_refs: tuple[str, ...] = ()
    open: bool = True
    first_seen_run: str
    run_id: str
    aged_before: bool = False
    """Earlier runs had left it past the aging threshold, and the run has no phase that is yet to fix it."""
    aged: bool = False
    """It is past the aging threshold, this run's sighting included."""

    @property
    def counts_as(self) -> Severity:
        """The severity for judging the run. An issue that ages in this very run keeps its severity; a failure that
        was expected is never major."""
        if self.expected_fail:
            return Severity.MINOR
        return Severity.MAJOR if self.aged_before else self.severity

    @property
    def effective_severity(self) -> Severity:
        """Its severity for the project, which age raises."""
        return Severity.MAJOR if self.aged else self.severity


class PhaseIssue(Frozen):
    """An issue of a phase, by its key."""

    issue_key: str
    severity: Severity
    effective_severity: Severity
    source: str
    category: str
    task_category: str
    complexity: str
    expected_fail: bool
    occurrence_count: int
    first_seen_run: str
    last_seen_run: str
    evidence_refs: tuple[str, ...]


class PhaseIssues(Frozen):
    """All issues that a phase ever had; those still open are counted, by how the run is judged for them."""

    phase_id: str
    tier_id: str
    issues: tuple[PhaseIssue, ...]
    minor_issue_count: int
    major_issue_count: int
    issue_state: IssueState


class IndexEntry(Frozen):
    """An issue of a run, by its key; open or fixed."""

    category: str
    severity: Severity
    effective_severity: Severity
    first_phase_index: int
    last_phase_index: int
    occurrence_count: int
    seen_in_tiers: tuple[str, ...]
    seen_in_phases: tuple[str, ...]


class Counts(Frozen):
    """How many distinct issues are open."""

    minor: int = 0
    major: int = 0


class PhaseReport(Frozen):
    """What a client said about a phase without naming issues."""

    phase_id: str
    tier_id: str
    minor: int = Field(default=0, ge=0)
    major: int = Field(default=0, ge=0)


class IssueCounts(Frozen):
    """Open issues at the three levels. A key counts once at each, in however many places it was seen."""

    phases: Mapping[str, Counts]
    tiers: Mapping[str, Counts]
    run: Counts

    def of_phase(self, phase_id: str) -> Counts:
        return self.phases.get(phase_id, Counts())

    def of_tier(self, tier_id: str) -> Counts:
        return self.tiers.get(tier_id, Counts())


def count(records: Iterable[IssueRecord], reports: Sequence[PhaseReport]) -> IssueCounts:
    """Count distinct open keys. What a client reported beyond the keys of its phase is added at every level."""
    known = [record for record in records if record.open]
    phases: dict[str, Counts] = {}
    surplus: list[tuple[str, Counts]] = []
    for report in reports:
        own = _distinct(record for record in known if record.phase_id == report.phase_id)
        beyond = Counts(minor=max(0, report.minor - own.minor), major=max(0, report.major - own.major))
        phases[report.phase_id] = _sum([own, beyond])
        surplus.append((report.tier_id, beyond))
    tiers = {
        tier_id: _sum(
            [
                _distinct(record for record in known if record.tier_id == tier_id),
                *(beyond for tier, beyond in surplus if tier == tier_id),
            ]
        )
        for tier_id in dict.fromkeys(report.tier_id for report in reports)
    }
    return IssueCounts(phases=phases, tiers=tiers, run=_sum([_distinct(known), *(beyond for _, beyond in surplus)]))


def phase_file(phase_id: str, tier_id: str, records: Sequence[IssueRecord]) -> PhaseIssues:
    """The phase's issues from its records, one entry a key."""
    counts = _distinct(record for record in records if record.open)
    state = IssueState.HAS_MINOR_ISSUES if counts.minor else IssueState.NO_ISSUES
    return PhaseIssues(
        phase_id=phase_id,
        tier_id=tier_id,
        issues=tuple(_phase_issue(together) for together in _by_key(records).values()),
        minor_issue_count=counts.minor,
        major_issue_count=counts.major,
        issue_state=IssueState.HAS_MAJOR_ISSUES if counts.major else state,
    )


def run_index(records: Sequence[IssueRecord]) -> dict[str, IndexEntry]:
    """The run's issues by key."""
    return {key: _index_entry(together) for key, together in _by_key(records).items()}


def _by_key(records: Iterable[IssueRecord]) -> dict[str, list[IssueRecord]]:
    ordered = sorted(records, key=lambda record: record.issue_key)
    return {key: list(together) for key, together in groupby(ordered, lambda record: record.issue_key)}


def _distinct(records: Iterable[IssueRecord]) -> Counts:
    gravest = [_highest_severity(record.counts_as for record in together) for together in _by_key(records).values()]
    return Counts(minor=gravest.count(Severity.MINOR), major=gravest.count(Severity.MAJOR))


def _sum(counts: Iterable[Counts]) -> Counts:
    all_of_them = list(counts)
    return Counts(minor=sum(one.minor for one in all_of_them), major=sum(one.major for one in all_of_them))


def _highest_severity(severities: Iterable[Severity]) -> Severity:
    return Severity.MAJOR if Severity.MAJOR in set(severities) else Severity.MINOR


def _phase_issue(together: Sequence[IssueRecord]) -> PhaseIssue:
    first = together[0]
    return PhaseIssue(
        issue_key=first.issue_key,
        severity=_highest_severity(record.severity for record in together),
        effective_severity=_highest_severity(record.effective_severity for record in together),
        source=first.source,
        category=first.category,
        task_category=first.task_category,
        complexity=first.complexity,
        expected_fail=all(record.expected_fail for record in together),
        occurrence_count=sum(record.occurrences for record in together),
        first_seen_run=first.first_seen_run,
        last_seen_run=first.run_id,
        evidence_refs=tuple(dict.fromkeys(ref for record in together for ref in record.evidence_refs)),
    )


def _index_entry(together: Sequence[IssueRecord]) -> IndexEntry:
    in_order = sorted(together, key=lambda record: record.phase_index)
    return IndexEntry(
        category=together[0].category,
        severity=_highest_severity(record.severity for record in together),
        effective_severity=_highest_severity(record.effective_severity for record in together),
        first_phase_index=in_order[0].phase_index,
        last_phase_index=in_order[-1].phase_index,
        occurrence_count=sum(record.occurrences for record in together),
        seen_in_tiers=tuple(dict.fromkeys(record.tier_id for record in in_order)),
        seen_in_phases=tuple(dict.fromkeys(record.phase_id for record in in_order)),
    )
