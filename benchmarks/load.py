"""Many issues labeled at once, and many runs parked on CI: pace, peak memory, and whether the limits hold.

    python -m benchmarks.load [--issues 100] [--repositories 10] [--parked 0] [--database postgresql]

`--parked` runs have pushed their commit and wait for a CI that does not come: memory and processor of the service in a
minute, how soon a run is awake after a commit status has come in, and how soon one has ended after its label is taken
away. GitHub and models are the embedded ones.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.processes import memory, processor
from tests.support.answers import edits, phase, plan, write
from tests.support.databases import new_database, postgresql
from tests.support.story import LABEL, Story
from tests.support.world import World

SECONDS = 3600.0
PARKED_SECONDS = 60.0
SETTLE_SECONDS = 60.0
"""After the last run starts to wait: the service still writes artifacts."""
TOGETHER = 25
"""Runs that begin at once, so that their work is not what is measured."""
WOKEN = 10
"""Runs that are woken, and ended."""
MIB = 1024 * 1024


def repositories(world: World, count: int) -> list[Story]:
    """So many repositories on which the App is installed."""
    made = [Story(world) for _ in range(count)]
    for story in made:
        story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
        story.begin()
    world.wait_handled()
    return made


def label_all(stories: list[Story], issues: int) -> None:
    """Open so many issues in all, and label them."""
    for number in range(issues):
        story = stories[number % len(stories)]
        story.number = story.number if number < len(stories) else story.open_issue(f"Greet people {number}")
        story.world.user("maintainer").post(
            f"/repos/{story.full_name}/issues/{story.number}/labels", json={"labels": [LABEL]}
        ).raise_for_status()


def at_work(world: World) -> tuple[int, int]:
    """Runs at work: in all, and most in one repository."""
    begun = f"FROM {world.status_table} WHERE name = 'run' AND status = 'PENDING'"
    whole = world.scalar(sa.text(f"SELECT count(*) {begun}"))
    most = world.scalar(
        sa.text(f"SELECT max(n) FROM (SELECT count(*) AS n {begun} GROUP BY queue_partition_key) AS by_repository")
    )
    return int(str(whole or 0)), int(str(most or 0))


def ended(world: World) -> int:
    return int(str(world.scalar(sa.text("SELECT count(*) FROM runs WHERE completed_at IS NOT NULL")) or 0))


def flood(world: World, options: argparse.Namespace) -> None:
    """Label all at once, and watch until all have ended."""
    stories = repositories(world, options.repositories)
    since, most, most_in_one = time.monotonic(), 0, 0
    label_all(stories, options.issues)
    while ended(world) < options.issues:
        if time.monotonic() - since > SECONDS:
            raise RuntimeError(f"only {ended(world)} of {options.issues} runs have ended")
        overall, in_one = at_work(world)
        most, most_in_one = max(most, overall), max(most_in_one, in_one)
        time.sleep(0.2)
    took = time.monotonic() - since
    well = world.scalar(sa.text("SELECT count(*) FROM runs WHERE state = 'DONE_SUCCESS'"))
    print(
        f"{options.issues} issues in {options.repositories} repositories: {well} ended well in {took:.0f} s, "
        f"{options.issues / took * 60:.0f} runs a minute; at most {most} at work, {most_in_one} in one repository; "
        f"peak memory {memory(world.service.pid, 'VmHWM'):.0f} MiB"
    )


def park(world: World, options: argparse.Namespace) -> None:
    """Have runs wait for CI, and measure what that costs and how soon they wake."""
    stories = repositories(world, options.parked)
    world.hub.runner.hold()
    waiting = sa.text("SELECT count(*) FROM runs WHERE state = 'CI_RUNNING'")
    since = time.monotonic()
    for first in range(0, options.parked, TOGETHER):
        label_all(stories[first : first + TOGETHER], min(TOGETHER, options.parked - first))
        while int(str(world.scalar(waiting))) < min(first + TOGETHER, options.parked):
            if time.monotonic() - since > SECONDS:
                raise RuntimeError(f"only {world.scalar(waiting)} runs wait for CI")
            time.sleep(0.2)
    world.wait_handled(SECONDS)
    time.sleep(SETTLE_SECONDS)
    used, begun = processor(world.service.pid), time.monotonic()
    time.sleep(PARKED_SECONDS)
    share = (processor(world.service.pid) - used) / (time.monotonic() - begun)
    size = memory(world.service.pid, "VmRSS")
    awake = [wake(world, story) for story in stories[:WOKEN]]
    ended_after = [end(world, story) for story in stories[:WOKEN]]
    print(
        f"{options.parked} runs parked on CI: {size:.0f} MiB, {share * 100:.1f} % of a core; a commit status wakes its "
        f"run in {in_milliseconds(awake)}; taking the label away ends it in {in_milliseconds(ended_after)}"
    )


def in_milliseconds(seconds: list[float]) -> str:
    return f"{median(seconds) * 1000:.0f} ms (median), {max(seconds) * 1000:.0f} ms (most)"


def wake(world: World, story: Story) -> float:
    """Seconds from a delivery's receipt until the run that it is about is awake, by the database's times."""
    path = f"/repos/{story.full_name}/statuses/{story.head()}"
    since = datetime.now(UTC)
    world.user("maintainer").post(path, json={"state": "pending", "context": "other"}).raise_for_status()
    came = sa.text(
        "SELECT received_at FROM deliveries WHERE event = 'status' AND received_at >= :since AND payload LIKE :name"
    ).bindparams(since=since, name=f"%{story.full_name}%")
    steps = world.status_table.replace("workflow_status", "operation_outputs")
    received: object = None
    while received is None:
        received = world.scalar(came)
        time.sleep(0.05)
    moment = datetime.fromisoformat(str(received)).timestamp() * 1000
    woken = sa.text(
        f"SELECT min(completed_at_epoch_ms) FROM {steps} WHERE workflow_uuid = :run AND function_name = 'DBOS.recv'"
        " AND completed_at_epoch_ms >= :moment"
    ).bindparams(run=story.run_id, moment=int(moment))
    found: object = None
    while found is None:
        found = world.scalar(woken)
        time.sleep(0.05)
    return (int(str(found)) - moment) / 1000


def end(world: World, story: Story) -> float:
    """Seconds from a label's removal until its run has ended."""
    start = time.monotonic()
    story.unlabel()
    ending = sa.text("SELECT count(*) FROM runs WHERE repository = :name AND completed_at IS NOT NULL")
    while not world.scalar(ending.bindparams(name=story.full_name)):
        time.sleep(0.005)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issues", type=int, default=100)
    parser.add_argument("--repositories", type=int, default=10)
    parser.add_argument("--parked", type=int, default=0, help="instead: so many runs that wait for CI")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parents[1] / "tests" / "support" / "authority.crt")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgresql()) if options.database == "postgresql" else None
        settings = {"MAX_RUNS": str(options.parked)} if options.parked else {}
        database = new_database(options.database, folder, server)
        world = World(folder, database, runners=2, settings=settings, by_command=True)
        world.start()
        stack.callback(world.stop)
        measured: Callable[[World, argparse.Namespace], None] = park if options.parked else flood
        measured(world, options)


if __name__ == "__main__":
    main()
