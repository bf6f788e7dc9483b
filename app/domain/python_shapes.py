"""The tests of a Python file, read from its syntax tree."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import cast

from app.domain.shape import HELPER_DEPTH, MAX_PARSED, NamedShape, TestShape, digest_of

_CHECKS = re.compile(r"(?:^|\.)(?:assert\w*|raises|warns|fail|expect\w*|check\w*|verify\w*)$")
_WEAK_CHECKS = re.compile(r"(?:^|\.)assert(?:True|IsNotNone|IsInstance|IsNot|NotEqual|_called|_called_once|_awaited)$")
_SKIPS = frozenset({"pytest.skip", "self.skipTest", "pytest.xfail", "pytest.importorskip", "unittest.SkipTest"})
_SKIP_MARKS = re.compile(r"\b(?:skip|skipif|skipIf|skipUnless|xfail|expectedFailure)\b")
_SWALLOWED = frozenset({"", "Exception", "BaseException", "AssertionError"})
_MAX_CALLEE = 2_000

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_tests(text: str | None) -> Sequence[NamedShape] | None:
    """The tests of a Python file with their qualified names; None where it is none, or cannot be parsed."""
    if text is None or len(text) > MAX_PARSED:
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    helpers = _find_helpers(tree)
    shapes: list[NamedShape] = []
    waiting: list[tuple[str, Sequence[ast.stmt], bool]] = [("", tree.body, False)]
    while waiting:
        prefix, body, skipped = waiting.pop()
        for node in body:
            if isinstance(node, _Function) and node.name.startswith("test"):
                shape = _shape(node, helpers, skipped=skipped or _skips(node.decorator_list))
                shapes.append(NamedShape(prefix + node.name, shape))
            elif isinstance(node, ast.ClassDef):
                waiting.append((f"{prefix}{node.name}.", node.body, skipped or _skips(node.decorator_list)))
            elif isinstance(node, ast.If | ast.Try | ast.With):  # by version or platform, for example
                waiting.append((prefix, node.body, skipped or (isinstance(node, ast.If) and _is_never(node.test))))
                waiting.append((prefix, [] if isinstance(node, ast.With) else node.orelse, skipped))
    return shapes


def _find_helpers(tree: ast.Module) -> frozenset[str]:
    """Functions of the file that assert something, and those that call them."""
    functions = [one for one in ast.walk(tree) if isinstance(one, _Function) and not one.name.startswith("test")]
    found: frozenset[str] = frozenset()
    for _ in range(HELPER_DEPTH):
        found = frozenset(one.name for one in functions if _shape(one, found, skipped=False).assertions)
    return found


def _shape(node: _Function, helpers: frozenset[str], *, skipped: bool) -> TestShape:
    reached = list(_reached(node.body))
    asserts = [one.test for one in reached if isinstance(one, ast.Assert)]
    calls = [(ast.unparse(one.func), one) for one in reached if isinstance(one, ast.Call) and _is_short(one.func)]
    checks = [one for one in calls if _CHECKS.search(one[0]) or one[0].rpartition(".")[2] in helpers]
    body = [one for one in node.body if not _is_text(one)]
    varying = [one for one in asserts if not _is_constant(one)]
    weak = sum(_WEAK_CHECKS.search(name) is not None and not _compares(call) for name, call in checks)
    empty = all(isinstance(one, ast.Pass) or _is_ellipsis(one) or _returns_nothing(one) for one in body)
    return TestShape(
        assertions=len(asserts) + len(checks),
        constant=len(asserts) - len(varying),
        weak=weak + sum(_is_weak(one) for one in varying),
        cases=_count_cases(node.decorator_list),
        skipped=skipped or any(name in _SKIPS for name, _ in calls),
        empty=empty,
        body="" if empty else digest_of("".join(ast.dump(one) for one in body)),
    )


def _reached(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes below, without what comes after a return, under a false condition, or has its failure swallowed."""
    waiting: list[ast.AST] = [*_until_end(body)]
    while waiting:
        node = waiting.pop()
        yield node
        idle = _runs_for_nothing(node)
        for field, value in ast.iter_fields(node):
            if isinstance(value, list) and not (idle and field == "body"):
                children = [one for one in cast("list[object]", value) if isinstance(one, ast.AST)]
                statements = [one for one in children if isinstance(one, ast.stmt)]
                waiting += _until_end(statements) if statements else children
            elif isinstance(value, ast.AST):
                waiting.append(value)


def _runs_for_nothing(node: ast.AST) -> bool:
    """Whether a statement's body never runs, or what fails in it is caught and dropped."""
    match node:
        case ast.If() | ast.While():
            return _is_never(node.test)
        case ast.Try() | ast.TryStar():
            return any(_swallows(one) for one in node.handlers)
        case ast.For(iter=ast.List(elts=elements) | ast.Tuple(elts=elements)):
            return not elements
        case _:
            return False


def _until_end(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    ends = (
        place for place, one in enumerate(body) if isinstance(one, ast.Return | ast.Raise | ast.Continue | ast.Break)
    )
    return body[: next(ends, len(body)) + 1]


def _is_never(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and not test.value


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether it takes the failure of an assertion, and does nothing about it."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {"" if one is None else ast.unparse(one) for one in kinds if one is None or _is_short(one)}
    nothing = all(
        isinstance(one, ast.Pass | ast.Continue) or _is_text(one) or _is_ellipsis(one) for one in handler.body
    )
    return nothing and not names.isdisjoint(_SWALLOWED)


def _compares(call: ast.Call) -> bool:
    """Whether a call is given a comparison, so that an assertion of truth says which value is right."""
    return any(isinstance(one, ast.Compare) for one in call.args[:1])


def _is_short(node: ast.AST) -> bool:
    return len(ast.dump(node)) < _MAX_CALLEE


def _skips(decorators: Sequence[ast.expr]) -> bool:
    return any(_SKIP_MARKS.search(ast.unparse(one)) for one in decorators)


def _count_cases(decorators: Sequence[ast.expr]) -> int:
    """The sets of values that `parametrize` lists."""
    found = 0
    for one in decorators:
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "parametrize":
            values = [*one.args[1:2], *(word.value for word in one.keywords if word.arg == "argvalues")]
            found += sum(len(value.elts) for value in values if isinstance(value, ast.List | ast.Tuple | ast.Set))
    return found


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


def _is_weak(test: ast.expr) -> bool:
    """Whether an assertion holds for nearly any value: a bare name, call or attribute, `is not None`, `isinstance`."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return isinstance(test.ops[0], ast.IsNot | ast.NotEq) and isinstance(test.comparators[0], ast.Constant)
    if isinstance(test, ast.Call):
        return isinstance(test.func, ast.Name) and test.func.id in {"isinstance", "callable", "hasattr", "bool", "len"}
    return isinstance(test, ast.Name | ast.Attribute | ast.Subscript)
