"""The git command line over the hub's bare repositories."""

import contextlib
import functools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.hub.github_problems import Refusal
from app.hub.state import HubState
from app.hub.store import Row

ZERO = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_SHA = re.compile(r"[0-9a-f]{40}")
_SETTINGS = """\
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[http]
\treceivepack = true
[receive]
\tadvertisePushOptions = false
[gc]
\tauto = 0
"""


class GitCommandError(Exception):
    """A git command that ended with a non-zero status; the text is its standard error."""


def environment(**extra: str) -> dict[str, str]:
    """The environment of every git child: no configuration of the person who runs the hub."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"} | extra


@dataclass(frozen=True)
class Bare:
    """One bare repository."""

    path: Path

    def raw(self, *args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> tuple[int, bytes, str]:
        """Run git here with a deadline of 60 s: exit status, standard output, standard error."""
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *args],
            cwd=self.path,
            input=stdin,
            capture_output=True,
            env=environment(**(env or {})),
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def run(self, *args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        """Run git and return its output without the last newline; GitError when it fails."""
        status, out, err = self.raw(*args, stdin=stdin, env=env)
        if status != 0:
            raise GitCommandError(err.strip() or f"git {args[0]} exited with {status}")
        return out.decode(errors="replace").rstrip("\n")

    def lasting(self, *args: str) -> str:
        """Like `run`, for a command whose arguments name objects by their full sha and nothing else.

        Such an answer never changes, so it is kept: a pull request is shown again and again.
        """
        return _lasting(self, args)

    def resolve(self, name: str, kind: str = "commit") -> str | None:
        """The full object id of a branch, tag or sha, or None; `kind` as in `rev^{kind}`."""
        if name.startswith("-"):
            return None
        if self.kind(name) == kind:
            return name
        for candidate in (f"refs/heads/{name}", f"refs/tags/{name}", name):
            status, out, _ = self.raw("rev-parse", "--verify", "--quiet", f"{candidate}^{{{kind}}}")
            if status == 0:
                return out.decode().strip()
        return None

    def ref(self, ref: str) -> str | None:
        """What a full ref name points at, or None."""
        if ".." in ref:  # no reference has such a name, but a path out of the repository may
            return None
        with contextlib.suppress(OSError, UnicodeDecodeError, ValueError):
            loose = (self.path / ref).read_text(encoding="utf-8").strip()
            if _SHA.fullmatch(loose):
                return loose
        if not (self.path / "packed-refs").exists():
            return None
        status, out, _ = self.raw("show-ref", "--verify", "--hash", "--", ref)
        return out.decode().strip() if status == 0 else None

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Full ref name to object id, for all refs whose name starts with the prefix."""
        lines = self.run("for-each-ref", "--format=%(objectname) %(refname)").splitlines()
        pairs = (line.split(" ", 1) for line in lines)
        return {name: sha for sha, name in pairs if name.startswith(prefix)}

    def kind(self, sha: str) -> str | None:
        """The type of an object (commit, tree, blob, tag), or None when there is none."""
        if not _SHA.fullmatch(sha):
            return None
        try:
            return self.lasting("cat-file", "-t", sha)
        except GitCommandError:
            return None

    def is_empty(self) -> bool:
        """Whether there is no branch yet."""
        return not (self.path / "packed-refs").exists() and not any((self.path / "refs" / "heads").iterdir())

    def merge_base(self, left: str, right: str) -> str | None:
        """The best common ancestor of two commits (full shas), or None for unrelated histories."""
        try:
            return self.lasting("merge-base", left, right)
        except GitCommandError:
            return None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `older` is reachable from `newer`."""
        return self.raw("merge-base", "--is-ancestor", older, newer)[0] == 0

    def merge_tree(self, ours: str, theirs: str) -> str | None:
        """The tree of a real merge of two commits (full shas), or None when it conflicts."""
        with contextlib.suppress(GitCommandError):
            return self.lasting("merge-tree", "--write-tree", ours, theirs).splitlines()[0]
        status, out, err = self.raw("merge-tree", "--write-tree", ours, theirs)
        if status > 1:
            raise GitCommandError(err)
        return out.decode().splitlines()[0] if status == 0 else None

    def commit_tree(self, tree: str, parents: list[str], message: str, author: tuple[str, str]) -> str:
        """Write a commit whose author and committer are (name, email); no ref moves."""
        name, email = author
        env = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email}
        env |= {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
        flags = [flag for parent in parents for flag in ("-p", parent)]
        return self.run("commit-tree", tree, *flags, stdin=message.encode(), env=env)


@functools.lru_cache(maxsize=4096)
def _lasting(git: Bare, args: tuple[str, ...]) -> str:
    return git.run(*args)


def bare(hub: HubState, repo: Row) -> Bare:
    """The bare repository of a repository row; 404 when its folder is gone."""
    path = hub.root / "git" / f"{repo['id']}.git"
    if not path.is_dir():
        raise Refusal(404, "Not Found")
    return Bare(path)


def create_bare(hub: HubState, repo_id: int, default_branch: str) -> Bare:
    """Make an empty bare repository with the settings GitHub has: partial clone and fetch by sha."""
    path = hub.root / "git" / f"{repo_id}.git"
    path.mkdir(parents=True)
    repository = Bare(path)
    repository.run("init", "--quiet", "--bare", f"--initial-branch={default_branch}")
    repository.run("config", "core.hooksPath", str(hub.root / "hooks"))
    with (path / "config").open("a", encoding="utf-8") as config:
        config.write(_SETTINGS)
    return repository
