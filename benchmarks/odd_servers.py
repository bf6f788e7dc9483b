"""What each odd reply of a model server leads to, once and for ever, in every role.

    python -m benchmarks.odd_servers [--vendor local] [--runs]

The replies are those of tests/support/odd_replies.yaml, played by the recorded models. `once`: requests until the
answer, where two models are there; `for ever`: requests until the end, with one model, and the cause that the
run would name.
With `--runs` each is played once to the Builder of a whole run, from the label on an issue to the pull request.
"""

import argparse
import asyncio
import logging
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
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
from tests.support.answers import Attempt, phase, plan, write
from tests.support.databases import new_database
from tests.support.story import Story
from tests.support.world import World

MANY = 30


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
def started_world() -> Generator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), new_database("sqlite", Path(folder), None))
        world.start()
        try:
            yield world
        finally:
            world.stop()


def runs(vendors: list[str]) -> None:
    """Every odd reply of Anthropic or OpenAI once to the Builder of a whole run."""
    print(f"{'vendor':<10}{'reply':<32}{'requests':>9}  end")
    with started_world() as world:
        for vendor in [vendor for vendor in vendors if vendor != "local"]:
            for name, oddity in ODD[vendor].items():
                story = Story(world)
                model = None if vendor == "anthropic" else GPT
                odd = {"odd": Oddity.model_validate(oddity), "times": 1, "only_for": vendor}
                sound = Turn(
                    tool_calls=[write("greeting.txt", "hello\n")], answer={"status": "done", "summary": "Done."}
                )
                story.plays(plan(phase()), {"P1": [Attempt([sound.model_copy(update=odd), *[sound] * 3])]})
                story.comment("/autopack run" + (f" --model {model}" if model else ""))
                ended = story.wait_for_end()
                print(f"{vendor:<10}{name:<32}{len(story.requests('builder')):>9}  {ended}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vendor", choices=sorted(ODD), action="append")
    parser.add_argument("--runs", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parents[1] / "tests" / "support" / "authority.crt")
    vendors = options.vendor or sorted(ODD)
    if options.runs:
        runs(vendors)
    else:
        asyncio.run(conversations(vendors))


if __name__ == "__main__":
    main()
