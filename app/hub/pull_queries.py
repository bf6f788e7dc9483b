"""Pull requests as rows: shown, sent to the App as events, and following their branches."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import Actor
from app.hub.diffs import file_diffs
from app.hub.git_repos import EMPTY_TREE, Bare, bare
from app.hub.serializers import association, comment_count, complete, full_name, labels_of, repo_url, repository, user
from app.hub.state import HubState, Json, now
from app.hub.store import Row
from app.hub.suites import context_states, required_contexts
from app.hub.webhook_sender import emit

SELECT = """SELECT p.*, i.number, i.title, i.body, i.state, i.user_id, i.created_at, i.updated_at, i.closed_at,
  i.locked
  FROM pulls p JOIN issues i ON i.id = p.issue_id"""


def find(hub: HubState, repo: Row, number: int) -> Row | None:
    """The pull request of this number with the fields of its issue, or None."""
    return hub.store.row(f"{SELECT} WHERE p.repo_id = ? AND i.number = ?", repo["id"], number)


def diff_base(git: Bare, row: Row) -> str:
    """Where a pull request's diff starts: the merge base of its base branch and its head."""
    tip = row["base_sha"] if row["merged_at"] else git.ref(f"refs/heads/{row['base_ref']}") or row["base_sha"]
    return git.merge_base(tip, row["head_sha"]) or EMPTY_TREE


def _side(hub: HubState, repo: Row, ref: str, sha: str) -> Json:
    owner = user(hub, repo["owner_id"])
    return {"label": f"{owner['login']}:{ref}", "ref": ref, "sha": sha, "user": owner, "repo": repository(hub, repo)}


def _fields(hub: HubState, repo: Row, row: Row) -> Json:
    base, number = repo_url(hub, repo), row["number"]
    page, url = f"{hub.url}/{full_name(hub, repo)}/pull/{number}", f"{base}/pulls/{number}"
    links = {"self": url, "html": page, "issue": f"{base}/issues/{number}", "commits": f"{url}/commits"}
    links |= {"comments": f"{base}/issues/{number}/comments", "review_comments": f"{url}/comments"}
    links |= {"review_comment": f"{base}/pulls/comments{{/number}}", "statuses": f"{base}/statuses/{row['head_sha']}"}
    value: Json = {name: row[name] for name in ("id", "number", "state", "title", "body", "draft", "merge_commit_sha")}
    value |= {name: row[name] for name in ("created_at", "updated_at", "closed_at", "merged_at")}
    value |= {"node_id": f"PR_{row['id']}", "url": url, "html_url": page, "issue_url": links["issue"]}
    value["locked"] = bool(row["locked"])
    value |= {"diff_url": f"{page}.diff", "patch_url": f"{page}.patch", "comments_url": links["comments"]}
    value |= {"commits_url": links["commits"], "statuses_url": links["statuses"]}
    value |= {"review_comments_url": links["review_comments"], "review_comment_url": links["review_comment"]}
    value |= {"user": user(hub, row["user_id"]), "labels": labels_of(hub, repo, row["issue_id"])}
    value |= {"author_association": association(hub, repo, row["user_id"]), "assignees": [], "requested_reviewers": []}
    value |= {"head": _side(hub, repo, row["head_ref"], row["head_sha"])}
    value |= {"base": _side(hub, repo, row["base_ref"], row["base_sha"])}
    return value | {"_links": {name: {"href": target} for name, target in links.items()}}


def simple(hub: HubState, repo: Row, row: Row) -> Json:
    """A pull request as lists show it."""
    return complete(m.PullRequestSimple, f"{repo_url(hub, repo)}/pulls/{row['number']}", _fields(hub, repo, row))


def mergeability(hub: HubState, repo: Row, row: Row) -> tuple[bool | None, str]:
    """GitHub's `mergeable` and `mergeable_state` of a pull request."""
    git = bare(hub, repo)
    tip = git.ref(f"refs/heads/{row['base_ref']}")
    if row["state"] != "open" or tip is None:
        return None, "unknown"
    if git.merge_tree(tip, row["head_sha"]) is None:
        return False, "dirty"
    if row["draft"]:
        return True, "draft"
    states = context_states(hub, repo, row["head_sha"])
    if any(states.get(name) != "success" for name in required_contexts(hub, repo, row["base_ref"])):
        return True, "blocked"
    return True, "clean" if all(state == "success" for state in states.values()) else "unstable"


def pull(hub: HubState, repo: Row, row: Row) -> Json:
    """A pull request with its counts and whether it can be merged."""
    git = bare(hub, repo)
    start = diff_base(git, row)
    files = file_diffs(git, start, row["head_sha"])
    mergeable, mergeable_state = mergeability(hub, repo, row)
    span = row["head_sha"] if start == EMPTY_TREE else f"{start}..{row['head_sha']}"
    count = hub.store.row("SELECT count(*) AS n FROM review_comments WHERE pull_id = ?", row["id"])
    value = _fields(hub, repo, row) | {"merged": row["merged_at"] is not None, "maintainer_can_modify": False}
    value |= {"mergeable": mergeable, "mergeable_state": mergeable_state, "rebaseable": mergeable}
    value |= {"merged_by": user(hub, row["merged_by_id"]) if row["merged_by_id"] else None}
    value |= {"comments": comment_count(hub, row["issue_id"]), "review_comments": count["n"] if count else 0}
    value |= {"commits": int(git.lasting("rev-list", "--count", span)), "changed_files": len(files)}
    value |= {"additions": sum(file.additions for file in files), "deletions": sum(file.deletions for file in files)}
    return complete(m.PullRequest, f"{repo_url(hub, repo)}/pulls/{row['number']}", value)


def tell(hub: HubState, repo: Row, actor: Actor, number: int, action: str, **more: object) -> None:
    """The `pull_request` event."""
    row = find(hub, repo, number)
    if row is not None:
        # Webhooks still carry the field that REST dropped with 2026-03-10.
        view = pull(hub, repo, row) | {"merge_commit_sha": row["merge_commit_sha"]}
        payload: Json = {"action": action, "number": number, "pull_request": view}
        emit(hub, repo, actor, "pull_request", payload | more)


def close(hub: HubState, repo: Row, actor: Actor, row: Row, merge_sha: str | None = None) -> None:
    """Close a pull request; with `merge_sha` it is merged."""
    if merge_sha is not None:
        who = actor.user["id"]
        hub.store.update("pulls", row["id"], merged_at=now(), merged_by_id=who, merge_commit_sha=merge_sha)
    hub.store.update("issues", row["issue_id"], state="closed", closed_at=now(), updated_at=now())
    tell(hub, repo, actor, row["number"], "closed")


def follow(hub: HubState, repo: Row, actor: Actor, branch: str, after: str | None) -> list[int]:
    """A branch moved (None: is gone): bring the open pull requests of it, and into it, up to date.

    Returns the numbers of the pull requests that have new commits.
    """
    git, moved = bare(hub, repo), list[int]()
    sql = f"{SELECT} WHERE p.repo_id = ? AND i.state = 'open' AND (p.head_ref = ?2 OR p.base_ref = ?2) ORDER BY p.id"
    for row in hub.store.rows(sql.replace("repo_id = ?", "repo_id = ?1"), repo["id"], branch):
        if after is None:
            close(hub, repo, actor, row)
        elif row["head_ref"] == branch:
            tip = git.ref(f"refs/heads/{row['base_ref']}") or row["base_sha"]
            hub.store.update("pulls", row["id"], head_sha=after, base_sha=tip)
            hub.store.update("issues", row["issue_id"], updated_at=now())
            git.run("update-ref", f"refs/pull/{row['number']}/head", after)
            tell(hub, repo, actor, row["number"], "synchronize", before=row["head_sha"], after=after)
            moved.append(row["number"])
        elif git.is_ancestor(row["head_sha"], after):
            close(hub, repo, actor, row, merge_sha=after)
    return moved
