"""The strategy: a run's plan made governed. Compiled once by a pure function, frozen and stored with the run."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property

from app.domain.findings import Severity
from app.domain.frozen import Frozen
from app.domain.plan import Complexity, Plan, PlannedPhase, TaskCategory
from app.domain.repository_rules import EffectiveRules
from app.domain.ruleset import (
    CiProfile,
    CiRules,
    CommandRules,
    Effort,
    IntegrityRules,
    MoneyRules,
    OutputTokens,
    PatchRules,
    ProfileRules,
    PromotionRules,
    RunScope,
    SafetyProfile,
    Strength,
)


class Engine(StrEnum):
    """Who builds a run's phases."""

    AUTOPACK = "autopack"
    """Autopack's own Builder and Auditor."""
    EXTERNAL = "external"
    """Any other agent: its results are posted to the REST API."""


class RunOptions(Frozen):
    """What the person who requested the run chose; None keeps the repository's and the ruleset's figures."""

    tokens: int | None = None
    phases: int | None = None
    minutes: float | None = None
    model: str | None = None
    safety: SafetyProfile | None = None
    scope: RunScope | None = None


class ModelChoice(Frozen):
    """The model ids of a role, `vendor:model`: the first is used, the others are fallbacks in order."""

    ids: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.ids[0]

    @property
    def vendor(self) -> str:
        return self.first.partition(":")[0]


class PhaseStrategy(Frozen):
    """What one phase may spend and how it is judged."""

    phase_id: str
    task_category: TaskCategory
    complexity: Complexity
    high_risk: bool
    token_cap: int
    builder_tries: int
    auditor_tries: int
    """How often the Auditor may send the work back."""
    max_ci_runs: int
    """One for each of the Builder's tries; re-runs of jobs that infrastructure failed are not counted."""
    escalate_after: int
    """The same patch or the same failure this often: the Auditor writes a minimal patch."""
    ci_profile: CiProfile
    auto_apply: bool
    auditor_profile: str | None
    """A string: a stored strategy may name a profile of another release."""
    default_severity: Severity
    builder: ModelChoice
    auditor: ModelChoice
    effort: Effort = "default"
    """Of Builder and Auditor."""
    usd_cap: float | None = None


class TierStrategy(Frozen):
    tier_id: str
    token_cap: int
    max_ci_runs: int
    max_minor_issues: int
    max_major_issues: int
    usd_cap: float | None = None


class Strategy(Frozen):
    """The frozen rules of one run. Tokens, minutes and counts."""

    engine: Engine
    safety_profile: SafetyProfile
    run_scope: RunScope
    token_cap: int
    issue_token_cap: int
    """Over the whole life of the issue on GitHub: all its runs and retries together."""
    warn_at: float
    """Share of a cap from which the status comment warns."""
    max_phases: int
    max_minutes: float
    max_ci_runs: int
    """The sum of the tiers'."""
    max_minor_issues: int
    aging_runs: int
    """An issue that this many runs, or `aging_tiers` tiers, left open needs a clean-up."""
    aging_tiers: int
    not_clean_fails_run: bool
    """Whether a tier that is NOT_CLEAN ends the run."""
    external_deadline_minutes: float
    """How long a run of the external engine waits for a posted result."""
    phases: tuple[PhaseStrategy, ...]
    tiers: tuple[TierStrategy, ...]
    planner: ModelChoice
    ci: CiRules
    patch: PatchRules
    integrity: IntegrityRules = IntegrityRules()
    promotion: PromotionRules
    commands: CommandRules
    output_tokens: OutputTokens
    requests_per_attempt: int
    usd: MoneyRules = MoneyRules()
    state_labels: bool = False
    """Whether labels of the issue say the run's state."""
    cross_vendor: bool
    """Whether every phase's Auditor is of another vendor than its Builder."""

    def of_phase(self, phase_id: str) -> PhaseStrategy:
        return self._by_phase[phase_id]

    def of_tier(self, tier_id: str) -> TierStrategy:
        return self._by_tier[tier_id]

    @cached_property
    def _by_phase(self) -> dict[str, PhaseStrategy]:
        return {phase.phase_id: phase for phase in self.phases}

    @cached_property
    def _by_tier(self) -> dict[str, TierStrategy]:
        return {tier.tier_id: tier for tier in self.tiers}


class NoModel(ValueError):
    """No model of the ruleset belongs to a vendor for which a key is configured."""


class TooManyPhases(ValueError):
    """The plan is larger than one run may be."""


def scope_of(rules: EffectiveRules, options: RunOptions) -> RunScope:
    """The scope of a run: what the safety profile demands, else the one of the options."""
    if rules.profiles[options.safety or rules.safety].single_tier:
        return RunScope.SINGLE_TIER
    return options.scope or rules.scope


def max_phases_of(rules: EffectiveRules, options: RunOptions) -> int:
    """The most phases that one run may have."""
    return options.phases or rules.run.phases


def planner_model(rules: EffectiveRules, options: RunOptions, vendors: frozenset[str]) -> ModelChoice:
    """The Planner's model: the one of the options or settings, else the standard one. Raises `NoModel`."""
    return _choose(rules.models.standard, options.model or rules.model, vendors)


def compile_strategy(
    rules: EffectiveRules,
    plan: Plan,
    options: RunOptions,
    vendors: frozenset[str],
    *,
    engine: Engine = Engine.AUTOPACK,
) -> Strategy:
    """Turn a plan into a strategy. `vendors` are those for which a key is configured.

    Raises `NoModel` when none of the ruleset's models can be reached (never for the external engine) and
    `TooManyPhases` when the plan is over the cap: `app.domain.plan_splitting` splits it before.
    """
    max_phases = max_phases_of(rules, options)
    if len(plan.phases) > max_phases:
        raise TooManyPhases(f"the plan has {len(plan.phases)} phases, a run may have {max_phases}")
    safety = options.safety or rules.safety
    profile, external = rules.profiles[safety], engine is Engine.EXTERNAL
    phases = _phase_strategies(rules, plan, options, profile, vendors, engine)
    tiers = _tier_strategies(rules, plan, profile, phases)
    return Strategy(
        engine=engine,
        safety_profile=safety,
        run_scope=scope_of(rules, options),
        token_cap=options.tokens or rules.run.tokens,
        issue_token_cap=rules.issue.tokens,
        warn_at=rules.thresholds.warn_at,
        max_phases=max_phases,
        max_minutes=options.minutes or rules.run.minutes,
        max_ci_runs=sum(tier.max_ci_runs for tier in tiers),
        max_minor_issues=rules.run.minor_issues_per_phase * len(plan.phases),
        aging_runs=profile.aging_runs,
        aging_tiers=profile.aging_tiers,
        not_clean_fails_run=profile.not_clean_fails_run,
        external_deadline_minutes=rules.external.deadline_minutes,
        phases=phases,
        tiers=tiers,
        planner=_OTHER_VENDOR_HINT if external else planner_model(rules, options, vendors),
        ci=rules.ci,
        patch=rules.patch,
        integrity=rules.integrity,
        promotion=_promotion(rules),
        commands=rules.commands,
        output_tokens=rules.output_tokens,
        requests_per_attempt=rules.requests_per_attempt,
        usd=rules.usd,
        state_labels=rules.state_labels,
        cross_vendor=all(phase.builder.vendor != phase.auditor.vendor for phase in phases),
    )


def _promotion(rules: EffectiveRules) -> PromotionRules:
    """`ci.when_absent: allow` says that commits which no CI judged may be promoted."""
    judged = rules.promotion.require_ci and rules.ci.when_absent != "allow"
    return rules.promotion.model_copy(update={"require_ci": judged})


def _tier_strategies(
    rules: EffectiveRules, plan: Plan, profile: ProfileRules, phases: tuple[PhaseStrategy, ...]
) -> tuple[TierStrategy, ...]:
    caps = {phase.phase_id: phase.token_cap for phase in phases}
    return tuple(
        TierStrategy(
            tier_id=tier.tier_id,
            token_cap=int(rules.tier.token_factor * sum(caps[one.phase_id] for one in held)),
            max_ci_runs=int(rules.tier.ci_runs_per_phase * len(held)),
            max_minor_issues=int(profile.tier_minor_issues_per_phase * len(held)),
            max_major_issues=rules.tier.major_issues,
            usd_cap=_tier_usd(rules, held),
        )
        for tier, held in ((tier, plan.phases_of(tier.tier_id)) for tier in plan.tiers)
    )


def _tier_usd(rules: EffectiveRules, phases: Sequence[PlannedPhase]) -> float | None:
    """The tier's cap in money; none where a phase of it has none."""
    caps = [rules.usd.of_complexity(phase.complexity) for phase in phases]
    return None if None in caps else rules.tier.token_factor * sum(cap or 0.0 for cap in caps)


def _phase_strategies(
    rules: EffectiveRules,
    plan: Plan,
    options: RunOptions,
    profile: ProfileRules,
    vendors: frozenset[str],
    engine: Engine,
) -> tuple[PhaseStrategy, ...]:
    model = options.model or rules.model
    return tuple(_phase_strategy(rules, phase, profile, model, vendors, engine) for phase in plan.phases)


def _phase_strategy(
    rules: EffectiveRules,
    phase: PlannedPhase,
    profile: ProfileRules,
    model: str | None,
    vendors: frozenset[str],
    engine: Engine,
) -> PhaseStrategy:
    category = rules.categories[phase.task_category]
    strength: Strength = "strong" if category.high_risk else rules.models.by_complexity[phase.complexity]
    candidates = rules.models.of(strength)
    if engine is Engine.EXTERNAL:
        reachable = tuple(name for name in candidates if _vendor(name) in vendors)
        builder, auditor = _OTHER_VENDOR_HINT, ModelChoice(ids=reachable) if reachable else _OTHER_VENDOR_HINT
    else:
        builder = _choose(candidates, category.model or model, vendors)
        auditor = _auditor(candidates, builder, vendors)
    return PhaseStrategy(
        phase_id=phase.phase_id,
        task_category=phase.task_category,
        complexity=phase.complexity,
        high_risk=category.high_risk,
        token_cap=category.incident_token_cap or rules.complexity_token_caps[phase.complexity],
        builder_tries=category.builder_tries,
        auditor_tries=category.auditor_tries,
        max_ci_runs=category.builder_tries,
        escalate_after=rules.thresholds.repeats_before_escalation,
        ci_profile=CiProfile.STRICT if profile.strict_ci_everywhere else category.ci,
        auto_apply=category.auto_apply,
        auditor_profile=category.auditor_profile,
        default_severity=category.default_severity,
        builder=builder,
        auditor=auditor,
        effort=rules.effort.of_complexity(phase.complexity),
        usd_cap=rules.usd.of_complexity(phase.complexity),
    )


def _auditor(candidates: tuple[str, ...], builder: ModelChoice, vendors: frozenset[str]) -> ModelChoice:
    """Models of other vendors than the Builder's first, then the Builder's."""
    others = [name for name in candidates if _vendor(name) in vendors and _vendor(name) != builder.vendor]
    return ModelChoice(ids=tuple(dict.fromkeys((*others, *builder.ids)))) if others else builder


_OTHER_VENDOR_HINT = ModelChoice(ids=("external",))
"""A client that posts results to the REST API uses a model that Autopack does not know."""


def _choose(candidates: tuple[str, ...], wanted: str | None, vendors: frozenset[str]) -> ModelChoice:
    names = ((wanted,) if wanted else ()) + tuple(name for name in candidates if name != wanted)
    reachable = tuple(name for name in names if _vendor(name) in vendors)
    if wanted is not None and wanted not in reachable:
        raise NoModel(f"the model {wanted} was requested, but no key for {_vendor(wanted)} is configured")
    if not reachable:
        raise NoModel("no model key is configured for " + ", ".join(sorted({_vendor(name) for name in candidates})))
    return ModelChoice(ids=reachable)


def _vendor(name: str) -> str:
    return name.partition(":")[0]
