"""Check runs, suites and statuses: what GitHub refuses, and how suites follow their runs."""

from tests.hub.world import REPOSITORY, World

API = f"/repos/{REPOSITORY}"
RUNS = f"{API}/check-runs"


def _main(world: World) -> str:
    return world.hub.git(REPOSITORY, "rev-parse", "main")


def test_what_a_check_run_may_not_be(world: World) -> None:
    good = {"name": "autopack", "head_sha": _main(world)}

    def status(**body: object) -> int:
        return world.bot().post(RUNS, json=good | body).status_code

    assert status() == 201
    assert status(head_sha="0" * 40) == 422
    assert status(status="completed") == 422
    assert status(conclusion="great") == 422
    assert status(output={"title": "T", "summary": "x" * 65_536}) == 422
    assert status(output={"title": "T", "summary": "x" * 65_535, "text": "x" * 65_535}) == 201
    note = {"path": "a.txt", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    assert status(output={"title": "T", "summary": "S", "annotations": [note] * 50}) == 201
    assert status(output={"title": "T", "summary": "S", "annotations": [note] * 51}) == 422


def test_only_the_app_changes_its_checks(world: World) -> None:
    run = world.bot().post(RUNS, json={"name": "autopack", "head_sha": _main(world)}).json()["id"]
    assert world.user("octo").post(RUNS, json={"name": "x", "head_sha": _main(world)}).status_code == 403
    assert world.user("octo").patch(f"{RUNS}/{run}", json={"status": "in_progress"}).status_code == 403
    assert world.bot().patch(f"{RUNS}/1", json={"status": "in_progress"}).status_code == 404
    done = world.bot().patch(f"{RUNS}/{run}", json={"conclusion": "failure"}).json()
    assert (done["status"], done["conclusion"]) == ("completed", "failure")
    assert done["completed_at"] is not None


def test_actions_check_is_not_the_apps(world: World) -> None:
    workflow = "on: push\njobs: {test: {runs-on: x, steps: [{run: 'true'}]}}\n"
    sha = world.commit("feature", {".github/workflows/ci.yml": workflow})
    world.hub.runner.wait_idle()
    theirs = world.bot().get(f"{API}/commits/{sha}/check-runs").json()["check_runs"][0]
    assert theirs["app"]["slug"] == "github-actions"
    assert world.bot().patch(f"{RUNS}/{theirs['id']}", json={"conclusion": "success"}).status_code == 403


def test_newest_run_of_a_name_counts(world: World) -> None:
    body = {"name": "autopack", "head_sha": _main(world)}
    world.bot().post(RUNS, json=body | {"conclusion": "failure", "external_id": "one"})
    world.bot().post(RUNS, json=body | {"conclusion": "success", "external_id": "two"})
    url = f"{API}/commits/main/check-runs"
    assert [run["external_id"] for run in world.bot().get(url).json()["check_runs"]] == ["two"]
    assert world.bot().get(url, params={"filter": "all"}).json()["total_count"] == 2
    assert world.bot().get(url, params={"check_name": "other"}).json()["total_count"] == 0
    assert world.bot().get(url, params={"app_id": 15368}).json()["total_count"] == 0
    suite = world.bot().get(f"{API}/commits/main/check-suites").json()["check_suites"][0]
    assert (suite["status"], suite["conclusion"]) == ("completed", "success")


def test_rerequest_queues_the_suite(world: World) -> None:
    sha, runs = _main(world), f"{API}/check-runs"
    body = {"name": "autopack", "head_sha": sha, "conclusion": "success"}
    made = world.bot().post(runs, json=body).json()
    assert world.user("outsider").post(f"{runs}/{made['id']}/rerequest").status_code == 403
    assert world.user("octo").post(f"{runs}/{made['id']}/rerequest").status_code == 201
    suites = f"{API}/commits/{sha}/check-suites"
    assert world.bot().get(suites).json()["check_suites"][0]["status"] == "queued"
    assert len(world.hub.webhooks.deliveries("check_run", "rerequested")) == 1
    world.bot().patch(f"{runs}/{made['id']}", json={"conclusion": "success"})
    assert world.bot().get(suites).json()["check_suites"][0]["status"] == "completed"


def test_pushed_suites_may_stay_empty(world: World) -> None:
    ghost = world.hub.ghost_suite(REPOSITORY, "some-linter")
    sha = world.commit("feature", {"b.txt": "b\n"})
    suites = world.bot().get(f"{API}/commits/{sha}/check-suites").json()["check_suites"]
    assert [(suite["app"]["id"], suite["status"]) for suite in suites] == [
        (ghost, "queued"),
        (world.hub.app_id, "queued"),
    ]
    assert {suite["latest_check_runs_count"] for suite in suites} == {0}


def test_statuses(world: World) -> None:
    sha, url = _main(world), f"{API}/statuses"
    assert world.bot().get(f"{API}/commits/{sha}/status").json()["state"] == "pending"
    writer = world.user("writer")
    for state in ("pending", "success"):
        assert writer.post(f"{url}/{sha}", json={"state": state, "context": "ci"}).status_code == 201
    combined = world.bot().get(f"{API}/commits/{sha}/status").json()
    assert (combined["state"], combined["total_count"]) == ("success", 1)
    assert len(world.bot().get(f"{API}/commits/{sha}/statuses").json()) == 2
    assert world.bot().post(f"{url}/{sha}", json={"state": "success"}).status_code == 403
    assert world.user("outsider").post(f"{url}/{sha}", json={"state": "success"}).status_code == 403
    assert writer.post(f"{url}/{'0' * 40}", json={"state": "success"}).status_code == 422
    assert writer.post(f"{url}/{sha}", json={"state": "fine"}).status_code == 422
