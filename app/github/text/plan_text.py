"""The plan as a checklist that people edit on GitHub, and the reading of what they made of it."""

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from app.domain.numbers import tokens
from app.domain.phase_cost import PhaseCost
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.plan_edit import PlanUnreadable, joined
from app.domain.strategy import Strategy
from app.github.text.escape import BREAK, code, inline
from app.github.text.markdown import NAME_ROOM, counted, details, sections, table
from app.github.text.strategy_text import judged, limits, models

ROOM = 45_000
"""Characters of the checklist; what is not shown stays as it is."""
MOST_PHASES, MOST_CRITERIA = 300, 100
_TIER = re.compile(r"^\*\*(?:`([\w.-]{1,100})` +)?(.+?)\*\*\s*$")
_PHASE = re.compile(r"^[-*+] \[([ xX])\] +(?:`([\w.-]{1,100})`)?(.*)$")
_CRITERION = re.compile(r"^\s{1,8}[-*+] +(?:\[[ xX]\] +)?(.+)$")
_KEPT, _MORE = "<!-- criteria not shown -->", "<!-- more phases not shown -->"
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def plan_comment(
    plan: Plan,
    strategy: Strategy,
    rest: Sequence[Plan] = (),
    *,
    run_id: str,
    costs: Mapping[tuple[str, str], PhaseCost] | None = None,
) -> str:
    """The plan as a checklist, with what each phase may cost.

    `rest` are the parts that runs of their own would do after the first one's; `costs` are those of earlier phases, by
    category and complexity.
    """
    whole = joined((plan, *rest))
    heading = f"### 🗺️ Autopack's plan: {counted(len(whole.phases), 'phase')} in {counted(len(whole.tiers), 'tier')}"
    vendor = (
        "" if strategy.cross_vendor else "⚠️ Builder and Auditor are of the same vendor: only one key is configured."
    )
    return sections(
        heading,
        limits(strategy),
        vendor,
        "Edit this comment to change it: names, order, criteria (indented), new phases (`- [x] name`); a box without "
        "a tick leaves its phase out. `/autopack run` builds the plan as it is here. Nothing starts by itself: without "
        "that command it stays a plan.",
        _checklist(whole, strategy, costs or {}),
        f"It takes {len(rest) + 1} runs, one after the other." if rest else "",
        details("How each phase is judged, and by which models", _rules(plan, strategy)),
        f"<sub>Run {code(run_id)}.</sub>",
    )


def _rules(plan: Plan, strategy: Strategy) -> str:
    rows = [
        [code(phase.phase_id, 100), tokens(rules.token_cap), judged(rules), models(rules)]
        for phase in plan.phases
        for rules in [strategy.of_phase(phase.phase_id)]
    ]
    return table(["Phase", "Tokens", "Judged by", "Builder / Auditor"], rows, 12_000)


def _checklist(plan: Plan, strategy: Strategy, costs: Mapping[tuple[str, str], PhaseCost]) -> str:
    lines: list[str] = []
    left = ROOM
    for tier in sorted(plan.tiers, key=lambda one: one.tier_index):
        tier_line = f"\n**{code(tier.tier_id, 100)} {_shown(tier.name, NAME_ROOM)}**\n"
        for phase in plan.phases_of(tier.tier_id):
            name = _shown(phase.name, NAME_ROOM)
            first = f"- [x] {code(phase.phase_id, 100)} {name} <sub>{_cost(phase, strategy, costs)}</sub>"
            criteria = [f"  - {_shown(one, 1_000)}" for one in phase.acceptance_criteria]
            if sum(map(len, criteria)) > left // 4:
                first, criteria = f"{first} {_KEPT}", []
            needed = len(first) + sum(map(len, criteria)) + len(tier_line)
            if needed > left:
                return "\n".join([*lines, f"\nMore phases are not shown here, and stay. {_MORE}"]).strip("\n")
            lines += [tier_line, first, *criteria] if tier_line else [first, *criteria]
            left, tier_line = left - needed, ""
    return "\n".join(lines).strip("\n")


def _shown(text: str, limit: int) -> str:
    """The text as the comment shows it: never empty, so that it is found again."""
    return inline(text, limit) or "…"


def _cost(phase: PlannedPhase, strategy: Strategy, costs: Mapping[tuple[str, str], PhaseCost]) -> str:
    """What the phase costs: as phases like it did, else its cap, and which of the two it is."""
    kind = f"{phase.task_category.value.replace('_', ' ')}, {phase.complexity.value}"
    like = costs.get((phase.task_category, phase.complexity))
    if like is not None:
        money = f", ${like.usd:.2f}" if like.usd is not None else ""
        return f"{kind} · about {tokens(like.tokens)} tokens{money}, as {counted(like.phases, 'phase')} like it"
    cap = next((one.token_cap for one in strategy.phases if one.phase_id == phase.phase_id), None)
    return f"{kind} · at most {tokens(cap)} tokens, its cap" if cap is not None else kind


@dataclass
class _PhaseEntry:
    line: int
    ticked: bool
    phase_id: str
    name: str
    kept: bool
    """Whether its criteria are not shown, and stay."""
    criteria: list[str] = field(default_factory=list[str])


@dataclass
class _TierEntry:
    tier_id: str
    name: str
    phases: list[_PhaseEntry] = field(default_factory=list[_PhaseEntry])


def read_plan(body: str, posted: Plan) -> Plan:
    """The plan as people left it in its comment; what they did not touch is as in `posted`. Raises `PlanUnreadable`."""
    entries = _entries(body)
    listed = [phase for tier in entries for phase in tier.phases]
    times = Counter(one.phase_id for one in listed if one.phase_id)
    repeated = [phase_id for phase_id, count in times.items() if count > 1]
    if repeated:
        raise PlanUnreadable(f"{repeated[0]} is there twice: each phase has one line")
    known = {phase.phase_id: phase for phase in posted.phases}
    ids = (f"P{number}" for number in count(1))
    free = (one for one in ids if one not in known)
    tiers: list[PlannedTier] = []
    phases: list[PlannedPhase] = []
    for entry in entries:
        tier = _tier(entry, posted, [one.tier_id for one in tiers])
        ticked = [_phase(one, known, tier.tier_id, free) for one in entry.phases if one.ticked]
        tiers += [tier] if ticked else []
        phases += ticked
    if _MORE in body:
        hidden = [phase for phase in posted.phases if phase.phase_id not in {one.phase_id for one in listed}]
        tiers += [
            one for one in posted.tiers if one.tier_id in {phase.tier_id for phase in hidden} and one not in tiers
        ]
        phases += hidden
    if not phases:
        raise PlanUnreadable("no phase has a tick: `- [x] name` is one that is built")
    if len(phases) > MOST_PHASES:
        raise PlanUnreadable(f"{len(phases)} phases, {MOST_PHASES} are the most")
    return joined((Plan(tiers=tuple(tiers), phases=tuple(phases)),))


def _entries(body: str) -> list[_TierEntry]:
    """What the checklist holds, in order; all other lines are not looked at."""
    tiers = [_TierEntry("", "")]
    for number, line in enumerate(body.replace("\r\n", "\n").split("\n"), start=1):
        if line.startswith("<details"):
            break
        if found := _PHASE.match(line):
            name = re.sub(r"<sub>.*?(</sub>|$)", "", found[3]).replace(_KEPT, "").strip()
            tiers[-1].phases.append(_PhaseEntry(number, found[1] != " ", found[2] or "", name, _KEPT in found[3]))
        elif found := _TIER.match(line):
            tiers.append(_TierEntry(found[1] or "", found[2].strip()))
        elif (found := _CRITERION.match(line)) and tiers[-1].phases:
            tiers[-1].phases[-1].criteria.append(found[1].strip())
    return [tier for tier in tiers if tier.phases]


def _tier(entry: _TierEntry, posted: Plan, taken: Sequence[str]) -> PlannedTier:
    before = next((one for one in posted.tiers if one.tier_id == entry.tier_id), None)
    if not entry.tier_id and not entry.name:
        before = posted.tiers[0]  # above the first heading
    if before is not None and before.tier_id not in taken:
        name = _kept_or_read(entry.name, [before.name], NAME_ROOM, 200) if entry.name else before.name
        return before.model_copy(update={"name": name})
    known = {one.tier_id for one in posted.tiers} | set(taken)
    new = next(one for number in count(1) if (one := f"T{number}") not in known)
    return PlannedTier(tier_id=new, tier_index=0, name=_kept_or_read(entry.name, [], NAME_ROOM, 200) or new)


def _phase(entry: _PhaseEntry, known: Mapping[str, PlannedPhase], tier_id: str, free: Iterator[str]) -> PlannedPhase:
    before = known.get(entry.phase_id)
    if before is None and entry.phase_id:
        raise PlanUnreadable(
            f"line {entry.line}: the plan has no phase {entry.phase_id}; a new one has a name alone: `- [x] name`"
        )
    name = _kept_or_read(entry.name, [before.name] if before else [], NAME_ROOM, 200)
    if not name:
        raise PlanUnreadable(f"line {entry.line}: a phase needs a name")
    if len(entry.criteria) > MOST_CRITERIA:
        raise PlanUnreadable(f"line {entry.line}: {len(entry.criteria)} criteria, {MOST_CRITERIA} are the most")
    earlier = before.acceptance_criteria if before else ()
    criteria = earlier if entry.kept else _criteria(entry.criteria, earlier)
    if before is not None:
        return before.model_copy(update={"name": name, "acceptance_criteria": criteria, "tier_id": tier_id})
    return PlannedPhase(
        phase_id=next(free),
        tier_id=tier_id,
        phase_index=0,
        name=name,
        acceptance_criteria=criteria,
        task_category=TaskCategory.FEATURE_SCAFFOLDING,
        complexity=Complexity.MEDIUM,
    )


def _criteria(shown: Sequence[str], originals: Sequence[str]) -> tuple[str, ...]:
    """Each original once, in its place: two of them may look the same."""
    left, read = list(originals), list[str]()
    for one in shown:
        read.append(_kept_or_read(one, left, 1_000, 1_000))
        if read[-1] in left:
            left.remove(read[-1])
    return tuple(read)


def _kept_or_read(shown: str, originals: Sequence[str], shown_limit: int, limit: int) -> str:
    """The original of which this is shown, else the text that a person typed."""
    same = next((one for one in originals if _shown(one, shown_limit) == shown), None)
    typed = html.unescape(_ESCAPE.sub(r"\1", shown)).replace(BREAK, "")
    return same if same is not None else " ".join(typed.split())[:limit]
