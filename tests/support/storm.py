"""A storm: processes are killed time and again while runs are under way, and each run ends as it would have."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

import sqlalchemy as sa

from tests.support.answers import approves, edits, finding, finds, phase, plan, write
from tests.support.left_on_github import asked, left_on_github
from tests.support.service import Service
from tests.support.story import Story
from tests.support.world import World

PAUSE_SECONDS = (0.2, 2.5)
"""Between the start of a process and the next kill, at least and at most."""
END_SECONDS = 600.0
_TAKEN_UP = re.compile(r"^(\S+ \S+) WARNING app.workflows.worker_takeover: (worker-\d+) has ended", re.MULTILINE)
_NAME = re.compile(r"app.main: (worker-\d+) works")


@dataclass
class Tally:
    """What a storm came to."""

    runs: int = 0
    kills: int = 0
    requests: int = 0
    repeated: int = 0
    tokens_booked: int = 0
    tokens_answered: int = 0
    tokens_of_repeated: int = 0
    seconds: float = 0.0
    taken_up_after: list[float] = field(default_factory=list[float])
    """Seconds from a kill until another process had taken up the dead one's runs."""

    def lines(self) -> list[str]:
        """The figures, for people."""
        found = [
            f"runs {self.runs}, each as without kills; kills {self.kills}; {self.seconds:.0f} s",
            f"model requests {self.requests}, of which {self.repeated} were sent again",
            f"tokens booked {self.tokens_booked:,}, answered {self.tokens_answered:,} counting each request once; "
            f"answers to requests sent again: {self.tokens_of_repeated:,}",
        ]
        if self.taken_up_after:
            found.append(
                f"a dead worker's runs were taken up after {median(self.taken_up_after):.1f} s (median), "
                f"{max(self.taken_up_after):.1f} s (most), {len(self.taken_up_after)} times"
            )
        return found


def begin(world: World, stories: Callable[[World], Story]) -> Story:
    """A run of two phases, the first of which the Auditor sends back once."""
    story = stories(world)
    bad, good = edits(write("a.txt", "x\n")), edits(write("a.txt", "y\n"))
    wrong = finding("a.txt", 1)
    works = {"P1": [bad, finds(wrong), good, approves(fixed=[wrong])], "P2": [edits(write("b.txt", "z\n"))]}
    story.plays(plan(phase(), phase("More")), works)
    story.begin()
    return story


def storm(
    world: World, stories: Callable[[World], Story], *, runs: int, kills: int, seed: int, say: Callable[[str], None]
) -> Tally:
    """Kill until so many kills are done, with so many runs under way. Raises `AssertionError` where one differs."""
    chance, tally, since = random.Random(seed), Tally(), time.monotonic()
    calm = begin(world, stories)
    calm.label()
    assert calm.wait_for_end() == "DONE_SUCCESS"
    killed: dict[str, float] = {}
    while tally.kills < kills:
        batch = [begin(world, stories) for _ in range(runs)]
        for story in batch:
            story.label()
        while tally.kills < kills and not all(map(_ended, batch)):
            time.sleep(chance.uniform(*PAUSE_SECONDS))
            _kill(world, chance, killed)
            tally.kills += 1
        for story in batch:
            story.wait_until(lambda story=story: _ended(story), "a run ends", END_SECONDS)
        world.wait_idle(END_SECONDS)
        for story in batch:
            _compare(story, calm, tally)
        say(f"{tally.runs} runs, {tally.kills} kills")
    log = "".join(worker.log() for worker in world.workers)
    for at, name in _TAKEN_UP.findall(log):
        if name in killed:
            taken_up = datetime.fromisoformat(at.replace(",", ".")).timestamp()
            tally.taken_up_after.append(taken_up - killed[name])
    assert tally.repeated <= tally.kills, f"{tally.repeated} requests were sent again by {tally.kills} kills"
    assert tally.tokens_booked == tally.tokens_answered
    tally.seconds = time.monotonic() - since
    return tally


def _ended(story: Story) -> bool:
    return any("DONE_" in one["body"] for one in story.comments_of_app(story.number))


def _kill(world: World, chance: random.Random, killed: dict[str, float]) -> None:
    """Kill a worker, or the one service, and start it again."""
    victim: Service = chance.choice(world.workers) if world.workers else world.service
    names = _NAME.findall(victim.log())
    if names:
        killed[names[-1]] = time.time()
    victim.restart()


def _compare(story: Story, calm: Story, tally: Tally) -> None:
    assert left_on_github(story) == left_on_github(calm)
    requests = asked(story)
    assert set(requests) == set(asked(calm))
    tally.runs += 1
    tally.requests += sum(requests.values())
    tally.repeated += sum(requests.values()) - len(requests)
    answered, repeated = story.world.models.tokens_answered(story.full_name)
    booked = story.world.scalar(
        sa.text("SELECT sum(input + output) FROM model_calls WHERE run_id = :run AND settled").bindparams(
            run=story.run_id
        )
    )
    tally.tokens_booked += int(str(booked or 0))
    tally.tokens_answered += answered
    tally.tokens_of_repeated += repeated
