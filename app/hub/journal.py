"""The journal: every write that was made with an App token, in order, for tests to read."""

from dataclasses import dataclass
from typing import Any

from app.hub.auth import Actor
from app.hub.serializers import full_name
from app.hub.state import HubState
from app.hub.store import Row


@dataclass(frozen=True)
class JournalEntry:
    """One write: its kind (such as "comment.created"), where it went and the text it carried."""

    seq: int
    kind: str
    repository: str
    number: int | None
    sha: str | None
    name: str | None
    text: str


def record(hub: HubState, actor: Actor, repo: Row, kind: str, text: str | None = None, **where: Any) -> None:
    """Note a write of an installation; writes of users are not the App's. `where`: number, sha, name."""
    if actor.kind == "installation":
        hub.store.insert("journal", kind=kind, repository=full_name(hub, repo), text=text or "", **where)


def entries(hub: HubState, repository: str | None) -> list[JournalEntry]:
    """The entries of one repository (`owner/name`), or all, oldest first."""
    with hub.store.transaction():
        rows = hub.store.rows(
            "SELECT * FROM journal WHERE ?1 IS NULL OR repository = ?1 COLLATE NOCASE ORDER BY id", repository
        )
    return [
        JournalEntry(row["id"], row["kind"], row["repository"], row["number"], row["sha"], row["name"], row["text"])
        for row in rows
    ]
