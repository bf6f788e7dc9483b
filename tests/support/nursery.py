"""`python -m module …` in processes that begin with everything imported: an import takes seconds, a copy of it none.

Each is a process of its own, which can be killed, with its own environment, working directory and log. Only its first
moment differs from a start by command, which `tests/web/test_service.py` covers.
"""

import gc
import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_IMPORTED = ["app.main", "app.agents.vendors", "alembic.command", "uvicorn"]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_IMPORTED)


def start(module: str, *arguments: str, folder: Path, log: Path, environment: Mapping[str, str]) -> ForkServerProcess:
    """Run a module as a program in `folder`. It is told `environment` and nothing else; its output goes to `log`."""
    process = _context.Process(target=_run, args=(module, arguments, folder, log, dict(environment)), daemon=True)
    process.start()
    return process


def _run(module: str, arguments: tuple[str, ...], folder: Path, log: Path, environment: dict[str, str]) -> None:
    gc.freeze()  # what is imported lives as long as the process
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
