"""Issues, labels, comments and reactions: what GitHub refuses."""

from tests.hub.world import REPOSITORY, World

API = f"/repos/{REPOSITORY}"


def test_labels_are_unique_and_case_insensitive(world: World) -> None:
    assert world.bot().post(f"{API}/labels", json={"name": "autopack", "color": "0e8a16"}).status_code == 201
    again = world.bot().post(f"{API}/labels", json={"name": "AutoPack"})
    assert (again.status_code, again.json()["errors"][0]["code"]) == (422, "already_exists")
    assert world.bot().post(f"{API}/labels", json={"name": "x", "color": "red"}).status_code == 422
    assert world.bot().post(f"{API}/labels", json={"color": "0e8a16"}).json()["errors"][0]["code"] == "missing_field"
    assert world.bot().get(f"{API}/labels/none").status_code == 404


def test_removing_an_absent_label_is_404(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing", "labels": ["bug"]})
    assert world.bot().delete(f"{API}/issues/1/labels/bug").json() == []
    assert world.bot().delete(f"{API}/issues/1/labels/bug").status_code == 404


def test_a_comment_holds_65536_characters(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    url = f"{API}/issues/1/comments"
    comment = world.bot().post(url, json={"body": "x" * 65_536})
    assert comment.status_code == 201
    assert world.bot().post(url, json={"body": "x" * 65_537}).status_code == 422
    assert world.bot().post(url, json={"body": "  "}).status_code == 422
    assert world.bot().post(url, json={}).status_code == 422
    assert world.bot().post(url, content=b"{").status_code == 400
    edited = world.bot().patch(f"{API}/issues/comments/{comment.json()['id']}", json={"body": "x" * 65_537})
    assert edited.status_code == 422


def test_an_app_edits_its_own_comments_only(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    theirs = world.user("outsider").post(f"{API}/issues/1/comments", json={"body": "Mine"}).json()["id"]
    assert world.bot().patch(f"{API}/issues/comments/{theirs}", json={"body": "Changed"}).status_code == 403
    assert world.bot().delete(f"{API}/issues/comments/{theirs}").status_code == 403
    own = world.bot().post(f"{API}/issues/1/comments", json={"body": "Status"}).json()["id"]
    assert world.user("outsider").patch(f"{API}/issues/comments/{own}", json={"body": "x"}).status_code == 403
    assert world.user("writer").patch(f"{API}/issues/comments/{own}", json={"body": "x"}).status_code == 200


def test_comments_since(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    made = world.bot().post(f"{API}/issues/1/comments", json={"body": "Status"}).json()
    url = f"{API}/issues/1/comments"
    assert len(world.bot().get(url, params={"since": made["updated_at"]}).json()) == 1
    assert world.bot().get(url, params={"since": "2099-01-01T00:00:00Z"}).json() == []


def test_reacting_twice_is_one_reaction(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    url = f"{API}/issues/1/reactions"
    assert [world.bot().post(url, json={"content": "eyes"}).status_code for _ in range(2)] == [201, 200]
    assert world.bot().post(url, json={"content": "sigh"}).status_code == 422
    assert len(world.bot().get(url).json()) == 1
    assert world.bot().post(f"{API}/issues/9/reactions", json={"content": "eyes"}).status_code == 404


def test_closing_and_reopening(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    closed = world.bot().patch(f"{API}/issues/1", json={"state": "closed", "state_reason": "not_planned"}).json()
    assert (closed["state"], closed["state_reason"]) == ("closed", "not_planned")
    assert world.user("octo").patch(f"{API}/issues/1", json={"state": "open"}).json()["closed_at"] is None
    assert world.user("outsider").patch(f"{API}/issues/1", json={"title": "Mine now"}).status_code == 403


def test_journal_has_the_apps_writes_only(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    world.user("octo").post(f"{API}/issues/1/comments", json={"body": "/autopack run"})
    comment = world.bot().post(f"{API}/issues/1/comments", json={"body": "Planning"}).json()["id"]
    world.bot().patch(f"{API}/issues/comments/{comment}", json={"body": "Building"})
    world.bot().post(f"{API}/issues/1/reactions", json={"content": "eyes"})
    world.bot().post(f"{API}/issues/1/comments", json={"body": ""})
    kinds = [(entry.kind, entry.number, entry.text) for entry in world.hub.journal(REPOSITORY)]
    assert kinds == [
        ("comment.created", 1, "Planning"),
        ("comment.edited", 1, "Building"),
        ("reaction.created", 1, "eyes"),
    ]
    assert world.hub.journal("octo/other") == []


def test_locked_issue_takes_comments_of_writers_only(world: World) -> None:
    number = world.user("octo").post(f"/repos/{REPOSITORY}/issues", json={"title": "Quiet"}).json()["number"]
    issue = f"/repos/{REPOSITORY}/issues/{number}"
    known = world.bot().post(f"{issue}/comments", json={"body": "before"}).json()["id"]
    assert world.user("outsider").put(f"{issue}/lock").status_code == 403
    assert world.user("octo").put(f"{issue}/lock").status_code == 204
    assert world.bot().get(issue).json()["locked"] is True
    refused = world.bot().post(f"{issue}/comments", json={"body": "x"})
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "Unable to create comment because issue is locked.",
    )
    assert world.user("outsider").post(f"{issue}/comments", json={"body": "x"}).status_code == 403
    assert world.user("octo").post(f"{issue}/comments", json={"body": "x"}).status_code == 201
    edited = world.bot().patch(f"/repos/{REPOSITORY}/issues/comments/{known}", json={"body": "after"})
    assert edited.status_code == 200
    assert world.user("octo").delete(f"{issue}/lock").status_code == 204
    assert world.bot().post(f"{issue}/comments", json={"body": "x"}).status_code == 201
