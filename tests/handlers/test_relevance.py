"""A delivery that asks for nothing needs no workflow; one that cannot be read gets its own."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.github.events import parse
from handlers.dispatch import needed, select

PERSON = {"login": "maintainer", "id": 1, "type": "User"}
BOT = {"login": "autopack[bot]", "id": 2, "type": "Bot"}
LABEL = {"name": "autopack"}
PULL = {"number": 2, "pull_request": {"head": {"ref": "autonomous/r1"}}}


def comment(**other: Any) -> dict[str, Any]:
    return {
        "action": "created",
        "sender": PERSON,
        "issue": {"number": 1},
        "comment": {"id": 3, "body": "Hi @autopack"},
        **other,
    }


def issue(**other: Any) -> dict[str, Any]:
    return {"action": "labeled", "sender": PERSON, "issue": {"number": 1}, "label": LABEL, **other}


def check(branch: str = "autonomous/r1", app: str = "linter", **other: Any) -> dict[str, Any]:
    about = {"head_sha": "0" * 40, "status": "completed", "conclusion": "success", "app": {"id": 9, "slug": app}}
    return {"action": "completed", "check_run": about | {"check_suite": {"head_branch": branch}} | other}


def suite(branch: str = "autonomous/r1", app: str = "linter") -> dict[str, Any]:
    about = {"head_sha": "0" * 40, "head_branch": branch, "app": {"id": 9, "slug": app}}
    return {"action": "completed", "check_suite": about}


def workflow(branch: str | None) -> dict[str, Any]:
    return {"action": "completed", "workflow_run": {"head_sha": "0" * 40, "head_branch": branch}}


CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("issue_comment", comment(), True),
    ("issue_comment", comment(sender=BOT), False),
    ("issue_comment", comment(comment={"id": 3, "body": "Thanks!"}), False),
    ("issue_comment", comment(comment={"id": 3, "body": "Say it in French."}), True),
    ("issue_comment", comment(action="edited"), False),
    ("issue_comment", comment(comment={"id": 3, "performed_via_github_app": {"id": 4}}), False),
    ("issues", issue(), True),
    ("issues", issue(action="unlabeled"), True),
    ("issues", issue(action="closed", label=None), True),
    ("issues", issue(action="closed", sender=BOT), False),
    ("issues", issue(action="opened"), True),
    ("issues", issue(action="edited"), True),
    ("issues", issue(label={"name": "bug"}), False),
    ("pull_request", {"action": "closed", **PULL}, True),
    ("pull_request", {"action": "edited", **PULL}, False),
    ("push", {"ref": "refs/heads/autonomous/r1", "after": "0" * 40}, True),
    ("push", {"ref": "refs/heads/main", "after": "0" * 40}, False),
    ("push", {"ref": "refs/tags/autonomous/r1", "after": "0" * 40}, False),
    ("installation", {"action": "created"}, True),
    ("installation", {"action": "deleted"}, True),
    ("installation", {"action": "new_permissions_accepted"}, True),
    ("repository", {"action": "renamed"}, True),
    ("repository", {"action": "edited", "changes": {"description": {"from": "x"}}}, False),
    ("repository", {"action": "edited", "changes": {"default_branch": {"from": "main"}}}, True),
    ("star", {}, False),
    ("push", {"after": "0" * 40}, True),
    # Without the service there is no App to compare with, nor runs: such an error stays with its delivery too.
    ("status", {"sha": "0" * 40}, True),
    ("check_run", {"check_run": {"head_sha": "0" * 40}}, True),
    ("check_run", check(), True),
    ("check_run", check(branch="main"), False),
    ("check_run", check(status="in_progress"), False),
    ("check_run", check(app="github-actions"), False),
    ("check_run", check(app="github-actions", conclusion="failure"), True),
    ("check_suite", suite(), True),
    ("check_suite", suite(branch="main"), False),
    ("check_suite", suite(app="github-actions"), False),
    ("check_suite", {**suite(), "action": "requested"}, False),
    ("workflow_run", workflow("autonomous/r1"), True),
    ("workflow_run", workflow(None), True),
    ("workflow_run", workflow("main"), False),
    ("status", {"sha": "0" * 40, "branches": [{"name": "main"}]}, False),
    ("status", {"sha": "0" * 40, "branches": [{"name": "main"}, {"name": "autonomous/r1"}]}, True),
    ("status", {"sha": "0" * 40, "branches": [{"name": "main"}] * 10}, True),
    ("pull_request", {"action": "closed", "number": 2, "pull_request": {"head": {"ref": "topic"}}}, False),
]


@pytest.mark.parametrize(("event", "payload", "relevant"), CASES)
def test_payload_decides_on_a_workflow(tmp_path: Path, event: str, payload: dict[str, Any], relevant: bool) -> None:
    db = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    db.migrate()
    body = json.dumps({"repository": {"full_name": "acme/widgets"}, **payload})
    deliveries.store(db, [StoredDelivery("d1", event, body)], datetime.now(UTC))
    selected, heads = select(db, ["d1"])
    assert bool(selected or heads) is relevant
    assert not (selected and heads), "what only wakes a run needs no workflow"
    db.close()


@pytest.mark.parametrize(("event", "payload", "relevant"), CASES)
def test_kept_payload_means_the_same(event: str, payload: dict[str, Any], relevant: bool) -> None:
    """Of a delivery that only wakes a run, what is read of it is kept, and no more."""
    body = json.dumps({"repository": {"full_name": "acme/widgets", "private": True}, "unread": "x" * 100, **payload})
    read = needed(StoredDelivery("d1", event, body))
    assert (read is not None) is relevant
    if read is not None and read.head is None:
        assert read.delivery.payload == body
    elif read is not None:
        assert parse(event, read.delivery.payload) == parse(event, body)
        assert "unread" not in read.delivery.payload
