"""The Git Data API: refs, blobs, trees and commits."""

import base64
import binascii
import tempfile
from pathlib import Path

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.commits_api import git_commit, identity, mark_verified
from app.hub.git_repos import ZERO, GitCommandError
from app.hub.github_problems import Refusal, invalid
from app.hub.refs import move
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import repo_url
from app.hub.state import Json, items

routes = Routes()
GIT = "/repos/{owner}/{repo}/git"
MODES = {"100644": "blob", "100755": "blob", "120000": "blob", "040000": "tree", "160000": "commit"}


def _ref(call: Call, ref: str, sha: str) -> Json:
    base = repo_url(call.hub, call.repo)
    kind = call.git.kind(sha)
    target = {"type": kind, "sha": sha, "url": f"{base}/git/{kind}s/{sha}"}
    url = f"{base}/git/{ref}"
    return dump(m.GitRef, {"ref": ref, "node_id": f"REF_{ref}", "url": url, "object": target})


@routes.add("GET", f"{GIT}/ref/{{ref:path}}", "contents:read")
def get_ref(call: Call) -> Json:
    """One ref by its name without `refs/`."""
    ref = f"refs/{call.path['ref']}"
    sha = call.git.ref(ref)
    if sha is None:
        raise Refusal(404, "Not Found")
    return _ref(call, ref, sha)


@routes.add("GET", f"{GIT}/matching-refs/{{ref:path}}", "contents:read")
def matching_refs(call: Call) -> list[Json]:
    """The refs whose name starts with this, possibly none."""
    found = call.git.refs(f"refs/{call.path['ref']}")
    return [_ref(call, ref, found[ref]) for ref in call.page(sorted(found))]


@routes.add("POST", f"{GIT}/refs", "contents:write", "write")
def create_ref(call: Call) -> tuple[int, Json]:
    """A new branch, tag or other ref, such as `refs/notes/x`.

    "If it doesn't start with 'refs' and have at least two slashes, it will be rejected":
    https://docs.github.com/en/rest/git/refs#create-a-reference
    """
    body = call.body(m.ReposOwnerRepoGitRefsPostBody)
    ref, sha = body["ref"], body["sha"]
    if not ref.startswith("refs/") or ref.count("/") < 2 or call.git.raw("check-ref-format", ref)[0] != 0:
        raise Refusal(422, "Reference name is not valid: it must start with 'refs' and have at least two slashes.")
    kind = call.git.kind(sha)
    if kind is None:
        raise Refusal(422, "Object does not exist")
    if kind != "commit" and ref.startswith("refs/heads/"):
        raise Refusal(422, "Reference update failed")
    if call.git.ref(ref) is not None:
        raise Refusal(422, "Reference already exists")
    move(call.hub, call.repo, call.actor, ref, ZERO, sha)
    return 201, _ref(call, ref, sha)


@routes.add("PATCH", f"{GIT}/refs/{{ref:path}}", "contents:write", "write")
def update_ref(call: Call) -> Json:
    """Move a ref; without `force` only forward."""
    body, ref = call.body(m.ReposOwnerRepoGitRefsRefPatchBody), f"refs/{call.path['ref']}"
    old, new = call.git.ref(ref), body["sha"]
    if old is None:
        raise Refusal(422, "Reference does not exist")
    if call.git.kind(new) != "commit":
        raise Refusal(422, "Object does not exist")
    forward = call.git.is_ancestor(old, new)
    if not body.get("force") and not forward:
        raise Refusal(422, "Update is not a fast forward")
    if old != new:
        move(call.hub, call.repo, call.actor, ref, old, new, forced=not forward)
    return _ref(call, ref, new)


@routes.add("DELETE", f"{GIT}/refs/{{ref:path}}", "contents:write", "write")
def delete_ref(call: Call) -> tuple[int, None]:
    """Delete a ref; never the default branch."""
    ref = f"refs/{call.path['ref']}"
    old = call.git.ref(ref)
    if old is None:
        raise Refusal(422, "Reference does not exist")
    if ref == f"refs/heads/{call.repo['default_branch']}":
        raise Refusal(422, "Cannot delete the default branch")
    move(call.hub, call.repo, call.actor, ref, old, ZERO)
    return 204, None


@routes.add("POST", f"{GIT}/blobs", "contents:write", "write")
def create_blob(call: Call) -> tuple[int, Json]:
    """A blob from text or base64."""
    body = call.body(m.ReposOwnerRepoGitBlobsPostBody)
    content = body["content"].encode()
    if body.get("encoding", "utf-8") == "base64":
        try:
            content = base64.b64decode(content)
        except binascii.Error as error:
            raise invalid("Blob", "content") from error
    elif body.get("encoding", "utf-8") != "utf-8":
        raise invalid("Blob", "encoding")
    sha = call.git.run("hash-object", "-w", "--stdin", stdin=content)
    return 201, dump(m.ShortBlob, {"sha": sha, "url": f"{repo_url(call.hub, call.repo)}/git/blobs/{sha}"})


def _entry(call: Call, entry: Json, base: str | None) -> str:
    """A tree entry as a line for `git update-index --index-info`; 422 for what GitHub refuses."""
    path, mode = entry.get("path"), entry.get("mode", "100644")
    parts = (path or "").split("/")
    if not path or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\0" in path:
        raise Refusal(422, "tree.path contains a malformed path component")
    if mode not in MODES:
        raise Refusal(422, "tree.mode must be one of 100644, 100755, 040000, 160000 or 120000")
    if "content" in entry:
        sha = call.git.run("hash-object", "-w", "--stdin", stdin=entry["content"].encode())
    elif entry.get("sha") is not None:
        sha = entry["sha"]
        if mode != "160000" and call.git.kind(sha) != MODES[mode]:
            raise Refusal(422, f"tree.sha {sha} is not a valid {MODES[mode]}")
    elif "sha" in entry:
        if base is None or call.git.raw("rev-parse", "--verify", "--quiet", f"{base}:{path}")[0] != 0:
            raise Refusal(422, "GitRPC::BadObjectState")
        return f"0 {ZERO}\t{path}\0"
    else:
        raise Refusal(422, "Must supply either tree.sha or tree.content")
    return f"{mode} {sha}\t{path}\0"


@routes.add("POST", f"{GIT}/trees", "contents:write", "write")
def create_tree(call: Call) -> tuple[int, Json]:
    """A tree from entries, on top of `base_tree` when given."""
    body, base = call.body(m.ReposOwnerRepoGitTreesPostBody), None
    if body.get("base_tree"):
        base = call.git.resolve(body["base_tree"], "tree")
        if base is None:
            raise Refusal(422, "base_tree is not a valid tree oid")
    lines = [_entry(call, entry, base) for entry in body["tree"]]
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        call.git.run("read-tree", base or "--empty", env=index)
        files = [line for line in lines if not line.startswith("040000")]
        for line in lines:
            if line.startswith("040000"):
                sha, path = line[7:47], line[48:-1]
                call.git.run("rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", path, env=index)
                call.git.run("read-tree", f"--prefix={path}/", sha, env=index)
        call.git.run("update-index", "--replace", "-z", "--index-info", stdin="".join(files).encode(), env=index)
        tree = call.git.run("write-tree", env=index)
    return 201, _tree(call, tree, recursive=False)


def _tree(call: Call, sha: str, *, recursive: bool) -> Json:
    flags = ["-r", "-t"] if recursive else []
    base, entries = repo_url(call.hub, call.repo), list[Json]()
    for line in filter(None, call.git.run("ls-tree", "-z", "-l", *flags, sha).split("\0")):
        meta, path = line.split("\t", 1)
        mode, kind, entry_sha, size = meta.split()
        entry: Json = {"path": path, "mode": mode, "type": kind, "sha": entry_sha}
        entry |= {"size": int(size)} if size != "-" else {}
        entries.append(entry | {"url": f"{base}/git/{kind}s/{entry_sha}"})
    return dump(m.GitTree, {"sha": sha, "url": f"{base}/git/trees/{sha}", "truncated": False, "tree": entries})


@routes.add("GET", f"{GIT}/trees/{{tree_sha:path}}", "contents:read")
def get_tree(call: Call) -> Json:
    """A tree by its sha, or that of a commit or branch; any value of `recursive` lists all levels."""
    sha = call.git.resolve(call.path["tree_sha"], "tree")
    if sha is None:
        raise Refusal(404, "Not Found")
    return _tree(call, sha, recursive="recursive" in call.query)


@routes.add("POST", f"{GIT}/commits", "contents:write", "write")
def create_commit(call: Call) -> tuple[int, Json]:
    """A commit. An App that names no author or committer commits as its bot, and GitHub signs it."""
    body, hub = call.body(m.ReposOwnerRepoGitCommitsPostBody), call.hub
    if call.git.kind(body["tree"]) != "tree":
        raise Refusal(422, "Tree SHA does not exist")
    for parent in items(body.get("parents")):
        if call.git.kind(parent) != "commit":
            raise Refusal(422, "Parent SHA does not exist or is not a commit object")
    name, email = identity(hub, call.actor.user["id"])
    author: Json = body.get("author") or {"name": name, "email": email}
    committer: Json = body.get("committer") or author
    env = {"GIT_AUTHOR_NAME": author["name"], "GIT_AUTHOR_EMAIL": author["email"]}
    env |= {"GIT_COMMITTER_NAME": committer["name"], "GIT_COMMITTER_EMAIL": committer["email"]}
    env |= {"GIT_AUTHOR_DATE": author["date"]} if "date" in author else {}
    env |= {"GIT_COMMITTER_DATE": committer["date"]} if "date" in committer else {}
    parents = [flag for parent in items(body.get("parents")) for flag in ("-p", parent)]
    try:
        sha = call.git.run("commit-tree", body["tree"], *parents, stdin=body["message"].encode(), env=env)
    except GitCommandError as error:
        raise invalid("Commit", "author", message=str(error)) from error
    if call.actor.kind == "installation" and not any(name in body for name in ("author", "committer", "signature")):
        mark_verified(hub, sha)
    return 201, git_commit(hub, call.repo, sha)


@routes.add("GET", f"{GIT}/commits/{{commit_sha}}", "contents:read")
def get_commit(call: Call) -> Json:
    """A commit by its sha."""
    if call.git.kind(call.path["commit_sha"]) != "commit":
        raise Refusal(404, "Not Found")
    return git_commit(call.hub, call.repo, call.path["commit_sha"])


@routes.add("GET", f"{GIT}/blobs/{{file_sha}}", "contents:read")
def get_blob(call: Call) -> Json:
    """A blob, base64."""
    sha = call.path["file_sha"]
    if call.git.kind(sha) != "blob":
        raise Refusal(404, "Not Found")
    content = call.git.raw("cat-file", "blob", sha)[1]
    value = {"sha": sha, "node_id": f"B_{sha}", "size": len(content), "encoding": "base64"}
    value |= {"url": f"{repo_url(call.hub, call.repo)}/git/blobs/{sha}"}
    return dump(m.Blob, value | {"content": base64.encodebytes(content).decode()})
