"""Many clients at once, each with a connection of its own, on both databases: nothing is lost, nothing counts twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import httpx
import pytest

from tests.api.support import Api, Run, done, new_id, plan
from tests.support.databases import BACKENDS, new_database, postgresql
from tests.support.service import Service

T = TypeVar("T")


@pytest.fixture(scope="module", params=BACKENDS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A client of a live service on each database."""
    if request.param == "sqlite":
        client = Api(request.getfixturevalue("service").url)
        yield client
        client.http.close()
        return
    folder = tmp_path_factory.mktemp("parallel")
    with postgresql() as server:
        started = Service(folder / "service", {"DATABASE_URL": new_database("postgresql", folder, server)})
        started.start()
        client = Api(started.url)
        try:
            yield client
        finally:
            client.http.close()
            started.stop()


def at_once(api: Api, count: int, act: Callable[[Api, int], T]) -> list[T]:
    """Let so many clients act at the same moment."""
    barrier = Barrier(count, timeout=30)
    url = str(api.http.base_url)

    def one(number: int) -> T:
        mine = Api(url)
        try:
            assert mine.http.get("/health").status_code == 200  # so that its connection is there
            barrier.wait()
            return act(mine, number)
        finally:
            mine.http.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=100))


def test_one_of_many_creators_gets_201(api: Api) -> None:
    run_id, body = new_id(), plan([["docs"], ["docs"]])
    answers = at_once(api, 16, lambda mine, _: Run(mine, run_id).start(body))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 15}
    run = Run(api, run_id)
    assert run.states() == ("RUN_CREATED", ["PENDING"] * 2, ["QUEUED"] * 2)
    done(run.result(), "COMPLETE")


def test_many_runs_are_created_at_once(api: Api) -> None:
    ids = [new_id() for _ in range(8)]
    body = plan([["docs"]])
    answers = at_once(api, 8, lambda mine, n: Run(mine, ids[n]).start(body))
    assert [answer.status_code for answer in answers] == [201] * 8
    for run_id in ids:
        done(Run(api, run_id).result(), "COMPLETE")


def test_reports_of_one_issue_are_all_counted(api: Api) -> None:
    run, other, key = api.begin(["docs", "docs"], ["docs"]), api.begin(), new_id("docs__crowd")

    def report(mine: Api, n: int) -> httpx.Response:
        return Run(mine, (other if n % 4 == 3 else run).run_id).issue(key, ("P1", "P2", "P3", "P1")[n % 4])

    answers = at_once(api, 16, report)
    assert [answer.status_code for answer in answers] == [200] * 16
    seen = [answer.json()["phase_file"]["issues"][0]["occurrence_count"] for answer in answers]
    assert Counter(seen) == dict.fromkeys(range(1, 5), 4)
    index = api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"][key]
    assert (index["occurrence_count"], sorted(index["seen_in_phases"])) == (12, ["P1", "P2", "P3"])
    read = run.read()
    assert read["minor_issues_count"] == 1
    assert [phase["minor_issues_count"] for tier in read["tiers"] for phase in tier["phases"]] == [1, 1, 1]
    entry = api.read("/project/issues/backlog")["issues_by_key"][key]
    assert (entry["occurrences"], entry["age_in_runs"], entry["age_in_tiers"]) == (16, 2, 2)


def test_reports_of_different_issues_are_all_kept(api: Api) -> None:
    run, keys = api.begin(["docs", "docs"]), [new_id("docs__kind") for _ in range(16)]
    answers = at_once(api, 16, lambda mine, n: Run(mine, run.run_id).issue(keys[n], f"P{n % 2 + 1}"))
    assert [answer.status_code for answer in answers] == [200] * 16
    assert set(api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"]) == set(keys)
    read = run.read()
    assert read["minor_issues_count"] == 16
    assert [phase["minor_issues_count"] for tier in read["tiers"] for phase in tier["phases"]] == [8, 8]
    assert set(keys) <= set(api.read("/project/issues/backlog")["issues_by_key"])


def test_parallel_results_of_phases_are_stored(api: Api) -> None:
    run = api.begin(["docs"] * 6, ["docs"] * 6)
    answers = at_once(api, 12, lambda mine, n: Run(mine, run.run_id).result(f"P{n + 1}", tokens_used=10**n % 99_999))
    for answer in answers:
        done(answer, "COMPLETE")
    assert run.states() == ("DONE_SUCCESS", ["COMPLETE"] * 2, ["COMPLETE"] * 12)
    assert run.read()["tokens_used"] == sum(10**n % 99_999 for n in range(12))


def test_results_of_different_runs_are_all_taken(api: Api) -> None:
    runs = [api.begin(["docs", "docs"]).run_id for _ in range(6)]

    def both(mine: Api, n: int) -> list[httpx.Response]:
        run = Run(mine, runs[n])
        return [run.result(tokens_used=n + 1), run.result("P2", tokens_used=1000)]

    for n, answers in enumerate(at_once(api, 6, both)):
        for answer in answers:
            done(answer, "COMPLETE")
        read = Run(api, runs[n]).read()
        assert (read["state"], read["tokens_used"]) == ("DONE_SUCCESS", 1001 + n)


def test_parallel_copies_of_result_count_once(api: Api) -> None:
    run, key = api.begin(["docs", "docs"]), new_id("docs__again")
    issue = {"issue_key": key, "severity": "minor", "category": "docs"}
    answers = at_once(api, 12, lambda mine, _: Run(mine, run.run_id).result(tokens_used=7, suggested_issues=[issue]))
    assert {answer.text for answer in answers} == {answers[0].text}
    done(answers[0], "COMPLETE")
    assert (run.phase()["tokens_used"], run.phase()["builder_attempts"]) == (7, 1)
    assert api.read(f"/runs/{run.run_id}/issues/index")["issues_by_key"][key]["occurrence_count"] == 1


def test_parallel_copies_of_audit_count_once(api: Api) -> None:
    run = api.begin(["security_auth_change", "docs"])
    done(run.result(tokens_used=7), "GATE")
    answers = at_once(api, 12, lambda mine, _: Run(mine, run.run_id).audit("revise", tokens_used=5))
    assert {answer.text for answer in answers} == {answers[0].text}
    done(answers[0], "EXECUTING")
    assert (run.phase()["tokens_used"], run.phase()["auditor_attempts"]) == (12, 1)


def test_one_of_many_equal_steps_wins(api: Api) -> None:
    run = api.begin(["docs", "docs"])
    for state in ("EXECUTING", "GATE", "COMPLETE"):
        answers = at_once(api, 12, lambda mine, _, state=state: Run(mine, run.run_id).status(state))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 11}
    assert run.states() == ("SNAPSHOT_CREATED", ["RUNNING"], ["COMPLETE", "QUEUED"])


def test_one_of_different_steps_from_one_state_wins(api: Api) -> None:
    targets = ("COMPLETE", "FAILED", "SKIPPED")
    for _ in range(3):
        run = api.begin(["docs", "docs"])
        run.reach("GATE")
        answers = at_once(api, 12, lambda mine, n, run=run: Run(mine, run.run_id).status(targets[n % 3]))
        won = [answer.json()["phase"]["state"] for answer in answers if answer.status_code == 200]
        assert len(won) == 1
        assert [answer.status_code for answer in answers].count(409) == 11
        assert run.phase()["state"] == won[0]
