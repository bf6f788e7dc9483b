"""The Actions runner: which events start it, what it runs, its logs, re-runs and limits."""

from pathlib import Path

import httpx
import pytest

from app.hub.workflow_files import matches
from tests.hub.world import REPOSITORY, WORKFLOW, World, wait_until

API = f"/repos/{REPOSITORY}"
FILE = ".github/workflows/ci.yml"


def _runs(world: World, sha: str) -> list[tuple[str, str, str | None]]:
    found = world.bot().get(f"{API}/actions/runs", params={"head_sha": sha}).json()["workflow_runs"]
    return [(run["event"], run["status"], run["conclusion"]) for run in found]


def _log(world: World, sha: str) -> str:
    run = world.bot().get(f"{API}/actions/runs", params={"head_sha": sha}).json()["workflow_runs"][0]["id"]
    job = world.bot().get(f"{API}/actions/runs/{run}/jobs").json()["jobs"][0]["id"]
    answer = world.bot().get(f"{API}/actions/jobs/{job}/logs")
    assert answer.status_code == 302
    return httpx.get(answer.headers["location"]).text


def _workflow(steps: str, on: str = "push", job: str = "") -> str:
    return f"name: CI\non: {on}\njobs:\n  test:\n    runs-on: ubuntu-latest\n{job}    steps:\n{steps}"


def test_green(world: World) -> None:
    sha = world.commit("feature", {FILE: WORKFLOW, "check.sh": "echo $GITHUB_SHA on $GITHUB_REF, CI=$CI\n"})
    world.hub.runner.wait_idle()
    assert _runs(world, sha) == [("push", "completed", "success")]
    assert f"{sha} on refs/heads/feature, CI=true" in _log(world, sha)
    check = world.bot().get(f"{API}/commits/{sha}/check-runs").json()["check_runs"][0]
    assert (check["name"], check["conclusion"], check["app"]["id"]) == ("test", "success", 15368)


@pytest.mark.parametrize(
    ("on", "events"),
    [
        ("push", ["push", "push"]),
        ("{push: {tags: ['v*']}}", ["push"]),
        ("{push: {tags: ['w*']}}", []),
        ("{push: {branches: [main], tags: ['v*']}}", ["push"]),
        ("{push: {branches: [feature]}}", ["push"]),
        ("{push: {tags-ignore: ['w*']}}", ["push"]),
        ("pull_request", []),
    ],
)
def test_tags_start_workflows(world: World, on: str, events: list[str]) -> None:
    sha = world.commit("feature", {FILE: _workflow("      - run: echo $GITHUB_REF\n", on=on)})
    made = world.user("octo").post(f"{API}/git/refs", json={"ref": "refs/tags/v1", "sha": sha})
    assert made.status_code == 201
    world.hub.runner.wait_idle()
    assert [event for event, _, _ in _runs(world, sha)] == events
    if len(events) == 2:
        assert "refs/tags/v1" in _log(world, sha), "the newest run is the tag's"


def test_red_then_green_in_the_next_attempt(world: World) -> None:
    flaky = 'test "$GITHUB_RUN_ATTEMPT" = 2\n'
    sha = world.commit("feature", {FILE: WORKFLOW, "check.sh": flaky})
    world.hub.runner.wait_idle()
    run = world.bot().get(f"{API}/actions/runs").json()["workflow_runs"][0]
    assert run["conclusion"] == "failure"
    assert world.bot().post(f"{API}/actions/runs/{run['id']}/rerun-failed-jobs").status_code == 201
    world.hub.runner.wait_idle()
    assert _runs(world, sha) == [("push", "completed", "success")]
    assert len(world.bot().get(f"{API}/actions/runs/{run['id']}/jobs?filter=all").json()["jobs"]) == 2
    assert world.bot().post(f"{API}/actions/runs/{run['id']}/rerun-failed-jobs").status_code == 403


def test_the_first_failing_step_ends_the_job(world: World) -> None:
    steps = (
        "      - run: echo before; false\n      - run: echo after\n      - if: always()\n        run: echo cleanup\n"
    )
    sha = world.commit("feature", {FILE: _workflow(steps)})
    world.hub.runner.wait_idle()
    log = _log(world, sha)
    assert "##[error]Process completed with exit code 1." in log
    assert "Z before\n" in log
    assert "Z after\n" not in log
    assert "Z cleanup\n" in log
    run = world.bot().get(f"{API}/actions/runs").json()["workflow_runs"][0]["id"]
    job = world.bot().get(f"{API}/actions/runs/{run}/jobs").json()["jobs"][0]
    assert [step["conclusion"] for step in job["steps"]] == ["failure", "skipped", "success"]


def test_environment_working_directory_and_matrix(world: World) -> None:
    job = "    env: {WHO: job, ONLY: env-only}\n    strategy: {matrix: {size: [1, 2]}}\n"
    steps = "      - run: echo $WHO ${{ env.ONLY }} size ${{ matrix.size }} in ${PWD##*/}\n"
    steps += "        working-directory: docs\n        env: {WHO: step}\n"
    sha = world.commit("feature", {FILE: _workflow(steps, job=job)})
    world.hub.runner.wait_idle()
    names = [run["name"] for run in world.bot().get(f"{API}/commits/{sha}/check-runs").json()["check_runs"]]
    assert sorted(names) == ["test (1)", "test (2)"]
    assert "Z step env-only size 1 in docs\n" in _log(world, sha)


def test_a_job_waits_for_the_jobs_it_needs(world: World) -> None:
    workflow = (
        _workflow("      - run: 'false'\n") + "  deploy:\n    needs: test\n    steps:\n      - run: echo deploy\n"
    )
    sha = world.commit("feature", {FILE: workflow})
    world.hub.runner.wait_idle()
    checks = world.bot().get(f"{API}/commits/{sha}/check-runs").json()["check_runs"]
    assert {run["name"]: run["conclusion"] for run in checks} == {"test": "failure", "deploy": "skipped"}


def test_time_limit_kills_what_hangs(world: World) -> None:
    sha = world.commit(
        "feature", {FILE: _workflow("      - run: sleep 100 & wait\n", job="    timeout-minutes: 0.01\n")}
    )
    world.hub.runner.wait_idle(30)
    assert _runs(world, sha) == [("push", "completed", "failure")]
    assert "maximum execution time" in _log(world, sha)


def test_the_hubs_environment_stays_outside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPACK_API_TOKEN", "hidden-value")
    sha = world.commit("feature", {FILE: _workflow("      - run: env\n")})
    world.hub.runner.wait_idle()
    assert "hidden-value" not in _log(world, sha)


def test_no_workflow_no_run(world: World) -> None:
    sha = world.commit("feature", {"b.txt": "b\n"})
    assert _runs(world, sha) == []


def test_skip_ci(world: World) -> None:
    sha = world.commit("feature", {FILE: WORKFLOW, "check.sh": "true\n"}, "Docs [skip ci]")
    assert _runs(world, sha) == []


def test_branch_filter_and_pull_request_event(world: World) -> None:
    on = "{push: {branches: ['autonomous/**']}, pull_request: {branches: [main]}}"
    sha = world.commit("feature", {FILE: _workflow("      - run: 'true'\n", on)})
    assert _runs(world, sha) == []
    world.bot().post(f"{API}/pulls", json={"title": "T", "head": "feature", "base": "main"})
    world.hub.runner.wait_idle()
    assert _runs(world, sha) == [("pull_request", "completed", "success")]
    later = world.commit("feature", {"b.txt": "b\n"})
    world.hub.runner.wait_idle()
    assert _runs(world, later) == [("pull_request", "completed", "success")]


@pytest.mark.parametrize(
    ("branch", "patterns", "expected"),
    [
        ("main", ["main"], True),
        ("autonomous/run", ["autonomous/*"], True),
        ("autonomous/a/b", ["autonomous/*"], False),
        ("autonomous/a/b", ["autonomous/**"], True),
        ("release/1", ["**", "!release/**"], False),
        ("mainx", ["main"], False),
    ],
)
def test_branch_patterns(branch: str, patterns: list[str], expected: bool) -> None:
    assert matches(branch, patterns) is expected


@pytest.mark.parametrize(
    "text",
    [
        "on: [push\n",
        "just text\n",
        "on: push\njobs: {test: {steps: [echo]}}\n",
        "on: push\njobs: {test: {timeout-minutes: long, steps: [{run: 'true'}]}}\n",
        "on: push\njobs: {test: {env: text, steps: [{run: 'true'}]}}\n",
        "on: push\n",
    ],
)
def test_a_broken_workflow_file_is_a_startup_failure(world: World, text: str) -> None:
    sha = world.commit("feature", {FILE: text})
    assert _runs(world, sha) == [("push", "completed", "startup_failure")]


def test_a_held_runner_leaves_runs_queued(world: World) -> None:
    world.hub.runner.hold()
    sha = world.commit("feature", {FILE: WORKFLOW, "check.sh": "true\n"})
    with pytest.raises(TimeoutError):
        world.hub.runner.wait_idle(0.2)
    assert _runs(world, sha) == [("push", "queued", None)]
    run = world.bot().get(f"{API}/actions/runs").json()["workflow_runs"][0]["id"]
    assert world.bot().post(f"{API}/actions/runs/{run}/rerun-failed-jobs").status_code == 403
    world.hub.runner.release()
    world.hub.runner.wait_idle()
    assert _runs(world, sha) == [("push", "completed", "success")]


def test_logs_need_permission_and_a_signed_address(world: World) -> None:
    sha = world.commit("feature", {FILE: WORKFLOW, "check.sh": "true\n"})
    world.hub.runner.wait_idle()
    run = world.bot().get(f"{API}/actions/runs", params={"head_sha": sha}).json()["workflow_runs"][0]["id"]
    job = world.bot().get(f"{API}/actions/runs/{run}/jobs").json()["jobs"][0]["id"]
    assert world.bot(permissions={"checks": "read"}).get(f"{API}/actions/jobs/{job}/logs").status_code == 403
    location = world.bot().get(f"{API}/actions/jobs/{job}/logs").headers["location"]
    assert httpx.get(location.replace("signature=", "signature=0")).status_code == 403
    assert world.bot().get(f"{API}/actions/jobs/1/logs").status_code == 404


@pytest.mark.parametrize(
    ("on", "events"),
    [
        ("{pull_request: {types: [edited]}}", ["pull_request"]),
        ("{pull_request: {types: labeled}}", ["pull_request"]),
        ("{pull_request: {types: [ready_for_review]}}", ["pull_request"]),
        ("pull_request_review", ["pull_request_review"]),
        ("{pull_request_review: {types: [dismissed]}}", []),
        ("pull_request", ["pull_request"]),
    ],
)
def test_what_happens_to_a_pull_starts_workflows(world: World, on: str, events: list[str]) -> None:
    sha = world.commit("feature", {FILE: _workflow("      - run: 'true'\n", on)})
    bot = world.bot()
    pull = bot.post(f"{API}/pulls", json={"title": "T", "head": "feature", "base": "main", "draft": True}).json()
    url = f"{API}/pulls/{pull['number']}"
    bot.patch(url, json={"title": "Another"})
    bot.post(f"{API}/issues/{pull['number']}/labels", json={"labels": ["bug"]})
    bot.post(f"{url}/reviews", json={"event": "COMMENT", "body": "Looks fine"})
    ready = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }"
    bot.post("/graphql", json={"query": ready, "variables": {"id": pull["node_id"]}})
    world.hub.runner.wait_idle()
    assert [event for event, _, _ in _runs(world, sha)] == events


def test_pull_requests_are_judged_merged_with_their_base(world: World) -> None:
    """https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows#pull_request"""
    world.commit("main", {"base.txt": "base\n"})
    sha = world.commit("feature", {FILE: _workflow("      - run: cat base.txt late.txt\n", "pull_request")})
    world.commit("main", {"late.txt": "late\n"})
    world.bot().post(f"{API}/pulls", json={"title": "T", "head": "feature", "base": "main"})
    world.hub.runner.wait_idle()
    assert _runs(world, sha) == [("pull_request", "completed", "success")]
    assert "Z late\n" in _log(world, sha)


@pytest.mark.parametrize(
    ("concurrency", "ends"),
    [
        ("${{ github.workflow }}-${{ github.head_ref || github.ref }}", ["success", "cancelled"]),
        ("{group: one, cancel-in-progress: true}", ["success", "cancelled"]),
        ("${{ github.run_id }}", ["success", "success"]),
    ],
)
def test_concurrency_group_ends_what_waits(world: World, concurrency: str, ends: list[str]) -> None:
    world.hub.runner.hold()
    text = f"concurrency: {concurrency}\n" + _workflow("      - run: 'true'\n")
    sha = world.commit("feature", {FILE: text})
    newer = world.commit("feature", {"b.txt": "b\n"})
    world.hub.runner.release()
    world.hub.runner.wait_idle()
    assert [_runs(world, newer)[0][2], _runs(world, sha)[0][2]] == ends
    if ends[1] == "cancelled":
        check = world.bot().get(f"{API}/commits/{sha}/check-runs").json()["check_runs"][0]
        assert check["conclusion"] == "cancelled"


def test_concurrency_cancels_what_is_at_work(world: World, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    steps = f"      - run: test -f {mark} || (touch {mark}; sleep 60)\n"
    text = "concurrency: {group: one, cancel-in-progress: true}\n" + _workflow(steps)
    sha = world.commit("feature", {FILE: text})
    wait_until(mark.exists)
    newer = world.commit("feature", {"b.txt": "b\n"})
    world.hub.runner.wait_idle(20)
    assert _runs(world, sha) == [("push", "completed", "cancelled")]
    assert _runs(world, newer) == [("push", "completed", "success")]
