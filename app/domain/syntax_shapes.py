"""The tests of a file in another language than Python, read from its syntax tree: what each asserts, or skips.

The parsers are tree-sitter's, one grammar for each language: https://tree-sitter.github.io/py-tree-sitter/. They read
any text, and make the best of what is wrong in it. Hostile text takes them seconds, so that they run where a deadline
holds: `app/workspace/reading_process.py`.
"""

import functools
import importlib
import re
from collections.abc import Iterator, Sequence

from tree_sitter import Language, Node, Parser

from app.domain.shape import HELPER_DEPTH, MAX_PARSED, NamedShape, TestShape, digest_of
from app.domain.shape_languages import TestLanguage, language_of

_ARGUMENTS = {"arguments", "argument_list", "value_arguments", "token_tree"}
_FUNCTIONS = {
    "arrow_function", "function_expression", "func_literal", "do_block", "block", "anonymous_function",
    "anonymous_function_creation_expression", "lambda_literal", "annotated_lambda",
}  # fmt: skip
"""What a call is given as its test's body."""
_DECLARATIONS = {"function_declaration", "method_declaration", "function_item", "method", "local_function_statement"}
_GROUPS = {"class_declaration", "mod_item", "class"}
_MARKS = {"modifiers", "attribute_list"}
_BEFORE = {"attribute_item", "comment", "block_comment", "line_comment"}
_LEAVES = {"return_statement", "throw_statement", "return_expression", "return", "throw_expression", "jump_expression"}
"""Nothing after them in their block is reached."""
_BLOCKS = {
    "block", "statement_block", "statement_list", "body_statement", "block_body", "compound_statement",
    "declaration_list", "function_body", "statements",
}  # fmt: skip
_CONDITIONS = {"if_statement", "if_expression", "if", "while_statement", "while_expression"}
_NEVER = {"false", "0", "null", "nil", "undefined", "!true", "!1"}
_COMMENTS = {"comment", "line_comment", "block_comment"}
_NAMES = {"name", "variable_name", "constant", "this", "self", "call"}
_COMPARES = re.compile(r"[=!<>]=|[<>]|\b(?:equals|Equals|eq|matches|contains|includes|is_ok_and)\b")
"""In what an assertion of truth is given: then it says which value is right."""
_MAX_CALLEE = 300
_MAX_NAME = 200
_MAX_COMPARED = 2_000


def read_tests(path: str, text: str | None) -> Sequence[NamedShape] | None:
    """The tests of a file; None where no grammar reads it."""
    language = language_of(path)
    if text is None or language is None or len(text) > MAX_PARSED:
        return None
    return _TestReader(language, text).read()


class _TestReader:
    """Reads one file."""

    def __init__(self, language: TestLanguage, text: str) -> None:
        self._language = language
        self._root = _parser(language.module, language.function).parse(text.encode(errors="replace")).root_node
        self._helpers: frozenset[str] = frozenset()

    def read(self) -> Sequence[NamedShape]:
        """All tests, those within others too."""
        helpers = list(self._find_helpers())
        for _ in range(HELPER_DEPTH):
            asserting = (name for name, body in helpers if self._shape(body, skipped=False).assertions)
            self._helpers = frozenset(asserting)
        found: list[NamedShape] = []
        waiting: list[tuple[Node, bool]] = [(self._root, False)]
        while waiting:
            node, skipped = waiting.pop()
            if node.type in _GROUPS:
                skipped = skipped or self._language.skip_marks.search(_marks(node)) is not None
            elif node.type in _DECLARATIONS:
                found += self._declared(node, skipped=skipped)
            elif node.type in self._language.calls and not _is_called(node):
                callee, given = _callee(node)
                if self._language.groups.search(callee):
                    skipped = skipped or _call_skips(node, callee, given, self._language)
                elif given is not None and self._language.called.search(callee):
                    found += self._called(node, callee, given, skipped=skipped)
            waiting += [(child, skipped) for child in reversed(node.named_children)]
        return found

    def _find_helpers(self) -> Iterator[tuple[str, Node]]:
        """The functions of the file that have a name and are no tests."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            waiting += node.named_children
            name, value = _text(node.child_by_field_name("name")), node.child_by_field_name("value")
            if node.type in _DECLARATIONS and not self._is_test(node):
                yield name, node
            elif node.type == "variable_declarator" and value is not None and value.type in _FUNCTIONS:
                yield name, value

    def _is_test(self, declaration: Node) -> bool:
        name = _text(declaration.child_by_field_name("name"))
        return self._language.declared.search(f"{_marks(declaration)}\n{name}") is not None

    def _declared(self, node: Node, *, skipped: bool) -> Iterator[NamedShape]:
        if self._is_test(node):
            name, marks = _text(node.child_by_field_name("name")), _marks(node)
            skipped = skipped or self._language.skip_marks.search(marks) is not None
            shape = self._shape(node.child_by_field_name("body") or node, skipped=skipped)
            yield NamedShape(name, shape.model_copy(update={"cases": len(self._language.cases.findall(marks))}))

    def _called(self, node: Node, callee: str, given: Node, *, skipped: bool) -> Iterator[NamedShape]:
        body, skips = _body(node, given), _call_skips(node, callee, given, self._language)
        if body is not None or (skips and not self._language.skips.search(callee)):
            shape = self._shape(body, skipped=skipped or skips)
            yield NamedShape(_title(given), shape.model_copy(update={"cases": _listed_cases(node)}))

    def _shape(self, body: Node | None, *, skipped: bool) -> TestShape:
        language = self._language
        assertions = constant = weak = 0
        for node in _reached(body) if body is not None else ():
            if node.type == "identifier" and node.parent is not None and node.parent.type in _BLOCKS:
                skipped = skipped or language.skips.search(_text(node)) is not None  # Ruby calls without parentheses
            if node.type == "infix_expression":
                assertions += " should" in _text(node)
            if node.type not in language.calls:
                continue
            callee, given = _callee(node)
            skipped = skipped or language.skips.search(callee) is not None
            if language.asserts.search(callee) and not (callee == "expect" and _alone(node)):
                assertions += 1
                constant += _is_constant(callee, given)
                compares = given is not None and _COMPARES.search(_text(given, _MAX_COMPARED)) is not None
                weak += not compares and language.weak.search(_matched(node, callee)) is not None
            elif callee.startswith("expect(") and given is not None:  # the matcher, given what is expected of
                constant += callee.startswith(f"expect{''.join(_text(given, _MAX_COMPARED).split())}.")
            elif re.split(r"[.:>]", callee)[-1] in self._helpers:
                assertions += 1
        children = [child for child in body.named_children if child.type not in _COMMENTS] if body is not None else []
        empty = not children or all(child.type in _LEAVES for child in children)
        constant = min(constant, assertions)
        return TestShape(
            assertions=assertions,
            constant=constant,
            weak=min(weak, assertions - constant),
            skipped=skipped,
            empty=empty,
            body="" if empty or body is None else digest_of("".join(_text(body, MAX_PARSED).split())),
        )


@functools.cache
def _parser(module: str, function: str) -> Parser:
    grammar: object = getattr(importlib.import_module(module), function)()
    return Parser(Language(grammar))


def _reached(body: Node) -> Iterator[Node]:
    """The nodes of a body, without what comes after a return, under a false condition, or has its failure swallowed."""
    waiting = [body]
    while waiting:
        node = waiting.pop()
        yield node
        children = node.named_children
        if node.type in _CONDITIONS and _text(node.child_by_field_name("condition")).strip("() ") in _NEVER:
            alternative = node.child_by_field_name("alternative")
            children = [] if alternative is None else [alternative]
        elif node.type in _BLOCKS:
            end = next((place for place, child in enumerate(children) if _leaves(child)), len(children))
            children = children[: end + 1]
        elif node.type == "try_statement" and any(_swallows(child) for child in children):
            children = [child for child in children if child.type not in _BLOCKS]
        waiting += reversed(children)


def _matched(node: Node, callee: str) -> str:
    """What is called, with the matchers that are called on its answer: `expect.not.toBe`."""
    outer = node.parent
    while outer is not None and outer.type in {"member_expression", "call_expression", "call", "method_invocation"}:
        name = outer.child_by_field_name("property") or outer.child_by_field_name("name")
        callee += f".{_text(name)}" if name is not None else ""
        if outer.type == "call":  # of Ruby: `expect(x).to be_truthy`
            given = next((child for child in outer.named_children if child.type in _ARGUMENTS), None)
            callee += f".{_text(given)}"
        outer = outer.parent
    return callee[:_MAX_CALLEE]


def _is_called(node: Node) -> bool:
    """Whether what a call gives is called itself: `it.each(…)` in `it.each(…)(…)`."""
    parent = node.parent
    return parent is not None and parent.type == node.type and parent.child_by_field_name("function") == node


def _listed_cases(node: Node) -> int:
    """The sets of values that a table of cases lists: `it.each([1, 2])`."""
    inner = node.child_by_field_name("function")
    given = inner.child_by_field_name("arguments") if inner is not None and inner.type == "call_expression" else None
    table = given.named_child(0) if given is not None else None
    return table.named_child_count if table is not None and table.type == "array" else 0


def _leaves(node: Node) -> bool:
    if node.type == "expression_statement" and node.named_child_count:
        node = node.named_children[0]
    return node.type in _LEAVES


def _swallows(clause: Node) -> bool:
    """Whether it is a catch clause with nothing in it."""
    body = clause.child_by_field_name("body") or next(
        (one for one in clause.named_children if one.type in _BLOCKS), None
    )
    return (
        clause.type in {"catch_clause", "catch_block"}
        and body is not None
        and all(child.type in _COMMENTS for child in body.named_children)
    )


def _callee(node: Node) -> tuple[str, Node | None]:
    """What is called, without white space and without what it is given; and that.

    Of `it.each(…)(…)`, what is called is `it.each`.
    """
    given = next((child for child in node.named_children if child.type in _ARGUMENTS), None)
    called = node.child_by_field_name("function")
    if called is not None and called.type == "call_expression":
        return _callee(called)[0], given
    end = given.start_byte if given is not None else node.end_byte
    block = node.child_by_field_name("block")
    if given is None and block is not None:
        end = block.start_byte
    elif given is None:
        first = node.named_children[0] if node.named_children else node
        end = first.end_byte
    text = (node.text or b"")[: end - node.start_byte][-_MAX_CALLEE:]
    return "".join(text.decode(errors="replace").split()), given


def _body(node: Node, given: Node | None) -> Node | None:
    """The body of the function that a call is given."""
    children = [node.child_by_field_name("block"), *node.named_children, *(given.named_children if given else ())]
    values = [one.named_child(0) or one if one.type == "argument" else one for one in children if one is not None]
    found = next((one for one in values if one.type in _FUNCTIONS), None)
    if found is None:  # some runners take an object that holds it
        return next((one for one in values if one.type == "object"), None)
    return found.child_by_field_name("body") or found


def _title(given: Node) -> str:
    return _text(given.named_children[0] if given.named_children else given)[:_MAX_NAME].strip("\"'`")


def _call_skips(node: Node, callee: str, given: Node | None, language: TestLanguage) -> bool:
    """Whether a test that is made by a call is skipped, or keeps others from running."""
    if language.skip_callee.search(callee):
        return True
    options = [_text(child) for child in given.named_children[1:] if child.type not in _FUNCTIONS] if given else []
    if any(language.skip_options.search(option) for option in options):
        return True
    chained = node.parent
    while chained is not None and chained.type == "member_call_expression":
        if language.skip_callee.search("." + _text(chained.child_by_field_name("name"))):
            return True
        chained = chained.parent
    return False


def _alone(node: Node) -> bool:
    return node.parent is None or node.parent.type in {"expression_statement", *_BLOCKS}


def _is_constant(callee: str, given: Node | None) -> bool:
    """Whether an assertion holds in every case: nothing in it can change, or it compares something with itself."""
    parts = [one for one in given.named_children if _text(one) not in {"t", "b", "tb"}] if given is not None else []
    name = re.split(r"[.:>]", callee)[-1].lower()
    if (
        not parts
        or name.startswith(("fail", "error", "fatal", "panic", "throw", "raise"))
        or "should" in callee.lower()
    ):
        return False
    texts = [_text(one, _MAX_COMPARED) for one in parts]
    compares = "equal" in callee.lower() or callee.lower().endswith(("_eq", "same", "is"))
    if compares and len(texts) > 1 and texts[0] == texts[1]:
        return True
    return texts[0] not in _NEVER and not any(_changes(one) for one in parts)


def _changes(node: Node) -> bool:
    """Whether a name or a call is in an expression."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        named = "identifier" in one.type or one.type in _NAMES
        if named and _text(one) not in {"true", "false", "null"}:  # which are names to Kotlin's grammar
            return True
        waiting += one.named_children
    return False


def _marks(node: Node) -> str:
    """The annotations and attributes of a declaration, and the comment before it."""
    marks = [_text(child, _MAX_COMPARED) for child in node.named_children if child.type in _MARKS]
    before = node.prev_named_sibling
    while before is not None and before.type in _BEFORE:
        marks.append(_text(before, _MAX_COMPARED))
        before = before.prev_named_sibling
    return "\n".join(marks)


def _text(node: Node | None, limit: int = _MAX_CALLEE) -> str:
    return "" if node is None else (node.text or b"")[:limit].decode(errors="replace")
