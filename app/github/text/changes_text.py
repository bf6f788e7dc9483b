"""What a pull request changes, in words: what each phase did and where, what proves it, what to look at first."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from app.domain.outcome import outcome_of
from app.domain.plan import Complexity
from app.domain.states import PhaseState
from app.domain.status_view import PhaseView, RunView
from app.github.text.escape import code, inline
from app.github.text.markdown import PHASE_MARKS, bullets, commit, counted, details, named, sections

FILES = 8
"""Of a phase that are named."""
LOOK_AT = 3
CRITERIA = 100
"""That are listed at most."""
ROOM = 30_000
"""Characters for all phases."""
_NAMED_FILE = re.compile(r"(?<![\w/.-])[\w-]+(?:/[\w.-]+)*\.[A-Za-z][A-Za-z0-9]{0,5}\b(?![\w/(])")
_TEST = re.compile(r"(^|/)(tests?|specs?|__tests__)/|(^|/)test_|[._-](test|spec)\.")


def changes_section(view: RunView) -> str:
    """All of it; empty while no phase has a commit."""
    phases = [phase for tier in view.tiers for phase in tier.phases if phase.head_sha is not None]
    if not phases:
        return ""
    return sections(
        f"### What was changed\n\n{_phases(view, phases)}",
        f"**Tested:** {_tested(view)}",
        _look_first(view, phases),
        details("Acceptance criteria, and what proves each", bullets(_proofs(view, phases), 12_000)),
    )


def _phases(view: RunView, phases: Sequence[PhaseView]) -> str:
    """As many phases as there is room for, each of them whole."""
    lines: list[str] = []
    left = ROOM
    for number, phase in enumerate(phases):
        line = _phase(view, phase)
        if len(line) > left:
            return "\n".join([*lines, f"- … and {counted(len(phases) - number, 'phase')} more"])
        lines.append(line)
        left -= len(line)
    return "\n".join(lines)


def _phase(view: RunView, phase: PhaseView) -> str:
    made = commit(view, phase.head_sha) if phase.head_sha else ""
    lines = [f"- {PHASE_MARKS[phase.state]} {named(phase.phase_id, phase.name)} ({made}): {_summary(phase)}"]
    if phase.paths:
        more = len(phase.paths) - FILES
        listed = ", ".join(code(path, 120) for path in phase.paths[:FILES])
        lines.append(f"  - {counted(len(phase.paths), 'file')}: {listed}" + (f" and {more} more" if more > 0 else ""))
    if phase.auditor_attempts:
        by = f" by {_models(phase.auditors)}" if phase.auditors else ""
        lines.append(f"  - audited{by}: {inline(phase.account.audit, 300) or 'it says nothing more'}")
    if phase.builders:
        lines.append(f"  - built by {_models(phase.builders)}")
    return "\n".join(lines)


def _summary(phase: PhaseView) -> str:
    """The Builder's own words, with a remark where they name a file that is not changed."""
    said = inline(phase.account.summary, 500) or "the Builder said nothing more"
    changed = set(phase.paths) | {PurePosixPath(path).name for path in phase.paths}
    mentioned = dict.fromkeys(_NAMED_FILE.findall(phase.account.summary[:600]))
    wrong = [one for one in mentioned if "/" in one and one not in changed]
    return f"{said} ({', '.join(code(one, 120) for one in wrong[:3])} is named here and not changed)" if wrong else said


def _tested(view: RunView) -> str:
    outcome = outcome_of(view)
    if not outcome.complete:
        return "no phase is complete."
    if outcome.judged:
        return "CI of the repository judged the commit of each phase that is complete."
    return "CI did not judge every commit, as the notes say."


def _look_first(view: RunView, phases: Sequence[PhaseView]) -> str:
    """Where a reviewer's time is spent best, by what happened."""
    reasons = [(phase, _why_look(view, phase)) for phase in phases]
    risky = [(phase, why) for phase, why in reasons if why]
    if not risky:
        largest = max(phases, key=lambda phase: len(phase.paths))
        most = f"**Look first at** {code(largest.phase_id, 100)}, which changes the most files."
        return most if len(phases) > 1 else ""
    shown = (f"{named(phase.phase_id, phase.name)}: {', '.join(why)}" for phase, why in risky[:LOOK_AT])
    return "**Look first at**\n\n" + "\n".join(f"- {one}" for one in shown)


def _why_look(view: RunView, phase: PhaseView) -> list[str]:
    still_open = sum(one.open and one.phase_id == phase.phase_id for one in view.findings)
    why = [f"{counted(still_open, 'finding')} open"] if still_open else []
    why += ["of high complexity"] if phase.complexity is Complexity.HIGH else []
    why += [f"took {phase.builder_attempts} tries"] if phase.builder_attempts > 1 else []
    why += ["not audited"] if phase.state is PhaseState.COMPLETE and not phase.auditor_attempts else []
    return why


def _proofs(view: RunView, phases: Sequence[PhaseView]) -> list[str]:
    stated = [(phase, one) for phase in phases for one in phase.criteria]
    return [
        f"{code(phase.phase_id, 100)} {inline(one, 400)}: {_proof(view, phase)}" for phase, one in stated[:CRITERIA]
    ] or ["none stated"]


def _proof(view: RunView, phase: PhaseView) -> str:
    """The phase's commit, what judged it, and the tests that it changes."""
    if phase.state is not PhaseState.COMPLETE or phase.head_sha is None:
        return "not proven, since the phase is not complete"
    judged = [*(["green"] if view.ci_judged else []), *(["audited"] if phase.auditor_attempts else [])]
    tests = [path for path in phase.paths if _TEST.search(path)]
    by = f", tests {', '.join(code(path, 120) for path in tests[:3])}" if tests else ", no test changed"
    how = f" ({', '.join(judged)})" if judged else ""
    return f"{commit(view, phase.head_sha)}{how}{by}"


def _models(models: Sequence[str]) -> str:
    return " and ".join(code(one, 80) for one in models)
