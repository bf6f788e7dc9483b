"""What clients post to the REST API: checked here once, stored as it came, worked with by the lifecycle.

Field by field the contract of the earlier Autopack's clients; fields it does not know are ignored.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from app.domain.api_fields import (
    MAX_COUNT,
    Attempt,
    Body,
    Count,
    Id,
    Index,
    IssueCount,
    Label,
    LongText,
    Minutes,
    Name,
    Patch,
    Positive,
    Reference,
    Text,
    as_number,
    example,
)
from app.domain.findings import Recommendation, slug
from app.domain.plan import (
    AuditorProfile,
    BuilderMode,
    Complexity,
    Plan,
    PlannedPhase,
    PlannedTier,
    TaskCategory,
)
from app.domain.posted_issue import PostedIssue
from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.states import PhaseState
from app.domain.strategy import Engine, RunOptions

MAX_PLANNED = 300
"""Tiers, and phases, of one posted plan at most."""


class RunSpec(Body):
    run_id: Id
    safety_profile: SafetyProfile = SafetyProfile.NORMAL
    run_scope: RunScope = RunScope.MULTI_TIER
    token_cap: Positive = 5_000_000
    max_phases: Annotated[int, Field(ge=1, le=1000), BeforeValidator(as_number)] = 25
    """Of one run: a longer plan is split into several that follow each other."""
    max_duration_minutes: Annotated[float, Field(gt=0, le=10_080, allow_inf_nan=False), BeforeValidator(as_number)] = (
        120
    )
    """Of active work, as the posted results tell it."""
    repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$")] | None = (
        None
    )
    """`owner/name` of a repository on which the App is installed: results become commits of `autonomous/<run_id>`."""
    issue_number: Positive | None = None
    """The issue on which the run reports, in `repository`."""
    builder: Engine = Engine.EXTERNAL
    """`external`: results are posted. `autopack`: Autopack's own models build the given plan; needs a repository."""

    @property
    def options(self) -> RunOptions:
        """What the body asks for. What it leaves out keeps the figure of the repository or the ruleset."""
        posted = self.model_dump(exclude_unset=True)
        return RunOptions(
            tokens=posted.get("token_cap"),
            phases=posted.get("max_phases"),
            minutes=posted.get("max_duration_minutes"),
            safety=posted.get("safety_profile"),
            scope=posted.get("run_scope"),
        )


class TierSpec(Body):
    tier_id: Id
    tier_index: Index
    name: Name
    description: Text | None = None


class PhaseSpec(Body):
    phase_id: Id
    phase_index: Index
    tier_id: Id
    name: Name
    description: Text | None = None
    task_category: TaskCategory | None = None
    complexity: Complexity | None = None
    builder_mode: BuilderMode | None = None
    acceptance_criteria: Annotated[list[Text], Field(max_length=100)] = Field(default_factory=list[Text])
    expected_paths: Annotated[list[Reference], Field(max_length=300)] = Field(default_factory=list[Reference])


def plan_of(
    tiers: Sequence[TierSpec], phases: Sequence[PhaseSpec], complexities: Mapping[TaskCategory, Complexity]
) -> Plan:
    """The plan, in the order of its indexes. A phase that does not say its complexity takes its category's.

    Raises `ValueError` for an unknown tier and for a tier or phase id that is given twice.
    """
    return Plan(
        tiers=tuple(
            PlannedTier.model_validate(tier.model_dump(exclude_none=True))
            for tier in sorted(tiers, key=lambda tier: tier.tier_index)
        ),
        phases=tuple(
            _planned_phase(phase, complexities) for phase in sorted(phases, key=lambda phase: phase.phase_index)
        ),
    )


def _planned_phase(phase: PhaseSpec, complexities: Mapping[TaskCategory, Complexity]) -> PlannedPhase:
    category = phase.task_category or TaskCategory.FEATURE_SCAFFOLDING
    resolved = {"task_category": category, "complexity": phase.complexity or complexities[category]}
    return PlannedPhase.model_validate(phase.model_dump(exclude_none=True) | resolved)


class RunStart(Body):
    """A run with its whole plan."""

    model_config = example(
        run={"run_id": "run-001", "safety_profile": "normal", "run_scope": "multi_tier", "token_cap": 5_000_000},
        tiers=[{"tier_id": "T1", "tier_index": 0, "name": "Core Features", "description": "The base"}],
        phases=[
            {
                "phase_id": "P1.1",
                "phase_index": 0,
                "tier_id": "T1",
                "name": "Implement user authentication",
                "description": "Add JWT-based authentication",
                "task_category": "feature_scaffolding",
                "complexity": "medium",
                "builder_mode": "compose",
            }
        ],
    )

    run: RunSpec
    tiers: Annotated[list[TierSpec], Field(min_length=1, max_length=MAX_PLANNED)]
    phases: Annotated[list[PhaseSpec], Field(min_length=1, max_length=MAX_PLANNED)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            self.plan(dict.fromkeys(TaskCategory, Complexity.MEDIUM))  # ids are checked here, rules are not known yet
        except ValidationError as error:
            raise ValueError("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from error
        if self.run.repository is None and self.run.builder is Engine.AUTOPACK:
            raise ValueError("builder autopack needs a repository to work in")
        if self.run.repository is None and self.run.issue_number is not None:
            raise ValueError("issue_number needs a repository")
        return self

    def plan(self, complexities: Mapping[TaskCategory, Complexity]) -> Plan:
        """The posted plan, as `plan_of` makes it."""
        return plan_of(self.tiers, self.phases, complexities)


class StatusUpdate(Body):
    """A step of a phase that its builder reports."""

    model_config = example(state="EXECUTING", builder_attempts=1, tokens_used=1200)

    state: PhaseState
    builder_attempts: Annotated[int, Field(ge=0, le=1000), BeforeValidator(as_number)] | None = None
    tokens_used: Count | None = None
    """All tokens of the phase that are reported this way, in addition to those of results and audits."""
    minor_issues_count: IssueCount | None = None
    major_issues_count: IssueCount | None = None


class ProbeResult(Body):
    """What a local check of the builder came to."""

    probe_type: Label
    exit_code: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT), BeforeValidator(as_number)]
    stdout: LongText = ""
    stderr: LongText = ""
    duration_seconds: Annotated[float, Field(ge=0, le=MAX_COUNT, allow_inf_nan=False), BeforeValidator(as_number)] = 0

    @property
    def key(self) -> str:
        return f"probe__{slug(self.probe_type)}__failed"


class BuilderResult(Body):
    """What a builder made of a phase."""

    model_config = example(
        phase_id="P1.1",
        run_id="run-001",
        status="success",
        patch_content="diff --git a/greeting.txt b/greeting.txt\nnew file mode 100644\n"
        "--- /dev/null\n+++ b/greeting.txt\n@@ -0,0 +1 @@\n+hello\n",
        files_changed=["greeting.txt"],
        lines_added=1,
        lines_removed=0,
        builder_attempts=1,
        tokens_used=15_000,
        duration_minutes=2.5,
        notes="Greets people",
    )

    phase_id: Id
    run_id: Id
    status: Literal["success", "failed", "needs_review"]
    patch_content: Patch | None = None
    files_changed: Annotated[list[Reference], Field(max_length=1000)] | None = None
    lines_added: Count | None = None
    lines_removed: Count | None = None
    builder_attempts: Attempt = 1
    """The number of the attempt: the same number again is the same result, and answered as the first time."""
    tokens_used: Count = 0
    duration_minutes: Minutes | None = None
    probe_results: Annotated[list[ProbeResult], Field(max_length=50)] | None = None
    suggested_issues: Annotated[list[PostedIssue], Field(max_length=200)] | None = None
    notes: LongText | None = None


class AuditRequest(Body):
    """Whose audit is requested, and what it should look at."""

    model_config = example(
        phase_id="P1.1", run_id="run-001", tier_id="T1", review_focus="security", auditor_profile="schema_review"
    )

    phase_id: Id | None = None
    run_id: Id | None = None
    tier_id: Id | None = None
    review_focus: Label = "general"
    auditor_profile: AuditorProfile | None = None


class SuggestedPatch(Body):
    description: Text
    patch_content: Patch
    files_affected: Annotated[list[Reference], Field(max_length=1000)] | None = None


class AuditorResult(Body):
    """What an auditor found in a phase."""

    model_config = example(
        phase_id="P1.1",
        run_id="run-001",
        review_notes="Code looks good, no issues found",
        recommendation="approve",
        issues_found=[],
        suggested_patches=[],
        auditor_attempts=1,
        tokens_used=3000,
        confidence="high",
    )

    phase_id: Id
    run_id: Id
    review_notes: LongText
    recommendation: Recommendation
    issues_found: Annotated[list[PostedIssue], Field(max_length=200)] | None = None
    suggested_patches: Annotated[list[SuggestedPatch], Field(max_length=20)] | None = None
    auditor_attempts: Attempt = 1
    """The number of the audit: the same number again is the same audit, and answered as the first time."""
    tokens_used: Count = 0
    confidence: Literal["low", "medium", "high"] | None = None
