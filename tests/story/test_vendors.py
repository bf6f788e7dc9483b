"""Whole runs through the real clients of each vendor, over HTTP, with tool calls."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.conftest import Worlds
from tests.support.answers import approves, command, edit, edits, phase, plan, tier, write
from tests.support.story import Story
from tests.support.world import World

ANSWERS = {
    "anthropic": b"tool_result",
    "openai": b"function_call_output",
    "azure": b"function_call_output",
    "local": b"tool_call_id",
}
"""How each protocol takes the answer to a tool call."""


@pytest.fixture(params=sorted(ANSWERS))
def one_vendor_world(request: pytest.FixtureRequest, worlds: Worlds) -> Iterator[World]:
    """A world whose service has a key of one vendor only."""
    world = worlds.new("sqlite", vendors=[request.param])
    yield world
    world.stop()


def test_one_vendor_drives_a_whole_run(one_vendor_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(one_vendor_world)
    (vendor,) = one_vendor_world.vendors
    story.settings["commands"] = {"allowed": True}
    story.plays(
        plan(tier(phase("Greet people"), name="Words"), tier(phase("Greet more people"), name="More words")),
        {
            "P1": [edits(write("greeting.txt", "hello\n"), command("cat greeting.txt")), approves("Fine.")],
            "P2": [edits(edit("greeting.txt", "hello", "hello, all")), approves("Fine too.")],
        },
    )
    story.label()
    story.expect_success(["P1", "P2"])
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_audit("Fine.", vendor)
    story.expect_audit("Fine too.", vendor)
    assert story.file("greeting.txt") == "hello, all"
    asked = story.requests()
    assert {one.vendor for one in asked} == {vendor}
    assert {one.role for one in asked} == {"planner", "builder", "auditor"}
    assert any(ANSWERS[vendor] in one.body and b"exit code 0" in one.body for one in asked)
    assert "same vendor" in story.status()


@pytest.fixture
def older_world(worlds: Worlds) -> Iterator[World]:
    """A world on GHES 3.18: it speaks 2022-11-28 alone, and refuses any other version (github/docs, ghes-3.18)."""
    world = worlds.new("sqlite")
    world.hub.state.api_versions = ("2022-11-28",)
    yield world
    world.stop()


def test_older_enterprise_server_runs_the_happy_path(older_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(older_world)
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    health = httpx.get(f"{older_world.service.url}/health", timeout=10).json()
    assert health["github"] == {"status": "configured", "missing": []}
