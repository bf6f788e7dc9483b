"""The hub's SQLite database: one connection, one lock, one transaction at a time."""

import json
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]

FIRST_ID = 2**31 + 20_000
"""GitHub's ids have outgrown 32 bits, which is why GraphQL's `databaseId` gives way to `fullDatabaseId`:
https://docs.github.com/en/graphql/reference/objects#pullrequestreviewcomment"""

# `JSON` and `BOOL` columns are decoded by sqlite3 itself (detect_types), so that every row is read alike.
SCHEMA = """
CREATE TABLE IF NOT EXISTS sequence (next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, login TEXT UNIQUE COLLATE NOCASE, type TEXT);
CREATE TABLE IF NOT EXISTS tokens (id INTEGER PRIMARY KEY, token TEXT UNIQUE, user_id INTEGER,
  installation_id INTEGER,
  permissions JSON, repository_ids JSON, expires_at REAL);
CREATE TABLE IF NOT EXISTS repositories (id INTEGER PRIMARY KEY, owner_id INTEGER, name TEXT COLLATE NOCASE,
  default_branch TEXT, private BOOL, next_number INTEGER, created_at TEXT, pushed_at TEXT,
  ghost_app_ids JSON, reviewed_environments JSON, archived BOOL, UNIQUE (owner_id, name));
CREATE TABLE IF NOT EXISTS old_names (full_name TEXT PRIMARY KEY COLLATE NOCASE, repo_id INTEGER);
CREATE TABLE IF NOT EXISTS roles (id INTEGER PRIMARY KEY, repo_id INTEGER, user_id INTEGER, role TEXT,
  UNIQUE (repo_id, user_id));
CREATE TABLE IF NOT EXISTS protections (id INTEGER PRIMARY KEY, repo_id INTEGER, branch TEXT, contexts JSON,
  pins JSON, source TEXT,
  locked BOOL, UNIQUE (repo_id, branch, source));
CREATE TABLE IF NOT EXISTS rules (id INTEGER PRIMARY KEY, repo_id INTEGER, kind TEXT, pattern TEXT, branches TEXT);
CREATE TABLE IF NOT EXISTS apps (id INTEGER PRIMARY KEY, slug TEXT, name TEXT, owner_id INTEGER);
CREATE TABLE IF NOT EXISTS installations (id INTEGER PRIMARY KEY, account_id INTEGER UNIQUE, permissions JSON,
  events JSON,
  repository_ids JSON, created_at TEXT, suspended BOOL);
CREATE TABLE IF NOT EXISTS labels (id INTEGER PRIMARY KEY, repo_id INTEGER, name TEXT COLLATE NOCASE, color TEXT,
  description TEXT, UNIQUE (repo_id, name));
CREATE TABLE IF NOT EXISTS issues (id INTEGER PRIMARY KEY, repo_id INTEGER, number INTEGER, user_id INTEGER,
  app_id INTEGER,
  title TEXT, body TEXT, state TEXT, state_reason TEXT, created_at TEXT, updated_at TEXT, closed_at TEXT,
  is_pull BOOL, locked BOOL, gone BOOL,
  UNIQUE (repo_id, number));
CREATE TABLE IF NOT EXISTS issue_labels (id INTEGER PRIMARY KEY, issue_id INTEGER, label_id INTEGER,
  UNIQUE (issue_id, label_id));
CREATE TABLE IF NOT EXISTS issue_events (id INTEGER PRIMARY KEY, issue_id INTEGER, actor_id INTEGER, event TEXT,
  label JSON, created_at TEXT);
CREATE TABLE IF NOT EXISTS comments (id INTEGER PRIMARY KEY, repo_id INTEGER, issue_id INTEGER, user_id INTEGER,
  app_id INTEGER, body TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE IF NOT EXISTS reactions (id INTEGER PRIMARY KEY, subject_id INTEGER, user_id INTEGER, content TEXT,
  created_at TEXT, UNIQUE (subject_id, user_id, content));
CREATE TABLE IF NOT EXISTS pulls (id INTEGER PRIMARY KEY, issue_id INTEGER UNIQUE, repo_id INTEGER, head_ref TEXT,
  head_sha TEXT, base_ref TEXT, base_sha TEXT, draft BOOL, merged_at TEXT, merged_by_id INTEGER,
  merge_commit_sha TEXT);
CREATE TABLE IF NOT EXISTS reviews (id INTEGER PRIMARY KEY, pull_id INTEGER, user_id INTEGER, body TEXT, state TEXT,
  commit_id TEXT, submitted_at TEXT);
CREATE TABLE IF NOT EXISTS review_threads (id INTEGER PRIMARY KEY, pull_id INTEGER, resolved BOOL);
CREATE TABLE IF NOT EXISTS review_comments (id INTEGER PRIMARY KEY, pull_id INTEGER, review_id INTEGER,
  thread_id INTEGER,
  in_reply_to_id INTEGER, user_id INTEGER, body TEXT, path TEXT, line INTEGER, side TEXT, start_line INTEGER,
  start_side TEXT, commit_id TEXT, diff_hunk TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE IF NOT EXISTS check_suites (id INTEGER PRIMARY KEY, repo_id INTEGER, app_id INTEGER, head_sha TEXT,
  head_branch TEXT, before TEXT, status TEXT, conclusion TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE IF NOT EXISTS check_runs (id INTEGER PRIMARY KEY, repo_id INTEGER, suite_id INTEGER, app_id INTEGER,
  name TEXT,
  head_sha TEXT, status TEXT, conclusion TEXT, external_id TEXT, details_url TEXT, output JSON, started_at TEXT,
  completed_at TEXT);
CREATE TABLE IF NOT EXISTS statuses (id INTEGER PRIMARY KEY, repo_id INTEGER, sha TEXT, user_id INTEGER, state TEXT,
  context TEXT, description TEXT, target_url TEXT, created_at TEXT);
CREATE TABLE IF NOT EXISTS workflows (id INTEGER PRIMARY KEY, repo_id INTEGER, path TEXT, UNIQUE (repo_id, path));
CREATE TABLE IF NOT EXISTS workflow_runs (id INTEGER PRIMARY KEY, repo_id INTEGER, workflow_id INTEGER, name TEXT,
  path TEXT,
  event TEXT, head_branch TEXT, head_sha TEXT, ref TEXT, number INTEGER, attempt INTEGER, suite_id INTEGER,
  actor_id INTEGER, status TEXT, conclusion TEXT, created_at TEXT, updated_at TEXT, run_started_at TEXT,
  concurrency TEXT);
CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, run_id INTEGER, attempt INTEGER, key TEXT, name TEXT,
  definition JSON, check_run_id INTEGER, status TEXT, conclusion TEXT, created_at TEXT, started_at TEXT,
  completed_at TEXT, steps JSON, log TEXT);
CREATE TABLE IF NOT EXISTS verified_commits (sha TEXT PRIMARY KEY, verified_at TEXT);
CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY, position REAL, guid TEXT, event TEXT, action TEXT,
  installation_id INTEGER, repository_id INTEGER, payload TEXT, redelivery BOOL, state TEXT, status_code INTEGER,
  status TEXT, duration REAL, delivered_at TEXT, request_headers JSON, response_headers JSON, response TEXT);
CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, kind TEXT, repository TEXT, number INTEGER, sha TEXT,
  name TEXT,
  text TEXT);
CREATE INDEX IF NOT EXISTS check_runs_by_sha ON check_runs (repo_id, head_sha);
CREATE INDEX IF NOT EXISTS comments_by_issue ON comments (issue_id);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, position);
"""


def _encode(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict | list) else value


class Store:
    """Rows in and out of one SQLite file. Every call happens inside `transaction()`."""

    def __init__(self, path: Path) -> None:
        sqlite3.register_converter("JSON", json.loads)
        sqlite3.register_converter("BOOL", lambda raw: raw != b"0")
        self.lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, detect_types=sqlite3.PARSE_DECLTYPES, timeout=10
        )
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
        if self._connection.execute("SELECT count(*) FROM sequence").fetchone()[0] == 0:
            self._connection.execute("INSERT INTO sequence VALUES (?)", (FIRST_ID,))

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """Hold the writer lock; commit at the outermost exit, roll everything back on an exception."""
        with self.lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    self._connection.execute("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def next_id(self) -> int:
        """One sequence for all tables: an id of one kind never happens to be valid for another."""
        row = self._connection.execute("UPDATE sequence SET next = next + 1 RETURNING next").fetchone()
        return int(row[0])

    def insert(self, table: str, **values: object) -> int:
        """Insert a row and return its id (taken from the hub-wide sequence unless given)."""
        values.setdefault("id", self.next_id())
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        self._connection.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - names of our own tables and columns
            [_encode(value) for value in values.values()],
        )
        return int(str(values["id"]))

    def update(self, table: str, row_id: int, **values: object) -> None:
        """Set columns of the row with this id."""
        assignments = ", ".join(f"{name} = ?" for name in values)
        self._connection.execute(
            f"UPDATE {table} SET {assignments} WHERE id = ?",  # noqa: S608 - names of our own tables and columns
            [*(_encode(value) for value in values.values()), row_id],
        )

    def execute(self, sql: str, *args: object) -> None:
        """Run a statement that answers nothing."""
        self._connection.execute(sql, args)

    def rows(self, sql: str, *args: object) -> list[Row]:
        """All rows of a query as dictionaries."""
        return [dict(row) for row in self._connection.execute(sql, args).fetchall()]

    def row(self, sql: str, *args: object) -> Row | None:
        """The first row of a query, or None."""
        row = self._connection.execute(sql, args).fetchone()
        return None if row is None else dict(row)

    def get(self, table: str, row_id: int) -> Row:
        """The row with this id; KeyError when it is missing."""
        row = self.row(f"SELECT * FROM {table} WHERE id = ?", row_id)  # noqa: S608 - a name of our own tables
        if row is None:
            raise KeyError(f"{table} {row_id}")
        return row

    def setting(self, name: str) -> str | None:
        """A stored setting of the hub itself, or None."""
        row = self.row("SELECT value FROM settings WHERE name = ?", name)
        return None if row is None else str(row["value"])

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting of the hub itself."""
        self.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", name, value)

    def close(self) -> None:
        """Close the file; the store can not be used afterwards."""
        with self.lock:
            self._connection.close()
