"""Every figure of the ruleset and of `.github/autopack.yml` acts: changed, it changes what Autopack does.

A figure is shown to act where it is decided: in the caps that stop a run, the gate, the promotion, the patch policy,
the choice of models, prompts, the split of plans. What only a run's workflow reads is shown by a story on the hub.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic import ValidationError

from app.agents import prompts
from app.config.loader import FOLDER
from app.db import backlog
from app.db.budget_usage import caps_of, read_day_caps
from app.db.engine import Database
from app.db.tables import Phase, Run
from app.domain import gate, patch_policy, promotion
from app.domain.ci import CheckFact, CiFacts, CiWait, decide
from app.domain.findings import Recommendation
from app.domain.patch import ChangeKind, FileChange, Patch
from app.domain.plan import AuditorProfile, Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.plan_splitting import parts_of
from app.domain.posted_issue import PostedIssue
from app.domain.repetition import AttemptRecord, find_repetition
from app.domain.repository_rules import EffectiveRules, RepositorySettings, effective_rules
from app.domain.ruleset import CiProfile, Ruleset, SafetyProfile
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import PhaseView, TierView
from app.domain.strategy import RunOptions, Strategy, compile_strategy, planner_model
from app.queries.phase_status import gate_rules
from app.runs.pending_work import PendingPhases, post_deadline
from tests.agents.support import audit_task

DEFAULT: dict[str, Any] = yaml.safe_load((FOLDER / "default.yaml").read_text(encoding="utf-8"))
DEFAULT["models"] = yaml.safe_load((FOLDER / "models.yaml").read_text(encoding="utf-8"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VENDORS = frozenset({"anthropic", "openai"})


class World:
    """One set of rules, and a plan with a phase of every category and one of every complexity."""

    def __init__(self, rules: EffectiveRules, vendors: frozenset[str] = VENDORS) -> None:
        self.rules = rules
        categories = [(category, rules.complexities[category]) for category in TaskCategory]
        specs = categories + [(TaskCategory.DOCS, complexity) for complexity in Complexity]
        phases = tuple(
            PlannedPhase(
                phase_id=f"P{n}",
                phase_index=n,
                tier_id=f"T{n % 2}",
                name="x",
                task_category=kind,
                complexity=complexity,
            )
            for n, (kind, complexity) in enumerate(specs)
        )
        tiers = tuple(PlannedTier(tier_id=f"T{n}", tier_index=n, name="x") for n in (0, 1))
        self.plan = Plan(tiers=tiers, phases=phases)
        self.vendors = vendors

    def strategy(self) -> Strategy:
        options = RunOptions(phases=len(self.plan.phases))  # the cap on phases is shown by `parts`
        return compile_strategy(self.rules, self.plan, options, self.vendors)


def caps(world: World, db: Database) -> object:
    """The caps that stop a run, its issue, its tiers and its phases, and whether 70 % of each warn."""
    strategy = world.strategy()
    run = Run(run_id="r", repository="acme/widgets", issue_number=1, strategy=strategy, token_cap=strategy.token_cap)
    run.active_seconds, run.merge_ci_runs, run.requester, run.requester_id = 0, 0, "maintainer", 42
    phases = [Phase(run_id="r", phase_id=p.phase_id, tier_id=p.tier_id, ci_runs=0) for p in world.plan.phases]
    with db.reading() as session:
        found = (*caps_of(session, run, phases, {}), *read_day_caps(session, run, NOW))
    used = [cap.model_copy(update={"used": cap.limit * 0.7}) for cap in found]
    return [(cap.scope, cap.name, cap.kind, cap.limit, cap.warns) for cap in used]


def gates(world: World, _: Database) -> object:
    """For every phase how often it may be refused and sent back, and where a result leads."""
    outcomes: list[object] = []
    for rules in world.strategy().phases:
        governed = gate_rules(Run(repository=None), rules)
        refusals = [gate.after_refusal("x", violates_policy=False, attempts=n, rules=governed).move for n in range(12)]
        audits = [
            gate.after_audit(
                Recommendation.REVISE, number=1, review="", rejections=n, state=PhaseState.GATE, rules=governed
            ).move
            for n in range(12)
        ]
        result = gate.after_result(attempt=1, attempts=1, needs_review=False, rules=governed).move
        outcomes.append((refusals, audits, result))
    return outcomes


def promotions(world: World, _: Database) -> object:
    """What keeps runs with several shortcomings from being promoted."""
    world = World(world.rules, frozenset({"anthropic"}))
    strategy = world.strategy()
    states = {"P0": (PhaseState.SKIPPED, 1), "P1": (PhaseState.COMPLETE, 0)}
    phases = tuple(
        PhaseView(
            phase_id=phase_id,
            name="x",
            state=state,
            auditor_attempts=audits,
            task_category=TaskCategory.DOCS,
            complexity=Complexity.LOW,
        )
        for phase_id, (state, audits) in states.items()
    )
    tier = TierView(tier_id="T0", name="x", state=TierState.COMPLETE, phases=phases)
    minor, major = (strategy.of_tier("T0").max_minor_issues, strategy.of_tier("T0").max_major_issues)
    many = tier.model_copy(update={"minor_issues": 1_000, "major_issues": 1_000})
    blockers = promotion.blockers(RunState.DONE_SUCCESS, [many], strategy, ci_absent=True, minor_issues=10_000)
    outcomes = [
        promotion.tier_outcome([], major_issues=n, minor_issues=m, max_major=major, max_minor=minor)
        for n, m in ((0, 0), (0, 14), (1, 0))
    ]
    return blockers, outcomes


def patches(world: World, _: Database) -> object:
    """What the policy forbids of a patch of two files."""
    changes = tuple(
        FileChange(path=path, kind=ChangeKind.MODIFIED, content=b"x" * 90) for path in ("a.py", "keys/private")
    )
    patch = Patch(base_sha="0" * 40, diff="", changes=changes, lines_added=50, lines_removed=50)
    return patch_policy.check_patch(patch, world.plan.phases[0], world.rules.patch)


def models(world: World, _: Database) -> object:
    """Which models plan, build and audit."""
    chosen = [(phase.builder, phase.auditor) for phase in world.strategy().phases]
    return planner_model(world.rules, RunOptions(), VENDORS), chosen


def audits(world: World, _: Database) -> object:
    """What the Auditor is asked to look for."""
    names = (phase.auditor_profile for phase in world.strategy().phases)
    return [prompts.auditor_system(audit_task(diff="", profile=AuditorProfile(n or "general"))) for n in names]


def severities(world: World, _: Database) -> object:
    """How an issue that is reported without a severity counts."""
    issue = PostedIssue(issue_key="a__b__c", category="x")
    return [issue.as_finding("test", phase.default_severity).severity for phase in world.strategy().phases]


def complexities(world: World, _: Database) -> object:
    """The complexity of phases whose plan states none."""
    return [phase.complexity for phase in world.plan.phases]


def strictness(world: World, _: Database) -> object:
    """Which commits ask for the strict CI."""
    return [phase.ci_profile is CiProfile.STRICT for phase in world.strategy().phases]


def parts(world: World, _: Database) -> object:
    """The runs that the plan takes."""
    return [[phase.phase_id for phase in part.phases] for part in parts_of(world.plan, world.rules, RunOptions())]


def aging(world: World, _: Database) -> object:
    """From which age on an issue needs a clean-up."""
    return backlog.thresholds_of(Run(strategy=world.strategy()))


def escalation(world: World, _: Database) -> object:
    """After how many equal failures the Auditor proposes a minimal patch."""
    record = AttemptRecord(patch="p", failure="f")
    times = world.strategy().phases[0].escalate_after
    return [find_repetition([record] * n, times) is None for n in range(12)]


def ci_verdicts(world: World, _: Database) -> object:
    """What CI is judged to say half a minute after the push, where one status has passed."""
    facts = CiFacts(
        head_sha="0" * 40,
        checks=(CheckFact(id=1, name="cla", source="status", status="completed", conclusion="success"),),
    )
    grace = world.rules.ci.grace_seconds
    wait = CiWait(waited_seconds=30, grace_seconds=grace, deadline_seconds=900, workflows_present=True)
    return decide(facts, wait).state


def check_policy(world: World, _: Database) -> object:
    """How a red check and one that waits for a person are judged."""
    red = CheckFact(id=1, name="lint", source="check_run", status="completed", conclusion="failure", workflow_run_id=7)
    held = CheckFact(id=2, name="deploy", source="workflow_run", status="waiting", workflow_run_id=8)
    rules = world.rules.ci
    wait = CiWait(
        waited_seconds=86_401,
        grace_seconds=1,
        deadline_seconds=900,
        workflows_present=True,
        person_seconds=rules.person_minutes * 60,
    )
    return [decide(CiFacts(head_sha="0" * 40, checks=(one,)), wait, rules.policy).state for one in (red, held)]


def unclean_end(world: World, _: Database) -> object:
    """Whether a tier that is not clean ends the run."""
    return world.strategy().not_clean_fails_run


def external_deadline(world: World, _: Database) -> object:
    """Until when something has to be posted."""
    pending = PendingPhases.model_construct(last=datetime(2026, 1, 1, tzinfo=UTC))
    return post_deadline(pending, world.strategy().external_deadline_minutes)


Witness = Callable[[World, Database], object]
WITNESSES: Mapping[str, Witness | str] = {
    "categories.*.complexity": complexities,
    "categories.*.ci": strictness,
    "categories.*.builder_tries": gates,
    "categories.*.auditor_tries": gates,
    "categories.*.incident_token_cap": caps,
    "categories.*.auto_apply": gates,
    "categories.*.auditor_profile": audits,
    "categories.*.default_severity": severities,
    "categories.*.model": models,
    "categories.*.high_risk": models,
    "complexity_token_caps.*": caps,
    "run.tokens": caps,
    "run.phases": parts,
    "run.minutes": caps,
    "run.minor_issues_per_phase": promotions,
    "tier.token_factor": caps,
    "tier.ci_runs_per_phase": caps,
    "tier.major_issues": promotions,
    "issue.tokens": caps,
    "scope": parts,
    "profiles.*.strict_ci_everywhere": strictness,
    "profiles.*.single_tier": parts,
    "profiles.*.tier_minor_issues_per_phase": promotions,
    "profiles.*.not_clean_fails_run": unclean_end,
    "profiles.*.aging_runs": aging,
    "profiles.*.aging_tiers": aging,
    "thresholds.warn_at": caps,
    "thresholds.repeats_before_escalation": escalation,
    "ci.grace_seconds": ci_verdicts,
    "ci.deadline_minutes": "test_ci.py",
    "ci.reruns": "test_ci_again.py",
    "ci.rerun_backoff_seconds": "test_ci_again.py",
    "ci.when_absent": "test_ci.py",
    "ci.required_only": check_policy,
    "ci.ignore": check_policy,
    "ci.advisory": check_policy,
    "ci.flaky_reruns": "test_shapes.py",
    "ci.person_minutes": check_policy,
    "patch.max_files": patches,
    "patch.max_lines": patches,
    "patch.max_file_bytes": patches,
    "patch.protected_paths": patches,
    "promotion.require_ci": promotions,
    "promotion.require_audit": promotions,
    "promotion.require_other_vendor": promotions,
    "promotion.allow_skipped": promotions,
    "external.deadline_minutes": external_deadline,
    "models.light": models,
    "models.standard": models,
    "models.strong": models,
    "models.by_complexity.*": models,
    "output_tokens.*": "test_figures.py",
    "effort.*": "test_figures.py",
    "usd.*": caps,
    "usd.run": caps,
    "usd.issue": caps,
    "usd.repository_day": caps,
    "usd.person_day": caps,
    "usd.service_day": caps,
    "requests_per_attempt": "test_figures.py",
    "provider_pauses_minutes": "test_models.py",
    "tokens": caps,
    "phases": parts,
    "minutes": caps,
    "model": models,
    "safety": parts,
    "commands.allowed": "test_policy.py",
    "commands.timeout_seconds": "test_figures.py",
    "model_timeout_seconds": "test_models.py",
    "approval": "test_plans.py",
    "state_labels": "test_people.py",
    "integrity.ignore": "test_integrity.py",
    "issue_comments": "test_people.py",
}
"""What shows that a figure acts: a function of the rules, or the file of a story in `tests/story` that changes it."""


def leaves(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted names of a block's figures, and what they are."""
    for name, value in block.items():
        if isinstance(value, dict):
            yield from leaves(cast("dict[str, Any]", value), f"{prefix}{name}.")
        else:
            yield prefix + name, value


def pattern_of(leaf: str) -> str:
    """The leaf's row in `WITNESSES`: names of categories, profiles, roles and complexities are `*`."""
    names = {*TaskCategory, *SafetyProfile, *Complexity, "planner", "builder", "auditor"}
    return ".".join("*" if name in names else name for name in leaf.split("."))


def other_value(leaf: str, value: Any) -> Any:
    """Another value that the leaf may have."""
    name: str = leaf.rpartition(".")[2]
    special: dict[str, Any] = {
        "ci": "normal" if value == "strict" else "strict",
        "complexity": "low" if value != "low" else "high",
        "auditor_profile": "general" if value else "security_review",
        "default_severity": "minor" if value == "major" else "major",
        "scope": "single_tier",
        "safety": "safety_critical",
        "model": "openai:other",
        "max_files": 1,
        "max_lines": 1,
        "max_file_bytes": 1,
        "protected_paths": ["keys/**"],
        "grace_seconds": 1,
        "ignore": ["lint"],
        "advisory": ["lint"],
        "person_minutes": 1450,
        "phases": 2,
        "warn_at": 0.5,
        "incident_token_cap": 123_456,
    }
    if name in special:
        return special[name]
    if name in tuple(Complexity) and leaf.startswith("models."):
        return "strong" if value != "strong" else "light"
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return list(reversed(cast("list[Any]", value)))
    return cast("float", value) + 1


def base_ruleset() -> dict[str, Any]:
    """The default ruleset, written out: optional keys too, and one category of each complexity without a cap."""
    written = copy.deepcopy(DEFAULT)
    for category in written["categories"].values():
        category.setdefault("high_risk", False)
        category.setdefault("auditor_profile", None)
        category.setdefault("model", None)
    for name in ("docs", "feature_scaffolding"):
        written["categories"][name]["incident_token_cap"] = None
    written["models"]["by_complexity"]["high"] = "standard"  # else `high_risk` changes nothing for high complexity
    return written


def changed(written: dict[str, Any], leaf: str, value: Any) -> dict[str, Any]:
    """A copy in which one leaf has another value."""
    copied = copy.deepcopy(written)
    *path, name = leaf.split(".")
    block = copied
    for part in path:
        block = block.setdefault(part, {})
    block[name] = value
    return copied


SETTINGS_ONLY = {"tokens": 1, "phases": 1, "minutes": 1, "model": None, "safety": "normal"}
BASE = base_ruleset()
ACTIVE = [(leaf, value) for leaf, value in leaves(BASE) if callable(WITNESSES[pattern_of(leaf)])]


def settings_for(leaf: str) -> dict[str, Any]:
    """Settings under which the figure holds: those of a safety profile need the profile."""
    return {"safety": "safety_critical"} if ".safety_critical." in leaf else {}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('figures') / 'empty.db'}")
    database.migrate()
    yield database
    database.close()


def test_every_figure_has_a_witness() -> None:
    own = {pattern_of(leaf) for leaf, _ in leaves(RepositorySettings().model_dump(mode="json"))}
    own |= {"commands.allowed", "commands.timeout_seconds"}
    blocks = {pattern.partition(".")[0] for pattern in WITNESSES}
    assert {pattern_of(leaf) for leaf, _ in leaves(BASE)} <= set(WITNESSES)
    assert {pattern.partition(".")[0] for pattern in own} | set(RepositorySettings.model_fields) == blocks


@pytest.mark.parametrize(("leaf", "value"), ACTIVE, ids=[leaf for leaf, _ in ACTIVE])
def test_figure_of_the_ruleset_acts(leaf: str, value: Any, db: Database) -> None:
    witness = WITNESSES[pattern_of(leaf)]
    assert callable(witness)
    settings = settings_for(leaf)
    other = changed(BASE, leaf, other_value(leaf, value))
    assert witness(world_of(BASE, settings), db) != witness(world_of(other, settings), db)


THEIRS = [(leaf, value) for leaf, value in ACTIVE if leaf not in {"usd.service_day", "usd.person_day"}]
"""Figures that a repository sets; what all of them may cost on a day is the service's own."""


@pytest.mark.parametrize("name", ["service_day", "person_day"])
def test_repository_cannot_raise_the_services_day(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        RepositorySettings.model_validate({"usd": {name: 1}})


@pytest.mark.parametrize(("leaf", "value"), THEIRS, ids=[leaf for leaf, _ in THEIRS])
def test_figure_of_the_repository_acts(leaf: str, value: Any, db: Database) -> None:
    witness = WITNESSES[pattern_of(leaf)]
    assert callable(witness)
    settings = settings_for(leaf)
    other = changed({}, leaf, other_value(leaf, value)) | settings
    assert witness(world_of(BASE, settings), db) != witness(world_of(BASE, other), db)


@pytest.mark.parametrize("key", SETTINGS_ONLY)
def test_short_key_of_the_repository_acts(key: str, db: Database) -> None:
    witness = WITNESSES[key]
    assert callable(witness)
    other = {key: other_value(key, SETTINGS_ONLY[key])}
    assert witness(world_of(BASE, {}), db) != witness(world_of(BASE, other), db)


@pytest.mark.parametrize(("pattern", "file"), [(p, w) for p, w in WITNESSES.items() if isinstance(w, str)])
def test_figure_of_workflows_has_a_story(pattern: str, file: str) -> None:
    name = pattern.removesuffix(".*").rpartition(".")[2]
    assert f'"{name}"' in (Path(__file__).parent / "story" / file).read_text(encoding="utf-8")


def world_of(ruleset: dict[str, Any], settings: dict[str, Any]) -> World:
    """The world under a ruleset and settings."""
    read = Ruleset.model_validate(ruleset), RepositorySettings.model_validate(settings)
    return World(effective_rules(*read))
