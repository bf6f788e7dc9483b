"""Rulesets: what GitHub refuses of the commits that an App brings to a branch, and in which words.

https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/available-rules-for-rulesets
The words that are quoted in public: googleapis/release-please-action#1194 (creations), "Commits must have verified
signatures.", "Changes must be made through a pull request." and "5 of 5 required status checks are expected." as git
prints them behind GH013. Those on messages and paths are not public; they name the pattern, as the documentation says.
"""

import re

from app.hub.git_repos import ZERO, Bare, bare
from app.hub.state import HubState
from app.hub.store import Row
from app.hub.suites import GREEN, context_states
from app.hub.workflow_files import matches

KINDS = (
    "creation",
    "update",
    "pull_request",
    "required_signatures",
    "required_status_checks",
    "commit_message_pattern",
    "file_path_restriction",
)


def add(hub: HubState, repo: Row, kind: str, pattern: str, branches: str) -> None:
    """Add a rule for the branches that match a glob. `pattern` is what the kind needs: names, a pattern, a glob."""
    if kind not in KINDS:
        raise ValueError(f"no such rule: {kind}")
    hub.store.insert("rules", repo_id=repo["id"], kind=kind, pattern=pattern, branches=branches)


def violations(hub: HubState, repo: Row, ref: str, old: str, new: str) -> list[str]:
    """What the rules of a branch say against moving it from `old` (zero: it is made) to `new`."""
    branch = ref.removeprefix("refs/heads/")
    if branch == ref or new == ZERO:
        return []
    rows = hub.store.rows("SELECT * FROM rules WHERE repo_id = ? ORDER BY id", repo["id"])
    found = [_violation(hub, repo, row, old, new) for row in rows if matches(branch, row["branches"])]
    return [words for words in found if words]


def _violation(hub: HubState, repo: Row, rule: Row, old: str, new: str) -> str:
    git, kind, pattern = bare(hub, repo), rule["kind"], str(rule["pattern"])
    fresh = _fresh(git, repo, old, new)
    if kind == "creation":
        return "Cannot create ref due to creations being restricted." if old == ZERO else ""
    if kind == "update":
        return "Cannot update this protected ref." if old != ZERO else ""
    if kind == "pull_request":
        return "Changes must be made through a pull request."
    if kind == "required_signatures":
        return "" if all(_is_signed(hub, sha) for sha in fresh) else "Commits must have verified signatures."
    if kind == "required_status_checks":
        names, states = pattern.split(","), context_states(hub, repo, new)
        unmet = [name for name in names if states.get(name) not in GREEN]
        return f"{len(unmet)} of {len(names)} required status checks are expected." if unmet else ""
    if kind == "commit_message_pattern":
        bad = any(not re.search(pattern, git.lasting("log", "-1", "--format=%B", sha)) for sha in fresh)
        return f"Commit message must match the pattern: {pattern}" if bad else ""
    start = old if old != ZERO else git.ref(f"refs/heads/{repo['default_branch']}")
    paths = git.run("diff", "--name-only", "--no-renames", "-z", start, new).split("\0") if start else []
    path = next((one for one in paths if one and matches(one, pattern)), None)
    return f"File path {path} is restricted by the pattern: {pattern}" if path else ""


def _fresh(git: Bare, repo: Row, old: str, new: str) -> list[str]:
    """The commits that neither the branch nor the default branch has."""
    known = [f"^{one}" for one in (old, git.ref(f"refs/heads/{repo['default_branch']}")) if one and one != ZERO]
    return git.run("rev-list", new, *known).splitlines()


def _is_signed(hub: HubState, sha: str) -> bool:
    return hub.store.row("SELECT sha FROM verified_commits WHERE sha = ?", sha) is not None
