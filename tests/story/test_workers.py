"""Several machines on one PostgreSQL: one serves the web, the others do the work; a dead one's runs go on elsewhere."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import Worlds
from tests.support.answers import edits, phase, plan, write
from tests.support.service import Service, ServiceDied
from tests.support.story import Story
from tests.support.world import World

TAKEN_UP_SECONDS = 30.0


@pytest.fixture
def cluster(worlds: Worlds) -> Iterator[World]:
    """One process for the web and two workers, each with a data folder of its own."""
    world = worlds.new("postgresql", workers=2)
    yield world
    world.stop()


def _worker_of(world: World, story: Story) -> Service:
    """The worker that has the run."""
    return next(
        worker for worker in world.workers if (worker.folder / ".autopack" / "worktrees" / story.run_id).exists()
    )


def _built_halfway(world: World, stories: Callable[[World], Story]) -> Story:
    """A run of two phases whose first is built, and waits for the Auditor's answer."""
    story = stories(world)
    story.plays(
        plan(phase(), phase("More")),
        {"P1": [edits(write("a.txt", "x\n"))], "P2": [edits(write("b.txt", "y\n"))]},
    )
    world.models.hold(role="auditor")
    story.label()
    story.wait_for_request("auditor")
    return story


def _expect_two_phases(story: Story) -> None:
    story.expect_success(["P1", "P2"])
    for number, sha in enumerate(story.commits(), 1):
        story.expect_audit("Nothing blocks it.", f"`P{number}`")
        story.expect_ref(f"refs/autopack/{story.run_id}/P{number}", sha)
    story.expect_check("autopack", "neutral", story.commits()[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_workers_runs_go_on_elsewhere(
    cluster: World, stories: Callable[[World], Story], number: signal.Signals
) -> None:
    """The other machine has neither mirror nor work tree, and the model is asked once more for what was cut."""
    story = _built_halfway(cluster, stories)
    ended = _worker_of(cluster, story)
    ended.send(number)
    ended.wait_ended()
    story.wait_until(lambda: len(story.requests("auditor")) == 2, "the other worker goes on", TAKEN_UP_SECONDS)
    cluster.models.release()
    _expect_two_phases(story)
    assert "Resumed after a crash or restart" in story.status()
    assert (len(story.requests("builder")), len(story.requests("auditor"))) == (4, 3)


def test_worker_cut_off_from_its_work_stops(cluster: World, stories: Callable[[World], Story]) -> None:
    """Frozen while its session ends, a worker wakes up when another one has its run: it writes nothing, and ends."""
    story = _built_halfway(cluster, stories)
    frozen = _worker_of(cluster, story)
    frozen.send(signal.SIGSTOP)
    name = frozen.log().partition(" works\n")[0].rpartition(" ")[2]
    cluster.execute(
        sa.text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN workers ON objid = number"
            " WHERE locktype = 'advisory' AND classid = 727003 AND executor_id = :name"
        ).bindparams(name=name)
    )
    story.wait_until(lambda: len(story.requests("auditor")) == 2, "the other worker goes on", TAKEN_UP_SECONDS)
    cluster.models.release()
    frozen.send(signal.SIGCONT)
    _expect_two_phases(story)
    frozen.wait_ended()
    assert "this process ends: another process has taken up the work" in frozen.log()
    story.expect_in_log("this process ends")


def test_runs_of_many_workers_are_done_once(cluster: World, stories: Callable[[World], Story]) -> None:
    """Both workers have a part of the runs, and each run is done by one."""
    begun = [stories(cluster) for _ in range(4)]
    for story in begun:
        story.plays(phases={"P1": [edits(write("a.txt", "x\n"))]})
        story.label()
    for story in begun:
        story.expect_success()
        story.expect_audit("Nothing blocks it.")
    shares = [len(list((one.folder / ".autopack" / "worktrees").glob("*"))) for one in cluster.workers]
    assert sum(shares) == len(begun)
    assert not (cluster.service.folder / ".autopack" / "worktrees").exists(), "the web process builds nothing"


def test_web_process_needs_a_shared_database(tmp_path: Path) -> None:
    for command in (["serve", "--web"], ["worker"]):
        service = Service(tmp_path / command[-1], {}, command=command)
        with pytest.raises(ServiceDied, match="SQLite is served by one process"):
            service.start()
        service.stop()
