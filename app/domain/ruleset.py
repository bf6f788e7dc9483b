"""The ruleset: figures that govern a run, read from YAML and overridden by a repository's `.github/autopack.yml`."""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from app.domain.ci import CiPolicy
from app.domain.findings import Severity
from app.domain.frozen import Frozen
from app.domain.integrity import RULES as INTEGRITY_RULES
from app.domain.plan import AuditorProfile, Complexity, TaskCategory

Tokens = Annotated[int, Field(gt=0, le=1_000_000_000)]
Minutes = Annotated[float, Field(gt=0, le=7 * 24 * 60)]
Strength = Literal["light", "standard", "strong"]
Effort = Literal["default", "minimal", "low", "medium", "high", "xhigh", "max"]
K = TypeVar("K", bound=StrEnum)
V = TypeVar("V")


def _whole(names: type[K]) -> Callable[[dict[K, V]], dict[K, V]]:
    """A check that a table has a row for each of `names`."""

    def check(table: dict[K, V]) -> dict[K, V]:
        missing = [name.value for name in names if name not in table]
        if missing:
            raise ValueError(f"no entry for {', '.join(missing)}")
        return table

    return check


def _has_vendor(name: str) -> str:
    if not re.fullmatch(_MODEL, name):
        raise ValueError("a model is named `vendor:model`")
    return name


_MODEL = r"^[a-z]+:\S{1,200}$"
ModelName = Annotated[str, AfterValidator(_has_vendor), Field(json_schema_extra={"pattern": _MODEL})]


def _protects(glob: str) -> str:
    if glob.startswith("!"):
        raise ValueError("a path can only be protected here, not be taken out of protection")
    return glob


def _is_integrity_rule(name: str) -> str:
    if name not in INTEGRITY_RULES:
        raise ValueError(f"there is no rule of this name; there are {', '.join(INTEGRITY_RULES)}")
    return name


class SafetyProfile(StrEnum):
    NORMAL = "normal"
    SAFETY_CRITICAL = "safety_critical"


class RunScope(StrEnum):
    MULTI_TIER = "multi_tier"
    SINGLE_TIER = "single_tier"
    INCREMENTAL = "incremental"
    """Accepted as a synonym of multi_tier."""

    @property
    def one_tier_each(self) -> bool:
        """Whether every run does one tier only, and the plan's other tiers follow in runs of their own."""
        return self is RunScope.SINGLE_TIER


class CiProfile(StrEnum):
    NORMAL = "normal"
    STRICT = "strict"


class Rules(Frozen):
    """Base of every part of a ruleset: an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class CategoryRules(Rules):
    """What a task category is allowed and how its work is judged."""

    complexity: Complexity
    ci: CiProfile
    builder_tries: int = Field(ge=1, le=10)
    auditor_tries: int = Field(ge=1, le=10)
    """How often the Auditor may send the work back."""
    incident_token_cap: Tokens | None = None
    """None: by the phase's complexity."""
    auto_apply: bool
    """True: pushed first and audited while CI runs. False: audited before it is pushed."""
    auditor_profile: AuditorProfile | None = None
    default_severity: Severity
    """Of an issue that is reported without a severity."""
    model: ModelName | None = None
    """Overrides the model that complexity would choose."""
    high_risk: bool = False
    """The strongest models build and audit it, at every complexity."""


class RunCaps(Rules):
    tokens: Tokens
    phases: int = Field(ge=1, le=1000)
    minutes: Minutes
    """Active work; time spent waiting for CI or a person does not count."""
    minor_issues_per_phase: int = Field(ge=0, le=1000)
    """Times the run's phases: the most minor issues that it may leave open."""


class TierCaps(Rules):
    token_factor: float = Field(gt=0, le=1000)
    """A tier's token cap is this times the sum of its phases' caps."""
    ci_runs_per_phase: float = Field(gt=0, le=1000)
    major_issues: int = Field(ge=0)
    """Minor ones are capped by the safety profile."""


class IssueCaps(Rules):
    """What one issue on GitHub may cost over its whole life: all its runs and retries together."""

    tokens: Tokens


Usd = Annotated[float, Field(gt=0, le=1_000_000)]


class MoneyRules(Rules):
    """Caps in US dollars, in addition to those in tokens; none where a figure is absent, or a price is not known."""

    low: Usd | None = None
    """Of a phase of this complexity; so are the next two. A tier's is `tier.token_factor` times its phases'."""
    medium: Usd | None = None
    high: Usd | None = None
    run: Usd | None = None
    issue: Usd | None = None
    """Over the issue's whole life."""
    repository_day: Usd | None = None
    """All runs of the repository on one day, by UTC."""
    person_day: Usd | None = None
    """All runs that one person requested on one day, in all repositories. Only the service's own ruleset sets it."""
    service_day: Usd | None = None
    """All runs of the service on one day. Only the service's own ruleset sets it."""

    def of_complexity(self, complexity: Complexity) -> float | None:
        return {Complexity.LOW: self.low, Complexity.MEDIUM: self.medium, Complexity.HIGH: self.high}[complexity]


CheckNames = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=100)]


class CiRules(Rules):
    grace_seconds: float = Field(default=60, ge=0, le=3600)
    deadline_minutes: Minutes = 30
    reruns: int = Field(default=3, ge=0, le=10)
    """How often jobs that infrastructure failed are run again."""
    rerun_backoff_seconds: float = Field(default=5, ge=0, le=600)
    """Before the first time; twice as long before each further one."""
    when_absent: Literal["report", "allow", "fail"] = "report"
    """report: build on, promotion stays closed; allow: promotion may open; fail: the run ends."""
    required_only: bool = False
    """Only checks that branch protection or rulesets require count."""
    ignore: CheckNames = ()
    """Globs of checks that are not looked at, unless they are required."""
    advisory: CheckNames = ()
    """Globs of checks that are shown where they are red, and decide nothing, unless they are required."""
    flaky_reruns: int = Field(default=1, ge=0, le=3)
    """How often failed jobs are run again before the Builder is blamed."""
    person_minutes: Minutes = 1440
    """How long CI may wait for a person, such as a deployment's reviewer."""

    @property
    def policy(self) -> CiPolicy:
        return CiPolicy(required_only=self.required_only, ignore=self.ignore, advisory=self.advisory)


class PatchRules(Rules):
    max_files: int = Field(default=100, ge=1, le=300)
    max_lines: int = Field(default=5_000, ge=1)
    max_file_bytes: int = Field(default=1_000_000, ge=1)
    protected_paths: tuple[Annotated[str, AfterValidator(_protects)], ...] = ()
    """Globs, in addition to those that are always protected. A repository can add to them and remove none."""


class IntegrityRules(Rules):
    """For changes that may hide something or cheat their checks."""

    ignore: tuple[Annotated[str, AfterValidator(_is_integrity_rule)], ...] = ()
    """Names of rules that are left out."""


class ProfileRules(Rules):
    """What a safety profile changes."""

    strict_ci_everywhere: bool = False
    single_tier: bool = False
    """Every run has the scope `single_tier`, also when another one was requested."""
    tier_minor_issues_per_phase: float = Field(ge=0, le=1000)
    not_clean_fails_run: bool = False
    aging_runs: int = Field(ge=1, le=1000)
    """An issue that this many runs, or that many tiers, left open needs a clean-up."""
    aging_tiers: int = Field(ge=1, le=1000)


class Thresholds(Rules):
    """When something is said, or done differently."""

    warn_at: float = Field(gt=0, le=1)
    """Share of a cap from which the status comment warns."""
    repeats_before_escalation: int = Field(ge=2, le=10)
    """The same patch, or the same failure, this many times: the Auditor writes a minimal patch."""


class PromotionRules(Rules):
    """What keeps a run from promotion, apart from what always does: not DONE_SUCCESS, a tier that is not clean."""

    require_ci: bool
    """No CI judged the commits. Where `ci.when_absent` is `allow`, the strategy says False."""
    require_audit: bool
    """A phase was not audited."""
    require_other_vendor: bool
    """Builder and Auditor are of one vendor."""
    allow_skipped: bool
    """Whether phases that a person skipped are no obstacle."""


class ExternalRules(Rules):
    """For runs whose work is posted to the REST API."""

    deadline_minutes: Minutes
    """How long a run waits for a posted result."""


class ModelRules(Rules):
    """Models by strength, each a list: the first is used, the others are its fallbacks. Names are `vendor:model`."""

    light: tuple[ModelName, ...] = Field(min_length=1)
    standard: tuple[ModelName, ...] = Field(min_length=1)
    strong: tuple[ModelName, ...] = Field(min_length=1)
    by_complexity: Annotated[dict[Complexity, Strength], AfterValidator(_whole(Complexity))]

    def of(self, strength: Strength) -> tuple[str, ...]:
        return {"light": self.light, "standard": self.standard, "strong": self.strong}[strength]

    @property
    def vendors(self) -> frozenset[str]:
        """Every vendor that is named."""
        return frozenset(name.partition(":")[0] for name in (*self.light, *self.standard, *self.strong))


class OutputTokens(Rules):
    """The most that one reply of a role may hold, in tokens, thinking included; reserved before each request.

    After a reply that was cut, the next may be twice as long.
    """

    planner: Tokens = 16_000
    builder: Tokens = 16_000
    auditor: Tokens = 16_000


class EffortRules(Rules):
    """How much a model thinks, where its API has such a setting; `default` leaves it to the model."""

    planner: Effort = "medium"
    low: Effort = "low"
    """Of Builder and Auditor, in phases of this complexity; so are the next two."""
    medium: Effort = "medium"
    high: Effort = "high"

    def of_complexity(self, complexity: Complexity) -> Effort:
        efforts: dict[Complexity, Effort] = {
            Complexity.LOW: self.low,
            Complexity.MEDIUM: self.medium,
            Complexity.HIGH: self.high,
        }
        return efforts[complexity]


class Ruleset(Rules):
    """All rules together."""

    categories: Annotated[dict[TaskCategory, CategoryRules], AfterValidator(_whole(TaskCategory))]
    complexity_token_caps: Annotated[dict[Complexity, Tokens], AfterValidator(_whole(Complexity))]
    """A phase's cap where its category has none."""
    run: RunCaps
    tier: TierCaps
    issue: IssueCaps
    usd: MoneyRules = MoneyRules()
    scope: RunScope = RunScope.MULTI_TIER
    """Of runs that name no other."""
    profiles: Annotated[dict[SafetyProfile, ProfileRules], AfterValidator(_whole(SafetyProfile))]
    thresholds: Thresholds
    ci: CiRules = CiRules()
    patch: PatchRules = PatchRules()
    integrity: IntegrityRules = IntegrityRules()
    promotion: PromotionRules
    external: ExternalRules
    models: ModelRules
    output_tokens: OutputTokens = OutputTokens()
    effort: EffortRules = EffortRules()
    requests_per_attempt: int = Field(default=40, ge=1, le=500)
    provider_pauses_minutes: tuple[Minutes, ...] = (1, 5, 15, 30)
    """How long a run waits, time after time, while no model of its list can be reached; then it ends."""


class CommandRules(Rules):
    """Commands the Builder may run in the sandbox."""

    allowed: bool = True
    timeout_seconds: float = Field(default=120, gt=0, le=3600)
