"""Webhook events: real payloads are read, strange ones refused, unknown ones left alone."""

import json
from typing import Any

import pytest

from app.github.events import (
    BadPayload,
    CheckRunEvent,
    CheckSuiteEvent,
    InstallationEvent,
    InstallationRepositoriesEvent,
    IssueCommentEvent,
    IssuesEvent,
    PullRequestEvent,
    PushEvent,
    StatusEvent,
    WorkflowRunEvent,
    parse,
)

REPOSITORY = {"id": 1, "full_name": "acme/widgets", "default_branch": "main", "private": True, "archived_at": None}
USER = {"login": "maintainer", "id": 4, "type": "User"}
COMMON = {"repository": REPOSITORY, "sender": USER, "installation": {"id": 5, "node_id": "x"}}
ISSUE = {"number": 3, "title": "T", "body": None, "state": "open", "user": USER, "labels": [{"name": "autopack"}]}
SHA = "a" * 40


def event(name: str, **payload: Any) -> Any:
    return parse(name, json.dumps({**COMMON, **payload}).encode())


def test_a_label_on_an_issue() -> None:
    read = event("issues", action="labeled", issue=ISSUE, label={"name": "autopack", "color": "fff"})
    assert isinstance(read, IssuesEvent)
    assert (read.action, read.issue.number, read.issue.is_pull) == ("labeled", 3, False)
    assert read.label is not None
    assert read.installation is not None
    assert (read.label.name, read.installation.id, read.repository.full_name) == ("autopack", 5, "acme/widgets")


def test_app_comment_on_pull_request() -> None:
    bot = {"login": "other[bot]", "id": 8, "type": "Bot"}
    comment = {"id": 12, "body": "/autopack run", "user": bot, "performed_via_github_app": {"id": 99}}
    read = event("issue_comment", action="created", issue={**ISSUE, "pull_request": {}}, comment=comment)
    assert isinstance(read, IssueCommentEvent)
    assert read.issue.is_pull
    assert read.comment.performed_via_github_app is not None


def test_a_merged_pull_request() -> None:
    side = {"ref": "autonomous/r1", "sha": SHA}
    pull = {"number": 7, "state": "closed", "merged": True, "merge_commit_sha": SHA, "head": side, "base": side}
    read = event("pull_request", action="closed", number=7, pull_request=pull)
    assert isinstance(read, PullRequestEvent)
    assert (read.pull_request.merged, read.pull_request.head.ref) == (True, "autonomous/r1")


def test_ci_events_say_which_commit_they_are_about() -> None:
    check = {
        "id": 1,
        "name": "build",
        "head_sha": SHA,
        "status": "completed",
        "conclusion": "success",
        "app": {"id": 2},
    }
    suite = {"id": 2, "head_sha": SHA, "status": "completed", "conclusion": None, "app": None}
    run = {"id": 3, "name": "CI", "head_sha": SHA, "status": "in_progress", "conclusion": None, "run_attempt": 2}
    check_run = event("check_run", action="completed", check_run=check)
    assert isinstance(check_run, CheckRunEvent)
    assert check_run.check_run.app is not None
    assert check_run.check_run.app.id == 2
    check_suite = event("check_suite", action="completed", check_suite=suite)
    assert isinstance(check_suite, CheckSuiteEvent)
    assert check_suite.check_suite.head_sha == SHA
    workflow_run = event("workflow_run", action="requested", workflow_run=run)
    assert isinstance(workflow_run, WorkflowRunEvent)
    assert workflow_run.workflow_run.head_sha == SHA
    status = event("status", sha=SHA, state="success", context="legacy")
    assert isinstance(status, StatusEvent)
    assert (status.sha, status.action) == (SHA, "")


@pytest.mark.parametrize(("ref", "branch"), [("refs/heads/a/b", "a/b"), ("refs/tags/v1", None)])
def test_a_push(ref: str, branch: str | None) -> None:
    read = event("push", ref=ref, before="0" * 40, after=SHA, created=True)
    assert isinstance(read, PushEvent)
    assert read.branch == branch


def test_installations_name_their_repositories() -> None:
    names = [{"id": 1, "name": "widgets", "full_name": "acme/widgets"}]
    created = parse("installation", json.dumps({"action": "created", "installation": {"id": 5}, "repositories": names}))
    assert isinstance(created, InstallationEvent)
    assert created.repositories[0].full_name == "acme/widgets"
    added = {"action": "added", "installation": {"id": 5}, "repositories_added": names, "repositories_removed": []}
    read = parse("installation_repositories", json.dumps(added))
    assert isinstance(read, InstallationRepositoriesEvent)
    assert [one.full_name for one in read.repositories_added] == ["acme/widgets"]


def test_broken_event_says_what_is_missing() -> None:
    assert parse("star", b"not even JSON") is None
    with pytest.raises(BadPayload, match=r"issues: cannot read .*issue"):
        event("issues", action="labeled")
    with pytest.raises(BadPayload, match="issues"):
        parse("issues", b"not JSON")
    with pytest.raises(BadPayload, match="issues"):
        parse("issues", b"[]")
