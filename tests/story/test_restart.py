"""What a run decided once stays decided, however the service is set up when it is started again."""

from collections.abc import Callable

import sqlalchemy as sa

from tests.support.answers import edits, write
from tests.support.story import Story
from tests.support.world import World


def test_key_removed_at_restart_ends_run(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = _killed_while_building(lone_world, stories)
    lone_world.service.forget("OPENAI_API_KEY")
    lone_world.service.start()
    story.expect_success()
    story.expect_review("Nothing blocks it.")
    assert "Resumed after a crash or restart" in story.status()


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
