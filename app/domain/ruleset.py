"""The ruleset: figures that govern a run, read from YAML and overridden by a repository's `.github/autopack.yml`."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.findings import Severity
from app.domain.plan import Complexity, TaskCategory

Tokens = Annotated[int, Field(gt=0, le=1_000_000_000)]
Minutes = Annotated[float, Field(gt=0, le=7 * 24 * 60)]


class SafetyProfile(StrEnum):
    NORMAL = "normal"
    SAFETY_CRITICAL = "safety_critical"


class RunScope(StrEnum):
    MULTI_TIER = "multi_tier"
    SINGLE_TIER = "single_tier"
    INCREMENTAL = "incremental"
    """Accepted as a synonym of multi_tier."""


class CiProfile(StrEnum):
    NORMAL = "normal"
    STRICT = "strict"


class Rules(BaseModel):
    """Base of every part of a ruleset: an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoryRules(Rules):
    """What a task category is allowed and how its work is judged."""

    complexity: Complexity
    ci: CiProfile
    builder_tries: int = Field(ge=1, le=10)
    auditor_tries: int = Field(ge=1, le=10)
    """How often the Auditor may send the work back."""
    incident_token_cap: Tokens
    auto_apply: bool
    """True: pushed first and audited beside CI. False: audited before it is pushed."""
    auditor_profile: str | None = None
    default_severity: Severity
    model: str | None = None
    """Overrides the model that complexity would choose."""
    high_risk: bool = False


class RunCaps(Rules):
    tokens: Tokens
    phases: int = Field(ge=1, le=1000)
    minutes: Minutes
    """Active work; time spent waiting for CI or a person does not count."""
    minor_issues_per_phase: int = Field(ge=0)


class TierCaps(Rules):
    token_factor: float = Field(gt=0)
    """A tier's token cap is this times the sum of its phases' caps."""
    ci_runs_per_phase: float = Field(gt=0)
    minor_issues_per_phase: float = Field(ge=0)
    major_issues: int = Field(ge=0)


class CiRules(Rules):
    grace_seconds: float = Field(default=60, ge=0, le=3600)
    deadline_minutes: Minutes = 30
    reruns: int = Field(default=3, ge=0, le=10)
    """How often jobs that infrastructure failed are run again."""
    rerun_backoff_seconds: float = Field(default=5, ge=0, le=600)
    """Before the first time; twice as long before each further one."""
    when_absent: Literal["report", "allow", "fail"] = "report"
    """report: build on, promotion stays closed; allow: promotion may open; fail: the run ends."""


class PatchRules(Rules):
    max_files: int = Field(default=100, ge=1, le=300)
    max_lines: int = Field(default=5_000, ge=1)
    max_file_bytes: int = Field(default=1_000_000, ge=1)
    protected_paths: tuple[str, ...] = ()
    """Globs, beside those that are always protected."""


class ProfileRules(Rules):
    """What a safety profile changes."""

    strict_ci_everywhere: bool = False
    single_tier: bool = False
    tier_minor_issues_per_phase: float = Field(ge=0)
    not_clean_fails_run: bool = False


class ModelRules(Rules):
    """Models by strength, each a list: the first is used, the others are its fallbacks. Names are `vendor:model`."""

    light: tuple[str, ...]
    standard: tuple[str, ...]
    strong: tuple[str, ...]
    by_complexity: dict[Complexity, Literal["light", "standard", "strong"]]


class OutputTokens(Rules):
    """The most that one answer of a role may hold, in tokens; reserved before each request."""

    planner: Tokens = 6_000
    builder: Tokens = 8_000
    auditor: Tokens = 6_000


class Ruleset(Rules):
    """All rules together."""

    categories: dict[TaskCategory, CategoryRules]
    complexity_token_caps: dict[Complexity, Tokens]
    run: RunCaps
    tier: TierCaps
    ci: CiRules = CiRules()
    patch: PatchRules = PatchRules()
    profiles: dict[SafetyProfile, ProfileRules]
    models: ModelRules
    output_tokens: OutputTokens = OutputTokens()
    requests_per_attempt: int = Field(default=40, ge=1, le=500)
    provider_pauses_minutes: tuple[Minutes, ...] = (1, 5, 15, 30)
    """How long a run waits, time after time, while no model of its list can be reached; then it ends."""


class CommandRules(Rules):
    """Commands the Builder may run in the sandbox."""

    allowed: bool = True
    timeout_seconds: float = Field(default=120, gt=0, le=3600)


class RepositorySettings(Rules):
    """`.github/autopack.yml` as read from the base branch at a run's start. Absent keys keep the ruleset's figures."""

    tokens: Tokens | None = None
    phases: int | None = Field(default=None, ge=1, le=1000)
    minutes: Minutes | None = None
    model: str | None = None
    ci: CiRules | None = None
    patch: PatchRules | None = None
    commands: CommandRules = CommandRules()
    safety: SafetyProfile = SafetyProfile.NORMAL
    model_timeout_seconds: float = Field(default=180, gt=0, le=1800)
    """For one request to a model; then the next model of the list is tried."""
    provider_pauses_minutes: tuple[Minutes, ...] | None = None
