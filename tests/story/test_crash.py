"""Killed at any point and started again, a run ends as if nothing had happened, and nothing is done twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from app.replay.recording import Recording
from tests.support.left_on_github import asked, left_on_github
from tests.support.story import Story
from tests.support.world import World

DEMO = Path(__file__).parents[2] / "examples" / "demo"
SECONDS = 120.0


def test_three_kills_keep_the_result(lone_world: World, stories: Callable[[World], Story]) -> None:
    _survive(3, lone_world, stories)


@pytest.mark.timeout(400)  # eleven starts of the service, and two whole runs
def test_ten_kills_keep_the_result(lone_world: World, stories: Callable[[World], Story]) -> None:
    _survive(10, lone_world, stories)


def _survive(kills: int, lone_world: World, stories: Callable[[World], Story]) -> None:
    """Kill the service so often, at even distances, while it does the demo; all is as without kills."""
    calm = _demo(stories(lone_world))
    assert calm.wait_for_end() == "DONE_SUCCESS"
    steps = _progress(calm)
    assert steps > 3 * kills

    stormy = _demo(stories(lone_world))
    for kill in range(1, kills + 1):
        asked_before = asked(stormy)
        due = kill * steps // (kills + 1)
        stormy.wait_until(lambda due=due: _progress(stormy) >= due, f"step {due} of {steps}", SECONDS)
        lone_world.service.restart()
        repeated = sum((asked(stormy) - asked_before).values()) - len(asked(stormy) - asked_before)
        assert repeated <= 1, f"kill {kill}: {repeated} model requests repeated"
    assert stormy.wait_for_end() == "DONE_SUCCESS"

    assert sum(count - 1 for count in asked(stormy).values()) <= kills
    assert left_on_github(stormy) == left_on_github(calm)


def _demo(story: Story) -> Story:
    """The demo's repository, issue and recorded answers."""
    folder = DEMO / "repository"
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    story.files = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}
    story.settings = {}
    recordings = yaml.safe_load((DEMO / "recording.yaml").read_text(encoding="utf-8"))
    story.plays_recording(Recording.model_validate(next(iter(recordings.values()))))
    title, _, story.body = (DEMO / "issue.md").read_text(encoding="utf-8").partition("\n")
    story.title = title.lstrip("# ")
    story.label()
    return story


def _progress(story: Story) -> int:
    """How far the run has come: model requests and things made on GitHub, each counted once."""
    made = {(entry.kind, entry.name, entry.sha) for entry in story.hub.journal(story.full_name)}
    return len(asked(story)) + len(made)
