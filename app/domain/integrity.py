"""What may be hidden in a change, or cheat its checks: one table of rules, and what they found. No I/O.

What is refused goes back to the Builder before anything is pushed. What needs a person closes promotion until someone
who may steer approves the pull request as it is. A note is only shown.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from app.domain.findings import Finding, Severity, Source, issue_key
from app.domain.frozen import Frozen


class Level(StrEnum):
    REFUSE = "refuse"
    PERSON = "needs a person"
    NOTE = "note"


class Rule(Frozen):
    level: Level
    meaning: str
    """What is wrong with it, as the end of a sentence that begins with the place."""


RULES = {
    "secret": Rule(level=Level.REFUSE, meaning="holds what looks like a secret"),
    "own_secret": Rule(level=Level.REFUSE, meaning="holds a secret of the service"),
    "hidden_text": Rule(level=Level.REFUSE, meaning="holds characters that hide or reorder what people read"),
    "ci_file": Rule(level=Level.REFUSE, meaning="governs another CI system, which would judge the change"),
    "unread": Rule(level=Level.REFUSE, meaning="cannot be read by these rules"),
    "binary": Rule(level=Level.PERSON, meaning="is binary, so that no rule and no Auditor has read it"),
    "image": Rule(level=Level.NOTE, meaning="is an image, which GitHub shows and no rule reads"),
    "look_alike": Rule(level=Level.PERSON, meaning="mixes letters that look alike in one name"),
    "bot_settings": Rule(level=Level.PERSON, meaning="is an action, or governs a bot of the repository"),
    "agent_instructions": Rule(level=Level.PERSON, meaning="instructs agents, also Autopack's next run"),
    "runs_at_reviewer": Rule(level=Level.PERSON, meaning="runs on the machine of a person who opens the branch"),
    "install_script": Rule(level=Level.PERSON, meaning="runs when the package is installed"),
    "lock_alone": Rule(level=Level.PERSON, meaning="is a lock file that changes without its manifest"),
    "test_removed": Rule(level=Level.PERSON, meaning="loses a test"),
    "test_skipped": Rule(level=Level.PERSON, meaning="skips a test, or runs only some"),
    "test_weakened": Rule(level=Level.PERSON, meaning="has a test that takes more values for right than before"),
    "test_emptied": Rule(level=Level.PERSON, meaning="has a test that checks nothing any more"),
    "test_unreadable": Rule(level=Level.PERSON, meaning="holds tests that cannot be parsed any more"),
    "constant_assertion": Rule(level=Level.PERSON, meaning="asserts what is always true"),
    "subject_mocked": Rule(level=Level.PERSON, meaning="replaces what it tests, which the change itself touches"),
    "threshold_loosened": Rule(level=Level.PERSON, meaning="loosens a threshold"),
    "lint_settings": Rule(level=Level.PERSON, meaning="changes the settings of a linter or type checker"),
    "failure_ignored": Rule(level=Level.PERSON, meaning="has a check go on where it fails"),
    "fewer_assertions": Rule(level=Level.NOTE, meaning="has fewer assertions than before"),
    "suppression": Rule(level=Level.NOTE, meaning="silences a linter or type checker"),
    "network_call": Rule(level=Level.NOTE, meaning="calls the network"),
}
"""By name; the settings can leave a rule out by it."""
MAX_FLAGS = 200


class ChangedText(Frozen):
    """A file of a change: its text before and after; None where it was not there, or is no text."""

    path: str
    before: str | None = None
    after: str | None = None
    binary: bool = False
    """Whether what is there now is no text."""
    image: bool = False
    """Whether that is an image of a kind that GitHub shows."""
    deleted: bool = False


class Flag(Frozen):
    """What a rule found. `line` is 1-based, in the file as it is now."""

    rule: str
    path: str
    line: int | None = None
    detail: str = ""
    """What exactly, where that can be shown: a test's name, for example. Never a secret."""

    @property
    def level(self) -> Level:
        return RULES[self.rule].level

    @property
    def words(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else self.path
        return f"{place} {RULES[self.rule].meaning}" + (f": {self.detail}" if self.detail else "")

    def as_finding(self) -> Finding:
        return Finding(
            issue_key=issue_key("integrity", self.path, self.rule),
            severity=Severity.MAJOR,
            source=Source.STATIC_CHECK,
            category="integrity",
            problem=f"{self.words}.",
            path=self.path,
            line=self.line,
        )


class IntegrityReport(Frozen):
    """What the rules found in a branch, up to one commit."""

    head_sha: str
    flags: tuple[Flag, ...] = ()
    trouble: str = ""
    """Why the branch could not be read; empty where it was."""
    accepted_by: str = ""
    """The person who approved the pull request at this commit."""

    def of_level(self, level: Level) -> tuple[Flag, ...]:
        return tuple(flag for flag in self.flags if flag.level is level)

    @property
    def needs_person(self) -> bool:
        """Whether promotion waits for a person's approval: something was found, or could not be looked for."""
        return not self.accepted_by and (bool(self.trouble) or any(flag.level is not Level.NOTE for flag in self.flags))


def without_ignored(flags: Iterable[Flag], ignored: Sequence[str]) -> tuple[Flag, ...]:
    """Each flag once, without the rules that the settings leave out, the gravest first."""
    order = list(Level)
    kept = {(flag.rule, flag.path, flag.detail): flag for flag in reversed(list(flags)) if flag.rule not in ignored}
    return tuple(sorted(kept.values(), key=lambda flag: order.index(flag.level)))[:MAX_FLAGS]
