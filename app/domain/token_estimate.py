"""How many tokens a text has, before a vendor has counted them."""

import math
from collections.abc import Iterable

_PER_ASCII = 1 / 3.5
"""Source code in English runs at 3 to 4 characters a token."""
_PER_ALPHABET = 1 / 2
"""Cyrillic, Greek, Arabic, Hebrew: two characters a token and a little more."""
_PER_IDEOGRAPH = 1.0
"""Chinese, Japanese, Korean, and the scripts of India and South-East Asia: about one a character."""
_PER_RARE = 2.0
"""Emoji and historic scripts, outside Unicode's basic plane."""


def estimate_tokens(texts: Iterable[str]) -> int:
    """Tokens of these texts together, from their characters by script; rounded up."""
    return math.ceil(sum(map(_tokens, texts)))


def _tokens(text: str) -> float:
    if text.isascii():
        return len(text) * _PER_ASCII
    ascii_ = len(text.encode("ascii", "ignore"))
    rare = len(text.encode("utf-16-le", "replace")) // 2 - len(text)
    # UTF-8 takes two bytes for a character of the alphabets, three for one of the larger scripts, four for a rare one.
    others, others_bytes = len(text) - ascii_ - rare, len(text.encode("utf-8", "replace")) - ascii_ - 4 * rare
    ideographs = max(0, others_bytes - 2 * others)
    alphabet = others - ideographs
    return ascii_ * _PER_ASCII + alphabet * _PER_ALPHABET + ideographs * _PER_IDEOGRAPH + rare * _PER_RARE
