"""How many runs work at once: in a repository and in all. The others wait for their turn, say so, and can be ended."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Worlds
from tests.support.answers import edits, write
from tests.support.story import Story
from tests.support.world import World


@pytest.fixture
def narrow(request: pytest.FixtureRequest, worlds: Worlds) -> Iterator[World]:
    """A service in which one run works at once."""
    world = worlds.new("sqlite", settings={request.param: "1"})
    yield world
    world.stop()


@pytest.mark.parametrize("narrow", ["MAX_RUNS"], indirect=True)
def test_runs_wait_for_their_turn(narrow: World, stories: Callable[[World], Story]) -> None:
    first, second, third = (stories(narrow) for _ in range(3))
    narrow.models.hold(role="builder")
    for story in (first, second, third):
        story.plays(phases={"P1": [edits(write("a.txt", "x\n"))]})
        story.label()
        if story is first:
            story.wait_for_request("builder")
        else:
            story.wait_until(lambda story=story: "waits for its turn" in story.status(), "it says that it waits")
    said = second.status()
    assert "1 ahead in this service, 1 at once" in said
    assert "The run begins when its turn has come." in said
    assert "the run ends" in said, "it waits for three days at most"
    third.unlabel()
    third.wait_until(lambda: "DONE_CANCELLED" in third.status(), "its end does not wait for its turn")
    assert second.requests() == third.requests() == []
    narrow.models.release()
    for story in (first, second):
        story.expect_success()
        story.expect_audit("Nothing blocks it.")
    third.known_failures |= set(narrow.failed_workflows())  # its workflow was taken out of the queue
    first.known_failures = second.known_failures = third.known_failures


@pytest.mark.parametrize("narrow", ["MAX_RUNS_PER_REPOSITORY"], indirect=True)
def test_turns_are_a_repositorys_own(narrow: World, stories: Callable[[World], Story]) -> None:
    busy, other = stories(narrow), stories(narrow)
    busy.plays(phases={"P1": [edits(write("a.txt", "x\n"))]})
    busy.hub.runner.hold()
    busy.label()
    busy.wait_for_ci()
    first, busy.number = busy.number, busy.open_issue("The second", "Later.")
    busy.label()
    busy.wait_until(lambda: "waits for its turn" in busy.status(), "it says that it waits")
    assert "1 ahead in this repository, 1 at once" in busy.status()
    other.plays(phases={"P1": [edits(write("a.txt", "x\n"))]})
    other.label()
    other.wait_for_ci()
    busy.unlabel()
    busy.wait_until(lambda: "DONE_CANCELLED" in busy.status(), "its end does not wait for its turn")
    busy.number = first
    busy.hub.runner.release()
    for story in (busy, other):
        story.wait_until(lambda story=story: "DONE_SUCCESS" in story.status(), "it ends well")
        narrow.wait_idle()
        story.expect_offered(["P1"])
        story.expect_audit("Nothing blocks it.")
    busy.known_failures = other.known_failures = set(narrow.failed_workflows())  # taken out of the queue
