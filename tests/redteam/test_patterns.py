"""Every regular expression of the program, on hostile text: one that is slow stops the whole process."""

import ast
import re
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import app

ROOT = Path(app.__file__).parent.parent
LENGTH = 6_000
"""Characters of a hostile text: what is quadratic takes some tenths of a second."""
SECONDS = 0.1
_CALLS = {"compile", "search", "match", "fullmatch", "sub", "subn", "findall", "finditer", "split"}


@dataclass(frozen=True)
class Place:
    """A pattern, and whether it is only asked of the beginning of a text."""

    pattern: re.Pattern[str] | re.Pattern[bytes]
    at_start: bool


def _patterns() -> Iterator[tuple[str, Place]]:
    for file in sorted((*(ROOT / "app").rglob("*.py"), *(ROOT / "handlers").rglob("*.py"))):
        if "hub" in file.parts or "replay" in file.parts:
            continue
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = {
            node.value: target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr in _CALLS
            text = node.args[0]
            if of_re and isinstance(text, ast.Constant) and isinstance(text.value, str | bytes):
                flags = 0
                for name in ("MULTILINE", "IGNORECASE", "DOTALL", "VERBOSE"):
                    flags |= getattr(re, name) if f"re.{name}" in ast.unparse(node) else 0
                uses = set(re.findall(rf"\b{names[node]}\.(\w+)", source)) if node in names else {node.func.attr}
                place = Place(re.compile(text.value, flags), at_start=uses <= {"match", "fullmatch"})
                yield f"{file.relative_to(ROOT)}:{node.lineno}", place


PATTERNS = dict(_patterns())


def _hostile(pattern: str) -> Iterator[str]:
    """Long texts of what the pattern itself is made of, none of which need end as it wants."""
    literal = [char for char in dict.fromkeys(pattern) if char not in "\\[](){}?+*|^$."][:25]
    parts = dict.fromkeys(
        [*literal, *" \t\na0_-./:\"'\\<>&@#![]()*`=,;", "ab ", "a.", "a/", "\n ", '\\"', "a:", "a=", "<a "]
    )
    words = list(re.findall(r"[A-Za-z]{3,20}", pattern))[:12]
    starts = ["", "close", "-----BEGIN", 'diff --git "', "/autopack ", *words]
    for part in parts:
        long = (part * (LENGTH // len(part)))[:LENGTH]
        for start in starts[:8]:
            yield start + long
            yield start + long + "\0!"
    for word in words:
        yield (word * LENGTH)[:LENGTH]
        yield ((word + " ") * LENGTH)[:LENGTH]


class _TooSlow(Exception):
    pass


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _TooSlow


def _seconds(pattern: Any, subject: Any, *, at_start: bool) -> float:
    """Processor time of one use, at most two seconds."""
    signal.setitimer(signal.ITIMER_REAL, 2)
    began = time.thread_time()
    try:
        if at_start:
            pattern.fullmatch(subject)
        else:
            deque(pattern.finditer(subject), maxlen=0)
        return time.thread_time() - began
    except _TooSlow:
        return 2.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize("place", PATTERNS)
def test_pattern_is_linear(place: str) -> None:
    pattern, at_start = PATTERNS[place].pattern, PATTERNS[place].at_start
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    before = signal.signal(signal.SIGALRM, _stop)
    worst, slow = 0.0, ""
    try:
        for text in _hostile(source):
            subject: Any = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
            took = _seconds(pattern, subject, at_start=at_start)
            if took > SECONDS:  # once more: a busy machine is not slow twice
                took = min(took, _seconds(pattern, subject, at_start=at_start))
            if took > worst:
                worst, slow = took, text[:60]
            if worst > SECONDS:
                break
    finally:
        signal.signal(signal.SIGALRM, before)
    assert worst <= SECONDS, f"{source[:80]!r} takes {worst:.1f} s on {slow!r}"
