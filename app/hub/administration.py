"""What owners do with repositories, issues and installations: new names and owners, archives, deletions, suspensions.

Events: https://docs.github.com/en/webhooks/webhook-events-and-payloads (`repository`, `issues`, `installation`).
"""

from app.hub.auth import Actor
from app.hub.git_repos import ZERO, bare
from app.hub.serializers import full_name, issue
from app.hub.setup import user_id
from app.hub.state import HubState, Json
from app.hub.store import Row
from app.hub.webhook_sender import emit, installation_of
from app.hub.webhook_sender import store as store_delivery


def rename(hub: HubState, repo: Row, who: Actor, owner: str, name: str) -> None:
    """Give a repository another name, or another owner; the old name leads to it from then on.

    Without an installation of the new owner the App loses the repository.
    https://docs.github.com/en/repositories/creating-and-managing-repositories/renaming-a-repository
    """
    old, before = full_name(hub, repo), installation_of(hub, repo)
    hub.store.update("repositories", repo["id"], owner_id=user_id(hub, owner), name=name)
    hub.store.execute("INSERT OR REPLACE INTO old_names (full_name, repo_id) VALUES (?, ?)", old, repo["id"])
    repo = hub.store.get("repositories", repo["id"])
    hub.store.execute("UPDATE journal SET repository = ? WHERE repository = ?", full_name(hub, repo), old)
    if old.partition("/")[0] == owner:
        changes: Json = {"repository": {"name": {"from": old.partition("/")[2]}}}
        emit(hub, repo, who, "repository", {"action": "renamed", "changes": changes})
        return
    if before is not None:
        kept = [one for one in before["repository_ids"] if one != repo["id"]]
        hub.store.update("installations", before["id"], repository_ids=kept)
        removed = [{"id": repo["id"], "name": repo["name"], "full_name": old}]
        _tell_removed(hub, before, removed, who)
    after = hub.store.row("SELECT * FROM installations WHERE account_id = ?", repo["owner_id"])
    if after is not None:
        hub.store.update("installations", after["id"], repository_ids=[*after["repository_ids"], repo["id"]])
        changes = {"owner": {"from": {"user": {"login": old.partition("/")[0]}}}}
        emit(hub, repo, who, "repository", {"action": "transferred", "changes": changes})


def set_archived(hub: HubState, repo: Row, who: Actor, *, archived: bool) -> None:
    """Make a repository read-only, or open it again."""
    hub.store.update("repositories", repo["id"], archived=archived)
    emit(hub, repo, who, "repository", {"action": "archived" if archived else "unarchived"})


def delete(hub: HubState, repo: Row, who: Actor) -> None:
    """Delete a repository: from then on there is nothing under its name."""
    emit(hub, repo, who, "repository", {"action": "deleted"})
    found = installation_of(hub, repo)
    if found is not None:
        kept = [one for one in found["repository_ids"] if one != repo["id"]]
        hub.store.update("installations", found["id"], repository_ids=kept)
    hub.store.update("repositories", repo["id"], name=f"deleted-{repo['id']}")


def rename_default_branch(hub: HubState, repo: Row, who: Actor, name: str) -> None:
    """Rename the default branch; open pull requests follow.

    https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/managing-branches-in-your-repository/renaming-a-branch
    """
    old, git = str(repo["default_branch"]), bare(hub, repo)
    sha = git.ref(f"refs/heads/{old}")
    if sha is not None:
        git.run("update-ref", f"refs/heads/{name}", sha, ZERO)
        git.run("update-ref", "-d", f"refs/heads/{old}", sha)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{name}")
    hub.store.update("repositories", repo["id"], default_branch=name)
    hub.store.execute("UPDATE pulls SET base_ref = ? WHERE repo_id = ? AND base_ref = ?", name, repo["id"], old)
    repo = hub.store.get("repositories", repo["id"])
    emit(hub, repo, who, "repository", {"action": "edited", "changes": {"default_branch": {"from": old}}})


def end_issue(hub: HubState, repo: Row, who: Actor, number: int, action: str) -> None:
    """Delete an issue, or transfer it elsewhere: it is gone here (404; 410 where it was deleted)."""
    row = hub.store.row("SELECT * FROM issues WHERE repo_id = ? AND number = ?", repo["id"], number)
    if row is None:
        raise ValueError(f"there is no issue {number}")
    emit(hub, repo, who, "issues", {"action": action, "issue": issue(hub, repo, row)})
    hub.store.update("issues", row["id"], gone=True)


def set_suspended(hub: HubState, installation: Row, who: Actor, *, suspended: bool) -> None:
    """Suspend the App's installation, or end that: its tokens are refused meanwhile."""
    hub.store.update("installations", installation["id"], suspended=suspended)
    _tell(hub, installation, "suspend" if suspended else "unsuspend", who)


def set_permissions(hub: HubState, installation: Row, who: Actor, permissions: dict[str, str]) -> None:
    """Give the installation these permissions; tokens that are there may lose some, and gain none.

    https://docs.github.com/en/apps/maintaining-github-apps/modifying-a-github-app-registration#changing-the-permissions-of-a-github-app
    """
    hub.store.update("installations", installation["id"], permissions=permissions)
    _tell(hub, hub.store.get("installations", installation["id"]), "new_permissions_accepted", who)


def uninstall(hub: HubState, installation: Row, who: Actor) -> None:
    """Take the App away from an owner: its tokens are gone."""
    _tell(hub, installation, "deleted", who)
    hub.store.execute("DELETE FROM tokens WHERE installation_id = ?", installation["id"])
    hub.store.execute("DELETE FROM installations WHERE id = ?", installation["id"])


def _tell(hub: HubState, installation: Row, action: str, who: Actor) -> None:
    store_delivery(hub, installation, "installation", {"action": action, "sender": _sender(who), "repositories": []})


def _tell_removed(hub: HubState, installation: Row, removed: list[Json], who: Actor) -> None:
    payload: Json = {"action": "removed", "repositories_added": [], "repositories_removed": removed}
    store_delivery(hub, installation, "installation_repositories", payload | {"sender": _sender(who)})


def _sender(who: Actor) -> Json:
    return {"login": who.user["login"], "id": who.user["id"], "type": who.user["type"]}
