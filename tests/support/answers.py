"""Recorded model answers in a few words: `recording(plan(phase()), {"P1": [edits(write("a", "b")), approves()]})`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.findings import Finding, Severity, Source, issue_key
from app.replay.recording import Recording, TokenUsage, ToolCall, Turn


@dataclass(frozen=True)
class Plan:
    """What the Planner answers."""

    turns: list[Turn]


@dataclass(frozen=True)
class Attempt:
    """One attempt of the Builder at a phase: its replies in order."""

    turns: list[Turn]


@dataclass(frozen=True)
class Audit:
    """One round of the Auditor: its replies in order."""

    turns: list[Turn]


Answer = Attempt | Audit


def recording(planned: Plan, phases: Mapping[str, Sequence[Answer]]) -> Recording:
    """Attempts and audits are numbered in the order given, apart from each other. Audits not given approve."""
    return Recording(
        planner={"*": planned.turns},
        builder={phase_id: _numbered(answers, Attempt) for phase_id, answers in phases.items()},
        auditor={phase_id: _numbered(answers, Audit) | {"*": approves().turns} for phase_id, answers in phases.items()},
    )


def _numbered(answers: Sequence[Answer], kind: type[Attempt] | type[Audit]) -> dict[str, list[Turn]]:
    chosen = [answer.turns for answer in answers if isinstance(answer, kind)]
    return {str(number): turns for number, turns in enumerate(chosen, 1)}


# The Planner


def phase(
    name: str = "Greet people",
    *,
    category: str = "docs",
    complexity: str = "low",
    mode: str = "compose",
    paths: Sequence[str] = (),
) -> dict[str, Any]:
    """A phase as the Planner proposes it; P1, P2, … by its place in the plan."""
    return {
        "name": name,
        "description": f"{name}, as the issue asks.",
        "acceptance_criteria": ["People are greeted."],
        "expected_paths": list(paths),
        "task_category": category,
        "complexity": complexity,
        "builder_mode": mode,
    }


def tier(*phases: dict[str, Any], name: str = "The work") -> dict[str, Any]:
    return {"name": name, "description": "", "phases": list(phases)}


def plan(*parts: dict[str, Any], summary: str = "One step after the other.") -> Plan:
    """A plan of tiers, or of phases in one tier; of one phase when nothing is given."""
    tiers = [part for part in parts if "phases" in part] or [tier(*(parts or (phase(),)))]
    return Plan([Turn(answer={"summary": summary, "tiers": tiers})])


# The Builder


def write(path: str, content: str) -> ToolCall:
    return ToolCall(name="write_file", args={"path": path, "content": content})


def edit(path: str, old: str, new: str) -> ToolCall:
    return ToolCall(name="edit_file", args={"path": path, "old": old, "new": new})


def delete(path: str) -> ToolCall:
    return ToolCall(name="delete_file", args={"path": path})


def take(path: str, side: str) -> ToolCall:
    return ToolCall(name="take_side", args={"path": path, "side": side})


def command(text: str) -> ToolCall:
    return ToolCall(name="run_command", args={"command": text})


def edits(
    *calls: ToolCall,
    summary: str = "Did what the phase asks.",
    status: Literal["done", "cannot"] = "done",
    doubts: Sequence[dict[str, Any]] = (),
    declined: Mapping[int, str] | None = None,
    tokens: int | None = None,
) -> Attempt:
    """The Builder uses these tools, all in one reply of `tokens` input tokens, and says that it is done.

    `declined` are the reasons why it leaves requests undone, by their numbers.
    """
    refused = [
        {"category": "declined", "component": str(number), "slug": "declined", "description": reason}
        for number, reason in (declined or {}).items()
    ]
    answer = Turn(answer={"status": status, "summary": summary, "suggested_issues": [*doubts, *refused]})
    usage = TokenUsage(input=tokens, output=1) if tokens else None
    return Attempt([Turn(tool_calls=list(calls), usage=usage), answer] if calls else [answer])


# The Auditor


def approves(summary: str = "Nothing blocks it.", *, fixed: Sequence[dict[str, Any]] = ()) -> Audit:
    """The Auditor lets it pass; `fixed` are findings of earlier rounds."""
    return _audit("approve", summary, (), fixed)


def approves_but(*found: dict[str, Any], summary: str = "Good enough.", fixed: Sequence[dict[str, Any]] = ()) -> Audit:
    """The Auditor lets it pass, and notes something; `fixed` are findings of earlier rounds."""
    return _audit("approve", summary, found, fixed)


def finds(*found: dict[str, Any], summary: str = "This is not right yet.") -> Audit:
    """The Auditor asks for changes."""
    return _audit("revise", summary, found, ())


def _audit(verdict: str, summary: str, found: Sequence[dict[str, Any]], fixed: Sequence[dict[str, Any]]) -> Audit:
    ids = [fingerprint(one) for one in fixed]
    return Audit([Turn(answer={"recommendation": verdict, "summary": summary, "findings": list(found), "fixed": ids})])


def finding(
    path: str | None = None,
    line: int | None = None,
    problem: str = "The greeting is wrong.",
    *,
    severity: str = "major",
    replacement: str | None = None,
    start_line: int | None = None,
) -> dict[str, Any]:
    return {
        "path": path,
        "line": line,
        "start_line": start_line,
        "severity": severity,
        "category": "correctness",
        "component": path or "patch",
        "problem": problem,
        "slug": problem[:40],
        "replacement": replacement,
    }


def fingerprint(found: dict[str, Any]) -> str:
    """The id of a finding in the Auditor's prompt."""
    key = issue_key(found["category"], found["component"], found["slug"])
    return Finding(
        issue_key=key,
        severity=Severity(found["severity"]),
        source=Source.AUDITOR,
        category=found["category"],
        problem=found["problem"],
        path=found["path"],
    ).fingerprint


# Failures


def refuses() -> list[Turn]:
    """The model does not want to answer."""
    return [Turn(refusal=True)]


def malformed() -> list[Turn]:
    """The model answers, time and again, with what no schema accepts."""
    return [Turn(malformed=True)] * 8


def hangs() -> list[Turn]:
    """The model stays silent."""
    return [Turn(hang_seconds=60)]


def fails(status: int) -> list[Turn]:
    """The provider answers with this HTTP status."""
    return [Turn(status=status)]


def failing_at_first(answer: Attempt, **failure: Any) -> Attempt:
    """The attempt, whose first reply fails as `failure` (fields of `Turn`) says, for `only_for` or so many `times`."""
    first, *rest = answer.turns
    return Attempt([first.model_copy(update=failure), *rest])
