"""A run's worktree: opened at exactly its base commit, edited through confined paths, read out as a patch.

Every operation is a function of the base commit and the edits before it, so a replayed workflow rebuilds the same tree.
"""

import asyncio
import logging
import re
import stat
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from app.domain.patch import ChangeKind, FileChange, Patch
from app.workspace.edits import Edit, apply_edits, changed_lines, insert_lines
from app.workspace.file_locks import file_lock
from app.workspace.file_writes import apply_change, delete_file, write_file
from app.workspace.git import MAX_OUTPUT_BYTES, GitOutput, git
from app.workspace.mirror import Mirror
from app.workspace.patch_apply import apply_diff
from app.workspace.paths import follow_link, kind_of, read_bytes, safe_path
from app.workspace.quota import Quota
from app.workspace.search import SearchResult, pathspecs, search
from app.workspace.text_files import TextFile, decode, in_the_style_of
from app.workspace.trash import empty_trash, empty_trash_soon, move_to_trash
from app.workspace.tree_diff import count_lines, tree_changes, unified_diff
from app.workspace.trees import TreeSize, delete_tree, size_of
from app.workspace.workspace_errors import EditError, GitError, PathError, RecordError, WorkspaceError
from app.workspace.write_tree import exclude_options, write_tree

MAX_READ_BYTES: Final = 4 * 1024 * 1024
MAX_WRITE_BYTES: Final = 4 * 1024 * 1024
OPEN_DEADLINE: Final = 300.0
MAX_NESTED: Final = 20
QUOTA: Final = Quota(files=5_000, size=64 * 1024 * 1024, depth=100)
"""What one command may change, which is recorded with the workflow and replayed from there; and what a work tree may
hold in new files after it, whichever commands made them. Ignored files are not counted."""
TREE_QUOTA: Final = Quota(files=500_000, size=4 * 1024**3, depth=200)
"""What a work tree may hold in all after its commands, ignored files too: else one run fills the disk for others."""
_RUN_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?(?<!\.lock)")
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileText:
    """Lines `first` to `last` (1-based, inclusive) of a text file that has `total_lines`."""

    text: str
    first: int
    last: int
    total_lines: int
    encoding: str = ""
    """Where it is not UTF-8."""


class Worktree:
    """The files of one run. Get one by `open`; methods may be called at once, they take turns where they must."""

    def __init__(self, mirror: Mirror, run_id: str, base_sha: str) -> None:
        if not _RUN_ID.fullmatch(run_id):
            raise WorkspaceError(f"{run_id[:100]!a} cannot be the id of a run")
        self.mirror: Mirror = mirror
        self.run_id: str = run_id
        self.base_sha: str = base_sha
        self.path: Path = mirror.root / "worktrees" / run_id
        self._git_dir: Path = mirror.path / "worktrees" / run_id
        self._turn: asyncio.Lock = asyncio.Lock()
        self.last_change: str = ""
        """The lines that the last edit of a text changed, with their numbers."""
        self._first_size: TreeSize | None = None  # before the first command
        self._written: set[str] = set()  # named by an edit: part of the patch even where .gitignore matches

    @classmethod
    async def open(cls, mirror: Mirror, run_id: str, base_sha: str) -> "Worktree":
        """Return the run's worktree at exactly `base_sha` with nothing else in it; what was there before is removed.

        The mirror must hold the commit with its contents (`Mirror.hydrate`). Raises GitError otherwise.
        """
        worktree = cls(mirror, run_id, await mirror.resolve(base_sha))
        async with file_lock(mirror.root / "locks" / f"{run_id}.lock", OPEN_DEADLINE):
            if not await worktree._reset():
                await worktree._create()
        return worktree

    async def list_files(self, glob: str | None = None) -> list[str]:
        """Return the sorted paths of all files that are tracked, new or written, but not ignored; those under `glob`.

        `glob` is a git glob (`**` crosses directories, `{a,b}` is either); without a slash it matches in any directory.
        """
        output = await self._git("ls-files", "-z", "-c", "-o", *exclude_options(), "--", *pathspecs(glob))
        listed = {name.decode(errors="replace") for name in output.stdout.split(b"\0")[:-1] if not name.endswith(b"/")}
        listed |= {path for path in self._written if glob is None or PurePosixPath(path).match(glob)}
        return sorted(path for path in listed if kind_of(self.path, path) in (stat.S_IFREG, stat.S_IFLNK))

    async def read_file(self, path: str, start: int | None = None, end: int | None = None) -> FileText:
        """Return a text file's lines from `start` to `end` (1-based, inclusive; all by default).

        Raises PathError when the file is missing, leaves the tree or is too large, EditError when it is not text.
        """
        path = safe_path(path)
        file = decode(path, read_bytes(self.path, path, MAX_READ_BYTES))
        text = file.text
        lines = text.split("\n")
        total = len(lines) - (lines[-1] == "")
        first, last = max(1, start or 1), min(total, end or total)
        ends = "\n" if last < total or text.endswith("\n") else ""
        chosen = lines[first - 1 : last]
        return FileText("\n".join(chosen) + ends if chosen else "", first, last, total, file.unusual)

    async def search(self, regex: str, glob: str | None = None) -> SearchResult:
        """Search all text files, new ones too, for lines that match a Perl-compatible regular expression."""
        return await search(self._git, regex, glob)

    async def write_file(self, path: str, content: str | bytes, *, executable: bool | None = None) -> None:
        """Make or replace a file and its directories. An existing file keeps its mode unless `executable` is given.

        Raises PathError for a path outside, through a symlink, or of a directory; EditError over MAX_WRITE_BYTES.
        """
        path = follow_link(self.path, safe_path(path))
        async with self._turn:
            data = content if isinstance(content, bytes) else self._stored(path, content)
            self._write(path, data, executable=executable)

    def _stored(self, path: str, text: str) -> bytes:
        """A whole text as the file that it replaces was stored; UTF-8 for a new file."""
        try:
            return in_the_style_of(path, read_bytes(self.path, path, MAX_READ_BYTES), text)
        except PathError:
            return text.encode()

    async def edit_file(self, path: str, edits: Sequence[Edit]) -> None:
        """Replace passages of a text file, all or none. Raises EditError, with the nearest lines, PathError."""
        await self._change_text(path, lambda name, file: apply_edits(name, file, edits))

    async def insert_lines(self, path: str, line: int, text: str) -> None:
        """Put new lines before a line (1-based) of a text file. Raises EditError, PathError."""
        await self._change_text(path, lambda name, file: insert_lines(name, file, line, text))

    async def _change_text(self, path: str, change: Callable[[str, TextFile], str]) -> None:
        """Store a changed text as the file was stored. A link inside the tree is followed; it stays a link."""
        path = follow_link(self.path, safe_path(path))
        async with self._turn:
            file = decode(path, read_bytes(self.path, path, MAX_READ_BYTES))
            text = await asyncio.to_thread(change, path, file)  # looking for a passage takes time
            self._write(path, file.encode(path, text))
            self.last_change = changed_lines(file.text, text)

    def _write(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        if len(data) > MAX_WRITE_BYTES:
            raise EditError(f"{path} would have {len(data)} bytes, more than {MAX_WRITE_BYTES}; write less")
        write_file(self.path, path, data, executable=executable)
        self._written.add(path)

    async def delete_file(self, path: str) -> None:
        """Delete a file or symlink, and directories that become empty. Raises PathError when there is none."""
        path = safe_path(path)
        async with self._turn:
            delete_file(self.path, path)

    async def apply(self, diff: str) -> None:
        """Apply a unified diff from outside, all or nothing. Raises PatchError naming the file and hunk, PathError."""
        async with self._turn:
            self._written |= await apply_diff(self._git, diff)

    async def apply_changes(self, changes: Iterable[FileChange]) -> None:
        """Put recorded changes (of a command, or of an earlier patch) into the tree. Raises PathError."""
        async with self._turn:
            ordered = sorted(changes, key=lambda change: (change.kind is not ChangeKind.DELETED, change.path))
            for change in ordered:
                apply_change(self.path, change)
                self._written.add(change.path)

    async def patch(self) -> Patch:
        """Return everything that differs from the base commit. The worktree and git's index stay as they are."""
        async with self._turn:
            tree = await self._tree()
        changes = await tree_changes(self.mirror.path, self.base_sha, tree)
        diff = await unified_diff(self.mirror.path, self.base_sha, tree)
        added, removed = await count_lines(self.mirror.path, self.base_sha, tree)
        return Patch(base_sha=self.base_sha, diff=diff, changes=changes, lines_added=added, lines_removed=removed)

    async def record(self, action: Callable[[], Awaitable[T]]) -> tuple[T, tuple[FileChange, ...]]:
        """Run `action` while no edit may happen; return its result and the files that it changed.

        Raises RecordError when these cannot be recorded: a name is not UTF-8, say, or there is too much of them.
        """
        async with self._turn:
            before = await self._tree()
            if self._first_size is None:
                self._first_size = await asyncio.to_thread(size_of, self.path)
            result = await action()
            try:
                await asyncio.to_thread(TREE_QUOTA.check_growth, self.path, self._first_size)
                after = await self._tree(QUOTA)
                return result, await tree_changes(self.mirror.path, before, after, QUOTA)
            except Exception as error:
                await self._restore(before)
                why = error.stderr.strip() if isinstance(error, GitError) else str(error)
                raise RecordError(f"What the command left cannot be recorded, so it is undone: {why[:500]}") from error

    async def nested_repositories(self) -> tuple[str, ...]:
        """Folders below the root that are git repositories of their own; git sees none of the files in them."""
        output = await self._git("ls-files", "-z", "--others", *exclude_options())
        names = (name.decode(errors="replace") for name in output.stdout.split(b"\0") if name.endswith(b"/"))
        return tuple(sorted(name.rstrip("/") for name in names))[:MAX_NESTED]

    async def _restore(self, tree: str) -> None:
        """Have the files of a tree and nothing else, not even ignored files."""
        await asyncio.to_thread(self._clear)
        index = self._git_dir / f"snapshot-{uuid.uuid4().hex}"
        try:
            await self._git("read-tree", tree, index=index)
            await self._git("checkout-index", "--all", "--force", "--quiet", index=index, deadline=OPEN_DEADLINE)
        finally:
            index.unlink(missing_ok=True)
        await self._git("update-index", "-q", "--refresh", accept=(0, 1))

    def _clear(self) -> None:
        for path in list(self.path.iterdir()):
            if path.name != ".git":
                delete_tree(path)

    def _discard(self) -> None:
        move_to_trash(self.mirror.root, self.path)
        move_to_trash(self.mirror.root, self._git_dir)

    async def _reset(self) -> bool:
        """Bring an existing worktree back to the base commit; False when it cannot be done and must be made again."""
        if not self.path.is_dir() or not (self._git_dir / "HEAD").is_file():
            return False
        for stale in self._git_dir.glob("*.lock"):  # left by a killed process: the run's lock is held here
            stale.unlink(missing_ok=True)
        for stale in self._git_dir.glob("snapshot-*"):
            stale.unlink(missing_ok=True)
        try:
            await self._git("reset", "--hard", "--quiet", self.base_sha, deadline=OPEN_DEADLINE)
            await self._git("clean", "-ffdxq", deadline=OPEN_DEADLINE)
        except GitError:
            return False  # a new one is right in every case; an error of the mirror shows up there
        return True

    async def _create(self) -> None:
        self._discard()
        empty_trash_soon(self.mirror.root)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arguments = ("worktree", "add", "--force", "--detach", "--quiet", str(self.path.absolute()), self.base_sha)
        try:
            await git(*arguments, cwd=self.mirror.path, deadline=OPEN_DEADLINE)
        except GitError:
            self._discard()
            raise
        if not (self._git_dir / "index").is_file():
            raise GitError(arguments, 0, f"git did not register the worktree as {self.run_id}")

    async def _tree(self, quota: Quota | None = None) -> str:
        return await write_tree(self._git, self.path, self._git_dir, self._written, quota)

    async def _git(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        index: Path | None = None,
        accept: tuple[int, ...] = (0,),
        deadline: float = 60.0,
        max_output: int | None = None,
    ) -> GitOutput:
        """Run git here. The repository is named explicitly: commands may have changed the `.git` file."""
        variables = {
            "GIT_DIR": str(self._git_dir.absolute()),
            "GIT_WORK_TREE": str(self.path.absolute()),
            "GIT_INDEX_FILE": str((index or self._git_dir / "index").absolute()),
        }
        return await git(
            *arguments,
            cwd=self.path,
            variables=variables,
            stdin=stdin,
            accept=accept,
            deadline=deadline,
            max_output=max_output or MAX_OUTPUT_BYTES,
            cut_output=max_output is not None,
        )


async def sweep(root: Path, keep: Collection[str]) -> None:
    """Put aside the worktrees of all runs not in `keep`, then delete everything put aside. Call at start and daily.

    A worktree that cannot be moved is logged and stays for the next time.
    """
    for path in sorted((root / "worktrees").glob("*")):
        if path.name not in keep:
            try:
                for git_dir in (root / "mirrors").glob(f"*/*.git/worktrees/{path.name}"):
                    move_to_trash(root, git_dir)
                move_to_trash(root, path)
            except OSError as error:
                log.warning("the worktree %s cannot be moved, the next try is at the next round: %s", path.name, error)
    await asyncio.to_thread(empty_trash, root)
