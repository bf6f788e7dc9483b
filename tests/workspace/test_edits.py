"""Edits that a model has not copied exactly land where one passage alone can be meant, and nowhere else."""

import contextlib
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.workspace.edits import Edit, apply_edits, changed_lines, insert_lines
from app.workspace.text_files import decode, in_the_style_of
from app.workspace.workspace_errors import EditError
from benchmarks.edits import KINDS, SHAPES, edits, generated, grade

SHOP = 'class Shop:\n    def price(self, item):\n        if item == "tea":\n            return 10\n        return 20\n'


def edited(before: str | bytes, *made: Edit) -> str:
    content = before if isinstance(before, bytes) else before.encode()
    file = decode("shop.py", content)
    return file.encode("shop.py", apply_edits("shop.py", file, made)).decode()


@pytest.mark.parametrize(
    ("quoted", "kind"),
    [
        ("if item == 'tea':\n    return {}", "quotes and indentation"),
        ('\tif item == "tea":\n\t\treturn {}', "tabs"),
        ('3: if item == "tea":\n4:     return {}', "line numbers"),
        ('        if item == "tea":  \n            return {}', "blanks at the end"),
        ("if item\u00a0== \u201ctea\u201d:\n    return {}", "characters that look alike"),
        ("class Shop:\n    ...\n            return {}\n        return 20", "the middle left out"),
    ],
)
def test_inexact_copy_lands_in_the_files_own_text(quoted: str, kind: str) -> None:
    old, new = quoted.format(10), quoted.format(11)
    assert edited(SHOP, Edit(old, new)) == SHOP.replace("10", "11")
    windows = SHOP.replace("\n", "\r\n")
    assert edited(windows, Edit(old, new)) == windows.replace("10", "11"), kind


def test_what_no_one_has_read_is_not_deleted() -> None:
    with pytest.raises(EditError, match="not found"):
        edited(SHOP, Edit("class Shop:\n    ...\n        return 20", "class Shop:\n        return 20"))


def test_passage_that_stands_twice_is_not_chosen() -> None:
    twice = "  a = 1\n  b = 2\n\n    a = 1\n    b = 2\n"
    with pytest.raises(EditError, match="2 passages are like it, at lines 1, 4"):
        edited(twice, Edit("\ta = 1\n\tb = 2", "x"))
    assert edited("a\na\n", Edit("a", "b", everywhere=True)) == "b\nb\n"


def test_all_edits_of_a_call_count_or_none() -> None:
    both = (Edit("return 10", "return 11"), Edit("return 20", "return 21"))
    assert edited(SHOP, *both) == SHOP.replace("10", "11").replace("20", "21")
    with pytest.raises(EditError, match="Edit 2 of 2, so nothing was changed"):
        edited(SHOP, both[0], Edit("no such thing in it", "x"))


def test_lines_are_inserted_and_appended() -> None:
    file = decode("x", b"one\r\ntwo")
    assert insert_lines("x", file, 2, "new\n") == "one\r\nnew\r\ntwo"
    assert insert_lines("x", file, 3, "end") == "one\r\ntwo\r\nend"
    with pytest.raises(EditError, match="give a line from 1 to 3"):
        insert_lines("x", file, 9, "x")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_mark_encoding_and_line_ends_are_kept(mark: bytes) -> None:
    before = mark + "name = 'é'\r\nlimit = 1\r\n".encode()
    assert in_the_style_of("x", before, "name = 'ü'\nlimit = 2\n") == mark + "name = 'ü'\r\nlimit = 2\r\n".encode()
    latin = "é = 1\n".encode("latin-1")
    assert decode("x", latin).encode("x", apply_edits("x", decode("x", latin), [Edit("1", "2")])) == b"\xe9 = 2\n"
    wide = "\ufeffa = 1\n".encode("utf-16-le")
    file = decode("x", wide)
    assert file.encode("x", apply_edits("x", file, [Edit("1", "2")])) == "\ufeffa = 2\n".encode("utf-16-le")
    with pytest.raises(EditError, match="LATIN-1"):
        decode("x", latin).encode("x", "€")


def test_refusal_shows_the_nearest_lines_and_what_differs() -> None:
    with pytest.raises(
        EditError, match=r"4:             return 10\nThe first that differs, as you gave it: +return 12"
    ):
        edited(SHOP, Edit("            return 12", "return 13"))


def test_changed_lines_are_shown_with_numbers() -> None:
    assert changed_lines("a\nb\nc\nd\n", "a\nB\nB2\nc\nd\n") == "1: a\n2: B\n3: B2\n4: c"


@given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=60))
def test_any_edit_is_made_or_answered(text: str, old: str, new: str) -> None:
    file = decode("x", text.encode(errors="replace").replace(b"\0", b""))
    with contextlib.suppress(EditError):
        assert isinstance(apply_edits("x", file, [Edit(old, new)]), str)


def test_no_imprecise_edit_lands_elsewhere() -> None:
    """The benchmark's edits, a part of them: two thirds land, none where it is not meant."""
    seen: Counter[str] = Counter()
    chance = random.Random(7)
    for suffix in SHAPES:
        text = generated(suffix, chance)
        for kind in KINDS:
            seen.update(grade(*edit)[0] for edit in edits(text, kind, chance))
    assert seen["WRONG"] == 0
    assert seen["right"] + seen["but for blanks"] >= 0.65 * seen.total()
