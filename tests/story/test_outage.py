"""The service was down while people worked: what GitHub could not deliver is requested again, and acted on once.

What GitHub did deliver is not lost either, when it could not be acted on at once.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.db.tables import DeliveryRow
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
    story.expect_audit("Nothing blocks it.")
    assert len(story.run_ids) == 1


@pytest.mark.parametrize("by", ["label", "command"])
def test_events_without_any_delivery_are_found(lone_world: World, stories: Callable[[World], Story], by: str) -> None:
    """GitHub's webhooks were down: there is not even a failed delivery. The lists of the repository show it."""
    story = stories(lone_world)
    story.plays(phases={"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.begin()
    story.comment("/autopack status")
    story.wait_idle()
    story.expect_comment("There is no run for this issue.")
    lone_world.hub.webhooks.pause()
    comment = None if by == "label" else story.comment("/autopack run")
    if comment is None:
        story.label()
    lone_world.hub.webhooks.lose()
    lone_world.hub.webhooks.resume()
    lone_world.hub.backdate(story.full_name, minutes=3)
    earlier = datetime.now(UTC) - timedelta(minutes=10)
    lone_world.execute(sa.update(DeliveryRow).values(received_at=earlier))
    lone_world.service.restart()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
    assert re.search(r"Started late: a delivery of \d\d:\d\d UTC was missed\.", story.status().replace("\\", ""))
    lone_world.service.restart()
    story.wait_idle()
    assert len(story.run_ids) == 1
    assert len(story.requests("planner")) == 1


def test_label_during_database_failure_starts_run(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(lone_world)
    story.plays(phases={"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.begin()
    story.wait_idle()
    database = sa.create_engine(lone_world.environment()["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE runs RENAME TO runs_away"))
    story.label()
    lone_world.wait_until(lambda: story.log().count("database: ") >= 1, "the delivery was tried")
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE runs_away RENAME TO runs"))
    database.dispose()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
    assert len(story.run_ids) == 1


def test_lost_comment_on_an_open_run_is_found(lone_world: World, stories: Callable[[World], Story]) -> None:
    """What a person says to a run at work names no one, and no delivery brought it."""
    story = stories(lone_world)
    story.plays(phases={"P1": [edits(write("greeting.txt", "hello\n"))]})
    lone_world.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.wait_handled()
    lone_world.hub.webhooks.pause()
    said = story.comment("Say it in French too, please.")
    lone_world.hub.webhooks.lose()
    lone_world.hub.webhooks.resume()
    lone_world.hub.backdate(story.full_name, minutes=3)
    earlier = datetime.now(UTC) - timedelta(minutes=10)
    lone_world.execute(sa.update(DeliveryRow).values(received_at=earlier))
    lone_world.service.restart()
    story.wait_until(lambda: story.reactions(said) == ["eyes"], "it is acknowledged")
    lone_world.hub.runner.release()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
    assert "came after the last attempt" in story.status()
