"""The frozen strategy of a run in words: what it may spend, and how each phase is judged and by which models."""

from app.domain.numbers import tokens
from app.domain.strategy import PhaseStrategy, Strategy
from app.github.text.escape import code
from app.github.text.markdown import details, table


def strategy_section(strategy: Strategy | None) -> str:
    """The rules that govern the run, to be opened on a click; empty before there is a plan."""
    if strategy is None:
        return ""
    rows = [
        [
            code(rules.phase_id, 100),
            tokens(rules.token_cap),
            f"{rules.builder_tries} + {rules.auditor_tries}",
            judged(rules),
            models(rules),
        ]
        for rules in strategy.phases
    ]
    head = ["Phase", "Tokens", "Tries, Builder + Auditor", "Judged by", "Builder / Auditor"]
    return details("Strategy", f"{limits(strategy)}\n\n{table(head, rows, 9_000)}")


def limits(strategy: Strategy) -> str:
    """One sentence on what the whole run may spend and by which profile."""
    return (
        f"At most {tokens(strategy.token_cap)} tokens and {strategy.max_minutes:g} minutes of work; safety profile "
        f"{code(strategy.safety_profile.value)}, scope {code(strategy.run_scope.value)}."
    )


def judged(rules: PhaseStrategy) -> str:
    """By which CI, and whether the audit comes before the push or while CI runs."""
    return f"{rules.ci_profile.value} CI, " + ("audited while CI runs" if rules.auto_apply else "audited before")


def models(rules: PhaseStrategy) -> str:
    """The first choice of both roles."""
    return f"{code(rules.builder.first, 80)} / {code(rules.auditor.first, 80)}"
