"""What the App wrote on the hub, as objects: a comment edited twenty times is one. Nothing may come to be twice."""

import re
from collections import Counter
from collections.abc import Iterable

from app.hub.journal import JournalEntry

Written = tuple[str, ...]
"""Kind and key of an object that the App wrote."""

_MARKER = re.compile(r"<!-- autopack:(\S+) -->\s*$")
_NOT_WATCHED = ("label.created", "reaction.created", "label.added", "label.removed")
"""GitHub keeps one of each after any number of requests."""


def marker_of(text: str) -> str:
    """The key of the hidden marker at the end of one of the App's texts, or the text's beginning."""
    found = _MARKER.search(text)
    return found[1] if found else text[:60]


def comment_key(number: int, text: str) -> Written:
    return ("comment", str(number), marker_of(text))


def review_key(number: int, text: str) -> Written:
    return ("review", str(number), marker_of(text))


def review_comment_key(number: int, text: str) -> Written:
    return ("review comment", str(number), marker_of(text))


def check_key(name: str, sha: str) -> Written:
    return ("check run", name, sha)


def ref_key(name: str) -> Written:
    return ("ref", name)


def pull_key(number: int) -> Written:
    return ("pull request", str(number))


def is_clean(entry: JournalEntry) -> bool:
    """Whether it is an integrity check that found nothing: each branch has one, and only others are worth a look."""
    return entry.name == "autopack/integrity" and entry.text.startswith("success")


def thread_key(node_id: str) -> Written:
    return ("thread", node_id)


def written(entry: JournalEntry) -> Written | None:
    """The object that a write made or changed; None for what is not watched."""
    if entry.kind in _NOT_WATCHED:
        return None
    number, name, sha = entry.number or 0, entry.name or "", entry.sha or ""
    match entry.kind.partition(".")[0]:
        case "comment":
            key = comment_key(number, entry.text)
        case "review":
            key = review_key(number, entry.text)
        case "review_comment":
            key = review_comment_key(number, entry.text)
        case "check_run":
            key = check_key(name, sha)
        case "ref" | "merge":
            key = ref_key(name)
        case "pull":
            key = pull_key(number)
        case "thread":
            key = thread_key(name)
        case _:
            key = (entry.kind, str(number), entry.text[:60])
    return key


def unexpected(journal: Iterable[JournalEntry], seen: set[Written]) -> list[Written]:
    """Objects that were written and that no one read or expected."""
    objects = dict.fromkeys(written(entry) for entry in journal)
    return [one for one in objects if one is not None and one not in seen]


def doubled(journal: Iterable[JournalEntry]) -> list[Written]:
    """Objects that were made more than once."""
    made = Counter(written(entry) for entry in journal if entry.kind.endswith(".created"))
    return [one for one, times in made.items() if one is not None and times > 1]


def told(journal: Iterable[JournalEntry]) -> str:
    """The journal as text, one write a paragraph, for a person who asks why a story went wrong."""
    lines: list[str] = []
    for one in journal:
        place = f"#{one.number}" if one.number is not None else ""
        lines.append(f"{one.seq:>4} {one.kind} {place} {(one.sha or '')[:7]} {one.name or ''}".rstrip())
        lines += [f"       | {line[:220]}" for line in one.text.splitlines()[:14] if line.strip()]
    return "\n".join(lines) or "(the App wrote nothing)"
