"""Processes killed with SIGKILL while runs are under way: every run ends as without kills, and nothing is done twice.

    python -m benchmarks.chaos [--runs 20] [--kills 200] [--database sqlite] [--seed 1]

On SQLite the one process is killed and started again; on PostgreSQL one of three workers, each with its own folder,
at a time. GitHub and models are the embedded ones. Ends with an error where a run differs from one without kills.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support.databases import new_database, postgresql
from tests.support.storm import storm
from tests.support.story import Story
from tests.support.world import World

WORKERS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="under way at the same time")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parents[1] / "tests" / "support" / "authority.crt")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shared = options.database == "postgresql"
        server = stack.enter_context(postgresql()) if shared else None
        settings = {"MAX_RUNS": str(options.runs), "MAX_RUNS_PER_REPOSITORY": "1"}
        url = new_database(options.database, folder, server)
        world = World(folder, url, runners=2, workers=WORKERS if shared else 0, settings=settings)
        world.start()
        stack.callback(world.stop)
        begin: Callable[[World], Story] = Story
        tally = storm(world, begin, runs=options.runs, kills=options.kills, seed=options.seed, say=_say)
    print("\n".join([options.database, *tally.lines()]))


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    main()
