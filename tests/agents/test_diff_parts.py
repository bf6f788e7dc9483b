"""A diff in parts: nothing of its text is left out, and each part fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.diff_parts import digest_of_diff, digest_of_parts, split_numbered

lines = st.text(alphabet="ab +-@\\", max_size=12)
files = st.lists(
    st.tuples(st.sampled_from(["a.py", "b/c.txt", "d"]), st.lists(lines, min_size=1, max_size=12)),
    min_size=1,
    max_size=5,
)


def diff_of(path: str, added: list[str]) -> str:
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return head + f"@@ -0,0 +1,{len(added)} @@\n" + "".join(f"+{line}\n" for line in added)


@given(files, st.integers(min_value=150, max_value=600))
def test_every_line_is_in_a_part(changed: list[tuple[str, list[str]]], window: int) -> None:
    parts = split_numbered("".join(diff_of(path, added) for path, added in changed), window)
    assert parts is not None
    assert all(len(part) <= window for part in parts)
    shown = "\n".join(parts).split("\n")
    for _, added in changed:
        for number, line in enumerate(added, 1):
            assert f"R{number} +{line}" in shown


@given(files, st.integers(min_value=150, max_value=600))
def test_digest_of_parts_is_the_diffs(changed: list[tuple[str, list[str]]], window: int) -> None:
    diff = "".join(diff_of(path, added) for path, added in changed)
    parts = split_numbered(diff, window)
    assert parts is not None
    assert digest_of_parts(parts) == digest_of_diff(diff)


@pytest.mark.parametrize("lost", ["R2 +b\n", "L1 -c\n", "(binary"])
def test_lost_line_changes_the_digest(lost: str) -> None:
    gone = "diff --git a/d b/d\n--- a/d\n+++ b/d\n@@ -1,1 +0,0 @@\n-c\n"
    binary = "diff --git a/a.png b/a.png\nnew file mode 100644\nGIT binary patch\nliteral 5\nMcmZQzWMT#Y01f~L\n\n"
    diff = binary + gone + diff_of("a.py", ["a", "b"])
    parts = split_numbered(diff, 1_000)
    assert parts is not None
    assert digest_of_parts(parts) == digest_of_diff(diff)
    assert lost in parts[0]
    assert digest_of_parts([parts[0].replace(lost, "")]) != digest_of_diff(diff)


def test_small_diff_is_one_part() -> None:
    assert split_numbered(diff_of("a.py", ["x"]), 1_000) == (
        "diff --git a/a.py b/a.py\nnew file mode 100644\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1,1 @@\nR1 +x\n",
    )


def test_file_goes_on_under_its_head() -> None:
    parts = split_numbered(diff_of("a.py", ["x" * 40] * 5), 220)
    assert parts is not None
    assert len(parts) > 1
    assert all(part.startswith("diff --git a/a.py b/a.py") for part in parts)


def test_line_over_the_window_is_not_cut() -> None:
    assert split_numbered(diff_of("a.py", ["x" * 500]), 300) is None


def test_binary_file_is_one_line_with_its_digest() -> None:
    patch = "diff --git a/a.png b/a.png\nnew file mode 100644\nGIT binary patch\nliteral 5\nMcmZQzWMT#Y01f~L\n\n"
    parts = split_numbered(patch + diff_of("b.py", ["x"]), 1_000)
    assert parts is not None
    assert "McmZQzWMT" not in parts[0]
    assert "not shown: sha256" in parts[0]
    assert "R1 +x" in parts[0]
