"""One process at a time serves a database, and it lets go however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app.db.engine import Database, DatabaseUnusable

ROOT = Path(__file__).parents[2]
CLAIM_AND_STAY = """
import sys
from app.db.engine import Database
database = Database(sys.argv[1])
database.claim(0)
print("claimed", flush=True)
sys.stdin.read()
"""


def test_second_claim_waits_for_release(url: str) -> None:
    first, second = Database(url), Database(url)
    try:
        first.claim(0)
        first.claim(0)
        with pytest.raises(DatabaseUnusable, match="another Autopack process serves this database: stop it"):
            second.claim(0.2)
        first.close()
        second.claim(5)
    finally:
        first.close()
        second.close()


def test_a_killed_process_lets_go(url: str) -> None:
    command = [sys.executable, "-c", CLAIM_AND_STAY, url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    mine = Database(url)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"claimed\n"
            with pytest.raises(DatabaseUnusable):
                mine.claim(0)
        finally:
            other.send_signal(signal.SIGKILL)
    mine.claim(10)
    mine.close()


def test_lost_claim_is_claimed_again(url: str) -> None:
    first, second = Database(url), Database(url)
    try:
        first.claim(0)
        if not first.sqlite:
            end = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'"
            with second.engine.connect() as connection:
                connection.execute(sa.text(end))
            with pytest.raises(OperationalError):
                first.claim(0)
        first.claim(5)
        with pytest.raises(DatabaseUnusable):
            second.claim(0)
    finally:
        first.close()
        second.close()
