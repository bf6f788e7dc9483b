"""Text from GitHub, clients, models and repositories: none of it holds the event loop for more than 200 ms.

What grows with the length alone is tried at a length at which it takes half of that: patches are read in a thread.
What a grammar parses is read in the reading process.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import pytest

from app.agents.prompts import fence
from app.config.loader import parse_settings
from app.config.yaml_errors import SettingsError
from app.domain import ci_log, diff, patch_policy
from app.domain.api_errors import Unprocessable
from app.domain.finding_verdict import asks_for_nothing, read_verdict
from app.domain.globs import matches_path
from app.domain.integrity import ChangedText, Flag
from app.domain.integrity_tests import scan_tests
from app.domain.integrity_text import scan_text
from app.domain.patch import ChangeKind, FileChange
from app.domain.plan_edit import PlanUnreadable
from app.domain.posted_patch import parse_posted_patch
from app.github.text import read_plan
from app.github.text.escape import advice, code, inline, quote
from app.workspace import reading_process
from app.workspace.integrity_scan import scan_apart
from app.workspace.secret_scan import scan_secrets
from handlers.commands.parser import parse_comments
from tests.db.sample_rows import PLAN

SECONDS = 0.2
TRIES = 5
"""The best one counts: what is slow by its form is slow each time, and a busy machine is not."""
ALIASES = "a: &a [x, x]\n" + "".join(f"k{n}: &k{n} [*a, *a]\n" for n in range(50))
COMMENT = 65_536
"""Characters of a comment on GitHub at most."""


REFUSED = (SettingsError, Unprocessable, diff.DiffSyntaxError, PlanUnreadable)


def _refused(parse: Callable[[str], object], text: str) -> str:
    """What is said of a text that cannot be read; empty where it can."""
    said = ""
    try:
        parse(text)
    except REFUSED as refusal:
        said = str(refusal)
    assert len(said) < 10_000, "the error repeats its input"
    return said


def _settings(text: str) -> str:
    return _refused(parse_settings, text)


def _patch(text: str) -> str:
    return _refused(parse_posted_patch, text)


def _diff(text: str) -> str:
    return _refused(diff.parse, text)


def _plan(text: str) -> str:
    return _refused(lambda body: read_plan(body, PLAN), text)


def _tests(text: str, path: str = "tests/test_a.py") -> list[Flag]:
    return list(scan_tests([ChangedText(path=path, before="x", after=text)]))


def _code(text: str) -> list[Flag]:
    return list(scan_text(ChangedText(path="a.py", after=text)))


def _lines(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.split("\n"), 1))


def _full(part: str, length: int) -> str:
    return (part * (length // len(part) + 1))[:length]


BOMBS: Mapping[str, str] = {
    "a.test.js": "it('",
    "b.test.ts": "'",
    "c.test.tsx": "<a ",
    "d_test.go": "#[",
    "src/test/java/ETest.java": "a<b<",
    "src/test/kotlin/FTest.kt": "<<A\n",
    "tests/GTest.cs": "a<",
    "spec/h_spec.rb": "%w(",
    "tests/ITest.php": "$a->",
    "tests/j.rs": "%w(",
    "tests/test_k.py": "(",
}
"""Texts on which a parser takes seconds, or all memory: a file's name, and what it repeats."""
BOMB = 390_000
"""Characters: less than what is read line by line."""
LOOK_SECONDS = 0.005
"""Between two looks at the clock, so that the watch takes no processor time from what is watched."""
BOMB_SECONDS = 1.0
"""Instead of twenty, so that the test is short."""


INPUTS: Mapping[str, Callable[[], object]] = {
    "comment of images": lambda: parse_comments(_full("![", COMMENT) + "&", "autopack"),
    "comment of stars": lambda: parse_comments("/autopack run\n\n" + _full("a***", COMMENT), "autopack"),
    "comment of brackets": lambda: parse_comments("/autopack run\n\n" + _full("[", COMMENT), "autopack"),
    "comment of links": lambda: parse_comments("/autopack run\n\n" + _full("[a](", COMMENT), "autopack"),
    "comment of quotes": lambda: parse_comments("/autopack run\n\n" + _full(">", COMMENT), "autopack"),
    "comment of nested lists": lambda: parse_comments("".join(f"{' ' * n}- a\n" for n in range(350)), "autopack"),
    "comment of backticks": lambda: parse_comments("".join("`" * n + "a" for n in range(1, 360)), "autopack"),
    "comment of angles": lambda: parse_comments(_full("<a ", COMMENT), "autopack"),
    "comment of tags": lambda: parse_comments(_full("<!--", COMMENT), "autopack"),
    "comment of commands": lambda: parse_comments(_full("/autopack run\n", COMMENT), "autopack"),
    "comment of mail heads": lambda: parse_comments(_full("On a wrote\n", COMMENT), "autopack"),
    "comment of entities": lambda: parse_comments(_full("&commat;autopack ", COMMENT), "autopack"),
    "comment of underscores": lambda: parse_comments(_full("_a ", COMMENT), "autopack"),
    "comment of blanks": lambda: parse_comments(" " * COMMENT + "/autopack run", "autopack"),
    "comment of one table": lambda: parse_comments(_full("|a", COMMENT), "autopack"),
    "plan of boxes": lambda: _plan(_full("- [x] `P1` a\n", COMMENT)),
    "plan of blanks": lambda: _plan(_full("- [ ] \n  \n", COMMENT)),
    "reply that calls wrong": lambda: read_verdict("wrong" + " " * COMMENT + "x"),
    "reply of thanks": lambda: asks_for_nothing(_full("thanks ", COMMENT)),
    "settings of unknown keys": lambda: _settings("".join(f"key{n}: 1\n" for n in range(20_000))),
    "settings of aliases": lambda: _settings(ALIASES),
    "settings of one long list": lambda: _settings("ci:\n  ignore: [" + "a," * 200_000 + "]\n"),
    "settings of depth": lambda: _settings("[" * 5_000),
    "settings of globs": lambda: _settings('patch:\n  protected_paths: ["' + "**/" * 2_000 + 'x"]\n'),
    "settings of one long word": lambda: _settings("safety: " + "x" * 500_000),
    "settings of merges": lambda: _settings("".join(f"<<: {{a{n}: 1}}\n" for n in range(5_000))),
    "glob of stars": lambda: matches_path("**/" * 12 + "x", "a/" * 120 + "y"),
    "glob of letters and stars": lambda: matches_path("*a" * 30 + "b", "a" * 250),
    "protected by many stars": lambda: patch_policy.protected("a" * 250, ["*a*a*a*a*a*a*a*ab", "**/**/**/**/**/x"]),
    "patch of quotes": lambda: _patch('diff --git "' + _full('\\"', 60_000)),
    "patch of heads": lambda: _patch(_full("diff --git a/a b/a\n", 400_000)),
    "patch of hunks": lambda: _patch("--- a/a\n+++ b/a\n" + _full("@@ -1 +1 @@\n-a\n+b\n", 150_000)),
    "patch of one line": lambda: _patch("--- a/a\n+++ b/a\n@@ -0,0 +1 @@\n+" + "x" * 400_000),
    "patch of submodules": lambda: _patch(_full("Submodule a 1234567..", 400_000)),
    "diff of quoted names": lambda: _diff(_full('diff --git "a/\\303" "b/\\303"\n', 200_000)),
    "log of errors": lambda: ci_log.trim_log(_full("##[error]failed\n", 500_000), limit=6_000),
    "log of one line": lambda: ci_log.trim_log("a" * 500_000, limit=6_000),
    "log of escapes": lambda: ci_log.trim_log(_full("\x1b[31m", 500_000), limit=6_000),
    "finding that closes": lambda: quote("close" + " " * 19_000, 8_000),
    "finding of references": lambda: inline(_full("#1 GH-1 ", 20_000), 4_000),
    "finding of mentions": lambda: advice(_full("@a/b ", 20_000), 4_000),
    "finding of backticks": lambda: code(_full("`", 20_000), 4_000),
    "fence of marks": lambda: fence(_full("<untrusted ", 400_000), "x", 200_000),
    "code of one line": lambda: _code("x = " + "é" * 400_000),
    "code of invisible lines": lambda: _code(_full("é\n", 400_000)),
    "config of thresholds": lambda: list(scan_text(ChangedText(path="tox.ini", before=_full("lines=9 ", 200_000)))),
    "tests of one depth": lambda: _tests("(" * 50_000),
    "tests of operators": lambda: _tests("-" * 50_000 + "1"),
    "secrets of one line": lambda: scan_secrets("a", [(1, _full("AKIA", 200_000))], ()),
    "secrets of many lines": lambda: scan_secrets("a", _lines(_full("ghp_abcdefghij\n", 100_000)), ()),
    "secrets of keys": lambda: scan_secrets("a", _lines(_full("-----BEGIN \n", 100_000)), ()),
}


@pytest.mark.parametrize("name", INPUTS)
def test_foreign_text_is_read_at_once(name: str) -> None:
    took = min(_seconds(INPUTS[name]) for _ in range(TRIES))
    assert took <= SECONDS, f"{name}: {took:.2f} s"


def _seconds(read: Callable[[], object]) -> float:
    """Processor time of this thread alone."""
    began = time.thread_time()
    read()
    return time.thread_time() - began


def test_there_are_enough_of_them() -> None:
    assert len(INPUTS) >= 40


@pytest.mark.parametrize("path", BOMBS)
async def test_parser_bomb_holds_nothing_up(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on while the reading process is at it, and afterwards the next file is read."""
    monkeypatch.setattr(reading_process, "READ_SECONDS", BOMB_SECONDS)
    gap = 0.0
    plain = FileChange(path=".gitlab-ci.yml", kind=ChangeKind.ADDED, content=b"x: 1\n")
    try:
        await scan_apart([plain], {}, (), ())  # starts the process
        for attempt in range(TRIES):  # each with a text of its own: what ended the process is not tried again
            text = _full(BOMBS[path], BOMB) + " " * attempt
            bomb = FileChange(path=path, kind=ChangeKind.ADDED, content=text.encode())
            flags, gap = await _scan_beside_loop(bomb)
            assert {flag.rule for flag in flags} <= {"unread", "test_skipped"}
            assert [flag.rule for flag in await scan_apart([plain], {}, (), ())] == ["ci_file"]
            if gap <= SECONDS:
                return
    finally:
        await reading_process.close()
    pytest.fail(f"the event loop was held for {gap:.2f} s")


async def _scan_beside_loop(change: FileChange) -> tuple[tuple[Flag, ...], float]:
    """What is found in a change, and the longest time in seconds for which the event loop stood still meanwhile."""
    gaps = [0.0]

    async def watch() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(LOOK_SECONDS)
            gaps.append(time.perf_counter() - start - LOOK_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        return await scan_apart([change], {}, (), ()), max(gaps)
    finally:
        watching.cancel()
