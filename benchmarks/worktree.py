"""Times a worktree from a warm mirror against a full clone of the same repository.

Run it with `python benchmarks/worktree.py [--files 5000] [--rounds 5]`; it needs git and
some 200 MB in the temporary folder.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.workspace.mirror import Mirror
from app.workspace.trash import empty_trash
from app.workspace.worktree import Worktree

COMMITS = 40
LINES = 60


def make_repository(bare: Path, files: int) -> None:
    """Write a bare repository of `files` files in 100 folders, with COMMITS commits that each change some of them."""
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        git(bare, "config", key, "true")
    stream: list[str] = []
    for commit in range(COMMITS):
        message = f"commit {commit}"
        stream.append(f"commit refs/heads/main\ncommitter maintainer <maintainer@example.com> {commit + 1} +0000")
        stream.append(f"data {len(message)}\n{message}")
        for number in range(files) if commit == 0 else range(commit, files, COMMITS):
            text = "".join(f"def function_{number}_{line}(): return {commit * line}\n" for line in range(LINES))
            stream.append(f"M 100644 inline package_{number % 100}/module_{number}.py\ndata {len(text)}\n{text}")
    git(bare, "fast-import", "--quiet", stdin="\n".join(stream).encode())


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> None:
    variables = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, input=stdin, env=variables, check=True, timeout=600)


async def measure(root: Path, files: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round, by what was done. The two kinds alternate, so that both meet the same disk."""
    make_repository(root / "server" / "octo" / "demo.git", files)
    mirror = Mirror(root / "data", "octo", "demo", f"file://{root}/server")
    times: dict[str, list[float]] = {"full clone": [], "worktree from warm mirror": [], "same worktree again": []}
    started = time.perf_counter()
    await mirror.fetch(None, "main")
    base = await mirror.resolve("main")
    await mirror.hydrate(None, base)
    times["mirror, once"] = [time.perf_counter() - started]
    for number in range(rounds):
        started = time.perf_counter()
        git(root, "clone", "--quiet", mirror.url, f"clone-{number}")
        times["full clone"].append(time.perf_counter() - started)
        started = time.perf_counter()
        worktree = await Worktree.open(mirror, f"run-{number}", base)
        times["worktree from warm mirror"].append(time.perf_counter() - started)
        assert len(await worktree.list_files()) == files
        started = time.perf_counter()
        await Worktree.open(mirror, f"run-{number}", base)
        times["same worktree again"].append(time.perf_counter() - started)
    empty_trash(mirror.root)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="worktree-benchmark-"))
    try:
        times = asyncio.run(measure(root, options.files, options.rounds))
    finally:
        shutil.rmtree(root)
    print(f"{options.files} files, {COMMITS} commits, {options.rounds} rounds")
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, median in medians.items():
        spread = f"{min(times[name]):.3f} to {max(times[name]):.3f}"
        print(f"{name:28} median {median:7.3f} s   ({spread})")
    print(f"a full clone takes {medians['full clone'] / medians['worktree from warm mirror']:.1f} times as long")


if __name__ == "__main__":
    main()
