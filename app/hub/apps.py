"""The App's own endpoints: itself, its installations and their tokens."""

from datetime import UTC, datetime

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import LEVELS, make_installation_token
from app.hub.github_problems import Refusal
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import app, installation, repository
from app.hub.state import Json
from app.hub.store import Row
from app.hub.webhook_sender import installation_of

routes = Routes()


@routes.add("GET", "/app", "app")
def get_app(call: Call) -> Json:
    """The App itself."""
    return app(call.hub, call.hub.app.id)


@routes.add("GET", "/app/installations", "app")
def list_installations(call: Call) -> list[Json]:
    """All installations of the App."""
    rows = call.hub.store.rows("SELECT * FROM installations ORDER BY id")
    return [installation(call.hub, row) for row in call.page(rows)]


@routes.add("GET", "/app/installations/{installation_id}", "app")
def get_installation(call: Call) -> Json:
    """One installation."""
    return installation(call.hub, _installation(call))


def _installation(call: Call) -> Row:
    row = call.hub.store.row("SELECT * FROM installations WHERE id = ?", call.number("installation_id"))
    if row is None:
        raise Refusal(404, "Not Found")
    return row


@routes.add("GET", "/repos/{owner}/{repo}/installation", "app")
def get_repository_installation(call: Call) -> Json:
    """The installation that covers a repository."""
    row = installation_of(call.hub, call.repo)
    if row is None:
        raise Refusal(404, "Not Found")
    return installation(call.hub, row)


@routes.add("POST", "/app/installations/{installation_id}/access_tokens", "app")
def create_token(call: Call) -> tuple[int, Json]:
    """A token for all or some of the installation's repositories and permissions."""
    row = _installation(call)
    # https://docs.github.com/en/apps/maintaining-github-apps/suspending-a-github-app-installation
    if row["suspended"]:
        raise Refusal(403, "This installation has been suspended")
    body = call.body(m.AppInstallationsInstallationIdAccessTokensPostBody)
    permissions: dict[str, str] = body.get("permissions") or row["permissions"]
    for name, level in permissions.items():
        if LEVELS[level] > LEVELS[row["permissions"].get(name, "none")] and (name, level) != ("metadata", "read"):
            raise Refusal(422, "The permissions requested are not granted to this installation.")
    covered = [call.hub.store.get("repositories", repo_id) for repo_id in row["repository_ids"]]
    names, ids = body.get("repositories"), body.get("repository_ids")
    chosen = [repo for repo in covered if (not names or repo["name"] in names) and (not ids or repo["id"] in ids)]
    if len(chosen) < max(len(names or []), len(ids or [])):
        raise Refusal(
            422, "There is at least one repository that does not exist or is not accessible to the parent installation."
        )
    token, expires_at = make_installation_token(call.hub, row, permissions, [repo["id"] for repo in chosen])
    value: Json = {"token": token, "permissions": permissions, "repository_selection": "selected"}
    value["expires_at"] = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if names or ids:
        value["repositories"] = [repository(call.hub, repo) for repo in chosen]
    return 201, dump(m.InstallationToken, value)


@routes.add("GET", "/installation/repositories", "metadata:read")
def list_repositories(call: Call) -> Json:
    """The repositories an installation token reaches."""
    if call.actor.kind != "installation":
        raise Refusal(403, "You must authenticate with an installation access token in order to list repositories")
    rows = [call.hub.store.get("repositories", repo_id) for repo_id in sorted(call.actor.repository_ids)]
    listed = [repository(call.hub, row) for row in call.page(rows)]
    return dump(m.InstallationRepositoriesGetResponse200, {"total_count": len(rows), "repositories": listed})
