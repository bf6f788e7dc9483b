"""The table of all calls to GitHub in docs/github-app.md, made from the code.

    python -m tests.github_calls --write

Methods and paths are githubkit's, permissions those that the embedded GitHub demands (GitHub's own list is
`src/github-apps/data/fpt-2026-03-10/server-to-server-permissions.json` in github/docs). Whether a call is work or
telling follows from who makes it: what only functions marked `@telling` reach is telling.
"""

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from app.hub.server import ROUTED

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "github-app.md"
BEGIN, END = "<!-- calls: begin -->\n", "<!-- calls: end -->"
TELLING = "left out, with a notice"
WORK = "ends the run, with the reason"
REFUSED = {
    "apps.get_authenticated": "`/health` and the log say what is wrong with the App's id, key or address",
    "apps.create_installation_access_token": "403: suspended, 404 and 422: out of reach. Ends the run, with the reason",
    "apps.get_repo_installation": "a start over the REST API is answered with 422: the App is not installed there",
    "apps.list_webhook_deliveries": "the reconciler logs it and tries again two minutes later",
    "apps.redeliver_webhook_delivery": "404, 422: GitHub no longer has the delivery; else as above",
    "actions.list_workflow_runs_for_repo": "404: Actions are turned off, so there are none",
    "actions.re_run_workflow_failed_jobs": "the check stays red, with the reason",
    "actions.download_job_logs_for_workflow_run": "404, 410: GitHub no longer has the log, which the Builder is told",
    "git.get_ref": "404: there is no such branch or ref",
    "git.create_tree": "409, 422 for what is in it (secrets, paths, sizes): back to the Builder",
    "git.create_blob": "409, 422 for what is in it (secrets, paths, sizes): back to the Builder",
    "git.create_commit": "409, 422 for its message: back to the Builder",
    "git.update_ref": "409, 422: the branch moved, or a rule: back to the Builder, or to a person",
    "git.create_ref": "422 for what is in the commit: back to the Builder. A snapshot's ref is left out",
    "repos.merge": "409: a conflict, which becomes a phase; 403 for a changed workflow file: not promotable",
    "repos.get_branch": "403, 404: nothing counts as required",
    "repos.get_branch_rules": "403, 404: nothing counts as required",
    "repos.get_collaborator_permission_level": "404: the person may not steer",
    "repos.get_content": "404: there is no such file",
    "pulls.create": "422 where drafts are not to be had: made without draft",
    "apps.list_installations": "the reconciler logs it and tries again two minutes later",
    "apps.list_repos_accessible_to_installation": "the reconciler logs it and tries again two minutes later",
    "issues.list_events_for_repo": "the reconciler logs it and leaves the repository out",
    "issues.list_comments_for_repo": "the reconciler logs it and leaves the repository out",
    "graphql.reviewThreads": TELLING,
}
"""What a refusal leads to where it is neither of the two rules."""


@dataclass
class _Function:
    """A function of `app/github`, by what it calls."""

    telling: bool
    calls: set[str] = field(default_factory=set[str])
    operations: set[str] = field(default_factory=set[str])


def operations() -> dict[str, bool]:
    """Every operation by its name (`issues.create_comment`, `graphql.resolveReviewThread`); True for telling."""
    functions = dict(_functions())
    outside = _names_outside()
    callers = {
        name: [other for other, one in functions.items() if name.partition(".")[2] in one.calls and other != name]
        for name in functions
    }

    def tells(name: str, seen: frozenset[str] = frozenset()) -> bool:
        if functions[name].telling:
            return True
        above = [one for one in callers[name] if one not in seen | {name}]
        return name not in outside and bool(above) and all(tells(one, seen | {name}) for one in above)

    found: dict[str, bool] = {}
    for name, function in functions.items():
        for operation in function.operations:
            found[operation] = found.get(operation, True) and tells(name)
    return found


def _functions() -> Iterator[tuple[str, _Function]]:
    for path in sorted((ROOT / "app" / "github").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        queries = {
            target.id: re.findall(r"\b(\w+)\(", str(node.value.value))[
                -1 if "mutation" in str(node.value.value) else -2
            ]
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and "{" in str(node.value.value)
        }
        methods = [inner for node in tree.body if isinstance(node, ast.ClassDef) for inner in node.body]
        for node in (*tree.body, *methods):
            if isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef)):
                yield f"{path.stem}.{node.name}", _read(node, queries)


def _read(node: ast.AsyncFunctionDef | ast.FunctionDef, queries: dict[str, str]) -> _Function:
    marks = [one.func.id for one in node.decorator_list if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]
    function = _Function("telling" in marks)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and (
            called := re.search(r"\brest\.(\w+)\.async_(\w+)$", ast.unparse(inner))
        ):
            function.operations.add(f"{called[1]}.{called[2]}")
        if isinstance(inner, ast.Name):
            function.calls.add(inner.id)
            if inner.id in queries:
                function.operations.add(f"graphql.{queries[inner.id]}")
        if isinstance(inner, ast.Attribute):
            function.calls.add(inner.attr)
    return function


def _names_outside() -> set[str]:
    """Functions that workflows, handlers or the web name: `module.function`."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("app/workflows", "handlers", "app/web")
        for path in (ROOT / folder).rglob("*.py")
    )
    return set(re.findall(r"\b(?:checks|ci_facts|ci_jobs|comments|commits|issues|pulls|reviews)\.\w+(?=\()", text))


def address(operation: str) -> tuple[str, str]:
    """Method and path of an operation."""
    room, _, name = operation.partition(".")
    if room == "graphql":
        return "POST", "/graphql"
    module = import_module(f"githubkit_schemas.v2026_03_10.rest.{room}")
    source = inspect.getsource(getattr(getattr(module, f"{room.capitalize()}Client"), f"async_{name}"))
    path, method = re.search(r'url = f?"([^"]+)"', source), re.search(r'request\(\s*"([A-Z]+)"', source)
    if path is None or method is None:
        raise ValueError(f"no address of {operation}")
    return method[1], path[1]


def permission(method: str, path: str) -> str:
    """What the embedded GitHub demands of the App there."""
    if path == "/graphql":
        return "pull_requests:write, contents:write"
    wanted = _shape(path)
    for module in ROUTED:
        for route in module.routes:
            if route.method == method and _shape(route.path) == wanted:
                return "the App's key" if route.needs == "app" else route.needs.replace("|", " or ")
    raise ValueError(f"the embedded GitHub has no {method} {path}")


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def table() -> str:
    """The table in Markdown."""
    rows = ["| call | permission | kind | refused |", "| --- | --- | --- | --- |"]
    for operation, telling in sorted(operations().items(), key=lambda one: (address(one[0])[1], one[0])):
        method, path = address(operation)
        name = f" `{operation.partition('.')[2]}`" if path == "/graphql" else ""
        kind, default = ("telling", TELLING) if telling else ("work", WORK)
        needs = permission(method, path)
        rows.append(f"| `{method} {path}`{name} | {needs} | {kind} | {REFUSED.get(operation, default)} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The page with the table as the code has it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(table())


if __name__ == "__main__":
    main()
