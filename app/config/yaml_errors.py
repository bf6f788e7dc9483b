"""Files that people write, read into models; errors name the line and the name that was probably meant."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, TypeVar, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_PLAIN = {
    "missing": "missing",
    "too_short": "at least one is needed",
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
}
M = TypeVar("M", bound=BaseModel)
Location = tuple[int | str, ...]
MAX_CHARACTERS = 1_000_000
"""Of a file of the operator's own."""
MAX_DEPTH = 50
MAX_PROBLEMS = 20
MAX_SHOWN = 200
"""Characters of one problem, which may repeat what the file says."""
SIMILARITY = 0.5
"""Share of common letters from which one name may have been meant by another."""


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, whose expansion has no bound, with keys as they stand: 1.1 reads the key `on` as true."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark: Any = getattr(cast("object", self.peek_event()), "start_mark", None)
            problem = "aliases (`*name`) are not read here; write the value out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


class SettingsError(ValueError):
    """A settings, ruleset or plan file that does not fit: one line of text per problem, each naming its line."""


def read_yaml(text: str, limit: int = MAX_CHARACTERS) -> object:
    """What a YAML or JSON file holds. Raises `SettingsError`, also for one that is too long or too deep."""
    if len(text) > limit:
        raise SettingsError(f"the file has {len(text):,} characters, at most {limit:,} are read")
    if (line := _too_deep(text)) is not None:
        kind = "JSON" if text.lstrip().startswith(("{", "[")) and '"' in text[:1_000] else "YAML"
        raise SettingsError(
            f"not valid {kind}: line {line} has more than {MAX_DEPTH} lists or blocks within each other"
        )
    # JSON first: indented with tabs, it is no YAML.
    problem = ""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            problem = f"line {error.lineno}: not valid JSON: {error.msg}"
        except RecursionError as error:
            raise SettingsError(f"not valid JSON: {error}") from error
    try:
        data: object = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  it makes plain values only
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 99; lists in lists in lists
        if problem and '"' in text.partition(":")[0]:  # else YAML's own flow style, whose keys need no quotes
            raise SettingsError(problem) from error
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise SettingsError(f"{where}not valid YAML: {getattr(error, 'problem', None) or error}") from error
    return data


def _too_deep(text: str) -> int | None:
    """The line on which brackets are nested too deep; None where they are not. Those in words count, too."""
    depth = 0
    for match in re.finditer(r"[\[{\]}]", text):
        depth = max(0, depth + (1 if match[0] in "[{" else -1))
        if depth > MAX_DEPTH:
            return text.count("\n", 0, match.start()) + 1
    return None


def validate(
    model: type[M], data: object, text: str, also: Callable[[M], Iterable[tuple[Location, str]]] | None = None
) -> M:
    """Validate `data`, which `text` holds, by the model and by `also`, which tells where what is wrong.

    Raises `SettingsError` with every problem.
    """
    node = _tree(text)
    found = [(line, f"{key}: given twice") for line, key in _duplicate_key(node)]
    try:
        fitting = model.model_validate(data)
    except ValidationError as error:
        every = error.errors(include_url=False)
        errors = every[:MAX_PROBLEMS]
        found += [(_line(node, one["loc"]), _messages(model, one)) for one in errors if not _follows(one, errors)]
        more = f"\n… and {len(every) - MAX_PROBLEMS:,} more" if len(every) > MAX_PROBLEMS else ""
        raise SettingsError(_lines(found) + more) from error
    more = also(fitting) if also else ()
    found += [(_line(node, location), f"{_dotted(location)}: {problem}") for location, problem in more]
    if found:
        raise SettingsError(_lines(found))
    return fitting


def _tree(text: str) -> Any:
    """The file with its line numbers; None for JSON with what YAML cannot read, whose problems are all on line 1."""
    try:
        return yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None


def _follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether a list is too short only because what it holds does not fit."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        one["loc"][:depth] == error["loc"] and len(one["loc"]) > depth for one in errors
    )


def _lines(found: list[tuple[int, str]]) -> str:
    ordered = sorted(found[:MAX_PROBLEMS], key=lambda one: one[0])
    return "\n".join(f"line {line}: {_shown(problem)}" for line, problem in ordered)


def _shown(problem: str) -> str:
    return problem if len(problem) <= 2 * MAX_SHOWN else f"{problem[:MAX_SHOWN]} … {problem[-MAX_SHOWN:]}"


def _messages(model: type[BaseModel], error: ErrorDetails) -> str:
    location = tuple(part for part in error["loc"] if part != "[key]")
    problem = _problem(model, error, location)
    return f"{_dotted(location)}: {problem}" if location else problem


def _dotted(location: Location) -> str:
    return ".".join(map(str, location))


def _problem(model: type[BaseModel], error: ErrorDetails, location: Location) -> str:
    """In a person's words, with the nearest thing that would have fitted."""
    kind = error["type"]
    if kind == "extra_forbidden":
        return "unknown key" + _suggestion(str(location[-1]), _keys(model, location[:-1]))
    if kind in {"enum", "literal_error"}:
        allowed = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
        return f"{str(error['input'])[:MAX_SHOWN]!r} is not known here" + _suggestion(str(error["input"]), allowed)
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        keys = ", ".join(_keys(model, location))
        return f"a block of keys is expected ({keys})" if keys else "a block of keys is expected"
    if kind in _PLAIN:
        return _PLAIN[kind]
    return error["msg"].removeprefix("Value error, ")


def _suggestion(given: str, allowed: Sequence[str]) -> str:
    likeness = {one: SequenceMatcher(None, given[:100], one).ratio() for one in allowed}
    nearest = max(allowed, key=likeness.__getitem__, default="")
    if likeness.get(nearest, 0) >= SIMILARITY:
        return f"; did you mean `{nearest}`?"
    return f"; allowed: {', '.join(allowed)}" if allowed else ""


def _keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that a block may have; none where anything may be a key."""
    kind: Any = model
    for part in location:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        else:
            kind = next(iter(get_args(kind)[1:]), None) if get_origin(kind) is dict else _item(kind)
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [str(one) for one in get_args(kind)[0]] if get_origin(kind) is dict else []


def _bare(kind: Any) -> Any:
    """`X` of `X | None`."""
    options = [one for one in get_args(kind) if one is not type(None)]
    return options[0] if len(options) == 1 and type(None) in get_args(kind) else kind


def _item(kind: Any) -> Any:
    return next(iter(get_args(kind)), None)


def _line(node: Any, location: Location) -> int:
    """The 1-based line of the deepest part of `location` that the file holds."""
    line = node.start_mark.line + 1 if node else 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _duplicate_key(node: Any) -> Iterator[tuple[int, str]]:
    """Keys that a block gives more than once, of which YAML would take the last; with the line of the repetition."""
    waiting, seen = [node], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:  # an alias of a value that was checked
            continue
        seen.add(id(one))
        if isinstance(one, yaml.SequenceNode):
            waiting += one.value
        elif isinstance(one, yaml.MappingNode):
            given = Counter[str]()
            for key, _ in one.value:
                given[str(key.value)] += 1
                if given[str(key.value)] > 1:
                    yield key.start_mark.line + 1, str(key.value)
            waiting += [value for _, value in one.value]
