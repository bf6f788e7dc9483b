"""Workflow files: which of them an event starts, and the jobs they hold."""

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from app.hub.git_repos import Bare
from app.hub.state import Json, items, mapping

EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+(?:\s*\|\|\s*[\w.-]+)*)\s*\}\}")
TYPES = {
    "pull_request": ["opened", "synchronize", "reopened"],
    "pull_request_review": ["submitted", "edited", "dismissed"],
}
"""The activity types that start a workflow which names none:
https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows
"""


@dataclass(frozen=True)
class Workflow:
    """A workflow file at one commit; `jobs` is empty when the file is broken (GitHub: startup failure)."""

    path: str
    name: str
    jobs: list[Json]
    concurrency: Json = field(default_factory=dict[str, Any])
    """Its `group`, as written, and whether a newer run of the group ends this one (`cancel-in-progress`)."""


@dataclass(frozen=True)
class Trigger:
    """What happened: `push` to a branch or, with `tag`, of a tag; or an action of `pull_request` into a base branch."""

    event: str
    branch: str
    """Name of the branch, or of the tag."""
    action: str = ""
    tag: bool = False
    paths: tuple[str, ...] = ()
    """Changed files, for the filters `paths` and `paths-ignore`; empty for a push that compares nothing."""
    draft: bool = False
    """Whether the pull request is one."""


def find(git: Bare, sha: str, trigger: Trigger) -> list[Workflow]:
    """The workflows of a commit's tree that this event starts; none when its message says to skip CI."""
    message = git.lasting("log", "-1", "--format=%B", sha)
    if any(mark in message for mark in ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")):
        return []
    listing = git.lasting("ls-tree", "--name-only", "-z", sha, ".github/workflows/").split("\0")
    found = [_parse(git, sha, path, trigger) for path in listing if path.endswith((".yml", ".yaml"))]
    return [workflow for workflow in found if workflow is not None]


def _parse(git: Bare, sha: str, path: str, trigger: Trigger) -> Workflow | None:
    """The workflow if this event starts it. A file that GitHub could not read fails at startup, on every push."""
    try:
        document: Any = yaml.safe_load(git.lasting("show", f"{sha}:{path}"))
        # To JSON and back: YAML's dates become text, and its key `on`, which YAML 1.1 reads as true, becomes "true".
        content: Json = json.loads(json.dumps(mapping(document), default=str))
        if not _starts(content.get("on", content.get("true")), trigger):
            return None
        defined = mapping(content.get("jobs"))
        jobs = [job for key, definition in defined.items() for job in _jobs(key, mapping(definition), content)]
    except (yaml.YAMLError, TypeError, ValueError, AttributeError):
        return Workflow(path, path, []) if trigger.event == "push" else None
    return Workflow(path, str(content.get("name", path)), jobs, _concurrency(content.get("concurrency")))


def _concurrency(value: Any) -> Json:
    return {"group": value} if isinstance(value, str) else mapping(value)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _starts(on: Any, trigger: Trigger) -> bool:
    if isinstance(on, str | list):
        return trigger.event in _list(on) and _starts({trigger.event: None}, trigger)
    if not _is_map(on) or trigger.event not in on:
        return False
    rule = mapping(on[trigger.event])
    if trigger.event in TYPES and trigger.action not in _list(rule.get("types") or TYPES[trigger.event]):
        return False
    # Filters of one kind of ref alone keep the other kind out; without any, both start the workflow:
    # https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#onpushbranchestagsbranches-ignoretags-ignore
    this, other = ("tags", "branches") if trigger.tag else ("branches", "tags")
    if trigger.event == "push" and not _filters(rule, this) and _filters(rule, other):
        return False
    if not (matches(trigger.branch, rule[this]) if this in rule else not _ignored(rule, this, trigger.branch)):
        return False
    # A workflow runs for one matching path; with `paths-ignore` it stays away when all of them match. It makes neither
    # run nor check then: https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
    if "paths" in rule and trigger.paths:
        return any(matches(path, rule["paths"]) for path in trigger.paths)
    return not trigger.paths or not all(_ignored(rule, "paths", path) for path in trigger.paths)


def _list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _ignored(rule: Json, kind: str, name: str) -> bool:
    return matches(name, rule.get(f"{kind}-ignore") or [])


def _filters(rule: Json, kind: str) -> bool:
    return kind in rule or f"{kind}-ignore" in rule


def matches(branch: str, patterns: str | list[str]) -> bool:
    """GitHub's filter of branches and tags: `*` stops at a slash, `**` does not, `!pattern` takes a match back."""
    result = False
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        negative, text = pattern.startswith("!"), pattern.removeprefix("!")
        pieces = re.split(r"(\*\*|\*|\?)", text)
        expression = "".join({"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece) for piece in pieces)
        if re.fullmatch(expression, branch):
            result = not negative
    return result


def _jobs(key: str, job: Json, document: Json) -> list[Json]:
    """A job, once for each combination of its matrix's lists (`include` and `exclude` are not expanded).

    Raises TypeError or ValueError for steps, variables or a time limit that are not what they should be.
    """
    steps = [mapping(step) for step in items(job.get("steps"))]
    steps = [step | {"env": mapping(step.get("env")), "with": mapping(step.get("with"))} for step in steps]
    minutes = float(job.get("timeout-minutes") or 0)
    matrix = mapping(mapping(job.get("strategy")).get("matrix"))
    named = {name: values for name, values in matrix.items() if name not in ("include", "exclude")}
    axes = {name: items(values) for name, values in named.items() if isinstance(values, list)}
    needs: Any = job.get("needs") or []
    made: list[Json] = []
    for values in itertools.product(*axes.values()):
        suffix = f" ({', '.join(str(value) for value in values)})" if values else ""
        shared: Json = {"env": mapping(document.get("env")) | mapping(job.get("env")), "steps": steps, "key": key}
        shared |= {"matrix": dict(zip(axes, values, strict=True)), "timeout-minutes": minutes}
        shared |= {"needs": [needs] if isinstance(needs, str) else needs}
        made.append(job | shared | {"name": f"{job.get('name', key)}{suffix}"})
    return made


_DRAFT = re.compile(r"^(!)?\s*github\.event\.pull_request\.draft\s*(?:(==|!=)\s*(true|false))?$")


def is_skipped(job: Json, trigger: Trigger) -> bool:
    """Whether the job's `if` keeps it away. Only conditions on drafts are read, in the forms that people write, and
    plain `false`: https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#pull_request
    """
    condition = str(job.get("if", "")).strip().removeprefix("${{").removesuffix("}}").strip()
    if condition.lower() == "false":
        return True
    found = _DRAFT.match(condition)
    if found is None:
        return False
    # Of a push there is no pull request, and null is false.
    value = trigger.draft != (found[1] == "!")
    wanted = True if found[2] is None else (found[3] == "true") == (found[2] == "==")
    return value != wanted


def expand(text: Any, values: dict[str, Any]) -> str:
    """Replace `${{ name }}` and `${{ name || other }}` by a known value; an unknown context is empty, as on GitHub."""

    def value(match: re.Match[str]) -> str:
        return next((str(values[name]) for part in match[1].split("||") if values.get(name := part.strip())), "")

    return EXPRESSION.sub(value, str(text))
