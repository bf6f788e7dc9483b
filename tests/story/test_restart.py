"""What a run decided once stays decided, however the service is set up when it is started again."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.support.answers import Plan, edits, failing_at_first, phase, plan, write
from tests.support.story import Story
from tests.support.world import World


def test_key_removed_at_restart_ends_run(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = _killed_while_building(lone_world, stories)
    lone_world.service.forget("OPENAI_API_KEY")
    lone_world.service.start()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
    assert "Resumed after a crash or restart" in story.status()


def test_revoked_key_is_named_and_left_alone(lone_world: World, stories: Callable[[World], Story]) -> None:
    """The other vendor does the run; the key that was refused is shown, and after two refusals not used."""
    story = stories(lone_world)
    revoked = {"status": 401, "only_for": "anthropic"}
    works = [failing_at_first(edits(write(f"{n}.txt", "x\n")), **revoked) for n in (1, 2)]
    planned = Plan([plan(phase(), phase("More")).turns[0].model_copy(update=revoked)])
    story.plays(planned, {"P1": works[:1], "P2": works[1:]})
    story.label()
    story.expect_success(["P1", "P2"])
    for number, sha in enumerate(story.commits(), 1):
        story.expect_audit("Nothing blocks it.", f"`P{number}`")
        story.expect_ref(f"refs/autopack/{story.run_id}/P{number}", sha)
    story.expect_check("autopack", "neutral", story.commits()[0])
    assert "the provider refused the key" in story.status()
    assert [one.vendor for one in story.requests("builder")].count("anthropic") == 1, "P2 goes past it"
    assert httpx.get(f"{lone_world.service.url}/health", timeout=10).json()["refused_keys"] == ["anthropic"]


def test_run_with_interrupted_workflow_is_ended(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = _killed_while_building(lone_world, stories)
    lone_world.execute(sa.text(f"UPDATE {lone_world.status_table} SET status = 'ERROR' WHERE status = 'PENDING'"))
    lone_world.service.start()
    story.wait_until(lambda: "DONE_FAILED_ENVIRONMENT" in story.status(), "the run is ended")
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "cut off")
    story.expect_in_log("is over (ERROR)")
    story.known_failures |= set(lone_world.failed_workflows())


def _killed_while_building(world: World, stories: Callable[[World], Story]) -> Story:
    """A run whose service was killed while the Builder's model was asked, and is not started again yet."""
    story = stories(world)
    story.plays(phases={"P1": [edits(write("greeting.txt", "hello\n"))]})
    world.models.hold(role="builder")
    story.label()
    story.wait_for_request("builder")
    world.service.kill()
    world.models.release()
    return story


@pytest.mark.parametrize("held", ["planner", "builder", "auditor"])
def test_run_of_earlier_release_is_finished(lone_world: World, stories: Callable[[World], Story], held: str) -> None:
    """Recorded steps of another version are not replayed: the run goes on from what is complete."""
    story = stories(lone_world)
    works = {"P1": [edits(write("a.txt", "x\n"))], "P2": [edits(write("b.txt", "y\n"))]}
    story.plays(plan(phase(), phase("More")), works)
    story.hub.runner.hold()
    if held != "planner":
        story.label()
        story.wait_for_ci()
        lone_world.models.hold(role=held)
        story.hub.runner.release()
        story.wait_for_request(held, {"builder": 3, "auditor": 2}[held])
    else:
        lone_world.models.hold(role=held)
        story.label()
        story.wait_for_request(held)
        story.hub.runner.release()
    lone_world.service.kill()
    lone_world.models.release()
    unfinished = "status IN ('PENDING', 'ENQUEUED')"
    lone_world.execute(sa.text(f"UPDATE {lone_world.status_table} SET application_version = '7' WHERE {unfinished}"))
    lone_world.execute(sa.text("UPDATE workers SET version = '7'"))
    lone_world.service.start()
    story.wait_until(lambda: "DONE_SUCCESS" in story.status(), "the run is finished")
    lone_world.wait_idle()
    complete = [] if held == "planner" else ["P1"]
    for phase_id in complete:
        story.expect_ref(f"refs/autopack/{story.run_ids[0]}/{phase_id}")
    story.expect_offered(["P2"] if complete else ["P1", "P2"])
    assert len(story.commits()) == 2, "what was complete is not built again"
    for sha in story.commits():
        story.expect_audit("Nothing blocks it.")
        story.expect_check("autopack", "neutral" if sha != story.head() else "success", sha)
    story.known_failures |= set(lone_world.failed_workflows())


@pytest.mark.parametrize("lone_world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ahead", [False, True], ids=["at once", "later"])
def test_backup_is_finished_elsewhere(
    lone_world: World, stories: Callable[[World], Story], tmp_path: Path, ahead: bool
) -> None:
    """Restored on a machine without mirrors and work trees; `later`: what was done since is on GitHub already."""
    story = stories(lone_world)
    works = {"P1": [edits(write("a.txt", "x\n"))], "P2": [edits(write("b.txt", "y\n"))]}
    story.plays(plan(phase(), phase("More")), works)
    lone_world.models.hold(role="auditor")
    story.label()
    story.wait_for_request("auditor")
    backup = tmp_path / "elsewhere" / "autopack.db"
    backup.parent.mkdir()
    with sqlite3.connect(lone_world.database_file) as live, sqlite3.connect(backup) as copy:
        live.backup(copy)
    if ahead:
        lone_world.models.release()
        story.wait_for_ci()
    lone_world.service.kill()
    lone_world.models.release()
    lone_world.move(tmp_path / "elsewhere", f"sqlite:///{backup}")
    story.wait_until(lambda: "DONE_" in story.status(), "the run is finished")
    assert "DONE_SUCCESS" in story.status()
    lone_world.wait_idle()
    story.expect_offered(["P1", "P2"])
    for sha in story.commits():
        story.expect_check("autopack", "neutral" if sha != story.head() else "success", sha)
        story.expect_audit("Nothing blocks it.")
