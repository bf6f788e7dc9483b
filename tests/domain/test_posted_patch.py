"""Posted diffs are read without the repository: paths and kinds decide policy, so nothing is guessed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import patch_policy
from app.domain.api_errors import Unprocessable
from app.domain.patch import ChangeKind, Patch
from app.domain.plan import PlannedPhase
from app.domain.posted_patch import parse_posted_patch
from app.domain.ruleset import PatchRules

ADDED = "diff --git a/g.txt b/g.txt\nnew file mode 100644\n--- /dev/null\n+++ b/g.txt\n@@ -0,0 +1 @@\n+hello\n"
CHANGED = "--- a/src/a.py\n+++ b/src/a.py\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n"
DELETED = "diff --git a/d b/d\ndeleted file mode 100644\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"
MOVED = "diff --git a/old.py b/new.py\nsimilarity index 100%\nrename from old.py\nrename to new.py\n"
COPIED = "diff --git a/old.py b/new.py\nsimilarity index 100%\ncopy from old.py\ncopy to new.py\n"
EXECUTABLE = "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
EMPTY = "diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n"
LINK = (
    "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n"
    "+{}\n\\ No newline at end of file\n"
)
SUBMODULE = (
    "diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n"
    "+Subproject commit 1111111111111111111111111111111111111111\n"
)


def kinds(patch: Patch) -> dict[str, ChangeKind]:
    return {change.path: change.kind for change in patch.changes}


def refused(patch: Patch) -> set[str]:
    """The categories of what the policy finds."""
    phase = PlannedPhase(phase_id="P1", tier_id="T1", phase_index=0, name="Step")
    rules = PatchRules(max_files=100, max_lines=5000, max_file_bytes=1000)
    return {finding.category for finding in patch_policy.check_patch(patch, phase, rules)}


def test_every_kind_of_change_is_told_apart() -> None:
    patch = parse_posted_patch(ADDED + CHANGED + DELETED)
    assert kinds(patch) == {
        "g.txt": ChangeKind.ADDED,
        "src/a.py": ChangeKind.MODIFIED,
        "d": ChangeKind.DELETED,
    }
    assert (patch.lines_added, patch.lines_removed) == (2, 2)
    assert patch.diff == ADDED + CHANGED + DELETED


def test_only_an_added_file_has_its_content() -> None:
    assert [change.content for change in parse_posted_patch(ADDED + CHANGED + EMPTY).changes] == [b"hello\n", None, b""]


def test_move_removes_and_copy_keeps_source() -> None:
    assert kinds(parse_posted_patch(MOVED)) == {"new.py": ChangeKind.ADDED, "old.py": ChangeKind.DELETED}
    assert kinds(parse_posted_patch(COPIED)) == {"new.py": ChangeKind.ADDED}


def test_a_change_of_mode_is_a_change() -> None:
    (change,) = parse_posted_patch(EXECUTABLE).changes
    assert (change.path, change.kind, change.mode) == ("run.sh", ChangeKind.MODIFIED, "100755")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no file"),
        ("I changed nothing", "holds no file"),
        ("diff --git...", "cannot be read|holds no file"),
        ("diff --git a/x b/x\n", "x: the diff ends before its first hunk"),
        ("diff --git a/x b/x\nindex 1..2 100644\n", "x: the diff ends before its first hunk"),
        ("--- a/x\n+++ b/x\n", "line 3: expected a hunk"),
        ("--- a/x\n+++ b/x\nprose\n", "line 3: expected a hunk"),
        (ADDED.replace("@@ -0,0 +1 @@", "@@ broken @@"), "line 5: expected a hunk"),
        (ADDED.replace("+1 @@", "+1,3 @@"), "line 7: the hunk ends early"),
        ("@@ -1 +1 @@\n-a\n+b\n", "line 1: a hunk without"),
        (SUBMODULE, "sub is a submodule"),
    ],
)
def test_what_cannot_be_used_says_where(text: str, says: str) -> None:
    with pytest.raises(Unprocessable, match=says):
        parse_posted_patch(text)


@pytest.mark.parametrize(
    "path",
    [".github/workflows/ci.yml", ".GITHUB/Workflows/x.yml", "CODEOWNERS", ".gitattributes", "../x", ".git/config"],
)
def test_protected_paths_are_seen_however_they_are_touched(path: str) -> None:
    for text in (
        ADDED.replace("g.txt", path),
        CHANGED.replace("src/a.py", path),
        DELETED.replace("/d", f"/{path}"),
        MOVED.replace("old.py", path),
        MOVED.replace("new.py", path),
        COPIED.replace("new.py", path),
        EXECUTABLE.replace("run.sh", path),
    ):
        assert "policy" in refused(parse_posted_patch(text)), text


def test_a_link_that_leads_out_is_seen() -> None:
    assert "policy" in refused(parse_posted_patch(LINK.format("../../etc/passwd")))
    assert "policy" in refused(parse_posted_patch(LINK.format("/etc/passwd")))
    assert refused(parse_posted_patch(LINK.format("README.md"))) == set()


def test_a_file_that_is_too_large_is_seen() -> None:
    large = ADDED.replace("+hello", "+" + "x" * 1001)
    assert refused(parse_posted_patch(large)) == {"patch_shape"}


@given(
    st.text()
    | st.lists(st.sampled_from([*ADDED.splitlines(), *MOVED.splitlines(), "@@ -1 +1 @@", "-x"])).map("\n".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        patch = parse_posted_patch(text)
    except Unprocessable:
        return
    assert patch.changes
    assert all(change.path for change in patch.changes)


MNEMONIC = """diff --git i/.github/workflows/ci.yml w/.github/workflows/ci.yml
index 3b18e51..2f5d1aa 100644
--- i/.github/workflows/ci.yml
+++ w/.github/workflows/ci.yml
@@ -1 +1 @@
-name: a
+name: b
"""


def test_mnemonic_prefixes_are_prefixes() -> None:
    """As `git apply` takes them, with diff.mnemonicPrefix (dandavison/delta#215)."""
    assert [(one.path, one.kind) for one in parse_posted_patch(MNEMONIC).changes] == [
        (".github/workflows/ci.yml", ChangeKind.MODIFIED)
    ]


def test_windows_line_ends_are_no_path() -> None:
    renamed = "diff --git a/x.py b/y.py\nsimilarity index 100%\nrename from x.py\nrename to y.py\n"
    paths = sorted(one.path for one in parse_posted_patch(renamed.replace("\n", "\r\n")).changes)
    assert paths == ["x.py", "y.py"]


@pytest.mark.parametrize("before", [True, False])
def test_submodule_log_is_refused(before: bool) -> None:
    """As diff.submodule=log writes it (NeogitOrg/neogit#1418)."""
    log, file = "Submodule lib 1234567..89abcde:\n  > more\n", MNEMONIC
    with pytest.raises(Unprocessable, match="lib is a submodule"):
        parse_posted_patch(log + file if before else file + log)


def test_quotes_that_never_close_take_no_time() -> None:
    began = time.monotonic()
    with pytest.raises(Unprocessable):
        parse_posted_patch('diff --git "' + '\\"' * 20_000 + "\nindex 1..2\n")
    assert time.monotonic() - began < 2
