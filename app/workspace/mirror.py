"""A bare mirror of one GitHub repository on local disk, shared by all runs and processes that work on it."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

from app.domain.patch import ChangeKind, FileChange, MergeConflict
from app.domain.patch_policy import has_markers
from app.workspace.file_locks import file_lock
from app.workspace.git import GitOutput, Remote, git
from app.workspace.paths import safe_path
from app.workspace.trash import move_to_trash
from app.workspace.tree_diff import read_blobs, tree_changes, unified_diff
from app.workspace.trees import delete_tree
from app.workspace.workspace_errors import GitError, WorkspaceError

LOCK_DEADLINE = 900.0
FETCH_DEADLINE = 600.0
FETCH_ATTEMPTS = 3
_RETRY_SECONDS = 0.5
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?")  # `_`: names of managed users on GitHub
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"(?![-/])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![./])")
_ALL_BRANCHES = "+refs/heads/*:refs/heads/*"
_NO_REMOTE = {
    "GIT_AUTHOR_NAME": "autopack",
    "GIT_AUTHOR_EMAIL": "autopack@localhost",
    "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "autopack",
    "GIT_COMMITTER_EMAIL": "autopack@localhost",
    "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
}
_PARTIAL_CLONE = """\
[core]
\trepositoryFormatVersion = 1
\tlogAllRefUpdates = false
[extensions]
\tpartialClone = origin
[remote "origin"]
\tpromisor = true
\tpartialclonefilter = blob:none
"""
_FILE_MODES = frozenset({"100644", "100755", "120000"})
_LOCKED = re.compile(r"cannot lock ref|unable to update local ref", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a commit. `mode` is git's; `size` is in bytes, None for what is not on disk and for submodules."""

    path: str
    mode: str
    size: int | None


class Mirror:
    """The mirror of `owner/name` under `root`. Making one touches nothing; the first `fetch` makes the repository.

    It is a partial clone where the server allows it: commits and trees at once, contents by `hydrate`. All methods
    but `fetch` and `hydrate` stay off the network.
    """

    def __init__(
        self, root: Path, owner: str, name: str, server_url: str = "https://github.com", *, fetched_from: str = ""
    ) -> None:
        """`fetched_from` is the newest `owner/name` of a repository that was renamed since the mirror was made."""
        if not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name) or name in (".", "..") or name.endswith(".git"):
            raise WorkspaceError(f"{owner!a}/{name!a} is not the name of a repository")
        self.root: Path = root
        self.owner: str = owner
        self.name: str = name
        self.url: str = f"{server_url.rstrip('/')}/{fetched_from or f'{owner}/{name}'}.git"
        self.path: Path = root / "mirrors" / owner.lower() / f"{name.lower()}.git"

    async def fetch(self, token: str | None, *refs: str) -> None:
        """Bring branches, full refs or commit shas up to date; without `refs` all branches, dropping deleted ones.

        Safe to call at once from anywhere and to repeat. Raises GitError; network failures only after
        FETCH_ATTEMPTS tries, LockTimeoutError when another fetch keeps the mirror for LOCK_DEADLINE seconds.
        """
        remote = Remote(self.url, token)
        specs = [_refspec(ref) for ref in refs] or [_ALL_BRANCHES]
        prune = [] if refs else ["--prune"]
        async with self._locked():
            await self._make_sound()
            try:
                await self._fetch(remote, *prune, "--filter=blob:none", "origin", *specs)
            except GitError as error:
                if not refs or not _LOCKED.search(error.stderr):
                    raise
                # A deleted branch `a` blocks a new `a/b`: learn about deletions first.
                await self._fetch(remote, "--prune", "--filter=blob:none", "origin", _ALL_BRANCHES)
                await self._fetch(remote, "--filter=blob:none", "origin", *specs)

    async def hydrate(self, token: str | None, sha: str) -> None:
        """Fetch the contents of all files of a commit in one request, so that later reads need no network."""
        async with self._locked():
            if missing := await self._missing(sha):
                wanted = "".join(f"{blob}\n" for blob in missing).encode()
                options = ("-c", "fetch.negotiationAlgorithm=noop")
                await self._fetch(
                    Remote(self.url, token), "--filter=blob:none", "--stdin", "origin", options=options, stdin=wanted
                )

    async def holds(self, sha: str) -> bool:
        """Whether the commit and the contents of all its files are on disk, so that nothing has to be fetched."""
        if not await self._is_repository():
            return False
        try:
            return not await self._missing(sha)
        except GitError:
            return False  # there is no such commit: git would fetch it, and is not allowed to here

    async def resolve(self, ref: str) -> str:
        """Return the commit sha of a branch, full ref or sha. Raises GitError when the mirror has no such commit."""
        if not _SHA.fullmatch(ref) and not _REF.fullmatch(ref):
            raise WorkspaceError(f"{ref[:200]!a} is not a branch, ref or commit sha")
        name = ref if _SHA.fullmatch(ref) or ref.startswith("refs/") else f"refs/heads/{ref}"
        return (await self._git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")).text

    async def list_files(self, sha: str) -> list[TreeEntry]:
        """Return all files of a commit, sorted by path as git sorts. Sizes are known after `hydrate`."""
        missing = set(await self._missing(sha))
        size = [] if missing else ["--long"]
        output = await self._git("ls-tree", "-r", "-z", "--full-tree", *size, _checked_sha(sha))
        return [_parse_entry(record) for record in output.stdout.split(b"\0")[:-1]]

    async def diff(self, base: str, head: str, paths: list[str] | None = None) -> str:
        """Return the unified git diff from `base` to `head` (both hydrated), of `paths` only when given."""
        chosen = [safe_path(path) for path in paths or []]
        return await unified_diff(self.path, _checked_sha(base), _checked_sha(head), chosen)

    async def merge_with_markers(self, ours: str, theirs: str) -> tuple[str, tuple[MergeConflict, ...]]:
        """Return a commit that merges both, with conflict markers where they clash, and the paths that clash.

        The commit stays in the mirror. It is the same for the same two commits, whenever it is made.
        """
        arguments = ("merge-tree", "--write-tree", "--name-only", "--messages", "-z")
        output = await self._git(*arguments, _checked_sha(ours), _checked_sha(theirs), accept=(0, 1))
        listed, _, messages = output.stdout.decode(errors="replace").partition("\0\0")
        tree, *paths = listed.rstrip("\0").split("\0")
        parents = ("-p", _checked_sha(ours), "-p", _checked_sha(theirs))
        commit = await git("commit-tree", tree, *parents, "-m", "merge", cwd=self.path, variables=_NO_REMOTE)
        if not output.exit_code:
            return commit.text, ()
        kinds, paths = _conflict_kinds(messages), list(dict.fromkeys(paths))
        there = {entry.path for entry in await self.list_files(commit.text)}
        contents = await read_blobs(self.path, [f"{tree}:{path}" for path in paths if path in there])
        return commit.text, tuple(
            _conflict(path, kinds.get(path, "contents"), contents.get(f"{tree}:{path}")) for path in paths
        )

    async def file_at(self, sha: str, path: str) -> FileChange:
        """A file as it is at a commit (hydrated), as the change that makes it so; one that is not there is deleted."""
        path = safe_path(path)
        output = await self._git("ls-tree", "-z", _checked_sha(sha), "--", path)
        entry = next((_parse_entry(record) for record in output.stdout.split(b"\0")[:-1]), None)
        if entry is None:
            return FileChange(path=path, kind=ChangeKind.DELETED)
        if entry.mode not in _FILE_MODES:
            raise WorkspaceError(f"{path} is a folder or a submodule there")
        content = (await read_blobs(self.path, [f"{sha}:{path}"]))[f"{sha}:{path}"]
        return FileChange(path=path, kind=ChangeKind.MODIFIED, mode=entry.mode, content=content)

    async def changes(self, base: str, head: str) -> tuple[FileChange, ...]:
        """Return what differs between two commits (both hydrated), file by file."""
        return await tree_changes(self.path, _checked_sha(base), _checked_sha(head))

    async def changed_paths(self, base: str, head: str) -> tuple[str, ...]:
        """Return the paths that differ between two commits; a rename is two. Names that are not UTF-8 are replaced."""
        arguments = ("-r", "-z", "--name-only", "--no-renames", _checked_sha(base), _checked_sha(head))
        output = await self._git("diff-tree", *arguments)
        return tuple(path.decode(errors="replace") for path in output.stdout.split(b"\0") if path)

    async def read_texts(self, sha: str, paths: list[str]) -> dict[str, str | None]:
        """Return the texts of files of a hydrated commit by path; None for what is not UTF-8."""
        objects = {path: f"{_checked_sha(sha)}:{path}" for path in paths if "\n" not in path}
        contents = await read_blobs(self.path, list(objects.values()))
        return {path: _text(contents[name]) for path, name in objects.items()}

    async def merge_base(self, one: str, other: str) -> str | None:
        """Return the best common ancestor of two commits, None when they share no history."""
        output = await self._git("merge-base", _checked_sha(one), _checked_sha(other), accept=(0, 1))
        return output.text or None

    async def parents(self, sha: str) -> tuple[str, ...]:
        """Return the commit's parents in order; none for the first commit."""
        output = await self._git("rev-list", "--max-count=1", "--parents", _checked_sha(sha))
        return tuple(output.text.split()[1:])

    async def first_parent(self, sha: str) -> str | None:
        """Return the commit's first parent; None for the first commit."""
        return next(iter(await self.parents(sha)), None)

    async def count_commits(self, base: str, head: str) -> int:
        """Return how many commits `head` has that `base` has not."""
        output = await self._git("rev-list", "--count", _checked_sha(head), f"^{_checked_sha(base)}")
        return int(output.text)

    async def ancestor(self, sha: str, steps: int) -> str | None:
        """Return the commit so many first parents before; None where there are fewer."""
        output = await self._git("rev-parse", "--quiet", "--verify", f"{_checked_sha(sha)}~{steps}", accept=(0, 1))
        return output.text or None

    async def tree_of(self, sha: str) -> str:
        """Return the sha of the commit's tree."""
        return (await self._git("rev-parse", "--verify", "--end-of-options", f"{_checked_sha(sha)}^{{tree}}")).text

    async def maintain(self) -> None:
        """Repack, and drop objects that nothing has referred to for two days. Call it now and then."""
        async with self._locked():
            await self._make_sound()
            await self._git("gc", "--quiet", "--prune=2.days.ago", deadline=FETCH_DEADLINE)

    async def _git(
        self, *arguments: str, stdin: bytes | None = None, accept: tuple[int, ...] = (0,), deadline: float = 120.0
    ) -> GitOutput:
        return await git(*arguments, cwd=self.path, stdin=stdin, accept=accept, deadline=deadline)

    async def _fetch(
        self, remote: Remote, *arguments: str, options: tuple[str, ...] = (), stdin: bytes | None = None
    ) -> None:
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        command = (*options, "fetch", *quiet, *arguments)

        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(FETCH_ATTEMPTS),
            wait=wait_exponential(_RETRY_SECONDS),
            retry=retry_if_exception(lambda error: isinstance(error, GitError) and error.network),
            reraise=True,
        ):
            with attempt:
                await git(*command, cwd=self.path, remote=remote, stdin=stdin, deadline=FETCH_DEADLINE)

    async def _missing(self, sha: str) -> list[str]:
        """Return the ids of blobs of a commit that are not on disk."""
        tree = f"{_checked_sha(sha)}^{{tree}}"
        output = await self._git("rev-list", "--objects", "--no-walk", "--no-object-names", "--missing=print", tree)
        return [line[1:] for line in output.text.splitlines() if line.startswith("?")]

    @asynccontextmanager
    async def _locked(self) -> AsyncGenerator[None]:
        async with file_lock(self.path.with_suffix(".lock"), LOCK_DEADLINE):
            yield

    async def _make_sound(self) -> None:
        """Make the repository, or repair what a killed process left. The lock is held, so any lock file is stale."""
        if self.path.exists() and not await self._is_repository():
            move_to_trash(self.root, self.path)
        if not self.path.exists():
            await self._create()
        for stale in _stale_files(self.path):
            stale.unlink(missing_ok=True)
        await self._git("config", "remote.origin.url", self.url)

    async def _is_repository(self) -> bool:
        if not self.path.is_dir():
            return False
        try:
            await self._git("--git-dir=.", "config", "--get", "remote.origin.promisor")
        except GitError:
            return False
        return True

    async def _create(self) -> None:
        """Make the repository in a temporary place and move it, so that no reader sees it half made."""
        new = self.root / "mirrors" / ".new" / self.path.relative_to(self.root / "mirrors")
        if new.exists():
            delete_tree(new)  # a killed process's: this one holds the lock
        for place in (new, self.path):
            place.parent.mkdir(parents=True, exist_ok=True)
        await git("init", "--quiet", "--bare", "--template=", str(new), cwd=new.parent)
        with (new / "config").open("a", encoding="utf-8") as config:
            config.write(_PARTIAL_CLONE)
        new.rename(self.path)


def _stale_files(repository: Path) -> list[Path]:
    """Lock files of references and configuration, and packs that were never completed."""
    places = (repository.glob("*.lock"), (repository / "refs").rglob("*.lock"), repository.glob("objects/pack/tmp_*"))
    return [path for place in places for path in place]


def _refspec(ref: str) -> str:
    if _SHA.fullmatch(ref):
        return f"+{ref}:refs/autopack/kept/{ref}"  # a reference keeps it from being pruned
    if not _REF.fullmatch(ref):
        raise WorkspaceError(f"{ref[:200]!a} is not a branch, ref or commit sha")
    full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    return f"+{full}:{full}"


def _conflict(path: str, kind: str, merged: bytes | None) -> MergeConflict:
    """Git calls binary files that clash a conflict of contents, and leaves one side's."""
    kind = "binary" if kind == "contents" and b"\0" in (merged or b"") else kind
    return MergeConflict(path=path, kind=kind, marked=has_markers(merged))


def _conflict_kinds(messages: str) -> dict[str, str]:
    """The kind of conflict by path, from what `git merge-tree -z` says: a count, so many paths, a type, a text.

    https://git-scm.com/docs/git-merge-tree#_output
    """
    fields = iter(messages.split("\0"))
    kinds: dict[str, str] = {}
    for count in fields:
        if not count.strip().isdigit():
            break
        paths = [next(fields, "") for _ in range(int(count))]
        kind = next(fields, "")
        next(fields, "")
        if kind.startswith("CONFLICT"):
            kinds |= dict.fromkeys(paths, kind.removeprefix("CONFLICT").strip(" ()"))
    return kinds


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _checked_sha(sha: str) -> str:
    if not _SHA.fullmatch(sha):
        raise WorkspaceError(f"{sha[:200]!a} is not a full object id; resolve it first")
    return sha


def _parse_entry(record: bytes) -> TreeEntry:
    header, _, path = record.partition(b"\t")
    words = header.decode().split()
    size = int(words[3]) if len(words) > 3 and words[3] != "-" else None
    return TreeEntry(path.decode(errors="replace"), words[0], size)
