"""Who is calling: the App by JWT, an installation by token, or a user by token; and what they may do."""

import base64
import binascii
import functools
import secrets
import time
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives import serialization

from app.hub.github_problems import Refusal
from app.hub.state import HubState
from app.hub.store import Row

LEVELS = {"none": 0, "read": 1, "write": 2, "admin": 3}
ROLES = {"none": 0, "read": 1, "triage": 2, "write": 3, "maintain": 4, "admin": 5}
CLOCK_DRIFT_SECONDS = 60


@dataclass(frozen=True)
class Actor:
    """The caller. `user` is the bot's row for an installation, and empty for the App's own JWT."""

    kind: str  # "app", "installation" or "user"
    user: Row = field(default_factory=dict[str, object])
    installation: Row = field(default_factory=dict[str, object])
    permissions: dict[str, str] = field(default_factory=dict[str, str])
    repository_ids: frozenset[int] = frozenset()

    def has(self, name: str, level: str) -> bool:
        """Whether an installation token holds a permission at this level; metadata:read comes with every token."""
        if name == "metadata" and level == "read":
            return True
        return LEVELS[self.permissions.get(name, "none")] >= LEVELS[level]


def credentials(header: str | None) -> str | None:
    """The token of an Authorization header (Bearer, token or Basic), or None."""
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def authenticate(hub: HubState, token: str | None) -> Actor:
    """The actor behind a token; 401 as GitHub answers it."""
    if not token:
        raise Refusal(401, "Requires authentication")
    if token.count(".") == 2:
        _check_jwt(hub, token)
        return Actor("app")
    row = hub.store.row("SELECT * FROM tokens WHERE token = ?", token)
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= time.time()):
        raise Refusal(401, "Bad credentials")
    user = hub.store.get("users", row["user_id"])
    if row["installation_id"] is None:
        return Actor("user", user)
    installation = hub.store.get("installations", row["installation_id"])
    if installation["suspended"]:
        raise Refusal(403, "This installation has been suspended")
    held = {name: level for name, level in row["permissions"].items() if name in installation["permissions"]}
    held = {name: min(level, installation["permissions"][name], key=LEVELS.__getitem__) for name, level in held.items()}
    return Actor("installation", user, installation, held, frozenset(row["repository_ids"]))


@functools.cache
def _public_key(private_key_pem: str) -> bytes:
    """The public half. The key is the hub's own: it is not proven again, which takes OpenSSL 40 ms."""
    private = serialization.load_pem_private_key(private_key_pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _check_jwt(hub: HubState, token: str) -> None:
    public = _public_key(hub.app.private_key_pem)
    try:
        # The times are judged below, in GitHub's words.
        claims = jwt.decode(
            token,
            public,
            ["RS256"],
            options={"require": ["iat", "exp", "iss"], "verify_iat": False, "verify_exp": False},
        )
        issued, expires = int(claims["iat"]), int(claims["exp"])
    except (jwt.PyJWTError, ValueError) as error:
        raise Refusal(401, "A JSON web token could not be decoded") from error
    if str(claims["iss"]) not in (str(hub.app.id), hub.app.client_id):
        raise Refusal(401, "'Issuer' claim ('iss') must be the App's id or client id")
    if expires <= time.time():
        raise Refusal(401, "'Expiration time' claim ('exp') is too far in the past")
    if issued > time.time() + CLOCK_DRIFT_SECONDS:
        raise Refusal(401, "'Issued at' claim ('iat') must be an Integer representing the time of the assertion")
    if expires - issued > 600 + CLOCK_DRIFT_SECONDS or expires > time.time() + 600 + CLOCK_DRIFT_SECONDS:
        raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")


def role(hub: HubState, repo: Row, user_id: int) -> str:
    """A user's role in a repository: admin for its owner, read for everyone in a public one."""
    if repo["owner_id"] == user_id:
        return "admin"
    row = hub.store.row("SELECT role FROM roles WHERE repo_id = ? AND user_id = ?", repo["id"], user_id)
    return str(row["role"]) if row else ("none" if repo["private"] else "read")


def allow(hub: HubState, actor: Actor, repo: Row, needs: str, user_role: str) -> None:
    """Refuse unless the actor may do this; `needs` lists alternatives such as "issues:write|pull_requests:write".

    404 when the repository is not visible at all, 403 when it is but the permission is missing.
    """
    if actor.kind == "app":
        raise Refusal(401, "A JSON web token could not be decoded")
    if actor.kind == "installation":
        if repo["id"] not in actor.repository_ids or repo["id"] not in actor.installation["repository_ids"]:
            raise Refusal(404, "Not Found")
        if not any(actor.has(*need.split(":")) for need in needs.split("|")):
            accepted = {"X-Accepted-GitHub-Permissions": needs.replace(":", "=").replace("|", "; ")}
            raise Refusal(403, "Resource not accessible by integration", headers=accepted)
        return
    held = role(hub, repo, actor.user["id"])
    if held == "none":
        raise Refusal(404, "Not Found")
    if ROLES[held] < ROLES[user_role]:
        raise Refusal(403, "Must have admin rights to Repository." if user_role == "admin" else "Must have push access")


def make_user_token(hub: HubState, user_id: int) -> str:
    """A personal access token that does not expire."""
    token = f"ghp_{secrets.token_urlsafe(27)}"
    hub.store.insert("tokens", token=token, user_id=user_id)
    return token


def make_installation_token(
    hub: HubState, installation: Row, permissions: dict[str, str], repository_ids: list[int]
) -> tuple[str, float]:
    """An installation token and the time of its end (seconds since the epoch)."""
    token = f"ghs_{secrets.token_urlsafe(27)}"
    expires_at = time.time() + hub.token_seconds
    hub.store.insert(
        "tokens",
        token=token,
        user_id=hub.app.bot_id,
        installation_id=installation["id"],
        permissions=permissions,
        repository_ids=repository_ids,
        expires_at=expires_at,
    )
    return token, expires_at
