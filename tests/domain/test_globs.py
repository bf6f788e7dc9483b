"""Patterns: the same answers as a regular expression gives, in a time that no pattern can stretch."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.globs import last_match, matches_name, matches_path

_PIECES = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def by_regex(pattern: str, path: str) -> bool:
    parts = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]", pattern)
    return re.fullmatch("".join(_PIECES.get(part) or re.escape(part) for part in parts), path, re.DOTALL) is not None


@settings(max_examples=500)
@given(st.lists(st.sampled_from(["a", "b", "/", *_PIECES]), max_size=6).map("".join), st.text("ab/", max_size=8))
def test_matches_as_a_regular_expression(pattern: str, path: str) -> None:
    assert matches_path(pattern, path) == by_regex(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "name"), [("codecov/*", "codecov/patch/a"), ("Test (*)", "test (3.12, ubuntu/x)"), ("*", "")]
)
def test_stars_in_names_match_slashes(pattern: str, name: str) -> None:
    assert matches_name(pattern, name)


def test_later_patterns_take_matches_back() -> None:
    assert last_match(["**.md", "!docs/**"], "a.md")
    assert not last_match(["**.md", "!docs/**"], "docs/a.md")


@pytest.mark.parametrize("pattern", ["**/" * 40 + "x", "*a" * 40, "**" * 40 + "x", "(a+)+$" * 10])
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.monotonic()
    assert not matches_path(pattern, "a/" * 2_000)
    assert time.monotonic() - began < 5
