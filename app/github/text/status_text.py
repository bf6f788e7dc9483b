"""The status comment, the pull request's title and body, and the summary at the end: what a run shows of itself."""

import re

from app.domain.budget import Usage
from app.domain.commands import CommandName, box
from app.domain.findings import Severity
from app.domain.numbers import tokens
from app.domain.outcome import how_it_was_made, outcome_of, why_success
from app.domain.states import RunState
from app.domain.status_view import FindingView, Headline, LinkedRun, PhaseView, RunView
from app.github.text.budget_text import budget_section, cost
from app.github.text.changes_text import changes_section
from app.github.text.escape import advice, code, inline, marker, plain, shorten
from app.github.text.markdown import (
    PHASE_MARKS,
    TIER_MARKS,
    bar,
    bullets,
    commit,
    counted,
    details,
    links,
    moment,
    named,
    sections,
    table,
)
from app.github.text.strategy_text import strategy_section

HEADLINES = {
    Headline.PLANNING: ("🗺️", "Planning"),
    Headline.BUILDING: ("🛠️", "Building"),
    Headline.AUDITING: ("🔍", "Auditing"),
    Headline.WAITING_FOR_CI: ("⏳", "Waiting for CI"),
    Headline.WAITING_FOR_YOU: ("🙋", "Waiting for you"),
    Headline.PAUSED: ("⏸️", "Paused"),
    Headline.BUDGET: ("💸", "Budget"),
    Headline.PROVIDER_DOWN: ("🔌", "Provider down"),
    Headline.DONE: ("✅", "Done"),
    Headline.FAILED: ("❌", "Failed"),
    Headline.CANCELLED: ("🚫", "Cancelled"),
    Headline.PLANNED: ("🗺️", "Planned"),
}
COMMANDS = "`/autopack " + "` · `".join(CommandName) + "`"
TITLE_LIMIT = 200
_UNSAFE = re.compile(r"[^\w:/.?=&%#-]")


def status_comment(view: RunView) -> str:
    """The comment that is edited in place for as long as the run lives: state and next action first."""
    return sections(
        headline(view),
        links(view),
        parts_line(view),
        notices(view),
        phase_table(view, 26_000) if not is_planned(view) else "",
        budget_section(view),
        promotion_line(view),
        models_and_tokens(view),
        strategy_section(view.strategy),
        ledger(view, 20_000),
        boxes(view),
        f"<sub>Commands: {COMMANDS}</sub>",
    )


def boxes(view: RunView) -> str:
    """What can be done with a tick, as task-list boxes."""
    if view.continued_by is not None:
        return ""
    if not view.state.terminal:
        first = CommandName.RESUME if view.headline is Headline.PAUSED else CommandName.PAUSE
        return "\n".join(map(box, (first, CommandName.CANCEL)))
    return "" if view.state is RunState.DONE_SUCCESS else box(CommandName.RETRY)


def headline(view: RunView) -> str:
    """Mark, state and progress; why; what happens next and until when."""
    outcome = outcome_of(view)
    mark, words = HEADLINES[outcome.headline]
    progress = f" · {outcome.progress}" if outcome.progress and not is_planned(view) else ""
    times = f"Since {moment(outcome.since)}"
    if outcome.deadline is not None:
        times += f"; by {moment(outcome.deadline)} at the latest {outcome.after_deadline}"
    return sections(
        f"### {mark} Autopack: {words}{progress}",
        f"**Why:** {inline(outcome.why, 1_000)}" if outcome.why else "",
        failing_job(view),
        f"**Next:** {advice(outcome.next_action)}",
        f"<sub>{times} · {code(outcome.state.value)}</sub>",
    )


def failing_job(view: RunView) -> str:
    """A link to the job that failed last, in a run that failed."""
    ours = view.failed_job_url.startswith(f"{view.server_url.rstrip('/')}/") and not _UNSAFE.search(view.failed_job_url)
    return f"**Failing job:** {view.failed_job_url}" if view.state.failed and ours else ""


def phase_table(view: RunView, room: int) -> str:
    """One table of all tiers and their phases; empty before there is a plan."""
    rows: list[list[str]] = []
    for tier in view.tiers:
        rows.append([TIER_MARKS[tier.state], f"**{named(tier.tier_id, tier.name)}**", "", "", "", "", ""])
        rows += [_phase_row(view, phase) for phase in tier.phases]
    if not rows:
        return ""
    return table(["", "Phase", "Category", "Tries", "Tokens", "Commit", "Note"], rows, room)


def models_and_tokens(view: RunView) -> str:
    """Which model did what, for how much."""
    rows = [
        [
            use.role.value.capitalize(),
            code(use.model),
            tokens(use.usage.input),
            tokens(use.usage.cached),
            tokens(use.usage.output),
            cost(use.usage, unused="-"),
        ]
        for use in view.model_uses
    ]
    if not rows:
        return ""
    summary = f"Models and tokens: {tokens(_spent(view).total)}"
    return details(summary, table(["Role", "Model", "Input", "of it cached", "Output", "Cost"], rows, 4_000))


def ledger(view: RunView, room: int) -> str:
    """All findings, open ones first, each with how it ended."""
    if not view.findings:
        return ""
    ordered = sorted(view.findings, key=lambda one: (not one.open, one.finding.severity is Severity.MINOR))
    still_open = sum(one.open for one in ordered)
    rows = [_finding_row(one) for one in ordered]
    body = table(["", "Phase", "Where", "Problem", "Source", "Outcome"], rows, room)
    return details(f"Findings: {still_open} open, {len(ordered) - still_open} settled", body)


def promotion_line(view: RunView) -> str:
    """Whether the run may be, or has been, promoted; empty while it is too early to say."""
    if view.promoted:
        return "**Promotion** 🎉 merged."
    if not view.state.terminal or is_planned(view):
        return ""
    if not view.promotion_blockers:
        return "**Promotion** ✅ the run is clean; merging the pull request is yours."
    reasons = (advice(promotion_reason(one), 300) for one in view.promotion_blockers)
    return "**Promotion** ❌ not eligible:\n\n" + bullets(reasons, 4_000)


def promotion_reason(reason: str) -> str:
    """A reason as people read it: clients of the REST API read the states' names."""
    return "the run did not end well" if reason.startswith("the run is DONE_") else reason


def parts_line(view: RunView) -> str:
    """Which part of the plan this run is, and the runs before and after it; empty where one run does it all."""
    if view.parts == 1 and view.before is None:
        return ""
    places = [f"**Part {view.part} of {view.parts}** of the plan"]
    if view.before is not None:
        places.append(f"on top of {_linked(view.before)}")
    if view.part < view.parts:
        stopped = view.state.terminal and view.state is not RunState.DONE_SUCCESS
        waiting = (
            "the parts after it are not started, because this one did not end well"
            if stopped
            else "the next begins when this has ended well"
        )
        places.append(f"next: {_linked(view.after)}" if view.after else waiting)
    return ", ".join(places) + "."


def _linked(run: LinkedRun) -> str:
    return code(run.run_id, 100) + (f" (#{run.pull_number})" if run.pull_number else "")


def pull_title(view: RunView) -> str:
    """The issue's title with nothing in it that acts."""
    return shorten(plain(" ".join(view.issue_title.split()), TITLE_LIMIT) or f"Autopack run {view.run_id}", TITLE_LIMIT)


def pull_body(view: RunView) -> str:
    """What the pull request is, and the state of the run. It closes the issue when the plan's last part is merged.

    While a status comment follows the run, this changes only when a phase has ended: each edit is an event, which may
    start workflows of the repository (`types: [edited]`).
    """
    shown = view.by_ended_phases if view.followed else view
    return sections(
        _origin(view),
        at_work(view) if view.followed else f"{_mark_and_words(view)} {advice(view.next_action)}",
        changes_section(shown),
        f"{how_it_was_made(shown)} A person merges.",
        links(shown),
        parts_line(view),
        notices(view),
        promotion_line(view),
        *(() if view.issue_number else (phase_table(shown, 12_000), models_and_tokens(shown), ledger(shown, 8_000))),
        marker(f"pull:{view.run_id}"),
    )


def at_work(view: RunView) -> str:
    """That the run is open, and where it is followed; where it waits for a person, that too."""
    followed = f"The status comment on #{view.issue_number} says what it does now."
    if view.headline is Headline.WAITING_FOR_YOU:
        return f"{_mark_and_words(view)} {followed}"
    return f"🛠️ **At work.** {followed}"


def is_planned(view: RunView) -> bool:
    """Whether the run made a plan and was to do no more."""
    return view.headline is Headline.PLANNED


def _mark_and_words(view: RunView) -> str:
    mark, words = HEADLINES[view.headline]
    return f"{mark} **{words}.**"


def _origin(view: RunView) -> str:
    """What the pull request comes from. Merging all but the last part must not close the issue: that would end it."""
    if not view.issue_number:
        return "Requested over the REST API." if view.parts == 1 else f"Part {view.part} of {view.parts}."
    if view.part >= view.parts:
        return f"Closes #{view.issue_number}"
    return f"Part {view.part} of {view.parts} of #{view.issue_number}"


def final_summary(view: RunView) -> str:
    """What is posted once when the run has ended, which notifies people: outcome, cost, what is left to do."""
    mark, words = HEADLINES[view.headline]
    phases = [phase for tier in view.tiers for phase in tier.phases]
    spent = _spent(view)
    opened = [one for one in view.findings if one.open]
    why = why_success(view) if view.state is RunState.DONE_SUCCESS else view.reason
    return sections(
        f"### {mark} Autopack: {words}",
        f"**Why:** {inline(why, 1_000)}" if why else "",
        f"**Next:** {advice(view.next_action)}",
        bullets(
            [
                f"{outcome_of(view).progress}, {sum(phase.builder_attempts for phase in phases)} tries",
                f"{tokens(spent.total)} of {tokens(int(view.run_cap.limit))} tokens "
                f"{bar(view.run_cap.used, view.run_cap.limit)}, {cost(_spent(view))}",
                f"{counted(len(view.findings), 'finding')}, {len(opened)} still open",
                links(view),
            ],
            8_000,
        ),
        parts_line(view),
        promotion_line(view),
    )


def finding_place(one: FindingView) -> str:
    """`path:line` as code, or a hyphen where the finding concerns the whole patch."""
    finding = one.finding
    if finding.path is None:
        return "-"
    return code(f"{finding.path}:{finding.line}" if finding.line is not None else finding.path, 160)


def _spent(view: RunView) -> Usage:
    return sum(view.usage.values(), Usage())


def notices(view: RunView) -> str:
    """Remarks for the reader, such as what GitHub refuses to show."""
    if not view.notices:
        return ""
    return "> [!NOTE]\n" + "\n".join(f"> - {inline(notice, 300)}" for notice in view.notices[:5])


def _phase_row(view: RunView, phase: PhaseView) -> list[str]:
    tries = f"{phase.builder_attempts}"
    if phase.auditor_attempts:
        tries += f" + {phase.auditor_attempts} 🔍"
    used = f"{tokens(phase.tokens)} / {tokens(phase.token_cap)}" if phase.token_cap else tokens(phase.tokens)
    made = commit(view, phase.head_sha) + (" 📌" if phase.snapshot else "") if phase.head_sha else ""
    issues = ", ".join(
        f"{count} {kind}" for count, kind in ((phase.major_issues, "major"), (phase.minor_issues, "minor")) if count
    )
    note = "; ".join(part for part in (inline(phase.note, 200), issues) if part)
    mark = PHASE_MARKS[phase.state]
    category = f"{phase.task_category.value.replace('_', ' ')}, {phase.complexity.value}"
    return [mark, named(phase.phase_id, phase.name), category, tries, used, made, note]


def _finding_row(one: FindingView) -> list[str]:
    finding = one.finding
    mark = "✅" if not one.open else "🔴" if finding.severity is Severity.MAJOR else "🟡"
    outcome = inline(one.resolution, 160) if one.resolution else "open" if one.open else "settled"
    return [
        f"{mark} {finding.severity.value}",
        code(one.phase_id, 100),
        finding_place(one),
        inline(finding.problem, 240),
        str(finding.source).replace("_", " "),
        outcome,
    ]
