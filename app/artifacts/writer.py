"""The artifacts: files that say what the database says, written again whenever that changes, and never read back."""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout
from pydantic import ValidationError
from sqlalchemy.exc import NoResultFound, SQLAlchemyError

from app.artifacts import run_files
from app.config.loader import default_ruleset
from app.db.change_tracking import ChangedIds
from app.db.engine import Database, DatabaseUnusable
from app.domain.plan import is_identifier
from app.domain.ruleset import Ruleset
from app.queries import run_archive
from app.settings import Settings

EVERY_SECONDS = 2.0
"""How often what was written since the last time is looked at: a flood of changes is one projection."""
SLEEP_PER_WRITE = 3
"""Writing takes a quarter of the time at most, however many runs change all the time."""
RETRY_SECONDS = 5.0
"""Until the next try when files cannot be written."""
FINAL_WRITE_SECONDS = 3.0
"""For the last changes, when the service stops."""
LOCK_SECONDS = 60.0
"""How long another process that writes the artifacts is waited for."""
MAX_ENDED_AT_START = 100
"""Of the runs that ended last, how many are written at the start: a crash may have come before their files."""
_TEMPORARY_NAME = ".writing"
"""What a file is called while it is written; no artifact begins with a dot."""

log = logging.getLogger(__name__)


class OutsideArtifactsFolder(ValueError):
    """A path that would lead out of the folder of the artifacts."""


async def run_writer_loop(db: Database, settings: Settings, ruleset: Ruleset) -> None:
    """Write the files of what has not ended, then of each change, until cancelled."""
    at_start = await asyncio.to_thread(run_archive.list_recent_run_ids, db, MAX_ENDED_AT_START)
    projects = await asyncio.to_thread(run_archive.list_project_ids, db)
    due = ChangedIds(set(at_start), set(projects))
    try:
        while True:
            begun = time.monotonic()
            written = await _try_to_write(db, settings, ruleset, due)
            took = time.monotonic() - begun
            await asyncio.sleep(max(EVERY_SECONDS, SLEEP_PER_WRITE * took) if written else RETRY_SECONDS)
    finally:  # what changed since the last time; the next start writes what this leaves out
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_try_to_write(db, settings, ruleset, due), FINAL_WRITE_SECONDS)


async def _try_to_write(db: Database, settings: Settings, ruleset: Ruleset, due: ChangedIds) -> bool:
    """Write what is due by now; False when it could not be done, and then it is still due."""
    due.update(db.changes.take())
    try:
        await _write_all(db, settings, ruleset, due)
    except (SQLAlchemyError, OSError) as trouble:
        log.warning("artifacts are not up to date, the next try is in %s seconds: %s", RETRY_SECONDS, trouble)
        return False
    return True


async def _write_all(db: Database, settings: Settings, ruleset: Ruleset, due: ChangedIds) -> None:
    """Write what is due, run by run, and strike it off."""
    while due.runs:
        run_id = min(due.runs)
        try:
            await asyncio.to_thread(write_run, db, settings, ruleset, run_id)
        except (NoResultFound, ValidationError):  # neither will be there, or readable, at the next try
            log.exception("the files of the run %s cannot be written", run_id)
        due.runs.discard(run_id)
    if due.projects:
        await asyncio.to_thread(write_projects, db, settings, ruleset, sorted(due.projects))
        due.projects.clear()


def rebuild(settings: Settings, run_id: str | None = None) -> int:
    """Write all files again, or those of one run; how many runs they are of. The service may be at work meanwhile.

    Raises `NoResultFound` for an unknown run, `DatabaseUnusable` where there is no database, `OSError`.
    """
    where = sa.make_url(settings.database)
    if where.get_backend_name() == "sqlite" and not Path(where.database or "").is_file():
        raise DatabaseUnusable(f"there is no database {where.database}: start the service once, or set DATABASE_URL")
    db, ruleset = Database(settings.database), default_ruleset()
    try:
        ids = run_archive.list_run_ids(db) if run_id is None else [run_id]
        for one in ids:
            write_run(db, settings, ruleset, one)
        if run_id is None:
            write_projects(db, settings, ruleset, run_archive.list_project_ids(db))
        return len(ids)
    finally:
        db.close()


def write_run(db: Database, settings: Settings, ruleset: Ruleset, run_id: str) -> None:
    """Write the files of a run as it is now, and remove those that it no longer has."""
    if not is_identifier(run_id):
        raise NoResultFound(f"{run_id!r} is no run id")
    name, root = run_files.run_folder(run_id), settings.autonomous_runs_dir.absolute()
    with _exclusive(settings):
        files = run_files.run_files(run_archive.read_run_archive(db, run_id, ruleset, settings.github_server_url))
        replace_files(root, {f"{name}/{path}": text for path, text in files.items()})
        _remove_others(root / name, {root / name / path for path in files})


def write_projects(db: Database, settings: Settings, ruleset: Ruleset, projects: Iterable[str]) -> None:
    """Write the backlog, and the rules of these projects."""
    root = settings.autonomous_runs_dir.absolute()
    with _exclusive(settings):
        files = dict(run_files.ruleset_file(run_archive.read_project_rules(db, one, ruleset)) for one in projects)
        files[run_files.BACKLOG_FILE] = run_files.backlog_file(run_archive.read_backlogs(db))
        replace_files(root, files)
        for left in root.glob(f"{_TEMPORARY_NAME}*"):
            left.unlink()


@contextlib.contextmanager
def _exclusive(settings: Settings) -> Generator[None]:
    """Hold the artifacts' lock: who reads the database later also writes later, in every process.

    It is in the folder of the database, since the artifacts may be deleted at any time. Raises `TimeoutError`.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "artifacts.lock"
    lock = FileLock(path, LOCK_SECONDS, mode=0o600, poll_interval=0.02, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise TimeoutError(f"another process has been writing the artifacts for {LOCK_SECONDS:g} seconds") from error
    try:
        yield
    finally:
        lock.release()


def replace_files(root: Path, files: Mapping[str, str]) -> None:
    """Bring files up to date, each at once: a reader sees the whole old file or the whole new one.

    `files` holds text by path below `root`. Raises `OutsideTheFolder` for one that leads out of it.
    """
    for name, text in files.items():
        path = _inside(root, name)
        _make_folder(root, path.parent)
        content = text.encode(errors="replace")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_file() and not path.is_symlink() and path.read_bytes() == content:
            continue
        writing = path.parent / f"{_TEMPORARY_NAME}.{os.getpid()}"
        writing.unlink(missing_ok=True)
        writing.write_bytes(content)
        writing.replace(path)


def _inside(root: Path, name: str) -> Path:
    parts = name.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise OutsideArtifactsFolder(name)
    return root.joinpath(*parts)


def _make_folder(root: Path, folder: Path) -> None:
    """Make a folder below `root`. A link or a file in its way goes: nothing is written to where a link leads."""
    root.mkdir(parents=True, exist_ok=True)
    here = root
    for part in folder.relative_to(root).parts:
        here /= part
        if here.is_symlink() or here.is_file():
            here.unlink()
        here.mkdir(exist_ok=True)


def _remove_others(folder: Path, kept: Collection[Path]) -> None:
    """Remove all other files of a run's folder, and folders that are empty then; links are not followed."""
    for place, folders, names in os.walk(folder, topdown=False):
        here = Path(place)
        for path in [here / name for name in (*names, *folders)]:
            if path.is_symlink() or path.is_file():
                if path not in kept:
                    path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
