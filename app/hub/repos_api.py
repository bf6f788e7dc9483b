"""Repositories: themselves, collaborators, contents, commits, comparison, merges, branches and their rules."""

import base64

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import role
from app.hub.commits_api import commit, merge_commit, resolve
from app.hub.diffs import file_diffs
from app.hub.git_repos import EMPTY_TREE
from app.hub.github_problems import Refusal
from app.hub.journal import record
from app.hub.refs import check, moved
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import complete, full_name, repo_url, repository, user
from app.hub.state import Json

routes = Routes()
REPO = "/repos/{owner}/{repo}"
MAX_COMPARE_FILES = 300
MAX_COMPARE_COMMITS = 250


@routes.add("GET", REPO, "metadata:read")
def get_repository(call: Call) -> Json:
    """The repository."""
    return repository(call.hub, call.repo, m.FullRepository)


@routes.add("GET", f"{REPO}/collaborators/{{username}}/permission", "metadata:read")
def get_permission(call: Call) -> Json:
    """A user's role, and the older, coarser permission (maintain is write, triage is read)."""
    row = call.hub.store.row("SELECT id FROM users WHERE login = ?", call.path["username"])
    if row is None:
        raise Refusal(404, "Not Found")
    held = role(call.hub, call.repo, row["id"])
    permission = {"maintain": "write", "triage": "read"}.get(held, held)
    shown = user(call.hub, row["id"]) | {"role_name": held}
    return dump(m.RepositoryCollaboratorPermission, {"permission": permission, "role_name": held, "user": shown})


@routes.add("GET", f"{REPO}/contents/{{path:path}}", "contents:read")
def get_contents(call: Call) -> Json | list[Json]:
    """A file (base64) or a directory's listing at `ref`, the default branch unless given."""
    ref, path = call.query.get("ref") or str(call.repo["default_branch"]), call.path["path"].strip("/")
    sha = call.git.resolve(ref)
    if sha is None:
        raise Refusal(404, f"No commit found for the ref {ref}")
    status, out, _ = call.git.raw("ls-tree", "-z", "-l", sha, "--", *([path] if path else []))
    lines = out.decode().split("\0")[:-1] if status == 0 else []
    if lines and path and lines[0].split()[1] == "tree":
        listing = call.git.run("ls-tree", "-z", "-l", f"{sha}:{path}").split("\0")[:-1]
        return [_content(call, line, f"{path}/", ref) for line in listing]
    if not path:
        return [_content(call, line, "", ref) for line in lines]
    if not lines:
        raise Refusal(404, "Not Found")
    value = _content(call, lines[0], "", ref)
    content = call.git.raw("cat-file", "blob", value["sha"])[1]
    return dump(m.ContentFile, value | {"encoding": "base64", "content": base64.encodebytes(content).decode()})


def _content(call: Call, line: str, folder: str, ref: str) -> Json:
    meta, name = line.split("\t", 1)
    _, kind, sha, size = meta.split()
    path = folder + name
    url = f"{repo_url(call.hub, call.repo)}/contents/{path}?ref={ref}"
    git_url = f"{repo_url(call.hub, call.repo)}/git/{kind}s/{sha}"
    page = f"{call.hub.url}/{full_name(call.hub, call.repo)}/blob/{ref}/{path}"
    value: Json = {"type": "dir" if kind == "tree" else "file", "name": path.rpartition("/")[2], "path": path}
    value |= {"sha": sha, "size": int(size) if size != "-" else 0, "url": url, "git_url": git_url, "html_url": page}
    return value | {"download_url": None, "_links": {"self": url, "git": git_url, "html": page}}


@routes.add("GET", f"{REPO}/commits", "contents:read")
def list_commits(call: Call) -> list[Json]:
    """Commits from `sha` (a branch or commit; the default branch unless given), newest first, under `path`."""
    sha = call.git.resolve(call.query.get("sha") or str(call.repo["default_branch"]))
    if sha is None:
        raise Refusal(404, "Not Found")
    paths = ["--", call.query["path"]] if "path" in call.query else []
    shas = call.git.run("rev-list", sha, *paths).splitlines()
    return [commit(call.hub, call.repo, each) for each in call.page(shas)]


@routes.add("GET", f"{REPO}/compare/{{basehead:path}}", "contents:read")
def compare(call: Call) -> Json:
    """How `head` differs from its merge base with `base`: at most 250 commits and 300 files."""
    base_name, dots, head_name = call.path["basehead"].partition("...")
    base, head = call.git.resolve(base_name), call.git.resolve(head_name)
    if not dots or base is None or head is None:
        raise Refusal(404, "Not Found")
    start = call.git.merge_base(base, head)
    if start is None:
        raise Refusal(404, f"No common ancestor between {base_name} and {head_name}.")
    behind, ahead = map(int, call.git.run("rev-list", "--left-right", "--count", f"{base}...{head}").split())
    status = "identical" if base == head else "diverged" if ahead and behind else "ahead" if ahead else "behind"
    shas = call.git.run("rev-list", "--reverse", f"{base}..{head}").splitlines()[:MAX_COMPARE_COMMITS]
    url, hub = repo_url(call.hub, call.repo), call.hub
    page = f"{hub.url}/{full_name(hub, call.repo)}/compare/{base_name}...{head_name}"
    files = file_diffs(call.git, start, head)[:MAX_COMPARE_FILES]
    value: Json = {"status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead}
    value |= {"base_commit": commit(hub, call.repo, base), "merge_base_commit": commit(hub, call.repo, start)}
    value |= {"commits": [commit(hub, call.repo, sha) for sha in shas], "html_url": page, "permalink_url": page}
    value |= {"diff_url": f"{page}.diff", "patch_url": f"{page}.patch", "files": [f.view(url, head) for f in files]}
    return complete(m.CommitComparison, f"{url}/compare/{base_name}...{head_name}", value)


@routes.add("GET", f"{REPO}/commits/{{ref:path}}", "contents:read")
def get_commit(call: Call) -> Json:
    """A commit with its files."""
    sha = resolve(call.git, call.path["ref"])
    parent = call.git.resolve(f"{sha}^") or EMPTY_TREE
    files = file_diffs(call.git, parent, sha)
    base = repo_url(call.hub, call.repo)
    value = commit(call.hub, call.repo, sha) | {"files": [file.view(base, sha) for file in files[:MAX_COMPARE_FILES]]}
    return dump(m.Commit, value)


@routes.add("POST", f"{REPO}/merges", "contents:write", "write")
def merge(call: Call) -> tuple[int, Json | None]:
    """Merge `head` into the branch `base`: 201 with the commit, 204 when nothing changes, 409 on a conflict."""
    body, hub = call.body(m.ReposOwnerRepoMergesPostBody), call.hub
    ref = f"refs/heads/{body['base']}"
    base, head = call.git.ref(ref), call.git.resolve(body["head"])
    if base is None:
        raise Refusal(404, "Base does not exist")
    if head is None:
        raise Refusal(404, "Head does not exist")
    if call.git.is_ancestor(head, base):
        return 204, None
    tree = call.git.merge_tree(base, head)
    if tree is None:
        raise Refusal(409, "Merge conflict")
    # As in https://github.com/Mergifyio/mergify/issues/5055, whoever has made the change. Others report that branches
    # of the same repository pass: the stricter one is played.
    changed = call.git.run("diff", "--name-only", f"{base}^{{tree}}", tree, "--", ".github/workflows/").splitlines()
    if changed and call.actor.kind == "installation" and not call.actor.has("workflows", "write"):
        refused = f"refusing to allow a GitHub App to create or update workflow `{changed[0]}`"
        raise Refusal(403, f"{refused} without `workflows` permission")
    message = body.get("commit_message") or f"Merge {body['head']} into {body['base']}"
    sha = merge_commit(hub, call.git, call.actor, tree, [base, head], message)
    check(hub, call.repo, call.actor, ref, base, sha, status=409)
    record(hub, call.actor, call.repo, "merge", message, sha=sha, name=ref)
    call.git.run("update-ref", ref, sha, base)
    moved(hub, call.repo, call.actor, ref, base, sha)
    return 201, commit(hub, call.repo, sha)


def _branch(call: Call) -> str:
    """The tip of the path's branch; 404 when it does not exist."""
    sha = call.git.ref(f"refs/heads/{call.path['branch']}")
    if sha is None:
        raise Refusal(404, "Branch not found")
    return sha


def _pinned(call: Call, source: str, key: str) -> list[Json]:
    """The demanded checks, each with the App that alone may report it, if any."""
    sql = "SELECT contexts, pins FROM protections WHERE repo_id = ? AND branch = ? AND source = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.path["branch"], source)
    if row is None:
        return []
    pins: Json = row["pins"] or {}
    unpinned: Json = {key: None} if key == "app_id" else {}
    return [{"context": name} | ({key: pins[name]} if name in pins else unpinned) for name in row["contexts"]]


def _contexts(call: Call, source: str) -> list[str] | None:
    sql = "SELECT contexts FROM protections WHERE repo_id = ? AND branch = ? AND source = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.path["branch"], source)
    return None if row is None else list(row["contexts"])


def _status_checks(call: Call, url: str) -> Json | None:
    contexts = _contexts(call, "protection")
    if not contexts:
        return None
    value: Json = {"url": f"{url}/required_status_checks", "strict": False, "contexts": contexts}
    value |= {"contexts_url": f"{url}/required_status_checks/contexts"}
    return value | {"checks": _pinned(call, "protection", "app_id")}


@routes.add("GET", f"{REPO}/branches/{{branch:path}}/protection", "administration:read", "admin")
def get_protection(call: Call) -> Json:
    """Branch protection; 404 "Branch not protected" when there is none (rulesets are not shown here)."""
    _branch(call)
    if _contexts(call, "protection") is None:
        raise Refusal(404, "Branch not protected")
    url = f"{repo_url(call.hub, call.repo)}/branches/{call.path['branch']}/protection"
    value: Json = {"url": url, "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": False}}
    checks = _status_checks(call, url)
    return dump(m.BranchProtection, value | ({"required_status_checks": checks} if checks else {}))


@routes.add("GET", f"{REPO}/branches/{{branch:path}}", "contents:read")
def get_branch(call: Call) -> Json:
    """A branch with its tip."""
    sha, hub, name = _branch(call), call.hub, call.path["branch"]
    url = f"{repo_url(hub, call.repo)}/branches/{name}"
    protected = _contexts(call, "protection") is not None
    contexts = _contexts(call, "protection") or []
    checks: Json = {"enforcement_level": "non_admins" if contexts else "off", "contexts": contexts}
    checks["checks"] = _pinned(call, "protection", "app_id")
    value: Json = {"name": name, "commit": commit(hub, call.repo, sha), "protected": protected}
    value |= {"protection": {"enabled": protected, "required_status_checks": checks}}
    value |= {"_links": {"self": url, "html": f"{hub.url}/{full_name(hub, call.repo)}/tree/{name}"}}
    return complete(m.BranchWithProtection, url, value)


@routes.add("GET", f"{REPO}/rules/branches/{{branch:path}}", "metadata:read")
def get_rules(call: Call) -> list[Json]:
    """The rules that rulesets put on a branch; empty when there are none."""
    contexts = _contexts(call, "ruleset")
    if contexts is None:
        return []
    parameters = {
        "required_status_checks": _pinned(call, "ruleset", "integration_id"),
        "strict_required_status_checks_policy": False,
    }
    source = {"ruleset_source_type": "Repository", "ruleset_source": full_name(call.hub, call.repo), "ruleset_id": 1}
    return [dump(m.RepositoryRuleDetailedOneof8, {"type": "required_status_checks", "parameters": parameters} | source)]
