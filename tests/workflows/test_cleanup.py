"""Mirrors are repacked once a day, but not under a run that works; no chore stops another."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config.loader import default_ruleset
from app.db import run_rows
from app.db.engine import Database
from app.workflows.cleanup import REPACK_AFTER, contained, repack_mirrors
from app.workflows.services import Services, configure
from app.workflows.steps import utcnow
from app.workspace.mirror import Mirror
from tests.db.sample_rows import new_run

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
IDENTITY = {f"GIT_{who}_{what}": "nobody" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    db = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    db.migrate()
    given = Services(
        db=db, github=None, server_url="http://h", data_dir=tmp_path, ruleset=default_ruleset(), vendors=frozenset()
    )
    configure(given)
    yield given
    configure(None)
    db.close()


def git(mirror: Mirror, *arguments: str) -> str:
    command = ["git", "-C", str(mirror.path), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **IDENTITY}).stdout


async def mirror_of(services: Services, owner: str, name: str) -> Mirror:
    """A mirror with one commit that is in no pack."""
    mirror = Mirror(services.data_dir, owner, name, services.server_url)
    await mirror.maintain()
    grow(mirror, "main")
    return mirror


def grow(mirror: Mirror, branch: str) -> None:
    git(mirror, "hash-object", "-w", "-t", "tree", "/dev/null")
    git(mirror, "update-ref", f"refs/heads/{branch}", git(mirror, "commit-tree", EMPTY_TREE, "-m", branch).strip())


def loose(mirror: Mirror) -> bool:
    return not git(mirror, "count-objects").startswith("0 objects")


async def test_idle_mirrors_are_repacked_once_a_day(services: Services) -> None:
    busy = await mirror_of(services, "Acme", "Garden")
    idle = await mirror_of(services, "Acme", "Shed")
    run_rows.create(services.db, new_run(repository="Acme/Garden"), utcnow())
    await repack_mirrors()
    assert (loose(busy), loose(idle)) == (True, False)
    grow(idle, "other")
    await repack_mirrors()
    assert loose(idle), "once a day is enough"
    yesterday = utcnow().timestamp() - REPACK_AFTER.total_seconds()
    os.utime(services.data_dir / "mirrors" / ".repacked", (yesterday, yesterday))
    await repack_mirrors()
    assert not loose(idle)


async def test_broken_mirrors_stop_no_other(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    (services.data_dir / "mirrors" / "Acme" / "-broken.git").mkdir(parents=True)
    (services.data_dir / "mirrors" / "-wrong" / "Garden.git").mkdir(parents=True)
    sound = await mirror_of(services, "Acme", "Shed")
    await repack_mirrors()
    assert not loose(sound)
    assert "mirror -wrong/Garden: not tidied up" in caplog.text
    grow(sound, "other")
    await repack_mirrors()
    assert not loose(sound), "what failed is tried again at the next round"


async def test_defects_of_a_chore_stop_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """`pathlib` raises this for a path that is too deep."""

    async def too_deep() -> None:
        raise RecursionError("maximum recursion depth exceeded")

    assert not await contained("sweep", too_deep)
    assert "sweep: not tidied up" in caplog.text
    assert "RecursionError" in caplog.text
