"""The Markdown files of a run: pure functions of what the database says, so that equal rows give equal bytes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from app.domain.budget import Kind, Scope
from app.domain.findings import Severity
from app.domain.metrics import CapUse, PhaseMetrics, TierSummary
from app.domain.numbers import money, tokens
from app.domain.outcome import outcome_of
from app.domain.plan import PlannedPhase
from app.domain.run_export import RunArchive, TransitionEntry
from app.domain.status_view import FindingView
from app.github.text.escape import advice, code, fence, inline
from app.github.text.markdown import PHASE_MARKS, TIER_MARKS, bar, bullets, sections, table, url
from app.github.text.status_text import HEADLINES, finding_place, models_and_tokens

MAX_DOCUMENT = 2_000_000
"""Characters of one table: a file has more room than a comment."""


def tier_path(tier: TierSummary) -> str:
    """Path of the tier's page in the run's folder."""
    return f"tiers/tier_{tier.tier_index}_{tier.tier_id}.md"


def phase_path(phase: PhaseMetrics) -> str:
    """Path of the phase's page in the run's folder."""
    return f"phases/phase_{phase.phase_index}_{phase.phase_id}.md"


def run_page(archive: RunArchive) -> str:
    """What a lead reads first."""
    summary = archive.summary
    return _page(
        f"Run {summary.run_id}",
        _status_lines(archive),
        "## About",
        _facts(archive),
        "## Budgets",
        _budgets([cap for cap in summary.budgets.caps if cap.scope is Scope.RUN]),
        "## Tiers and phases" if summary.tiers else "",
        _phase_table(archive),
        "## Issues",
        _issue_line(archive),
        _findings(archive.view.findings),
        "## Promotion",
        _promotion(archive),
        "## Notices" if archive.view.notices else "",
        bullets((inline(one, 600) for one in archive.view.notices), MAX_DOCUMENT),
        models_and_tokens(archive.view),
        "## History",
        _history(archive.history, "run", summary.run_id),
    )


def tier_page(archive: RunArchive, tier: TierSummary) -> str:
    """One tier: its caps, its phases, what was found in them."""
    within = [phase for phase in archive.summary.phases if phase.tier_id == tier.tier_id]
    ids = {phase.phase_id for phase in within}
    description = (
        next((one.description for one in archive.plan.tiers if one.tier_id == tier.tier_id), "")
        if (archive.plan)
        else ""
    )
    caps = [cap for cap in archive.summary.budgets.caps if cap.scope is Scope.TIER and cap.name == tier.tier_id]
    return _page(
        f"Tier {tier.tier_id}: {inline(tier.name)}",
        f"{TIER_MARKS[tier.state]} {code(tier.state)} in run {code(archive.summary.run_id)}",
        inline(description, 4_000),
        "## Budgets",
        _budgets(caps),
        "## Phases",
        table(_PHASE_COLUMNS, [_phase_row(phase, "../") for phase in within], MAX_DOCUMENT),
        "## Issues",
        _findings([one for one in archive.view.findings if one.phase_id in ids]),
        "## History",
        _history(archive.history, "tier", tier.tier_id),
    )


def phase_page(archive: RunArchive, phase: PhaseMetrics) -> str:
    """One phase: its task, its attempts and its findings."""
    spec = next((one for one in archive.plan.phases if one.phase_id == phase.phase_id), None) if archive.plan else None
    shown = next((one for tier in archive.view.tiers for one in tier.phases if one.phase_id == phase.phase_id), None)
    caps = [cap for cap in archive.summary.budgets.caps if cap.scope is Scope.PHASE and cap.name == phase.phase_id]
    head = shown.head_sha if shown else None
    return _page(
        f"Phase {phase.phase_id}: {inline(phase.name)}",
        f"{PHASE_MARKS[phase.state]} {code(phase.state)} in tier {code(phase.tier_id)} "
        f"of run {code(archive.summary.run_id)}",
        f"**Note:** {inline(shown.note, 600)}" if shown and shown.note else "",
        _rows(
            ("Category", f"{code(phase.task_category)}, {code(phase.complexity)}"),
            ("Builder mode", code(phase.builder_mode)),
            ("Builder's attempts", str(phase.builder_attempts)),
            ("Audits", str(phase.auditor_attempts)),
            ("Commit", _commit(archive, head) + (", snapshot" if shown and shown.snapshot else "") if head else ""),
        ),
        *(_origin(spec) if spec else ()),
        "## Budgets",
        _budgets(caps),
        "## Issues",
        _findings([one for one in archive.view.findings if one.phase_id == phase.phase_id]),
        "## History",
        _history(archive.history, "phase", phase.phase_id),
    )


def incident_page(archive: RunArchive, files: Sequence[str]) -> str:
    """What failed and what to do; `files` are in the same folder."""
    still_open = [one for one in archive.view.findings if one.open]
    spent = [cap for cap in archive.summary.budgets.caps if cap.limit > 0 and cap.utilization >= 1]
    return _page(
        f"Incident: run {archive.summary.run_id}",
        _status_lines(archive),
        "## Budgets",
        _budgets([cap for cap in archive.summary.budgets.caps if cap.scope is Scope.RUN or cap in spent]),
        "## Tiers and phases" if archive.summary.tiers else "",
        _phase_table(archive, "../"),
        "## Open issues",
        _findings(still_open),
        "## The end of the failing log" if archive.last_log.strip() else "",
        fence(archive.last_log, "text", 12_000) if archive.last_log.strip() else "",
        "## Files in this folder",
        bullets((code(name) for name in files), MAX_DOCUMENT),
    )


def _page(title: str, *parts: str) -> str:
    return sections(f"# {title}", *parts) + "\n"


def _status_lines(archive: RunArchive) -> str:
    outcome = outcome_of(archive.view)
    mark, words = HEADLINES[outcome.headline]
    progress = f", {outcome.progress}" if outcome.progress else ""
    return sections(
        f"{mark} **{words}** ({code(outcome.state)}){progress}",
        f"**Why:** {inline(outcome.why, 4_000)}" if outcome.why else "",
        f"**Next:** {advice(outcome.next_action)}" if outcome.next_action else "",
    )


def _facts(archive: RunArchive) -> str:
    summary, view = archive.summary, archive.view
    on_github = summary.repository is not None
    part = f"part {archive.part} of {archive.parts}" if archive.parts > 1 else ""
    follows = f"follows run {code(archive.follows)}" if archive.follows else ""
    return _rows(
        ("Project", code(summary.project_id)),
        ("Issue", _link(archive, f"#{summary.issue_number}", f"issues/{summary.issue_number}") if on_github else ""),
        ("Requested", f"{inline(view.issue_title, 400)} by {code(view.requester)}" if view.requester else ""),
        (
            "Pull request",
            _link(archive, f"#{view.pull_number}", f"pull/{view.pull_number}") if view.pull_number else "",
        ),
        ("Branch", _link(archive, code(view.branch), f"tree/{view.branch}") if on_github else ""),
        ("Head", _commit(archive, view.head_sha) if view.head_sha else ""),
        ("Base", f"{code(view.base_branch)} {_commit(archive, archive.base_sha)}" if archive.base_sha else ""),
        ("Built by", code(summary.engine)),
        ("Safety profile", code(summary.safety_profile)),
        ("Scope", code(summary.run_scope)),
        ("Linked", ", ".join(one for one in (part, follows) if one)),
        ("Spent", money(summary.budgets.cost_usd) if summary.budgets.cost_usd is not None else ""),
        ("Created", _time(summary.created_at)),
        ("Started", _time(summary.started_at) if summary.started_at else ""),
        ("Ended", _time(summary.completed_at) if summary.completed_at else ""),
    )


def _budgets(caps: Iterable[CapUse]) -> str:
    rows = [
        [f"{cap.scope} {code(cap.name)}", cap.kind.unit, _amount(cap, cap.used), _amount(cap, cap.limit), _bar(cap)]
        for cap in caps
    ]
    return table(["Cap", "Of", "Used", "Limit", ""], rows, MAX_DOCUMENT) if rows else "No caps are set yet."


def _bar(cap: CapUse) -> str:
    warning = " ⚠️" if cap.limit > 0 and cap.utilization >= 0.8 else ""
    return bar(int(cap.used * 100), int(cap.limit * 100)) + warning


def _amount(cap: CapUse, amount: float) -> str:
    if cap.kind is Kind.USD:
        return cap.kind.amount(amount)
    return tokens(int(amount)) if cap.kind is Kind.TOKENS else f"{amount:g}"


_PHASE_COLUMNS = ("", "Phase", "Category", "Tries", "Audits", "CI runs", "Tokens", "Issues")


def _phase_table(archive: RunArchive, up: str = "") -> str:
    """All tiers and phases, each leading to its page; `up` leads to the run's folder."""
    rows: list[list[str]] = []
    for tier in archive.summary.tiers:
        name = f"**[{code(tier.tier_id)}]({up}{tier_path(tier)}) {inline(tier.name)}**"
        issues = _counted(tier.minor_issues, tier.major_issues)
        rows.append([TIER_MARKS[tier.state], name, code(tier.state), "", "", "", tokens(tier.tokens_used), issues])
        within = [phase for phase in archive.summary.phases if phase.tier_id == tier.tier_id]
        rows += [_phase_row(phase, up) for phase in within]
    return table(_PHASE_COLUMNS, rows, MAX_DOCUMENT) if rows else ""


def _phase_row(phase: PhaseMetrics, up: str) -> list[str]:
    used = tokens(phase.tokens_used) + (f" / {tokens(phase.token_cap)}" if phase.token_cap else "")
    return [
        PHASE_MARKS[phase.state],
        f"[{code(phase.phase_id)}]({up}{phase_path(phase)}) {inline(phase.name)}",
        f"{phase.task_category.replace('_', ' ')}, {phase.complexity}",
        str(phase.builder_attempts),
        str(phase.auditor_attempts),
        str(phase.ci_runs),
        used,
        _counted(phase.minor_issues, phase.major_issues),
    ]


def _counted(minor: int, major: int) -> str:
    return ", ".join(f"{count} {kind}" for count, kind in ((major, "major"), (minor, "minor")) if count)


def _issue_line(archive: RunArchive) -> str:
    issues = archive.summary.issues
    return (
        f"{issues.minor_count} minor (at most {issues.max_minor_total}) and {issues.major_count} major open; "
        f"{issues.distinct_issues} distinct in all."
    )


def _findings(found: Iterable[FindingView]) -> str:
    ordered = sorted(
        found,
        key=lambda one: (
            *(not one.open, one.finding.severity is Severity.MINOR),
            *(one.phase_id, one.finding.issue_key, one.finding.path or ""),
        ),
    )
    rows = [
        [
            one.finding.severity,
            code(one.finding.issue_key),
            code(one.phase_id),
            finding_place(one),
            inline(one.finding.problem, 600),
            one.finding.source.replace("_", " "),
            inline(one.resolution, 300) or ("open" if one.open else "settled"),
        ]
        for one in ordered
    ]
    columns = ("Severity", "Issue", "Phase", "Where", "Problem", "Source", "Outcome")
    return table(columns, rows, MAX_DOCUMENT) if rows else "None."


def _promotion(archive: RunArchive) -> str:
    if archive.view.promoted:
        return "🎉 Merged."
    if not archive.summary.state.terminal:
        return "Too early to say: the run has not ended."
    if not archive.view.promotion_blockers:
        return "✅ The run is clean: its work may be merged."
    return "❌ Not eligible:\n\n" + bullets((inline(one, 600) for one in archive.view.promotion_blockers), MAX_DOCUMENT)


def _origin(spec: PlannedPhase) -> tuple[str, ...]:
    return (
        "## Task" if spec.description or spec.acceptance_criteria or spec.expected_paths else "",
        inline(spec.description, 8_000),
        "Done when:" if spec.acceptance_criteria else "",
        bullets((inline(one, 1_000) for one in spec.acceptance_criteria), MAX_DOCUMENT),
        f"Expected to touch {', '.join(code(path) for path in spec.expected_paths)}." if spec.expected_paths else "",
    )


def _history(steps: Iterable[TransitionEntry], machine: str, subject: str) -> str:
    rows = [
        [
            _time(step.at),
            f"{code(step.old)} → {code(step.new)}" if step.old else code(step.new),
            inline(step.cause, 400),
        ]
        for step in steps
        if step.machine == machine and step.subject == subject
    ]
    return table(["When", "What", "Why"], rows, MAX_DOCUMENT) if rows else "Nothing has happened yet."


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _rows(*facts: tuple[str, str]) -> str:
    return table(["", ""], [[f"**{name}**", value] for name, value in facts if value], MAX_DOCUMENT)


def _commit(archive: RunArchive, sha: str) -> str:
    return _link(archive, code(sha[:12]), f"commit/{sha}")


def _link(archive: RunArchive, label: str, path: str) -> str:
    """A link into the run's repository; the label alone for a run without one."""
    return f"[{label}]({url(archive.view, path)})" if archive.summary.repository else label
