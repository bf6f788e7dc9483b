"""A short storm; `python -m benchmarks.chaos` is the long one."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Worlds
from tests.support.storm import storm
from tests.support.story import Story
from tests.support.world import World


@pytest.fixture
def cluster(worlds: Worlds) -> Iterator[World]:
    world = worlds.new("postgresql", workers=2)
    yield world
    world.stop()


def test_killed_workers_change_nothing(cluster: World, stories: Callable[[World], Story]) -> None:
    """Every run ends as without kills, and the books have what the models answered."""
    told: list[str] = []
    tally = storm(cluster, stories, runs=2, kills=3, seed=7, say=told.append)
    assert (tally.kills, tally.runs % 2) == (3, 0)
    assert tally.taken_up_after == [] or max(tally.taken_up_after) < 30
