"""What a person says of an Auditor's finding, in its thread."""

import re

from app.domain.frozen import Frozen

_WRONG = re.compile(
    r"(?:(?:this|that|it)(?:'s| is)(?: all)? |a )?"
    r"(?:wrong|incorrect|(?:a )?false positive|not an? (?:problem|issue|bug|error))"
    r"(?:\s+(?:because|since|as)\b|\s*[,.:;!\u2013\u2014-]|\s*$)"
    r"(?:\s*(?:because|since|as)\b)?[\s,.:;!\u2013\u2014-]*(?P<reason>.*)",
    re.IGNORECASE | re.DOTALL,
)
_RIGHT = re.compile(r"(?:it(?:'s| is) )?right after all\b.*", re.IGNORECASE | re.DOTALL)
_THANKS = re.compile(
    r"(?:\W|\b(?:thanks?|thank you|thx|lgtm|ok(?:ay)?|great|perfect|nice|good|cool|done|agreed|makes sense|so|much|very"
    r"|looks|to me|works|for me)\b)+",
    re.IGNORECASE,
)
MAX_READ = 4_000
"""Characters of a reply that are read."""


class FindingVerdict(Frozen):
    """Whether a person calls a finding wrong, or takes that back."""

    fingerprint: str
    wrong: bool
    login: str
    reason: str
    comment_id: int
    url: str


def read_verdict(reply: str) -> tuple[bool, str] | None:
    """Whether the reply calls the finding wrong, with its reason, or takes that back; None where it says neither."""
    text = reply.strip()[:MAX_READ]
    if found := _WRONG.fullmatch(text):
        return True, " ".join(found["reason"].split())
    return (False, "") if _RIGHT.fullmatch(text) else None


def asks_for_nothing(text: str) -> bool:
    """Whether it is thanks or consent and no more, or blank: nothing follows from it."""
    words = text.strip()
    return not words or (len(words) < 80 and _THANKS.fullmatch(words) is not None)
