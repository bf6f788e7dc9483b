"""Programs' text as models see it: as a terminal shows it, cut once, and the cut is told."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ci_log import trim_log
from app.domain.shown_text import HeadAndTail, clean, cut_line
from app.domain.token_estimate import estimate_tokens


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://example.org\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\x", "x"),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("working\r\n", "working\n"),
        ("tyop\b\b\bypo", "typo"),
        ("a\0b\x07", "ab"),
        ("é ü 漢字 🙂", "é ü 漢字 🙂"),
    ],
)
def test_text_is_shown_as_a_terminal_shows_it(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@given(st.text(alphabet=st.sampled_from("\x1b[]8;;\x07\\\r\n\b09mab"), max_size=400))
def test_nothing_that_cannot_be_seen_stays(raw: str) -> None:
    assert not set(clean(raw)) & {"\x1b", "\r", "\b", "\x07", "\0"}


@pytest.mark.parametrize("hostile", ["\x1b]" * 20_000, "\x1b[" + "0" * 200_000, "\r" * 200_000, "a\b" * 20_000])
def test_hostile_output_takes_no_time(hostile: str) -> None:
    began = time.process_time()
    clean(hostile)
    assert time.process_time() - began < 2


@given(st.binary(max_size=600), st.integers(1, 40))
def test_output_is_bounded_and_keeps_its_ends(data: bytes, size: int) -> None:
    kept = HeadAndTail(120)
    for start in range(0, len(data), size):
        kept.write(data[start : start + size])
    kept.write(b"\nLAST", final=True)
    text = kept.text()
    assert text.endswith("LAST")
    assert len(text) < 120 + 120


def test_match_in_a_long_line_survives() -> None:
    line = "x" * 5_000 + "needle" + "y" * 5_000
    shown = cut_line(line, 300, 5_000)
    assert "needle" in shown
    assert shown.startswith("[4,925 characters] … ")
    assert len(shown) < 360


def test_failed_step_outweighs_later_steps() -> None:
    later = "\n".join(f"adding: error-page-{n}.png" for n in range(400))
    log = f"E   AssertionError: 3\n##[error]Process completed with exit code 1.\n{later}"
    assert "AssertionError: 3" in trim_log(log, limit=1_000)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("def add(a, b):\n    return a + b\n", 6, 14),
        ("漢字かな交じり文", 6, 16),
        ("Привет, мир", 4, 9),
        ("🙂🙂", 2, 6),
        ("", 0, 0),
    ],
)
def test_tokens_are_estimated_by_script(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens([text]) <= most
