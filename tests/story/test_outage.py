"""The service was down while people worked: what GitHub could not deliver is requested again, and acted on once.

What GitHub did deliver is not lost either, when it could not be acted on at once.
"""

from collections.abc import Callable

import sqlalchemy as sa

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
    story.expect_review("Nothing blocks it.")
    assert len(story.run_ids) == 1


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
    story.expect_review("Nothing blocks it.")
    assert len(story.run_ids) == 1
