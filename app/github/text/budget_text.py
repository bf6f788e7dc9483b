"""What a run may spend and has spent, which caps are near, and how the one that ended it is raised."""

import math

from app.domain.budget import Cap, Exhausted, Kind, Role, Scope, Usage
from app.domain.numbers import money, share, short_exact, tokens
from app.domain.plan import Complexity, TaskCategory
from app.domain.status_view import PhaseView, RunView, TierView
from app.github.text.escape import code
from app.github.text.markdown import budget, sections

SETTINGS = ".github/autopack.yml"


def budget_section(view: RunView) -> str:
    """The run's budget with its money, who spent how much, and every cap from which it is not far any more."""
    spent = sum(view.usage.values(), Usage())
    return sections(
        f"**Budget** {budget(view.run_cap)} · {cost(spent)}{_split(view)}",
        _warnings(view),
    )


def cost(used: Usage, unused: str = "$0") -> str:
    """What it cost: at least, where a part has no known price; about, where a server did not report its usage."""
    if not used.total:
        return unused
    about = "≥ " if used.cost_partial else "≈ " if used.estimated and used.cost_usd is not None else ""
    return about + money(used.cost_usd)


def how_to_raise(view: RunView, spent: Exhausted) -> str:
    """What a person does so that the cap is higher next time: the command, or the key of the settings file."""
    if spent.scope is Scope.RUN and spent.kind is Kind.TOKENS:
        higher = _double(spent)
        first = f"comment `/autopack run --tokens {short_exact(higher)}`, or set `tokens: {higher}` in {SETTINGS}"
        return f"Raise the cap: {first}; or narrow the issue, then comment `/autopack run`."
    return (
        f"Raise the cap: set `{_setting(view, spent)}` in {SETTINGS} on the default branch, or narrow the issue; "
        "then comment `/autopack run`."
    )


def _setting(view: RunView, spent: Exhausted) -> str:
    """The key that holds the cap, and a higher figure, as `key: figure`."""
    tier = next((one for one in view.tiers if one.tier_id == spent.name), None)
    if spent.kind is Kind.USD:
        return _money_setting(view, tier, spent)
    phase = _phase(view, spent.name)
    category = phase.task_category if phase else TaskCategory.DEBT_CLEANUP
    match spent.kind, spent.scope:
        case Kind.TOKENS, Scope.ISSUE:
            return f"issue.tokens: {_double(spent)}"
        case Kind.TOKENS, Scope.TIER:
            return f"tier.token_factor: {_factor(spent, _phase_caps(tier))}"
        case Kind.TOKENS, Scope.PHASE:
            return f"categories.{category}.incident_token_cap: {_double(spent)}"
        case Kind.CI_RUNS, Scope.PHASE:
            return f"categories.{category}.builder_tries: {spent.limit + 1}"
        case Kind.CI_RUNS, _:
            tiers = view.tiers if tier is None else (tier,)
            return f"tier.ci_runs_per_phase: {_factor(spent, sum(len(one.phases) for one in tiers))}"
        case _:
            return f"minutes: {_double(spent)}"


def _money_setting(view: RunView, tier: TierView | None, spent: Exhausted) -> str:
    match spent.scope:
        case Scope.PHASE:
            phase = _phase(view, spent.name)
            return f"usd.{phase.complexity if phase else Complexity.LOW}: {_double(spent)}"
        case Scope.TIER:
            return f"tier.token_factor: {_factor(spent, _phase_money(view, tier))}"
        case Scope.REPOSITORY | Scope.PERSON | Scope.SERVICE:
            return f"usd.{spent.scope}_day: {_double(spent)}"
        case _:
            return f"usd.{spent.scope}: {_double(spent)}"


def _double(spent: Exhausted) -> int:
    return math.ceil(max(2 * spent.limit, spent.used + spent.reserved + spent.needs))


def _factor(spent: Exhausted, share: float) -> int:
    """A cap that is a multiple of its phases': twice the multiple that it was, rounded up."""
    return math.ceil(_double(spent) / max(1, share))


def _phase_caps(tier: TierView | None) -> int:
    return sum(phase.token_cap for phase in tier.phases) if tier else 0


def _phase_money(view: RunView, tier: TierView | None) -> float:
    if tier is None or view.strategy is None:
        return 0
    return sum(view.strategy.of_phase(phase.phase_id).usd_cap or 0 for phase in tier.phases)


def _phase(view: RunView, phase_id: str) -> PhaseView | None:
    return next((phase for tier in view.tiers for phase in tier.phases if phase.phase_id == phase_id), None)


def _plain(kind: Kind, amount: float) -> str:
    return kind.amount(amount) if kind is Kind.USD else f"{amount:.4g}"


def _split(view: RunView) -> str:
    """Tokens and money of each role that has spent any."""
    parts = [
        f"{role.value} {tokens(used.total)} ({cost(used)})"
        for role in Role
        if (used := view.usage.get(role, Usage())).total
    ]
    return f" = {', '.join(parts)}" if len(parts) > 1 else ""


def _warnings(view: RunView) -> str:
    near = [_is_near(cap) for cap in (view.caps or (view.run_cap,)) if cap.warns and cap.limit]
    if not near:
        return ""
    rest = f"; and {len(near) - 10} more" if len(near) > 10 else ""
    return f"⚠️ **Near a cap:** {'; '.join(near[:10])}{rest}"


def _is_near(cap: Cap) -> str:
    used, limit = (
        tokens(int(one)) if cap.kind is Kind.TOKENS else _plain(cap.kind, one) for one in (cap.used, cap.limit)
    )
    return f"{cap.scope} {code(cap.name, 100)} {used} of {limit} {cap.kind.unit} ({share(cap.used, cap.limit)})"
