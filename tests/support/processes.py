"""Starts `python -m module …` in processes that have the imports already: a copy saves seconds of processor time.

Each is a real process that a test can kill, with its own environment, working directory and log. A start by command,
as users do it, is covered by `tests/web/test_service.py`.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from app import collection

_IMPORTED = [
    "tests.support.paused",
    "app.main",
    "app.cli",
    "app.agents.vendors",
    # What a service imports as late as it can:
    "alembic.command",
    "alembic.config",
    "anyio._backends._asyncio",
    "dbos._sys_db_postgres",
    "dbos._sys_db_sqlite",
    "genai_prices.data",
    "githubkit_schemas.v2026_03_10.rest.issues",
    "githubkit_schemas.v2026_03_10.rest.repos",
    "httpcore",
    "openai.resources.responses",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.h11_impl",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


def start(module: str, *arguments: str, folder: Path, log: Path, environment: Mapping[str, str]) -> ForkServerProcess:
    """Run a module as a program in `folder`. Its environment is `environment` alone; its output goes to `log`."""
    process = _context.Process(target=_run, args=(module, arguments, folder, log, dict(environment)), daemon=True)
    process.start()
    return process


def _run(module: str, arguments: tuple[str, ...], folder: Path, log: Path, environment: dict[str, str]) -> None:
    collection.resume()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
