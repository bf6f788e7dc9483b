"""Webhooks: what is sent, signed how, in which order, and again under the same guid."""

from tests.hub.world import REPOSITORY, WORKFLOW, Receiver, World

API = f"/repos/{REPOSITORY}"


def _label(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing", "body": "Please"})
    world.user("octo").post(f"{API}/issues/1/labels", json={"labels": ["autopack"]})
    world.hub.webhooks.wait_drained()


def test_headers_signature_and_fields(world: World, receiver: Receiver) -> None:
    _label(world)
    delivery = next(one for one in receiver.deliveries if one.event == "issues.labeled")
    assert delivery.signed_with(world.hub.webhook_secret)
    assert delivery.headers["user-agent"].startswith("GitHub-Hookshot/")
    assert delivery.headers["x-github-hook-installation-target-id"] == str(world.hub.app_id)
    assert delivery.headers["x-github-hook-id"].isdecimal()
    payload = delivery.payload
    assert payload["installation"]["id"] == world.installation
    assert payload["label"]["name"] == "autopack"
    assert (payload["issue"]["number"], payload["issue"]["state"]) == (1, "open")
    assert payload["repository"]["full_name"] == REPOSITORY
    assert payload["repository"]["owner"]["login"] == "octo"
    assert (payload["sender"]["login"], payload["sender"]["type"]) == ("octo", "User")


def test_redelivery_keeps_the_guid(world: World, receiver: Receiver) -> None:
    receiver.status = 500
    _label(world)
    failed = world.app().get("/app/hook/deliveries", params={"status": "failure", "per_page": 1})
    assert "cursor=" in failed.links["next"]["url"]
    item = failed.json()[0]
    assert (item["status_code"], item["redelivery"]) == (500, False)
    before = len(receiver.deliveries)
    receiver.status = 202
    assert world.app().post(f"/app/hook/deliveries/{item['id']}/attempts").status_code == 202
    world.hub.webhooks.wait_drained()
    assert len(receiver.deliveries) == before + 1
    assert receiver.deliveries[-1].headers["x-github-delivery"] == item["guid"]
    newest = world.app().get("/app/hook/deliveries").json()[0]
    assert (newest["guid"], newest["redelivery"], newest["status_code"]) == (item["guid"], True, 202)
    assert world.app().post("/app/hook/deliveries/1/attempts").status_code == 404
    assert world.app().get(f"/app/hook/deliveries/{item['id']}").json()["request"]["payload"]["action"]


def test_nothing_is_retried_by_itself(world: World, receiver: Receiver) -> None:
    receiver.status = 503
    _label(world)
    sent = len(receiver.deliveries)
    assert {row["status_code"] for row in world.hub.webhooks.deliveries("issues")} == {503}
    receiver.status = 202
    world.hub.webhooks.wait_drained()
    assert len(receiver.deliveries) == sent


def test_the_test_controls_order_and_number(world: World, receiver: Receiver) -> None:
    world.hub.webhooks.wait_drained()
    receiver.deliveries.clear()
    world.hub.webhooks.pause()
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    world.user("octo").post(f"{API}/issues/1/comments", json={"body": "/autopack run"})
    world.hub.webhooks.reverse()
    world.hub.webhooks.resume()
    world.hub.webhooks.wait_drained()
    assert receiver.events() == ["issue_comment.created", "issues.opened"]
    row = world.hub.webhooks.deliveries("issues", "opened")[0]
    world.hub.webhooks.repeat(row["id"], times=4)
    world.hub.webhooks.wait_drained()
    assert [one.headers["x-github-delivery"] for one in receiver.deliveries].count(row["guid"]) == 5


def test_only_subscribed_and_permitted_events(world: World, receiver: Receiver) -> None:
    permissions = {"issues": "write", "metadata": "read"}
    world.hub.install_app(REPOSITORY, permissions, ["issues", "push"])
    world.hub.webhooks.wait_drained()
    receiver.deliveries.clear()
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    world.user("octo").post(f"{API}/issues/1/comments", json={"body": "Hello"})
    world.commit("feature", {"b.txt": "b\n"})
    world.hub.webhooks.wait_drained()
    assert receiver.events() == ["issues.opened"]


def test_push_with_ci_sends_every_event(world: World, receiver: Receiver) -> None:
    world.commit("feature", {".github/workflows/ci.yml": WORKFLOW, "check.sh": "true\n"})
    number = world.pull()
    world.hub.runner.wait_idle()
    world.hub.webhooks.wait_drained()
    receiver.deliveries.clear()
    before = world.hub.git(REPOSITORY, "rev-parse", "feature")
    sha = world.commit("feature", {"check.sh": "false\n"})
    world.hub.runner.wait_idle()
    world.hub.webhooks.wait_drained()
    by_event = {one.event: one.payload for one in receiver.deliveries}
    push = by_event["push"]
    assert (push["before"], push["after"], push["ref"], push["forced"]) == (before, sha, "refs/heads/feature", False)
    assert [commit["id"] for commit in push["commits"]] == [sha]
    synchronize = by_event["pull_request.synchronize"]["pull_request"]
    assert (synchronize["number"], synchronize["head"]["sha"], synchronize["merged"]) == (number, sha, False)
    assert by_event["check_suite.requested"]["check_suite"]["app"]["id"] == world.hub.app_id
    assert by_event["check_run.completed"]["check_run"]["conclusion"] == "failure"
    assert by_event["workflow_run.completed"]["workflow_run"]["head_branch"] == "feature"
    order = receiver.events()
    assert order.index("workflow_run.requested") < order.index("check_run.created")
    assert order.index("workflow_run.in_progress") < order.index("check_run.completed")
    assert order.index("check_suite.completed") < order.index("workflow_run.completed")


def test_merging_tells_the_merge_commit(world: World, receiver: Receiver) -> None:
    number = world.pull()
    sha = world.user("octo").put(f"{API}/pulls/{number}/merge", json={}).json()["sha"]
    world.hub.webhooks.wait_drained()
    closed = next(one.payload for one in receiver.deliveries if one.event == "pull_request.closed")
    assert (closed["pull_request"]["merged"], closed["pull_request"]["merge_commit_sha"]) == (True, sha)


def test_own_check_runs_raise_events(world: World, receiver: Receiver) -> None:
    body = {"name": "autopack", "head_sha": world.hub.git(REPOSITORY, "rev-parse", "main"), "conclusion": "success"}
    world.bot().post(f"{API}/check-runs", json=body | {"external_id": "run-1"})
    world.hub.webhooks.wait_drained()
    told = [one for one in receiver.deliveries if one.event.startswith("check_")]
    assert [one.event for one in told] == ["check_run.created", "check_run.completed", "check_suite.completed"]
    assert told[0].payload["check_run"]["external_id"] == "run-1"
    assert told[0].payload["sender"]["type"] == "Bot"


def test_installing_is_told(world: World, receiver: Receiver) -> None:
    world.hub.import_repository("other/demo")
    installation = world.hub.install_app("other/demo")
    world.hub.webhooks.wait_drained()
    created = [one.payload for one in receiver.deliveries if one.event == "installation.created"][-1]
    assert created["installation"]["id"] == installation
    assert [repo["full_name"] for repo in created["repositories"]] == ["other/demo"]


def test_a_status_is_told(world: World, receiver: Receiver) -> None:
    sha = world.hub.git(REPOSITORY, "rev-parse", "main")
    world.user("writer").post(f"{API}/statuses/{sha}", json={"state": "success", "context": "ci"})
    world.hub.webhooks.wait_drained()
    told = next(one.payload for one in receiver.deliveries if one.event == "status")
    assert (told["sha"], told["state"], told["context"]) == (sha, "success", "ci")
