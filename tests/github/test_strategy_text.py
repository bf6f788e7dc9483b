"""The strategy as the status comment shows it."""

from app.config.loader import default_ruleset
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import SafetyProfile
from app.domain.strategy import RunOptions, Strategy, compile_strategy
from app.github.text.strategy_text import strategy_section


def strategy_of(category: TaskCategory, safety: SafetyProfile = SafetyProfile.NORMAL) -> Strategy:
    phase = PlannedPhase(
        phase_id="P1", tier_id="T1", phase_index=0, name="One", task_category=category, complexity=Complexity.LOW
    )
    plan = Plan(tiers=(PlannedTier(tier_id="T1", tier_index=0, name="All"),), phases=(phase,))
    vendors = frozenset({"anthropic", "openai"})
    rules = effective_rules(default_ruleset(), RepositorySettings())
    return compile_strategy(rules, plan, RunOptions(safety=safety), vendors)


def test_before_there_is_a_plan_nothing_is_said() -> None:
    assert strategy_section(None) == ""


def test_high_risk_work_is_audited_first() -> None:
    shown = strategy_section(strategy_of(TaskCategory.SECURITY_AUTH_CHANGE))
    assert "| `P1` | 800k | 2 + 3 | strict CI, audited before | `anthropic:claude-opus" in shown


def test_safety_critical_runs_are_strict() -> None:
    shown = strategy_section(strategy_of(TaskCategory.DOCS, SafetyProfile.SAFETY_CRITICAL))
    assert "At most 5M tokens and 120 minutes of work; safety profile `safety_critical`" in shown
    assert "| `P1` | 200k | 2 + 1 | strict CI, audited while CI runs |" in shown
