"""A Builder that repeats itself is noticed, under any summary."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.findings import Finding, Severity, Source
from app.domain.repetition import AttemptRecord, find_repetition


def finding(key: str) -> Finding:
    return Finding(issue_key=key, severity=Severity.MAJOR, source=Source.AUDITOR, category="c", problem=key)


def test_same_patch_is_a_repetition() -> None:
    tries = [AttemptRecord.of("+a", [], "CI is red: test"), AttemptRecord.of("+a", [finding("ci__test__failed")], "")]
    assert find_repetition(tries, 2) == "the same patch 2 times"
    assert find_repetition(tries[:1], 2) is None


def test_same_findings_are_a_repetition() -> None:
    one, other = finding("docs__readme__typo"), finding("docs__readme__gap")
    tries = [AttemptRecord.of("+a", [one, other], "first"), AttemptRecord.of("+b", [other, one], "second")]
    assert find_repetition(tries, 2) == "the same failure 2 times"
    assert find_repetition([tries[0], AttemptRecord.of("+b", [one], "first")], 2) is None


def test_without_findings_the_note_tells_failures_apart() -> None:
    assert find_repetition(
        [AttemptRecord.of("+a", [], "CI is red: test"), AttemptRecord.of("+b", [], "CI is red: test")], 2
    )
    assert (
        find_repetition(
            [AttemptRecord.of("+a", [], "CI is red: test"), AttemptRecord.of("+b", [], "CI is red: lint")], 2
        )
        is None
    )


@given(
    st.lists(st.builds(AttemptRecord.of, st.text(max_size=3), st.just([]), st.text(max_size=3)), max_size=6),
    st.integers(2, 4),
)
def test_more_tries_never_make_a_repetition_go_away(tries: list[AttemptRecord], times: int) -> None:
    if any(find_repetition(tries[:count], times) for count in range(len(tries))):
        assert find_repetition(tries, times)
    assert len(tries) >= times or find_repetition(tries, times) is None
