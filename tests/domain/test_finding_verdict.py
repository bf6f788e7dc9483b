"""Which replies call a finding wrong, take that back, or ask for nothing."""

import pytest

from app.domain.finding_verdict import asks_for_nothing, read_verdict


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("wrong, because the issue asks for it", "the issue asks for it"),
        ("Wrong: it is tested elsewhere.", "it is tested elsewhere."),
        ("This is a false positive", ""),
        ("false positive since\nthe API sorts", "the API sorts"),
        ("That's not a problem \u2014 the caller checks", "the caller checks"),
        ("it's wrong because of the lock", "of the lock"),
        ("wrong", ""),
    ],
)
def test_finding_is_called_wrong(reply: str, reason: str) -> None:
    assert read_verdict(reply) == (True, reason)


@pytest.mark.parametrize("reply", ["right after all", "It is right after all, sorry"])
def test_verdict_is_taken_back(reply: str) -> None:
    assert read_verdict(reply) == (False, "")


@pytest.mark.parametrize(
    "reply",
    [
        "Wrong indentation here, please fix it.",
        "The wrong thing is tested",
        "This is wrong in the other file too",
        "Right, do that.",
        "Please fix",
        "",
    ],
)
def test_other_replies_are_no_verdict(reply: str) -> None:
    assert read_verdict(reply) is None


@pytest.mark.parametrize(
    "text",
    ["Thanks!", "LGTM \N{THUMBS UP SIGN}", "ok, looks good to me", "\N{THUMBS UP SIGN}", "Great, thank you so much."],
)
def test_thanks_ask_for_nothing(text: str) -> None:
    assert asks_for_nothing(text)


@pytest.mark.parametrize("text", ["Thanks, but rename it", "good morning", "Nice try", "Why?"])
def test_requests_are_no_thanks(text: str) -> None:
    assert not asks_for_nothing(text)
