"""A problem keeps its name, in any wording."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.findings import (
    AuditFinding,
    Finding,
    Severity,
    Side,
    Source,
    SuggestedIssue,
    distinct,
    issue_key,
    slug,
)

FOUND = Finding(
    issue_key="correctness__greet__off_by_one",
    severity=Severity.MAJOR,
    source=Source.AUDITOR,
    category="correctness",
    problem="one too few",
    path="src/greet.py",
    line=3,
)


@pytest.mark.parametrize(
    "change",
    [
        {"problem": "in other words"},
        {"line": 40, "start_line": 38},
        {"severity": Severity.MINOR},
        {"source": Source.CI},
        {"replacement": "x"},
        {"side": Side.LEFT},
    ],
)
def test_other_wording_keeps_the_fingerprint(change: dict[str, object]) -> None:
    assert FOUND.model_copy(update=change).fingerprint == FOUND.fingerprint


def test_another_problem_or_file_has_another_fingerprint() -> None:
    others = [
        FOUND.model_copy(update={"issue_key": "correctness__greet__typo"}),
        FOUND.model_copy(update={"path": "src/other.py"}),
        FOUND.model_copy(update={"path": None}),
    ]
    assert len({one.fingerprint for one in [FOUND, *others]}) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Off by one", "off_by_one"),
        ("app/db/run_rows.py:create()", "app_db_run_rows_py_create"),
        ("  --weird--  ", "weird"),
        ("a__b", "a_b"),
        ("", "unnamed"),
        ("!!!", "unnamed_e84c538e"),
        ("a" * 59 + " b", "a" * 59),
    ],
)
def test_a_slug_is_lower_case_words(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text(), st.text(), st.text())
@example("a" * 59 + " b", "x", "y")
@example("_", "__", "\n")
@example("İ", "ß", "K")
def test_an_issue_key_is_always_three_slugs(category: str, component: str, problem: str) -> None:
    key = issue_key(category, component, problem)
    parts = key.split("__")
    assert len(parts) == 3
    for part in parts:
        assert re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", part)
        assert len(part) <= 60
        assert slug(part) == part
    assert len(key) <= 200


@given(st.from_regex(r"[A-Za-z]{1,10}( [A-Za-z0-9]{1,10}){0,3}", fullmatch=True))
def test_case_and_punctuation_do_not_make_another_key(words: str) -> None:
    told_otherwise = words.upper().replace(" ", " - ") + "!"
    assert issue_key("tests", "x", told_otherwise) == issue_key("tests", "x", words)


def test_the_auditors_finding_keeps_its_place() -> None:
    told = AuditFinding(
        path="a.py",
        start_line=2,
        line=4,
        side=Side.LEFT,
        severity=Severity.MAJOR,
        category="Security",
        component="login()",
        problem="No check.",
        slug="Missing check",
        replacement="check()",
    )
    found = told.as_finding()
    assert found.issue_key == "security__login__missing_check"
    assert (found.severity, found.source, found.category) == (Severity.MAJOR, Source.AUDITOR, "Security")
    assert (found.path, found.start_line, found.line, found.side) == ("a.py", 2, 4, Side.LEFT)
    assert (found.problem, found.replacement) == ("No check.", "check()")


@pytest.mark.parametrize("default", Severity)
def test_builder_doubt_takes_default_severity(default: Severity) -> None:
    doubt = SuggestedIssue(category="tests", component="api", slug="no test", description="untested")
    found = doubt.as_finding(default)
    assert (found.issue_key, found.severity, found.source) == (
        "tests__api__no_test",
        default,
        Source.SELF_DOUBT,
    )
    assert (found.problem, found.path, found.line) == ("untested", None, None)


def test_severities_and_line_numbers_are_bounded() -> None:
    answer = {"severity": "minor", "category": "c", "component": "c", "problem": "p", "slug": "s", "line": 1}
    assert AuditFinding.model_validate(answer).severity is Severity.MINOR
    with pytest.raises(ValidationError, match="severity"):
        AuditFinding.model_validate({**answer, "severity": "blocker"})
    with pytest.raises(ValidationError, match="line"):
        AuditFinding.model_validate({**answer, "line": 0})


def test_higher_severity_of_duplicates_stays() -> None:
    minor, major = FOUND.model_copy(update={"severity": Severity.MINOR}), FOUND
    assert distinct([minor, major]) == (major,)
    assert distinct([major, minor]) == (major,)
    assert distinct([minor, minor]) == (minor,)


def test_words_of_any_script_are_told_apart() -> None:
    assert slug("错误") != slug("检查")


@pytest.mark.parametrize("source", [*Source, "cursor_self_doubt", "a"])
def test_other_clients_have_sources_of_their_own(source: str) -> None:
    found = FOUND.model_validate({**FOUND.model_dump(), "source": source})
    assert found.source == source
    assert Finding.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("source", ["", "Cursor", "1st", "_x", "self doubt", "self-doubt", "a" * 41, "ci\n"])
def test_a_source_is_a_short_slug(source: str) -> None:
    with pytest.raises(ValidationError):
        FOUND.model_validate({**FOUND.model_dump(), "source": source})
