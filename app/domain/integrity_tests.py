"""Rules about tests: none is removed, skipped, emptied or made to pass by a constant. Python is parsed; other
languages are read line by line.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from app.domain.frozen import Frozen
from app.domain.integrity import ChangedText, Flag

MAX_PARSED = 400_000
"""Characters of a file that is parsed; larger ones are read line by line."""
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
    r"|\bunittest\.(?:skip|expectedFailure)|\bself\.skipTest\(|\.Skip\s{0,4}=|\bSkip\s{0,4}=\s{0,4}\"|\bpending\b|\bskip:\s{0,4}(?:true|['\"])"
    r"|\bcollect_ignore|markTestSkipped"
)
_ASSERTS = re.compile(r"\b(?:assert\w{0,40}|expect\w{0,20}|should|require|verify|Should|Assert)\b")
_CONSTANT = re.compile(
    r"\bexpect\(\s{0,4}(?:true|false|null|undefined|\d{1,9}|\"[^\"\n]{0,60}\"|'[^'\n]{0,60}')\s{0,4}\)\.(?:not\.)?to"
    r"|\bassert(?:True|That|_true|\.ok|\.isTrue|\.True|\.equal)?\(\s{0,4}(?:true|True|!0|1)\s{0,4}[,)]"
    r"|\bassert!\(\s{0,4}true|\bassert(?:_eq!|Equals?|\.equal|\.Equal)\(\s{0,4}(?P<one>\d{1,9}|true|false)\s{0,4},\s{0,4}(?P=one)\s{0,4}\)"
)


class TestShape(Frozen):
    """What a test function of Python does."""

    __test__ = False

    assertions: int
    constant: int
    """Of them, those that are true in every case."""
    skipped: bool
    empty: bool


def is_test(path: str) -> bool:
    """Whether the file holds tests, by its name."""
    return _TEST_PATH.search(path) is not None


def scan_tests(files: Sequence[ChangedText]) -> Iterable[Flag]:
    """Flags about the tests of a change; one that moves to another file of it stays."""
    tests = [file for file in files if is_test(file.path)]
    kept = Counter(name for file in files for name in _names(file.after))
    for file in tests:
        lost = [name for name in _names(file.before) if not _take(kept, name)]
        marked = len(_MARKED.findall(file.before or "")) - len(_MARKED.findall(file.after or ""))
        if lost:
            yield Flag(rule="test_removed", path=file.path, detail=", ".join(lost)[:300])
        elif marked > 0 and not _elsewhere(files, file, marked):
            yield Flag(rule="test_removed", path=file.path, detail=f"{marked} fewer than before")
        elif file.deleted and not _names(file.before) and file.before:
            yield Flag(rule="test_removed", path=file.path, detail="the file is deleted")
        before, after = _shapes(file.path, file.before), _shapes(file.path, file.after)
        if before is not None and after is None and not file.deleted:
            yield Flag(rule="test_unreadable", path=file.path)
        elif before is not None and after is not None:
            yield from _of_python(file.path, before, after)
        elif file.after is not None and after is None:
            yield from _of_lines(file)
        if before is not None or after is not None:
            more = _count(_SKIPS, file.after) > _count(_SKIPS, file.before)
            known = after is not None and any(one.skipped for one in after.values())
            if more and not known and file.after is not None:
                yield Flag(rule="test_skipped", path=file.path)
    yield from _mocked(files)


def _take(kept: Counter[str], name: str) -> bool:
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


def _names(text: str | None) -> list[str]:
    """The names of the tests in a text of any language."""
    found = [
        match["title"] or match["go"] or match["php"] or match["named"] for match in _DECLARED.finditer(text or "")
    ]
    return found + re.findall(r"^\s{0,80}(?:async )?def (test\w{0,200})", text or "", re.MULTILINE)


def _shapes(path: str, text: str | None) -> Mapping[str, TestShape] | None:
    """The tests of a Python file by qualified name; None where it is none, or cannot be parsed."""
    if text is None or not path.endswith(".py") or len(text) > MAX_PARSED:
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    shapes: dict[str, TestShape] = {}
    classes = [
        (node.name, node.body, _skips(node.decorator_list)) for node in tree.body if isinstance(node, ast.ClassDef)
    ]
    for prefix, body, skipped in [("", tree.body, False), *classes]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                shapes[f"{prefix}.{node.name}".lstrip(".")] = _shape(node, skipped)
    return shapes


def _shape(node: ast.FunctionDef | ast.AsyncFunctionDef, skipped: bool) -> TestShape:
    asserts = [one for one in ast.walk(node) if isinstance(one, ast.Assert)]
    calls = [
        ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call) and len(ast.dump(one.func)) < 2_000
    ]
    checks = [
        name
        for name in calls
        if re.search(r"(?:^|\.)(?:assert\w*|raises|warns|fail|expect\w*|check\w*|verify\w*)$", name)
    ]
    body = [one for one in node.body if not _is_text(one)]
    empty = all(isinstance(one, ast.Pass) or _is_ellipsis(one) or _returns_nothing(one) for one in body)
    skips = (
        skipped
        or _skips(node.decorator_list)
        or any(name in {"pytest.skip", "self.skipTest", "pytest.xfail"} for name in calls)
    )
    return TestShape(
        assertions=len(asserts) + len(checks),
        constant=sum(_is_constant(one.test) for one in asserts),
        skipped=skips,
        empty=empty,
    )


def _skips(decorators: Sequence[ast.expr]) -> bool:
    return any(
        re.search(r"\b(?:skip|skipif|skipIf|skipUnless|xfail|expectedFailure)\b", ast.unparse(one))
        for one in decorators
    )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _returns_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Return) and (node.value is None or isinstance(node.value, ast.Constant))


def _is_constant(test: ast.expr) -> bool:
    """Whether an assertion holds in every case: no name is in it, or one is compared with itself."""
    if isinstance(test, ast.Tuple) and test.elts:
        return True
    if isinstance(test, ast.Compare) and len(test.comparators) == 1:
        same = ast.dump(test.left) == ast.dump(test.comparators[0])
        if same and isinstance(test.ops[0], ast.Eq | ast.Is | ast.LtE | ast.GtE):
            return True
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return any(_is_constant(one) for one in test.values)
    names = any(isinstance(one, ast.Name | ast.Call | ast.Attribute) for one in ast.walk(test))
    return not names and not (isinstance(test, ast.Constant) and not test.value)


def _of_python(path: str, before: Mapping[str, TestShape], after: Mapping[str, TestShape]) -> Iterable[Flag]:
    for name, now in after.items():
        was = before.get(name)
        if now.skipped and not (was and was.skipped):
            yield Flag(rule="test_skipped", path=path, detail=name)
        if now.constant > (was.constant if was else 0):
            yield Flag(rule="constant_assertion", path=path, detail=name)
        if was is None:
            continue
        emptied = (now.empty and not was.empty) or (was.assertions > 0 and now.assertions == 0)
        if emptied:
            yield Flag(rule="test_emptied", path=path, detail=name)
        elif now.assertions < was.assertions:
            yield Flag(rule="fewer_assertions", path=path, detail=f"{name}: {was.assertions} → {now.assertions}")


def _of_lines(file: ChangedText) -> Iterable[Flag]:
    rules = (("test_skipped", _SKIPS), ("constant_assertion", _CONSTANT))
    for rule, pattern in rules:
        if _count(pattern, file.after) > _count(pattern, file.before):
            yield Flag(rule=rule, path=file.path)
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
