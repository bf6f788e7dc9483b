"""The strategy: a run's plan made governed. Compiled once by a pure function, frozen and stored with the run."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from app.domain.findings import Severity
from app.domain.plan import Phase, Plan
from app.domain.ruleset import (
    CiProfile,
    CiRules,
    CommandRules,
    OutputTokens,
    PatchRules,
    RepositorySettings,
    Ruleset,
    RunScope,
    SafetyProfile,
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Engine(StrEnum):
    """Who builds a run's phases."""

    AUTOPACK = "autopack"
    """Autopack's own Builder and Auditor."""
    EXTERNAL = "external"
    """Any other agent: its results are posted to the REST API."""


class RunOptions(_Frozen):
    """What the person who asked for the run chose; None keeps the repository's and the ruleset's figures."""

    tokens: int | None = None
    phases: int | None = None
    minutes: float | None = None
    model: str | None = None
    safety: SafetyProfile | None = None
    scope: RunScope | None = None


class ModelChoice(_Frozen):
    """The model ids of a role, `vendor:model`: the first is used, the others are fallbacks in order."""

    ids: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.ids[0]

    @property
    def vendor(self) -> str:
        return self.first.partition(":")[0]


class PhaseStrategy(_Frozen):
    """What one phase may spend and how it is judged."""

    phase_id: str
    token_cap: int
    builder_tries: int
    auditor_tries: int
    ci_profile: CiProfile
    auto_apply: bool
    auditor_profile: str | None
    default_severity: Severity
    builder: ModelChoice
    auditor: ModelChoice


class TierStrategy(_Frozen):
    tier_id: str
    token_cap: int
    max_ci_runs: int
    max_minor_issues: int
    max_major_issues: int


class Strategy(_Frozen):
    """The frozen rules of one run. Tokens, minutes and counts."""

    safety_profile: SafetyProfile
    run_scope: RunScope
    token_cap: int
    max_phases: int
    max_minutes: float
    max_minor_issues: int
    phases: tuple[PhaseStrategy, ...]
    tiers: tuple[TierStrategy, ...]
    planner: ModelChoice
    ci: CiRules
    patch: PatchRules
    commands: CommandRules
    output_tokens: OutputTokens
    requests_per_attempt: int
    cross_vendor: bool
    """Whether every phase's Auditor is of another vendor than its Builder."""

    def of_phase(self, phase_id: str) -> PhaseStrategy:
        return next(phase for phase in self.phases if phase.phase_id == phase_id)

    def of_tier(self, tier_id: str) -> TierStrategy:
        return next(tier for tier in self.tiers if tier.tier_id == tier_id)


class NoModel(ValueError):
    """No model of the ruleset belongs to a vendor for which a key is configured."""


class TooManyPhases(ValueError):
    """The plan is larger than one run may be."""


def planner_model(
    ruleset: Ruleset, options: RunOptions, settings: RepositorySettings, vendors: frozenset[str]
) -> ModelChoice:
    """The Planner's model: the one asked for, else the ruleset's standard one."""
    return _choose(ruleset.models.standard, options.model or settings.model, vendors)


def compile_strategy(
    ruleset: Ruleset, plan: Plan, options: RunOptions, settings: RepositorySettings, vendors: frozenset[str]
) -> Strategy:
    """Turn a plan into a strategy. `vendors` are those for which a key is configured.

    Raises `NoModel` when none of the ruleset's models can be reached and `TooManyPhases` when the plan is over the cap.
    """
    safety = options.safety or settings.safety
    profile = ruleset.profiles[safety]
    max_phases = options.phases or settings.phases or ruleset.run.phases
    if len(plan.phases) > max_phases:
        raise TooManyPhases(f"the plan has {len(plan.phases)} phases, a run may have {max_phases}")
    wanted = options.model or settings.model
    phases = tuple(_phase_strategy(ruleset, phase, safety, wanted, vendors) for phase in plan.phases)
    by_id = {phase.phase_id: phase for phase in phases}
    tiers = tuple(
        TierStrategy(
            tier_id=tier.tier_id,
            token_cap=int(
                ruleset.tier.token_factor * sum(by_id[p.phase_id].token_cap for p in plan.phases_of(tier.tier_id))
            ),
            max_ci_runs=int(ruleset.tier.ci_runs_per_phase * len(plan.phases_of(tier.tier_id))),
            max_minor_issues=int(profile.tier_minor_issues_per_phase * len(plan.phases_of(tier.tier_id))),
            max_major_issues=ruleset.tier.major_issues,
        )
        for tier in plan.tiers
    )
    return Strategy(
        safety_profile=safety,
        run_scope=RunScope.SINGLE_TIER if profile.single_tier else (options.scope or RunScope.MULTI_TIER),
        token_cap=options.tokens or settings.tokens or ruleset.run.tokens,
        max_phases=max_phases,
        max_minutes=options.minutes or settings.minutes or ruleset.run.minutes,
        max_minor_issues=ruleset.run.minor_issues_per_phase * len(plan.phases),
        phases=phases,
        tiers=tiers,
        planner=planner_model(ruleset, options, settings, vendors),
        ci=settings.ci or ruleset.ci,
        patch=settings.patch or ruleset.patch,
        commands=settings.commands,
        output_tokens=ruleset.output_tokens,
        requests_per_attempt=ruleset.requests_per_attempt,
        cross_vendor=all(phase.builder.vendor != phase.auditor.vendor for phase in phases),
    )


def _phase_strategy(
    ruleset: Ruleset, phase: Phase, safety: SafetyProfile, wanted: str | None, vendors: frozenset[str]
) -> PhaseStrategy:
    rules = ruleset.categories[phase.task_category]
    strength = "strong" if rules.high_risk else ruleset.models.by_complexity[phase.complexity]
    candidates: tuple[str, ...] = getattr(ruleset.models, strength)
    builder = _choose(candidates, rules.model or wanted, vendors)
    others = frozenset(vendor for vendor in vendors if vendor != builder.vendor)
    reachable = [name for name in candidates if _vendor(name) in others]
    auditor = ModelChoice(ids=tuple(dict.fromkeys((*reachable, *builder.ids)))) if reachable else builder
    strict = ruleset.profiles[safety].strict_ci_everywhere
    return PhaseStrategy(
        phase_id=phase.phase_id,
        token_cap=rules.incident_token_cap,
        builder_tries=rules.builder_tries,
        auditor_tries=rules.auditor_tries,
        ci_profile=CiProfile.STRICT if strict else rules.ci,
        auto_apply=rules.auto_apply,
        auditor_profile=rules.auditor_profile,
        default_severity=rules.default_severity,
        builder=builder,
        auditor=auditor,
    )


def _choose(candidates: tuple[str, ...], wanted: str | None, vendors: frozenset[str]) -> ModelChoice:
    names = ((wanted,) if wanted else ()) + tuple(name for name in candidates if name != wanted)
    reachable = tuple(name for name in names if _vendor(name) in vendors)
    if wanted is not None and wanted not in reachable:
        raise NoModel(f"the model {wanted} was asked for, but no key for {_vendor(wanted)} is configured")
    if not reachable:
        raise NoModel("no model key is configured for " + ", ".join(sorted({_vendor(name) for name in candidates})))
    return ModelChoice(ids=reachable)


def _vendor(name: str) -> str:
    return name.partition(":")[0]
