"""The service was down while people worked: what GitHub could not deliver is asked for again, and acted on once."""

from collections.abc import Callable

from tests.support.answers import edits, write
from tests.support.story import Story
from tests.support.world import World


def test_label_given_during_an_outage_starts_a_run(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(lone_world)
    story.plays(phases={"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.begin()
    story.wait_idle()
    lone_world.service.kill()
    story.label()
    lone_world.hub.webhooks.wait_drained()
    assert story.run_ids == []
    lone_world.service.start()
    story.expect_success()
    story.expect_review("Nothing stands in the way.")
    assert len(story.run_ids) == 1
