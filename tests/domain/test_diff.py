"""Diffs are read as git means them, with any names and contents."""

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.diff import DiffSyntaxError, Hunk, Line, parse
from app.domain.patch import ChangeKind

HEADER = "--- a/x\n+++ b/x\n"

EVERYTHING = """\
diff --git a/bin b/bin
index 28ce6a8..8352675 100644
Binary files a/bin and b/bin differ
diff --git a/bin2 b/bin2
new file mode 100644
index 0000000..f76dd23
GIT binary patch
literal 1
IcmZPo000310RR91

literal 0
HcmV?d00001

diff --git a/dash b/dash
index 1111111..2222222 100644
--- a/dash
+++ b/dash
@@ -1,3 +1 @@ def section
--- a
-++ b
 x
diff --git a/empty b/empty
new file mode 100644
index 0000000..e69de29
diff --git a/lnk b/lnk
deleted file mode 120000
index 1111111..0000000
--- a/lnk
+++ /dev/null
@@ -1 +0,0 @@
-mode
\\ No newline at end of file
diff --git a/mode b/mode
old mode 100644
new mode 100755
diff --git a/ren me b/ren b/you
similarity index 100%
rename from ren me
rename to ren b/you
diff --git "a/ta\\"b.txt" "b/ta\\"b.txt"
index 1111111..2222222 100644
--- "a/ta\\"b.txt"
+++ "b/ta\\"b.txt"
@@ -1 +1,2 @@
 q
+r
diff --git a/x b/y.txt b/x b/y.txt
index 1111111..2222222 100644
--- a/x b/y.txt\t
+++ b/x b/y.txt\t
@@ -1 +1,2 @@
 1
+2
diff --git "a/\\303\\274n\\303\\257" "b/\\303\\274n\\303\\257"
old mode 100644
new mode 100755
"""


def test_everything_that_git_writes() -> None:
    files = parse(EVERYTHING)
    assert [(file.path, file.old_path, file.kind.value, file.binary, file.added, file.removed) for file in files] == [
        ("bin", None, "modified", True, 0, 0),
        ("bin2", None, "added", True, 0, 0),
        ("dash", None, "modified", False, 0, 2),
        ("empty", None, "added", False, 0, 0),
        ("lnk", None, "deleted", False, 0, 1),
        ("mode", None, "modified", False, 0, 0),
        ("ren b/you", "ren me", "modified", False, 0, 0),
        ('ta"b.txt', None, "modified", False, 1, 0),
        ("x b/y.txt", None, "modified", False, 1, 0),
        ("ünï", None, "modified", False, 0, 0),
    ]
    assert [(file.old_mode, file.new_mode) for file in files[3:6]] == [
        (None, "100644"),
        ("120000", None),
        ("100644", "100755"),
    ]
    assert files[2].hunks == (
        Hunk(1, 3, 1, 1, (
            Line("-", 1, None, "-- a"), Line("-", 2, None, "++ b"), Line(" ", 3, 1, "x"),
        )),
    )  # fmt: skip
    assert files[4].hunks[0].lines == (Line("-", 1, None, "mode", newline=False),)


def test_plain_diffs_and_text_around_them() -> None:
    (file,) = parse("Here it is:\n\n--- old/x.py\t2024-01-01\n+++ b/x.py\t2024-01-02\n@@ -1 +1 @@\n-a\n+b\nThanks\n")
    assert (file.path, file.kind, file.added, file.removed) == ("x.py", ChangeKind.MODIFIED, 1, 1)
    assert parse("") == parse("no diff at all") == []


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        ("@@ -1 +1 @@\n-a\n+b\n", "line 1: a hunk without"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @\n", "line 3: a hunk's first line"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-a\n", "line 5: the hunk ends early: 1 old and 1 new"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n", "line 5: expected 0 old and 1 new"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n?a\n", "line 4: expected"),
        ("--- /dev/null\n+++ /dev/null\n@@ -0,0 +1 @@\n+a\n", "no name"),
        ("diff --git a/x b/y\nold mode 100644\nnew mode 100755\n", "no name"),
    ],
)
def test_what_is_no_diff_says_where(diff: str, message: str) -> None:
    with pytest.raises(DiffSyntaxError, match=message):
        parse(diff)


def test_empty_line_is_empty_context() -> None:
    ((hunk,),) = [file.hunks for file in parse(HEADER + "@@ -1,3 +1,3 @@\n-a\n+b\n\n c\n")]
    assert [line.text for line in hunk.lines] == ["a", "b", "", "c"]


def test_which_lines_a_review_may_name() -> None:
    hunks = "@@ -10,4 +10,4 @@\n ctx\n-old\n+new\n ctx\n ctx\n@@ -30,2 +30 @@\n-gone\n ctx\n"
    (file,) = parse(HEADER + hunks)
    assert [line for line in range(1, 40) if file.commentable("RIGHT", line)] == [10, 11, 12, 13, 30]
    assert [line for line in range(1, 40) if file.commentable("LEFT", line)] == [11, 30]
    assert file.commentable("RIGHT", 13, start_line=10)
    assert not file.commentable("RIGHT", 30, start_line=13)
    assert not file.commentable("RIGHT", 10, start_line=13)


LINES = st.lists(st.text(alphabet="ab-+@ \\\r\x0c\u2028", max_size=6), max_size=12)


@given(old=LINES, new=LINES, context=st.integers(0, 3))
def test_hunks_turn_old_into_new_text(old: list[str], new: list[str], context: int) -> None:
    diff = "\n".join(difflib.unified_diff(old, new, "a/f", "b/f", n=context, lineterm=""))
    files = parse(diff)
    if old == new:
        assert files == []
        return
    (file,) = files
    result: list[str] = []
    position = 0
    for hunk in file.hunks:
        start = hunk.old_start - 1 if hunk.old_lines else hunk.old_start
        result += old[position:start]
        position = start + hunk.old_lines
        for line in hunk.lines:
            if line.old_no is not None:
                assert old[line.old_no - 1] == line.text
            if line.new_no is not None:
                assert new[line.new_no - 1] == line.text
                assert file.commentable("RIGHT", line.new_no)
                result.append(line.text)
    assert result + old[position:] == new
    assert file.added - file.removed == len(new) - len(old)


@given(st.text(alphabet='-+@ ab/\n\\"1,0diftgne', max_size=200) | st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        files = parse("--- a/x\n+++ b/x\n" + text)
    except DiffSyntaxError:
        return
    for file in files:
        assert file.path
        for hunk in file.hunks:
            assert sum(line.tag != "+" for line in hunk.lines) == hunk.old_lines
            assert sum(line.tag != "-" for line in hunk.lines) == hunk.new_lines
