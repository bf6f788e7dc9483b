"""Losing any delivery, doubling any, or swapping any two neighbors changes nothing of what a run leaves on GitHub."""

from collections.abc import Callable, Iterator

import pytest

from app.hub.disturbance import Kind
from tests.conftest import Worlds
from tests.support.left_on_github import asked, left_on_github
from tests.support.repository_view import PERSON
from tests.support.storm import begin
from tests.support.story import Story
from tests.support.world import World

LOST_SECONDS = 400.0
"""The service looks for what was lost every two minutes, and a run reads its CI again within five."""


@pytest.fixture
def wide(worlds: Worlds) -> Iterator[World]:
    """A service that works on many runs at once."""
    world = worlds.new("sqlite", settings={"MAX_RUNS": "200"}, runners=2)
    yield world
    world.stop()


def _expect_the_same(stormy: Story, calm: Story, what: str) -> None:
    assert stormy.state() == "DONE_SUCCESS", what
    assert len(stormy.run_ids) == 1, what
    assert left_on_github(stormy) == left_on_github(calm), what
    assert asked(stormy) == asked(calm), what


@pytest.mark.parametrize("kind", ["doubled", "swapped"])
def test_all_deliveries_disturbed_change_nothing(world: World, stories: Callable[[World], Story], kind: Kind) -> None:
    calm, stormy = begin(world, stories), begin(world, stories)
    stormy.hub.webhooks.disturb(stormy.full_name, kind)
    for story in (calm, stormy):
        story.label()
    for story in (calm, stormy):
        story.wait_for_end()
    _expect_the_same(stormy, calm, f"all {kind}")


@pytest.mark.timeout(1200)  # as many runs as a run has deliveries, all at once
@pytest.mark.parametrize("kind", ["lost", "doubled", "swapped"])
def test_each_delivery_disturbed_changes_nothing(wide: World, stories: Callable[[World], Story], kind: Kind) -> None:
    calm = begin(wide, stories)
    wide.wait_handled()
    calm.label()
    calm.wait_for_end()
    repo_id = wide.user(PERSON).get(f"/repos/{calm.full_name}").json()["id"]
    sent = [row for row in calm.hub.webhooks.deliveries() if row["repository_id"] == repo_id]
    labeled = next(at for at, row in enumerate(sent) if row["action"] == "labeled")
    names = [f"{row['event']} {row['action']}" for row in sent[labeled:]]
    storms = [begin(wide, stories) for _ in names]
    wide.wait_handled()
    for number, stormy in enumerate(storms):
        stormy.hub.webhooks.disturb(stormy.full_name, kind, number)
        stormy.label()
    for name, stormy in zip(names, storms, strict=True):
        stormy.wait_until(lambda one=stormy: bool(one.run_ids), f"a run begins ({name} {kind})", LOST_SECONDS)
        stormy.wait_until(lambda one=stormy: "DONE_" in one.status(), f"it ends ({name} {kind})", LOST_SECONDS)
    wide.wait_idle(LOST_SECONDS)
    for name, stormy in zip(names, storms, strict=True):
        _expect_the_same(stormy, calm, f"{name} {kind}")
    print(f"{len(names)} deliveries, each {kind} once")
