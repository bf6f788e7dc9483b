"""What each odd reply of a model server leads to, once and for ever, in every role.

    python -m benchmarks.odd_servers [--vendor local] [--runs]

The replies are those of tests/support/odd_replies.yaml, played by the recorded models. `once`: requests until the
answer, where two models are there; `for ever`: requests until the end, with one model, and the cause that the
run would name.
With `--runs` each is played to each role of a whole run too, once and for ever, from the command on an issue to the
end; that takes about an hour. `requests` are those of the role to this vendor.
"""

import argparse
import asyncio
import logging
import os
import re
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from app.agents.models import close, configure
from app.domain.budget import ModelFailed, Role
from app.replay import ModelServer
from app.replay.recording import Oddity, Turn
from tests.agents.support import (
    CLAUDE,
    GPT,
    LIMITS,
    MemoryLedger,
    access_to,
    deps_of,
    make_repository,
    open_worktree,
    plan_of,
)
from tests.agents.test_odd_replies import MODELS, ODD, ROLES, SOUND, ask, play
from tests.support.answers import Attempt, Audit, Plan, approves, phase, plan, write
from tests.support.databases import new_database
from tests.support.story import Story
from tests.support.world import World

MANY = 30
ATTEMPTS = 4
REPLIES_OF = {"azure": "openai"}
"""Vendors that speak another's protocol."""
LEADING = {"anthropic": CLAUDE, "openai": GPT, "azure": "azure:gpt-6.1-sol", "local": "local:default"}
WHY = re.compile(r"\*\*Why:\*\* (.+)")


async def conversations(vendors: list[str]) -> None:
    """Every odd reply to every role, in a conversation of its own."""
    with tempfile.TemporaryDirectory() as folder, ModelServer() as server:
        configure(access_to(server), LIMITS)
        tree = await open_worktree(Path(folder), make_repository(Path(folder)))

        async def requests(role: str, turns: list[dict[str, Any]], *models: str) -> tuple[int, str]:
            play(server, role, turns)
            before, ended = len(server.requests()), "answered"
            try:
                await ask(role, deps_of(Role(role), MemoryLedger(), plan_of(*models), worktree=tree))
            except ModelFailed as failed:
                ended = failed.reason.partition(": ")[2]
            return len(server.requests()) - before, ended

        print(f"{'vendor':<10}{'reply':<32}{'role':<9}{'once':>5}{'for ever':>9}  end")
        for vendor in vendors:
            model, other = MODELS[vendor], GPT if vendor == "anthropic" else CLAUDE
            for name, oddity in ODD[vendor].items():
                for role in ROLES:
                    odd = SOUND[role] | {"odd": oddity}
                    once, _ = await requests(role, [odd | {"times": 1}, *[SOUND[role]] * 3], model, other)
                    ever, ended = await requests(role, [odd] * MANY, model)
                    print(f"{vendor:<10}{name:<32}{role:<9}{once:>5}{ever:>9}  {ended[:110]}")
        await close()


@contextmanager
def started_world(vendors: Sequence[str]) -> Generator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), new_database("sqlite", Path(folder), None), vendors=vendors)
        world.start()
        try:
            yield world
        finally:
            world.stop()


def answers(role: str, odd: Mapping[str, Any]) -> tuple[Plan, list[Attempt | Audit]]:
    """What the models of a run of one phase answer, where those of `role` are odd: many times, if it goes on so."""
    done = {"status": "done", "summary": "Done."}
    turns = {
        "planner": plan(phase()).turns[0],
        "builder": Turn(tool_calls=[write("greeting.txt", "hello\n")], answer=done),
        "auditor": approves().turns[0],
    }
    played = {name: [turn] * MANY for name, turn in turns.items()}
    distorted = turns[role].model_copy(update=odd)
    played[role] = [distorted, *played[role]] if odd["times"] else [distorted] * MANY
    planned, built, audited = (played[name] for name in ("planner", "builder", "auditor"))
    return Plan(planned), [*[Attempt(built)] * ATTEMPTS, *[Audit(audited)] * ATTEMPTS]


def runs(vendors: list[str]) -> None:
    """Every odd reply in a whole run, to each role: once, where another vendor is there; for ever, where none is."""
    print(f"{'vendor':<10}{'reply':<34}{'role':<9}{'':<9}{'requests':>8}  end")
    for vendor, times in product(vendors, (1, None)):
        other = "openai" if vendor == "anthropic" else "anthropic"
        with started_world([vendor, other] if times else [vendor]) as world:
            for name, oddity in ODD[REPLIES_OF.get(vendor, vendor)].items():
                begun: dict[str, Story] = {}
                for role in ROLES:
                    story = begun[role] = Story(world)
                    odd = {"odd": Oddity.model_validate(oddity), "times": times, "only_for": vendor}
                    planned, phases = answers(role, odd)
                    story.plays(planned, {"P1": phases})
                    # The Auditor is of another vendor than the Builder, where there is one.
                    builds = other if times and role == "auditor" else vendor
                    story.comment(f"/autopack run --model {LEADING[builds]}")
                for role, story in begun.items():
                    ended = story.wait_for_end()
                    reason = WHY.search(story.status())
                    said = "" if ended == "DONE_SUCCESS" or reason is None else f": {reason[1]}"
                    how = "once" if times else "for ever"
                    asked_of = sum(one.vendor == vendor for one in story.requests(role))
                    print(f"{vendor:<10}{name:<34}{role:<9}{how:<9}{asked_of:>8}  {ended}{said[:160]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vendor", choices=sorted([*ODD, *REPLIES_OF]), action="append")
    parser.add_argument("--runs", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parents[1] / "tests" / "support" / "authority.crt")
    vendors = options.vendor or sorted(ODD)
    if options.runs:
        runs(vendors)
    else:
        asyncio.run(conversations([vendor for vendor in vendors if vendor in ODD]))


if __name__ == "__main__":
    main()
