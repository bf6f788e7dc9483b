"""Worlds for stories: one per test process and database backend, started at first use."""

import itertools
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from syrupy.assertion import SnapshotAssertion

import tests.support.paused  # noqa: F401  # pyright: ignore[reportUnusedImport]
from app import collection
from tests.support.databases import BACKENDS, Server, new_database, postgresql
from tests.support.pages import Page

if TYPE_CHECKING:  # imported at first use: xdist's controller and tests of pure rules need neither
    from tests.support.story import Story
    from tests.support.world import World

os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.crt")
# Tests speak plain HTTP to this machine alone. Reading all authorities takes every client 20 ms of processor time.

FAILED = pytest.StashKey[bool]()
ON_BOTH = {"test_happy_path", "test_races"}
ON_BOTH_TOO = {"test_five_copies_of_one_delivery_are_one_run", "test_issues_of_one_repository_run_beside_each_other"}
"""Modules and stories in which order and parallel writes matter: they run on both databases every time."""
LONG = {
    "test_plan_of_sixty_phases_is_three_runs",
    "test_ten_kills_keep_the_result",
    "test_all_texts_owed_to_silence_are_told",
    "test_each_delivery_disturbed_changes_nothing",
}
"""Stories that take minutes run with `--all-databases` only."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-databases",
        action="store_true",
        help="tell every story, the long ones too, on both databases, not only where the database has a part",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Stories run on SQLite, those of `ON_BOTH` on PostgreSQL too, the long ones not; or all with the option."""
    stories = [item for item in items if item.path.parent.name == "story" or _needs_own_service(item)]
    others = [item for item in items if item not in set(stories)]
    left_out = [item for item in stories if _is_left_out(item)]
    if not config.getoption("--all-databases"):
        config.hook.pytest_deselected(items=left_out)
        stories = [item for item in stories if item not in set(left_out)]
    items[:] = _share_out(stories, others, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _needs_own_service(item: pytest.Item) -> bool:
    """Whether the test is one of the REST API's on PostgreSQL: one worker starts their service."""
    return item.path.stem == "test_parallel" and "[postgresql" in item.name


def _is_left_out(story: pytest.Item) -> bool:
    name = story.name.partition("[")[0]
    on_both = story.path.stem in ON_BOTH or name in ON_BOTH_TOO or _needs_own_service(story)
    return name in LONG or ("[postgresql" in story.name and not on_both)


def _share_out(stories: list[pytest.Item], others: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Each of the equal shares that the workers begin with starts with its part of the stories, which take longest.

    So they end together, with short tests. PostgreSQL's stories are one worker's: the others start no such world.
    The other tests stay in order: their modules have fixtures of their own.
    """
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for story in sorted(stories, key=lambda item: "[postgresql" not in item.name):
        (shares[0] if "[postgresql" in story.name else min(shares, key=len)).append(story)
    size, left = len(stories) + len(others), iter(others)
    for number, share in enumerate(shares):
        share.extend(itertools.islice(left, max(0, size // workers + (number < size % workers) - len(share))))
    return [item for share in shares for item in share] + list(left)


def pytest_collection_finish() -> None:
    """What is imported by now lives as long as the process: no later garbage collection looks through it."""
    collection.resume()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A story that fails tells what happened on GitHub."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        story = getattr(item, "funcargs", {}).get("story")
        if story is not None:
            report.sections.append((f"what happened on GitHub ({report.when})", story.history()))
    return report


class Worlds:
    """The worlds of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, World] = {}
        self._server: Server | None = None
        self._stack = ExitStack()
        self._made = 0

    def new(self, backend: str, **options: Any) -> "World":
        """A started world; the caller stops it."""
        from tests.support.world import World

        self._made += 1
        folder = self._folder / f"{backend}-{self._made}"
        if backend == "postgresql" and self._server is None:
            self._server = self._stack.enter_context(postgresql())
        world = World(folder, new_database(backend, folder, self._server), **options)
        world.start()
        return world

    def of(self, backend: str) -> "World":
        """The world that the stories of this process share."""
        if backend not in self._kept:
            self._kept[backend] = self.new(backend)
        return self._kept[backend]

    def give_up(self, world: "World") -> None:
        """The next story gets a new world."""
        for backend in [key for key, kept in self._kept.items() if kept is world]:
            self._kept.pop(backend).stop()

    def stop(self) -> None:
        with self._stack:
            for world in self._kept.values():
                self._stack.callback(world.stop)


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    made = Worlds(tmp_path_factory.mktemp("worlds"))
    yield made
    made.stop()


@pytest.fixture(params=BACKENDS)
def world(request: pytest.FixtureRequest, worlds: Worlds) -> "World":
    """The world of this backend that stories share."""
    return worlds.of(request.param)


@pytest.fixture(params=BACKENDS)
def lone_world(request: pytest.FixtureRequest, worlds: Worlds) -> "Iterator[World]":
    """A world of the test's own, whose service may be killed: `lone_world.service.restart()`."""
    world = worlds.new(request.param)
    yield world
    world.stop()


@pytest.fixture
def stories(request: pytest.FixtureRequest, worlds: Worlds) -> "Iterator[Callable[[World], Story]]":
    """Begin stories in a world; at the test's end each is checked."""
    from tests.support.story import Story

    begun: list[Story] = []

    def begin(world: "World") -> "Story":
        begun.append(Story(world))
        return begun[-1]

    yield begin
    try:
        for story in begun:
            story.release()
        if not request.node.stash.get(FAILED, False):
            for story in begun:
                story.check()
    except Exception:
        for story in begun:  # now: where this is the last story, its hub is gone when the report is written
            story.keep_history()
        raise
    finally:
        _end_unfinished(worlds, begun)


def _end_unfinished(worlds: Worlds, begun: "list[Story]") -> None:
    """End the runs of a failed test; where they do not end, the next story gets a new world."""
    for story in begun:
        try:
            story.abandon()
        except AssertionError:
            story.keep_history()
            worlds.give_up(story.world)


@pytest.fixture
def page(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """The page that a person last approved of the text under test."""
    return snapshot.use_extension(Page)


@pytest.fixture
def story(world: "World", stories: "Callable[[World], Story]") -> "Story":
    """A story in the shared world."""
    return stories(world)
