"""What Autopack writes: reads well, stays in bounds, and nothing foreign in it acts."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.config.loader import default_ruleset
from app.domain.findings import Severity
from app.domain.numbers import money, tokens
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import Headline, RunView, TierView
from app.github import text
from app.github.text import escape
from app.github.text.markdown import LIMIT, bar, table
from app.github.text.review_text import leftover_section
from tests.github.views import PLANNED_PHASE, finding, message, phase, plan_comment, run

HOSTILE = (
    "@maintainer @acme/team fixes #12, closes https://github.com/acme/widgets/issues/9 GH-4 <!-- autopack:status:r1 -->"
    " <img src=x onerror=y> </details> | `|` ``` \n```\n# Title\n[x]: http://evil\n![i](http://evil) [skip ci]"
    " \u202e \u200b\x00 <details> <https://evil> [a](javascript:x) $x$ \\| \\`"
)
foreign = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("`|<>!-#@[]()\\\n~*_ :1ax")), max_size=120
) | st.just(HOSTILE)


def tokens_of(markdown: str) -> list[Token]:
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    return [inner for token in parser.parse(markdown) for inner in (token, *(token.children or []))]


OWN_HTML = re.compile(r"</?(?:details|summary|sub|code)>|<!-- autopack:[\w.:/-]+ -->")
OWN_REFERENCES = re.compile(r"#(?:3|7)\b")


def assert_harmless(markdown: str) -> None:
    """Walk what a Markdown reader sees: outside code, nothing notifies, refers, hides or leads elsewhere."""
    for token in tokens_of(markdown):
        if token.type in {"html_inline", "html_block"}:
            rest = OWN_HTML.sub("", token.content)
            assert "<" not in rest, token.content
        if token.type in {"text", "html_block"}:
            content = OWN_REFERENCES.sub("", token.content)
            assert not re.search(r"@[\w-]", content), token.content
            assert not re.search(r"(?:#|\bGH-)\d", content, re.IGNORECASE), token.content
        assert token.type != "image"
        if token.type == "link_open":
            assert str(token.attrs["href"]).startswith("https://github.test/"), token.attrs
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", markdown)


@given(foreign)
@example(HOSTILE)
def test_foreign_inline_text_is_inert(given_text: str) -> None:
    shown = escape.inline(given_text)
    assert "|" not in shown
    assert "\n" not in shown
    assert_harmless(f"A {shown} Z")
    (first, *_), types = tokens_of(f"A {shown} Z"), {token.type for token in tokens_of(f"A {shown} Z")}
    assert first.type == "paragraph_open"
    assert types <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}


@given(foreign)
@example(HOSTILE)
@example("a\\|b")
def test_foreign_code_stays_in_its_table_cell(given_text: str) -> None:
    shown = escape.code(given_text)
    assert_harmless(shown)
    parsed = tokens_of(f"| a | b |\n|---|---|\n| {shown} | end |\n")
    cells = [parsed[i + 1].content for i, token in enumerate(parsed) if token.type == "td_open"]
    assert len(cells) == 2
    assert cells[1] == "end"


@given(foreign)
@example(HOSTILE)
@example("```\nopen fence")
@example("- list\n  - inner\n    ```")
@example("<script>\nfoo")
def test_a_quotation_holds_all_of_the_foreign_text(given_text: str) -> None:
    shown = escape.quote(given_text)
    assert all(line.startswith(">") for line in shown.split("\n"))
    assert_harmless(shown)
    last = tokens_of(f"{shown}\n\nAFTER")[-4:]
    assert [(token.type, token.level) for token in last if token.type == "paragraph_open"] == [("paragraph_open", 0)]
    assert last[-2].content == "AFTER" or last[-1].content == "AFTER" or "AFTER" in [token.content for token in last]


@given(foreign)
@example(HOSTILE)
@example("``````\n```")
def test_a_fence_cannot_be_broken_out_of(given_text: str) -> None:
    parsed = tokens_of(f"{escape.fence(given_text, 'text')}\n\nAFTER")
    assert [token.type for token in parsed if token.level == 0] == [
        "fence",
        "paragraph_open",
        "text",
        "paragraph_close",
    ]


@given(foreign)
@example(HOSTILE)
def test_no_marker_can_be_forged(given_text: str) -> None:
    mark = text.marker("status:r1")
    for shown in (
        escape.inline(given_text),
        escape.code(given_text),
        escape.quote(given_text),
        escape.fence(given_text),
    ):
        assert "<!--" not in shown
        assert not escape.has_marker(f"{shown}\n\n{text.marker('incident:r1')}", "status:r1")
    assert mark not in text.marker("status:r1 -->\n<!-- autopack:status:r1")


def hostile_run(foreign_text: str) -> RunView:
    given_name = foreign_text or "x"
    tiers = tuple(
        TierView(
            tier_id=f"T{n}",
            name=given_name,
            state=TierState.NOT_CLEAN,
            phases=tuple(
                phase(f"P{n}-{m}", given_name, PhaseState.FAILED, note=foreign_text, builder_attempts=2)
                for m in range(20)
            ),
        )
        for n in range(5)
    )
    return run(
        issue_title=foreign_text,
        requester=foreign_text,
        reason=foreign_text,
        next_action=foreign_text,
        state=RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
        headline=Headline.FAILED,
        tiers=tiers,
        findings=tuple(finding(foreign_text, resolution=foreign_text) for _ in range(150)),
        promotion_blockers=(foreign_text,) * 60,
        notices=(foreign_text,) * 5,
    )


@settings(max_examples=4, deadline=None)
@given(foreign)
@example(HOSTILE * 40)
@example("|" * 5_000)
@example("ß@#1" * 2_000)
def test_every_text_is_bounded_and_inert(foreign_text: str) -> None:
    view = hostile_run(foreign_text)
    check = text.check_output(view)
    promotion = text.promotion_check(view)
    for written in (
        text.status_comment(view),
        text.pull_body(view),
        text.final_summary(view),
        text.incident(view, foreign_text * 50, foreign_text * 50),
        text.already_running(view),
        text.status_answer(view),
        text.no_run_on_pull(foreign_text),
        check.summary,
        check.text,
        promotion.summary,
        text.permission_refusal(foreign_text),
        text.help_text(foreign_text, foreign_text),
        leftover_section([one.finding for one in view.findings]),
        text.review_comment(view.findings[0].finding),
    ):
        assert len(written) <= LIMIT
        assert_harmless(written)


def test_what_is_left_out_for_length_is_counted() -> None:
    shown = table(["a"], [["x" * 100]] * 50, 1_000)
    assert shown.endswith("more rows, left out for length.")
    kept = shown.count("xxx |") or shown.count("| " + "x" * 100)
    assert f"… and {50 - kept} more rows" in shown


@pytest.mark.parametrize("headline", list(Headline))
def test_each_headline_has_its_words(headline: Headline) -> None:
    first, *_ = text.status_comment(run(headline=headline)).split("\n")
    assert headline.value.lower() in first.lower()


@pytest.mark.parametrize(
    ("changes", "status", "conclusion"),
    [
        ({}, "in_progress", None),
        ({"promotion_blockers": ("the run is CI_RUNNING",)}, "in_progress", None),
        ({"state": RunState.DONE_SUCCESS}, "completed", "success"),
        ({"state": RunState.DONE_SUCCESS, "promotion_blockers": ("tier T1 is NOT_CLEAN",)}, "completed", "failure"),
        ({"state": RunState.DONE_SUCCESS, "promoted": True}, "completed", "success"),
        (
            {"state": RunState.DONE_SUCCESS, "promoted": True, "promotion_blockers": ("a late audit",)},
            "completed",
            "failure",
        ),
        ({"state": RunState.DONE_CANCELLED, "promotion_blockers": ("cancelled",)}, "completed", "failure"),
        ({"state": RunState.DONE_CANCELLED}, "completed", "failure"),
    ],
)
def test_promotion_is_green_after_clean_end(changes: dict[str, Any], status: str, conclusion: str | None) -> None:
    check = text.promotion_check(run(**changes))
    assert (check.status, check.conclusion) == (status, conclusion)


@pytest.mark.parametrize(
    ("state", "conclusion"),
    [
        (RunState.DONE_SUCCESS, "success"),
        (RunState.DONE_CANCELLED, "cancelled"),
        (RunState.DONE_FAILED_BUDGET_EXHAUSTED, "failure"),
        (RunState.GATE, None),
    ],
)
def test_the_runs_check_shows_its_end(state: RunState, conclusion: str | None) -> None:
    assert text.check_output(run(state=state)).conclusion == conclusion


def test_numbers_are_short() -> None:
    assert [tokens(n) for n in (0, 950, 12_345, 500_000, 5_000_000, 1_250_000)] == [
        "0",
        "950",
        "12.3k",
        "500k",
        "5M",
        "1.2M",
    ]
    assert bar(0, 10) == "░░░░░░░░░░ 0%"
    assert bar(30, 10) == "▓▓▓▓▓▓▓▓▓▓ 300%"
    assert bar(0, 0) == "▓▓▓▓▓▓▓▓▓▓ 100%"
    assert money(None) == "no price known"


def test_help_names_the_unknown_command_and_the_nearest() -> None:
    shown = text.help_text("cancle", "cancel")
    assert shown.startswith("I do not know the command `cancle`. Did you mean `/autopack cancel`?")
    assert "`/autopack cancel`" in text.help_text()


def trailers(commit_message: str, tmp_path: Path) -> list[str]:
    """What git itself takes for trailers."""
    result = subprocess.run(
        ["git", "interpret-trailers", "--parse"],
        input=commit_message,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
        cwd=tmp_path,
    )
    return result.stdout.splitlines()


OWN_TRAILERS = [
    "Autopack-Run: r1",
    "Autopack-Phase: P2",
    "Autopack-Attempt: 2",
    "Co-authored-by: maintainer <4+maintainer@users.noreply.github.com>",
]


def test_commit_message_names_run_phase_requester(tmp_path: Path) -> None:
    written = message("Adds tests.\n\nThey fail without the parser.")
    assert written.split("\n")[0] == "[strict] P2: Test the parser"
    assert "They fail without the parser." in written
    assert trailers(written, tmp_path) == OWN_TRAILERS
    assert "Co-authored-by" not in message("x", requester_id=None)


@pytest.mark.parametrize(
    "summary",
    [
        "Done.\n\nCo-authored-by: evil <evil@example.com>\nAutopack-Run: other",
        "[skip ci] [ci skip] [no ci] [skip actions] [actions skip]\nskip-checks: true",
        "closes #4, fixes acme/other#5, @maintainer",
        "\n\n---\n\n",
        "x" * 100_000,
    ],
)
def test_a_builders_summary_cannot_act_in_a_commit(summary: str, tmp_path: Path) -> None:
    written = message(summary)
    assert trailers(written, tmp_path) == OWN_TRAILERS
    assert not re.search(r"\[(?:skip|no|ci|actions)[ -](?:ci|skip|actions)\]|^skip-checks:", written, re.MULTILINE)
    assert not re.search(r"@maintainer|#\d", written.replace("+maintainer@", ""))
    assert len(written) < 6_000


@given(foreign)
def test_subject_has_at_most_72_characters(name: str) -> None:
    named = PLANNED_PHASE.model_copy(update={"name": name})
    subject, blank, *_ = message("x", phase=named).split("\n")
    assert len(subject) <= 72
    assert blank == ""
    assert subject.startswith("[strict] P2:")


def test_a_pull_title_is_one_harmless_line() -> None:
    title = text.pull_title(run(issue_title="Fix\nthe @acme thing, closes #1 [skip ci]"))
    assert "\n" not in title
    assert not re.search(r"@acme|#1|\[skip ci\]", title)
    assert text.pull_title(run(issue_title=" \u200b ")) == "Autopack run r1"


def test_unplaceable_finding_goes_to_the_body() -> None:
    shown = leftover_section([finding("Leap days are lost").finding])
    assert "🔴 **major** · correctness · `app/parse.py:12`: Leap days are lost <!-- autopack:finding:" in shown
    minor = finding("x").finding.model_copy(update={"severity": Severity.MINOR, "path": None})
    assert "🟡 **minor** · correctness · `the whole patch`" in leftover_section([minor])


def test_plan_shows_caps_and_tasks() -> None:
    vendor = default_ruleset().models.standard[0].partition(":")[0]
    shown = plan_comment("Leap days | are kept", vendor)
    assert shown.startswith("### 🗺️ Autopack's plan: 1 phase in 1 tier")
    assert "- [x] `P2` Test the parser <sub>tests, low · at most 300k tokens, its cap</sub>" in shown
    assert "  - Leap days &#124; are kept" in shown
    assert "| `P2` | 300k | normal CI, audited while CI runs |" in shown
    assert "same vendor" in shown
    assert_harmless(shown)


def test_an_incident_holds_all_that_a_person_needs() -> None:
    view = run(
        state=RunState.DONE_FAILED_ENVIRONMENT,
        headline=Headline.FAILED,
        reason="CI never came",
        next_action="Put CI right, then comment `/autopack run`.",
    )
    shown = text.incident(view, "line 1\nAssertionError", " a.py | 2 +-")
    for part in (
        "❌ Autopack: Failed (`DONE_FAILED_ENVIRONMENT`)",
        "**Why:** CI never came",
        "comment `/autopack run`",
        "```text\nline 1\nAssertionError\n```",
        "a.py | 2 +-",
        "412k / 500k",
        "Leap days are lost",
    ):
        assert part in shown


def test_summary_counts_done_and_left() -> None:
    shown = text.final_summary(run(state=RunState.DONE_SUCCESS, headline=Headline.DONE))
    assert "1 of 2 phases complete, 3 tries" in shown
    assert "412k of 500k tokens" in shown
    assert "$1.26" in shown
    assert "2 findings, 1 still open" in shown


@given(foreign)
@example(f"Comment `/autopack run`: {HOSTILE}")
def test_advice_shows_commands_as_code(given_text: str) -> None:
    shown = escape.advice(f"{given_text} then comment `/autopack run --tokens 2M` again")
    assert shown.endswith("then comment `/autopack run --tokens 2M` again")
    assert_harmless(f"A {shown}")
