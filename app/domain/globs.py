"""Patterns of paths and names, matched in time that grows with pattern times text only, however hostile both are.

A pattern is translated to tokens, and the text is read once with the set of places in the pattern that it may be at.
"""

from collections.abc import Iterable
from functools import cache
from typing import Final

_GLOBSTAR: Final = "**"
_FOLDERS: Final = "**/"
"""Any number of whole folders, none included; followed by the place inside of them."""
_IN_FOLDERS: Final = "…/"
_STAR: Final = "*"
_ONE: Final = "?"


@cache
def _tokens(pattern: str) -> tuple[str, ...]:
    tokens: list[str] = []
    at = 0
    while at < len(pattern):
        size = 1
        if pattern.startswith(_FOLDERS, at):
            size = 3
        elif pattern.startswith(_GLOBSTAR, at):
            size = 2
        tokens.append(pattern[at : at + size])
        if size == 3:
            tokens.append(_IN_FOLDERS)
        at += size
    return tuple(tokens)


def matches_path(pattern: str, path: str) -> bool:
    """Whether the whole path matches: `**` crosses folders, `*` and `?` do not."""
    tokens = _tokens(pattern)
    places = _without_text(tokens, {0})
    for char in path:
        after: set[int] = set()
        for place in places:
            if place == len(tokens):
                continue
            token = tokens[place]
            if token in {_GLOBSTAR, _IN_FOLDERS}:
                after.add(place)
                if token == _IN_FOLDERS and char == "/":
                    after.add(place + 1)
            elif token == _STAR:
                if char != "/":
                    after.add(place)
            elif (token == _ONE and char != "/") or token == char:
                after.add(place + 1)
        places = _without_text(tokens, after)
        if not places:
            return False
    return len(tokens) in places


def _without_text(tokens: tuple[str, ...], places: set[int]) -> set[int]:
    """The places that are reached from these without reading anything."""
    reached = set(places)
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        if place == len(tokens):
            continue
        skips = {_STAR: (1,), _GLOBSTAR: (1,), _FOLDERS: (1, 2)}.get(tokens[place], ())
        new = {place + skip for skip in skips} - reached
        reached |= new
        waiting += new
    return reached


def matches_name(pattern: str, name: str) -> bool:
    """Whether a name such as a check's matches: `*` is any text, slashes too, `?` one character; in any case."""
    stars = pattern.casefold().replace("/", "\0").replace("**", "*")
    return matches_path(stars, name.casefold().replace("/", "\0"))


def last_match(patterns: Iterable[str], path: str) -> bool:
    """Whether a path is among these patterns, of which `!pattern` takes earlier matches back, as workflow filters."""
    result = False
    for pattern in patterns:
        negative = pattern.startswith("!")
        if matches_path(pattern.removeprefix("!"), path):
            result = not negative
    return result
