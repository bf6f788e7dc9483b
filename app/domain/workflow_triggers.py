"""Which workflow files of a commit start for a push to the run's branch, or for its pull request.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#on. What is read here only decides
what is waited for: a workflow that runs although none was expected is judged all the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import yaml

from app.domain.frozen import Frozen
from app.domain.globs import last_match

MAX_WORKFLOW_BYTES = 500_000
"""GitHub takes none that is larger than half a megabyte; what is not read is expected to start."""
_PULL_EVENTS = ("pull_request", "pull_request_target")
_PULL_TYPES = ("opened", "synchronize", "reopened")


class Push(Frozen):
    """What the run has pushed: to its branch, and by that to the pull request into `base`."""

    branch: str
    base: str
    pushed_paths: tuple[str, ...]
    """Changed by the newest commit."""
    pull_paths: tuple[str, ...]
    """Changed by the whole pull request."""
    has_pull: bool = True


class ExpectedWorkflows(Frozen):
    """Whether any workflow file applies; and the others, each with why it does not."""

    files: tuple[str, ...] = ()
    applying: tuple[str, ...] = ()
    """Paths of the files that an event of this push starts."""
    reasons: tuple[str, ...] = ()


def expected_workflows(files: Mapping[str, str | None], push: Push) -> ExpectedWorkflows:
    """Judge workflow files by path and text; None stands for a text that could not be read."""
    applying: list[str] = []
    reasons: list[str] = []
    for path, text in files.items():
        why = _why_not(text, push)
        if why:
            reasons.append(f"{path.rpartition('/')[2]} ({why})")
        else:
            applying.append(path)
    return ExpectedWorkflows(files=tuple(files), applying=tuple(applying), reasons=tuple(reasons))


def _why_not(text: str | None, push: Push) -> str:
    """Why no event of this push starts the workflow; empty when one does, or when that cannot be told."""
    if text is None or len(text) > MAX_WORKFLOW_BYTES:
        return ""
    try:
        # Everything stays text: `on` would be true in YAML 1.1, and merged aliases have no bound.
        document: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError):
        return ""  # GitHub reports a broken file as a failed run
    if not isinstance(document, dict):
        return ""
    content = cast("dict[Any, Any]", document)
    events = _events(content.get("on"))
    found = [_filtered(events["push"], push.branch, push.pushed_paths)] if "push" in events else []
    for event in _PULL_EVENTS:
        if event in events and push.has_pull:
            types = _list(events[event].get("types")) or list(_PULL_TYPES)
            ours = set(types) & {"opened", "synchronize"}
            found.append(_filtered(events[event], push.base, push.pull_paths) if ours else "types")
    if "" in found:
        return ""
    return found[0] if found else f"on {', '.join(sorted(events)[:3]) or 'nothing'}"


def _events(on: object) -> dict[str, dict[Any, Any]]:
    """Event names with their filters, from any of the three forms of `on`."""
    if isinstance(on, str):
        return {on: {}}
    if isinstance(on, list):
        return {name: {} for name in _list(cast("object", on))}
    if isinstance(on, dict):
        given = cast("dict[object, object]", on)
        return {
            k: cast("dict[Any, Any]", v) if isinstance(v, dict) else {} for k, v in given.items() if isinstance(k, str)
        }
    return {}


def _filtered(rule: Mapping[Any, Any], branch: str, paths: Sequence[str]) -> str:
    """The filter that keeps the event out; empty when none does."""
    if "branches" in rule and not last_match(_list(rule["branches"]), branch):
        return "branches"
    if "branches-ignore" in rule and last_match(_list(rule["branches-ignore"]), branch):
        return "branches-ignore"
    tags = "tags" in rule or "tags-ignore" in rule
    if tags and not ("branches" in rule or "branches-ignore" in rule):
        return "tags"
    if "paths" in rule and paths and not any(last_match(_list(rule["paths"]), path) for path in paths):
        return "paths"
    ignored = _list(rule.get("paths-ignore"))
    if ignored and paths and all(last_match(ignored, path) for path in paths):
        return "paths-ignore"
    return ""


def _list(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]
