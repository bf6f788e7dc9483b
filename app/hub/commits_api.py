"""Commits as the repositories API and the Git Data API show them."""

import re

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import Actor
from app.hub.git_repos import Bare, bare
from app.hub.github_problems import Refusal
from app.hub.routing import dump
from app.hub.serializers import complete, full_name, repo_url, user
from app.hub.state import HubState, Json, now
from app.hub.store import Row

NOREPLY = re.compile(r"^(\d+)\+.*@users\.noreply\.github\.com$")


def identity(hub: HubState, user_id: int) -> tuple[str, str]:
    """The (name, email) under which GitHub writes commits of a user or bot."""
    login = hub.store.get("users", user_id)["login"]
    return login, f"{user_id}+{login}@users.noreply.github.com"


def mark_verified(hub: HubState, sha: str) -> None:
    """Remember that GitHub signed this commit."""
    hub.store.execute("INSERT OR IGNORE INTO verified_commits VALUES (?, ?)", sha, now())


def merge_commit(hub: HubState, git: Bare, actor: Actor, tree: str, parents: list[str], message: str) -> str:
    """Write a commit as GitHub's web flow does: by the actor, signed."""
    sha = git.commit_tree(tree, parents, message, identity(hub, actor.user["id"]))
    mark_verified(hub, sha)
    return sha


def _raw(git: Bare, sha: str) -> Json:
    form = "%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
    tree, parents, *people, message = git.lasting("log", "-1", f"--format={form}", sha).split("\0", 8)
    author = {"name": people[0], "email": people[1], "date": people[2]}
    committer = {"name": people[3], "email": people[4], "date": people[5]}
    fields: Json = {"tree": tree, "parents": parents.split(), "author": author, "committer": committer}
    return fields | {"message": message.rstrip("\n")}


def _verification(hub: HubState, sha: str) -> Json:
    row = hub.store.row("SELECT * FROM verified_commits WHERE sha = ?", sha)
    signature = "-----BEGIN PGP SIGNATURE-----" if row else None
    value: Json = {"verified": row is not None, "reason": "valid" if row else "unsigned", "signature": signature}
    return value | {"payload": None, "verified_at": row["verified_at"] if row else None}


def _account(hub: HubState, email: str) -> Json | None:
    match = NOREPLY.match(email)
    row = hub.store.row("SELECT id FROM users WHERE id = ?", int(match[1])) if match else None
    return user(hub, row["id"]) if row else None


def commit(hub: HubState, repo: Row, sha: str) -> Json:
    """A commit as the repositories API shows it."""
    raw, base = _raw(bare(hub, repo), sha), repo_url(hub, repo)
    inner: Json = {"message": raw["message"], "author": raw["author"], "committer": raw["committer"]}
    inner |= {"tree": {"sha": raw["tree"], "url": f"{base}/git/trees/{raw['tree']}"}, "comment_count": 0}
    inner |= {"url": f"{base}/git/commits/{sha}", "verification": _verification(hub, sha)}
    value: Json = {"sha": sha, "node_id": f"C_{sha}", "commit": inner}
    value |= {"author": _account(hub, raw["author"]["email"]), "committer": _account(hub, raw["committer"]["email"])}
    value["parents"] = [{"sha": parent, "url": f"{base}/commits/{parent}"} for parent in raw["parents"]]
    value["html_url"] = f"{hub.url}/{full_name(hub, repo)}/commit/{sha}"
    return complete(m.Commit, f"{base}/commits/{sha}", value)


def git_commit(hub: HubState, repo: Row, sha: str) -> Json:
    """A commit as the Git Data API shows it."""
    raw, base = _raw(bare(hub, repo), sha), repo_url(hub, repo)
    page = f"{hub.url}/{full_name(hub, repo)}/commit"
    value: Json = {"sha": sha, "node_id": f"C_{sha}", "message": raw["message"], "author": raw["author"]}
    value |= {"committer": raw["committer"], "verification": _verification(hub, sha), "html_url": f"{page}/{sha}"}
    value["tree"] = {"sha": raw["tree"], "url": f"{base}/git/trees/{raw['tree']}"}
    value["parents"] = [
        {"sha": each, "url": f"{base}/git/commits/{each}", "html_url": f"{page}/{each}"} for each in raw["parents"]
    ]
    return dump(m.GitCommit, value | {"url": f"{base}/git/commits/{sha}"})


def resolve(git: Bare, ref: str) -> str:
    """The sha of a branch, tag or commit; 422 as GitHub answers for an unknown one."""
    sha = git.resolve(ref)
    if sha is None:
        raise Refusal(422, f"No commit found for SHA: {ref}")
    return sha
