"""Requests to GitHub that count against an installation's hourly limit, of whole runs with the embedded GitHub.

    python -m benchmarks.requests [--list]

`counted` are those that the limit counts: a 304 to a conditional request is free. The hours of waiting are computed, as
if each look that `app.domain.ci_schedule` makes found workflow runs and check runs changed; where nothing has, none
counts. The other rows are whole runs. `--list` shows each request by its path.
"""

import argparse
import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from app.domain.ci_schedule import gather_seconds, poll_seconds
from app.hub.limits import HOUR, Asked
from tests.support.answers import edits, phase, plan, write
from tests.support.databases import new_database
from tests.support.story import Story
from tests.support.world import World

MATRIX = """\
name: CI
on: {push: {branches: ["autonomous/**"]}}
jobs:
  test:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        number: [%s]
    steps:
      - run: "true"
""".replace("%s", ", ".join(str(number) for number in range(40)))
NUMBERS = (("[0-9a-f]{40}", "SHA"), (r"/\d+", "/N"), ("/repos/[^/]+/[^/]+", ""), (r"autonomous/[\w-]+", "BRANCH"))


def three_phases(story: Story) -> None:
    """A happy run of three phases with one job."""
    phases = {f"P{number}": [edits(write(f"file{number}.txt", "text\n"))] for number in (1, 2, 3)}
    story.plays(plan(*(phase() for _ in phases)), phases)
    story.label()
    story.expect_success(list(phases))


def matrix(story: Story) -> None:
    """A run of one phase whose CI has forty jobs."""
    story.files[".github/workflows/ci.yml"] = MATRIX
    story.plays(plan(phase()), {"P1": [edits(write("file.txt", "text\n"))]})
    story.label()
    story.wait_until(lambda: story.run_ids != [], "the run begins")
    story.world.wait_idle(300)
    story.expect_success()


def looks_of_an_hour(events: tuple[float, ...]) -> int:
    """How often CI is looked at in an hour with events at these seconds."""
    at, looks, woken, quiet = 0.0, 1, 0, 0
    while at < HOUR:
        poll = at + poll_seconds(quiet, events_arrive=woken > 0)
        following = min((event for event in events if event > at), default=HOUR)
        if following <= poll:
            at = following + gather_seconds(woken)
            woken, quiet = woken + 1, 0
        else:
            at, quiet = poll, quiet + 1
        looks += 1
    return looks


LOOK, CHANGED = 3, 2
"""Requests of a look at CI (workflow runs, check runs, statuses), and those that count where two lists have changed."""
HOURS: dict[str, tuple[tuple[float, ...], int]] = {
    "an hour, no events": ((), 70),
    "an hour, events": ((5.0, 20.0, 900.0, 1800.0, 2700.0, 3590.0), 40),
}
SCENARIOS = {"three phases": (three_phases, 90), "forty jobs": (matrix, 60)}


def counted(asked: Iterable[Asked]) -> int:
    return sum(one.status != 304 for one in asked)


def show(asked: Iterable[Asked]) -> None:
    """Print the requests by method and path, most first."""
    lines = Counter[str]()
    for one in asked:
        path = one.path
        for pattern, name in NUMBERS:
            path = re.sub(pattern, name, path)
        lines[f"{one.method:<6} {path}{' (304)' if one.status == 304 else ''}"] += 1
    for line, count in lines.most_common():
        print(f"      {count:>4} {line}")


def measured(scenario: Callable[[Story], None]) -> list[Asked]:
    """The requests of a scenario, in a world of its own."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), new_database("sqlite", Path(folder), None), runners=4)
        world.start()
        try:
            scenario(Story(world))
            return list(world.hub.state.limits.asked)
        finally:
            world.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parents[1] / "tests" / "support" / "authority.crt")
    print(f"{'scenario':<24}{'requests':>9}{'free':>6}{'counted':>9}{'at most':>9}")
    for name, (scenario, limit) in SCENARIOS.items():
        asked = measured(scenario)
        used = counted(asked)
        print(f"{name:<24}{len(asked):>9}{len(asked) - used:>6}{used:>9}{limit:>9}", flush=True)
        if options.list:
            show(asked)
    for name, (events, limit) in HOURS.items():
        looks = looks_of_an_hour(events)
        total, used = looks * LOOK, looks * CHANGED
        print(f"{name:<24}{total:>9}{total - used:>6}{used:>9}{limit:>9}   {looks} looks", flush=True)


if __name__ == "__main__":
    main()
