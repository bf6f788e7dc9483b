"""Rules about tests: none is removed, skipped, weakened, emptied or made to pass by a constant.

Where a grammar is at hand, the syntax trees before and after are compared; other languages are read line by line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from app.domain import python_shapes
from app.domain.integrity import ChangedText, Flag
from app.domain.shape import NamedShape, TestShape

T = TypeVar("T")

_WITH_TESTS_INSIDE = (".rs",)
"""Languages whose tests are in the files that they test."""
_COLLECTED = re.compile(r"(?:^|/)(?:test_[^/]{1,200}|[^/]{1,200}_test|tests?|conftest)\.py$")
_TEST_PATH = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|testing|e2e|cypress)/|(?:^|/)(?:test_[^/]{1,200}|conftest)\.py$"
    r"|[._-](?:tests?|spec|it)\.[A-Za-z]{1,5}$|(?:Tests?|Spec|IT)\.(?:java|kt|cs|scala|groovy|php|swift)$"
)
_DECLARED = re.compile(
    r"""^\s{0,80}(?:(?:it|test|specify|scenario)(?:\.each\([^\n]{0,200}?\))?\s{0,4}\(\s{0,4}|(?:it|test|specify)\s)(?P<quote>["'`])(?P<title>[^\n]{1,200}?)(?P=quote)"""
    r"|^func\s(?P<go>(?:Test|Fuzz)\w{0,100})\(|\bfunction\s(?P<php>test\w{1,100})\s{0,4}\("
    r"|^\s{0,80}(?:public\s|private\s|async\s|suspend\s|static\s){0,4}(?:void|fun|fn|Task|func)\s(?P<named>test\w{0,100})\s{0,4}\(",
    re.MULTILINE,
)
_MARKED = re.compile(
    r"@Test\b|@ParameterizedTest\b|\[(?:Fact|Theory|Test|TestMethod|TestCase)\b|#\[(?:\w{1,40}::)?test\b"
)
_SKIPS = re.compile(
    r"\b(?:it|test|describe|context|suite)\.(?:skip|todo|only|fails|failing)\b|\b(?:xit|xtest|xdescribe|fit|fdescribe|fcontext)\s{0,4}\("
    r"|\bt\.Skip(?:f|Now)?\(|@(?:Disabled|Ignore)\b|#\[ignore|\bpytest\.(?:skip|xfail|importorskip|mark\.(?:skip|skipif|xfail))"
    r"|\bunittest\.(?:skip|expectedFailure)|\bself\.skipTest\(|\bskip:\s{0,4}(?:true|['\"])"
    r"|\bcollect_ignore|markTestSkipped|\b__test__\s{0,4}=\s{0,4}False|^//\s{0,4}(?:go:build|\+build)\b",
    re.MULTILINE,
)
_LOOSE_SKIPS = re.compile(r"\.Skip\s{0,4}=|\bSkip\s{0,4}=\s{0,4}\"|\bpending\b")
"""Words that may also mean something else; only where no syntax says."""
_ASSERTS = re.compile(r"\b(?:assert\w{0,40}|expect\w{0,20}|should|require|verify|Should|Assert)\b")
_CONSTANT = re.compile(
    r"\bexpect\(\s{0,4}(?:true|false|null|undefined|\d{1,9}|\"[^\"\n]{0,60}\"|'[^'\n]{0,60}')\s{0,4}\)\.(?:not\.)?to"
    r"|\bassert(?:True|That|_true|\.ok|\.isTrue|\.True|\.equal)?\(\s{0,4}(?:true|True|!0|1)\s{0,4}[,)]"
    r"|\bassert!\(\s{0,4}true|\bassert(?:_eq!|Equals?|\.equal|\.Equal)\(\s{0,4}(?P<one>\d{1,9}|true|false)\s{0,4},\s{0,4}(?P=one)\s{0,4}\)"
)


def is_test(path: str) -> bool:
    """Whether the file holds tests, by its name."""
    return _TEST_PATH.search(path) is not None


def scan_tests(files: Sequence[ChangedText]) -> Iterable[Flag]:
    """Flags about the tests of a change; one that moves to another file of it, where it runs too, stays."""
    read = [_Read(file) for file in files if is_test(file.path) or file.path.endswith(_WITH_TESTS_INSIDE)]
    kept = Counter(name for one in read if one.runs or one.file.before is not None for name in one.names_after)
    for one in read:
        yield from _lost(one, files, kept)
        file, before, after = one.file, one.before, one.after
        if before is not None and after is None and not file.deleted:
            yield Flag(rule="test_unreadable", path=file.path)
        elif after is not None:
            yield from _of_shapes(file.path, before or (), after)
            more = _count(_SKIPS, file.after) > _count(_SKIPS, file.before)
            if more and not any(one.shape.skipped for one in after):
                yield Flag(rule="test_skipped", path=file.path)
        elif file.after is not None:
            yield from _of_lines(file)
    yield from _mocked(files)


class _Read:
    """A file with tests, and what its tests do before and after the change, where its syntax is read."""

    def __init__(self, file: ChangedText) -> None:
        self.file = file
        self.before, self.after = _shapes(file.path, file.before), _shapes(file.path, file.after)
        self.names_before = _names(file.path, file.before, self.before)
        self.names_after = _names(file.path, file.after, self.after)
        self.bodies = {one.shape.body for one in self.after or () if one.name not in self.names_before} - {""}
        """Of tests whose names are new."""

    @property
    def runs(self) -> bool:
        """Whether a test runner takes it for a file with tests, by its name."""
        return not self.file.path.endswith(".py") or _COLLECTED.search(self.file.path) is not None


def _shapes(path: str, text: str | None) -> Sequence[NamedShape] | None:
    if path.endswith(".py"):
        return python_shapes.read_tests(text)
    from app.domain import syntax_shapes  # grammars and their patterns: the service itself parses nothing

    return syntax_shapes.read_tests(path, text)


def _names(path: str, text: str | None, shapes: Sequence[NamedShape] | None) -> list[str]:
    """The names of the tests in a text of any language; of Python's, without their classes'."""
    if shapes is not None:
        return [one.name.rpartition(".")[2] if path.endswith(".py") else one.name for one in shapes]
    found = [
        match["title"] or match["go"] or match["php"] or match["named"] for match in _DECLARED.finditer(text or "")
    ]
    return found + re.findall(r"^\s{0,80}(?:async )?def (test\w{0,200})", text or "", re.MULTILINE)


def _lost(one: _Read, files: Sequence[ChangedText], kept: Counter[str]) -> Iterable[Flag]:
    """Flags about removed tests. `kept` counts the tests after the change by name; each is used up once."""
    file = one.file
    bodies = [shape.body for _, shape in one.before] if one.before is not None else [""] * len(one.names_before)
    known = zip(one.names_before, bodies, strict=True)
    lost = [name for name, body in known if not _take(kept, name) and body not in one.bodies]
    marked = _count(_MARKED, file.before) - _count(_MARKED, file.after) if one.before is None else 0
    if lost:
        yield Flag(rule="test_removed", path=file.path, detail=", ".join(lost)[:300])
    elif marked > 0 and not _elsewhere(files, file, marked):
        yield Flag(rule="test_removed", path=file.path, detail=f"{marked} fewer than before")
    elif file.deleted and not one.names_before and file.before and is_test(file.path):
        yield Flag(rule="test_removed", path=file.path, detail="the file is deleted")


def _take(kept: Counter[T], name: T) -> bool:
    if kept[name] <= 0:
        return False
    kept[name] -= 1
    return True


def _elsewhere(files: Sequence[ChangedText], lost_in: ChangedText, count: int) -> bool:
    more = sum(
        max(0, _count(_MARKED, one.after) - _count(_MARKED, one.before)) for one in files if one.path != lost_in.path
    )
    return more >= count


def _count(pattern: re.Pattern[str], text: str | None) -> int:
    return len(pattern.findall(text or ""))


def _of_shapes(path: str, before: Sequence[NamedShape], after: Sequence[NamedShape]) -> Iterable[Flag]:
    for name, was, now in _pairs(before, after):
        if now.skipped and not (was and was.skipped):
            yield Flag(rule="test_skipped", path=path, detail=name)
        if now.constant > (was.constant if was else 0):
            yield Flag(rule="constant_assertion", path=path, detail=name)
        if was is None:
            continue
        if now.cases < was.cases:
            yield Flag(rule="test_removed", path=path, detail=f"{name}: {was.cases} → {now.cases} cases")
        if (now.empty and not was.empty) or (was.assertions > 0 and now.assertions == 0):
            yield Flag(rule="test_emptied", path=path, detail=name)
        elif now.exact < was.exact and now.weak > was.weak:
            yield Flag(rule="test_weakened", path=path, detail=name)
        elif now.assertions < was.assertions:
            yield Flag(rule="fewer_assertions", path=path, detail=f"{name}: {was.assertions} → {now.assertions}")


def _pairs(
    before: Sequence[NamedShape], after: Sequence[NamedShape]
) -> Iterator[tuple[str, TestShape | None, TestShape]]:
    """Each changed or new test with what it was. Of several with one name, those that are the same stay pairs."""
    same = Counter(before) & Counter(after)
    was = _without(before, same)
    for name, now in _without(after, same):
        place = next((place for place, one in enumerate(was) if one.name == name), None)
        yield name, None if place is None else was.pop(place).shape, now


def _without(shapes: Sequence[NamedShape], same: Counter[NamedShape]) -> list[NamedShape]:
    left = same.copy()
    return [one for one in shapes if not _take(left, one)]


def _of_lines(file: ChangedText) -> Iterable[Flag]:
    skipped = _count(_SKIPS, file.after) + _count(_LOOSE_SKIPS, file.after)
    if skipped > _count(_SKIPS, file.before) + _count(_LOOSE_SKIPS, file.before):
        yield Flag(rule="test_skipped", path=file.path)
    if _count(_CONSTANT, file.after) > _count(_CONSTANT, file.before):
        yield Flag(rule="constant_assertion", path=file.path)
    was, now = _count(_ASSERTS, file.before), _count(_ASSERTS, file.after)
    if was and not now:
        yield Flag(rule="test_emptied", path=file.path)
    elif now < was:
        yield Flag(rule="fewer_assertions", path=file.path, detail=f"{was} → {now}")


_PATCHED = re.compile(
    r"(?:\bpatch\(\s{0,4}|\bmonkeypatch\.setattr\(\s{0,4}|\bjest\.mock\(\s{0,4}|\bvi\.mock\(\s{0,4})[\"'](?P<target>[\w./@-]{1,200})[\"']"
)


def _mocked(files: Sequence[ChangedText]) -> Iterable[Flag]:
    """Tests that newly replace a module which the same change touches."""
    subjects = {_module(file.path): file.path for file in files if not is_test(file.path) and file.after is not None}
    for file in files:
        if not is_test(file.path):
            continue
        known = Counter(match["target"] for match in _PATCHED.finditer(file.before or ""))
        for match in _PATCHED.finditer(file.after or ""):
            target = match["target"]
            if known[target] > 0:
                known[target] -= 1
                continue
            parts = [part for part in re.split(r"[./]", target) if part not in {"", "src", "app", "lib"}]
            subject = next((path for module, path in subjects.items() if module and module in parts), None)
            if subject is not None:
                yield Flag(rule="subject_mocked", path=file.path, detail=f"{target}, of {subject}")
                break


def _module(path: str) -> str:
    name = path.rpartition("/")[2].partition(".")[0]
    return "" if name in {"__init__", "index", "main"} or len(name) < 3 else name
