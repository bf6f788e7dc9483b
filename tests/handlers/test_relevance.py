"""A delivery that asks for nothing needs no workflow; one that cannot be read gets its own."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from handlers.dispatch import select_for_workflows

PERSON = {"login": "maintainer", "id": 1, "type": "User"}
BOT = {"login": "autopack[bot]", "id": 2, "type": "Bot"}
LABEL = {"name": "autopack"}
PULL = {"number": 2, "pull_request": {"head": {"ref": "autonomous/r1"}}}


def comment(**other: Any) -> dict[str, Any]:
    return {"action": "created", "sender": PERSON, "issue": {"number": 1}, "comment": {"id": 3, "body": "Hi"}, **other}


def issue(**other: Any) -> dict[str, Any]:
    return {"action": "labeled", "sender": PERSON, "issue": {"number": 1}, "label": LABEL, **other}


@pytest.mark.parametrize(
    ("event", "payload", "relevant"),
    [
        ("issue_comment", comment(), True),
        ("issue_comment", comment(sender=BOT), False),
        ("issue_comment", comment(action="edited"), False),
        ("issue_comment", comment(comment={"id": 3, "performed_via_github_app": {"id": 4}}), False),
        ("issues", issue(), True),
        ("issues", issue(action="unlabeled"), True),
        ("issues", issue(action="closed", label=None), True),
        ("issues", issue(action="closed", sender=BOT), False),
        ("issues", issue(action="opened"), False),
        ("issues", issue(label={"name": "bug"}), False),
        ("pull_request", {"action": "closed", **PULL}, True),
        ("pull_request", {"action": "edited", **PULL}, False),
        ("push", {"ref": "refs/heads/autonomous/r1", "after": "0" * 40}, True),
        ("push", {"ref": "refs/heads/main", "after": "0" * 40}, False),
        ("push", {"ref": "refs/tags/autonomous/r1", "after": "0" * 40}, False),
        ("installation", {"action": "created"}, True),
        ("installation", {"action": "deleted"}, False),
        ("star", {}, False),
        ("push", {"after": "0" * 40}, True),
        # Without the service there is no App to compare with, nor runs: such an error stays with its delivery too.
        ("status", {"sha": "0" * 40}, True),
        ("check_run", {"check_run": {"head_sha": "0" * 40}}, True),
    ],
)
async def test_payload_decides_on_a_workflow(
    tmp_path: Path, event: str, payload: dict[str, Any], relevant: bool
) -> None:
    db = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    db.migrate()
    body = json.dumps({"repository": {"full_name": "acme/widgets"}, **payload})
    deliveries.store(db, [StoredDelivery("d1", event, body)], datetime.now(UTC))
    assert await select_for_workflows(db, ["d1"]) == (["d1"] if relevant else [])
    db.close()
