"""The patch policy: what a patch may touch and how large it may be, decided before anything is pushed."""

import posixpath
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from app.domain.findings import Finding, Severity, Source, issue_key
from app.domain.globs import matches_path
from app.domain.patch import FileChange, MergeConflict, Patch
from app.domain.plan import BuilderMode, PlannedPhase
from app.domain.ruleset import PatchRules

ALWAYS_PROTECTED = (
    ".github/workflows/**",
    ".github/actions/**",
    ".github/autopack.yml",
    ".github/CODEOWNERS",
    "CODEOWNERS",
    "docs/CODEOWNERS",
    ".gitmodules",
    ".gitattributes",
)
"""A run must not change what judges or governs it, nor what git does on other machines."""

TWEAK_LIGHT_FILES = 2
_BACK_UP = re.compile(r"(?:^|/)(?!\.\.?/)[^/]+/+(?:\./+)*\.\.(?:/|$)")
"""`x/..` in a link's target: where `x` is itself a link, this leads elsewhere than it reads."""
_MARKERS = re.compile(rb"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)


def check_patch(patch: Patch, phase: PlannedPhase, rules: PatchRules) -> tuple[Finding, ...]:
    """Return what forbids the patch; empty when it may go on. Every refusal is a major finding of the static check."""
    if patch.empty:
        return (_finding("patch", "empty", "The attempt changed no file.", None),)
    found = [problem for change in patch.changes for problem in _judge_file(change, rules)]
    files, lines = len(patch.changes), patch.lines_added + patch.lines_removed
    if files > rules.max_files:
        found.append(
            _finding("patch", "too_many_files", f"{files} files changed, at most {rules.max_files} are allowed.", None)
        )
    if lines > rules.max_lines:
        found.append(
            _finding("patch", "too_many_lines", f"{lines} lines changed, at most {rules.max_lines} are allowed.", None)
        )
    if phase.builder_mode is BuilderMode.TWEAK_LIGHT and files > TWEAK_LIGHT_FILES:
        found.append(
            _finding("patch", "beyond_mode", f"{files} files changed; tweak_light allows {TWEAK_LIGHT_FILES}.", None)
        )
    return tuple(found)


def check_conflicts(patch: Patch, conflicts: Iterable[MergeConflict]) -> tuple[Finding, ...]:
    """Return a finding for every path of a merge whose conflict markers the patch did not remove.

    A conflict without markers (one side deleted the file, say) is decided also by leaving what git left.
    """
    changed = {change.path: change for change in patch.changes}
    return tuple(
        _finding(one.path, "unsolved_conflict", f"`{one.path}` still holds conflict markers.", one.path)
        for one in conflicts
        if (one.marked and one.path not in changed) or has_markers(getattr(changed.get(one.path), "content", None))
    )


def has_markers(content: bytes | None) -> bool:
    """Whether a file holds conflict markers as git writes them."""
    return _MARKERS.search(content or b"") is not None


def refused_by_github(reason: str) -> Finding:
    """What GitHub's rules for the repository say against the patch's content, for the Builder's next try."""
    text = f"GitHub refuses the commit for what is in it: {' '.join(reason.split())[:1_000]}"
    if "commit message" in text.lower():
        text += " To choose the first line of the commit message, begin your summary with a line `Subject: …`."
    return _finding("patch", "refused_by_github", text, None)


def violates_policy(findings: Iterable[Finding]) -> bool:
    """Whether any of them is a forbidden path, as against a patch that is merely too large or empty."""
    return any(finding.category == "policy" for finding in findings)


def protected(path: str, extra: Iterable[str] = ()) -> str | None:
    """Return the glob that protects `path`, or None. Case does not matter, since some file systems ignore it."""
    folded = path.casefold()
    # With a slash: a file or link that would take the place of a protected folder.
    return next(
        (
            glob
            for glob in (*ALWAYS_PROTECTED, *extra)
            if matches_path(_anchored(glob), folded) or matches_path(_anchored(glob), f"{folded}/")
        ),
        None,
    )


def _judge_file(change: FileChange, rules: PatchRules) -> Iterable[Finding]:
    path = change.path
    outside = _outside(path)
    if outside:
        yield _finding("path", "outside_repository", f"`{path}` {outside}.", path, category="policy")
        return
    glob = protected(path, rules.protected_paths)
    if glob:
        yield _finding(
            path, "protected", f"`{path}` is protected by `{glob}`: a run may not change it.", path, category="policy"
        )
    if change.symlink and _escapes(path, (change.content or b"").decode("utf-8", "replace")):
        yield _finding(
            path, "symlink_escape", f"`{path}` is a symlink that leaves the repository.", path, category="policy"
        )
    if change.content is not None and len(change.content) > rules.max_file_bytes:
        size = f"{len(change.content):,} bytes, at most {rules.max_file_bytes:,} are allowed"
        yield _finding(path, "too_large", f"`{path}` has {size}.", path)


def _outside(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or re.match(r"^[A-Za-z]:", path):
        return "is not a path inside the repository"
    if any(ord(char) < 32 for char in path):
        return "holds a control character"
    if any(part in {"", ".", ".."} for part in parts):
        return "is not a plain path inside the repository"
    if any(_git_folder(part) for part in parts):
        return "is inside git's own folder"
    return ""


def _git_folder(part: str) -> bool:
    """Whether a file system may take `part` for `.git`: NTFS drops trailing dots, spaces and streams, HFS+ what is
    invisible."""
    visible = "".join(char for char in part if unicodedata.category(char) != "Cf")
    return visible.casefold().partition(":")[0].rstrip(". ") in {".git", "git~1"}


def _escapes(path: str, target: str) -> bool:
    if target.startswith("/") or "\\" in target or "\0" in target or _BACK_UP.search(target):
        return True
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return landing == ".." or landing.startswith("../") or any(map(_git_folder, landing.split("/")))


@cache
def _anchored(glob: str) -> str:
    """Without case. A pattern without a slash matches in every folder, as git's do; one that ends in one, all in it."""
    folded = glob.casefold()
    anchored = folded.lstrip("/") if "/" in folded.rstrip("/") else "**/" + folded
    return anchored.rstrip("/") + ("/**" if folded.endswith("/") else "")


def _finding(component: str, problem: str, text: str, path: str | None, *, category: str = "patch_shape") -> Finding:
    return Finding(
        issue_key=issue_key(category, component, problem),
        severity=Severity.MAJOR,
        source=Source.STATIC_CHECK,
        category=category,
        problem=text,
        path=path,
    )
