"""Differences between two commits as GitHub lists them, and which lines of them a review may name."""

import re
from dataclasses import dataclass

from app.hub.git_repos import Bare
from app.hub.state import Json

STATUS = {"A": "added", "M": "modified", "D": "removed", "R": "renamed", "C": "copied", "T": "changed"}
HUNK_HEADER = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
MAX_PATCH_CHARACTERS = 1_000_000  # beyond this GitHub leaves `patch` out


@dataclass(frozen=True)
class ChangedFile:
    """One changed file; `patch` is None for a binary, empty or too large change."""

    path: str
    previous: str | None
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str | None

    def view(self, base_url: str, head: str) -> Json:
        """GitHub's diff entry."""
        value: Json = {"sha": self.sha, "filename": self.path, "status": self.status, "additions": self.additions}
        value |= {"deletions": self.deletions, "changes": self.additions + self.deletions}
        value |= {"blob_url": None, "raw_url": None, "contents_url": f"{base_url}/contents/{self.path}?ref={head}"}
        if self.patch is not None:
            value["patch"] = self.patch
        if self.previous is not None:
            value["previous_filename"] = self.previous
        return value


@dataclass(frozen=True)
class DiffHunk:
    """One hunk: its text, and the line numbers that exist on the old (left) and new (right) side."""

    text: str
    left: frozenset[int]
    right: frozenset[int]


def file_diffs(git: Bare, base: str, head: str) -> list[ChangedFile]:
    """The files that differ between two trees or commits (full shas), renames detected, in git's order."""
    flags = ("--no-ext-diff", "--no-textconv", "--no-color", "-M")
    fields = git.lasting("diff", *flags, "--raw", "-z", "--abbrev=40", base, head).split("\0")
    numbers = git.lasting("diff", *flags, "--numstat", "-z", base, head).split("\0")
    patches = _patches(git.lasting("diff", *flags, base, head))
    found: list[ChangedFile] = []
    while fields and fields[0]:
        *_, new_sha, letter = fields.pop(0).split(" ")
        previous = fields.pop(0) if letter[0] in "RC" else None
        path = fields.pop(0)
        added, deleted, _ = numbers.pop(0).split("\t")
        if previous is not None:
            numbers = numbers[2:]
        old_sha = _old_blob(git, base, path) if letter == "D" else new_sha
        patch = patches.pop(0)
        if letter == "T":  # git prints a change of type as a removal and an addition
            patch = f"{patch}\n{patches.pop(0)}"
        counts = (int(added), int(deleted)) if added != "-" else (0, 0)
        shown = patch if patch and len(patch) <= MAX_PATCH_CHARACTERS else None
        found.append(ChangedFile(path, previous, STATUS[letter[0]], old_sha, *counts, shown))
    return found


def _old_blob(git: Bare, base: str, path: str) -> str:
    return git.run("rev-parse", f"{base}:{path}")


def _patches(text: str) -> list[str]:
    """Each file's hunks, without git's file header, as GitHub's `patch` has them."""
    chunks = re.split(r"^diff --git .*\n", text, flags=re.MULTILINE)[1:]
    starts = (re.search(r"^@@ ", chunk, flags=re.MULTILINE) for chunk in chunks)
    return [chunk[start.start() :].rstrip("\n") if start else "" for chunk, start in zip(chunks, starts, strict=True)]


def hunks(patch: str | None) -> list[DiffHunk]:
    """The hunks of a patch with the lines a review comment may be placed on."""
    found: list[DiffHunk] = []
    lines: list[str] = []
    left: set[int] = set()
    right: set[int] = set()
    old = new = 0
    for line in [*(patch or "").split("\n"), "@@ end"]:
        header = HUNK_HEADER.match(line)
        if line.startswith("@@"):
            if lines:
                found.append(DiffHunk("\n".join(lines), frozenset(left), frozenset(right)))
            lines, left, right = [line], set(), set()
            old, new = (int(header[1]), int(header[2])) if header else (0, 0)
            continue
        lines.append(line)
        if line[:1] in (" ", "-"):
            left.add(old)
            old += 1
        if line[:1] in (" ", "+"):
            right.add(new)
            new += 1
    return found
