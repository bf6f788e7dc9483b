"""A page for each outcome, as a snapshot; `python -m tests.render_pages` renders them. None says too much."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from app.domain.states import PhaseState, RunState
from app.domain.status_view import UNJUDGED, Headline, PhaseView, RunView
from app.github import text
from tests.github.outcomes import OUTCOMES, PAGES, success

_FENCE = re.compile(r"(`{3,})[a-z]*$")
_ROW = re.compile(r"(?<!\\)\|")


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, page: SnapshotAssertion) -> None:
    assert PAGES[name]() == page


def test_there_is_a_page_for_every_outcome() -> None:
    assert len(OUTCOMES) >= 30
    shown = {view.state for view in (make() for make in OUTCOMES.values())}
    assert {state for state in RunState if state.terminal} <= shown
    assert {view.headline for view in (make() for make in OUTCOMES.values())} == set(Headline)


def _without_code(page: str) -> list[str]:
    """The lines outside of fences, in which anything may be shown; each fence is closed."""
    lines: list[str] = []
    fence = ""
    for line in page.split("\n"):
        if fence:
            fence = "" if line == fence else fence
        elif found := _FENCE.match(line):
            fence = found[1]
        else:
            lines.append(line)
    assert not fence
    return lines


def whole(page: str) -> None:
    """Every `<details>` is closed, and every table's rows have its columns."""
    assert len(page) <= 65_000
    lines = _without_code(page)
    plain = re.sub(r"`[^`\n]*`", "", "\n".join(lines))
    assert plain.count("<details>") == plain.count("</details>")
    columns = 0
    for line in lines:
        bars = len(_ROW.findall(line)) if line.startswith("|") else 0
        assert bars in {0, columns} or columns == 0, line
        columns = bars


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole(name: str) -> None:
    whole(PAGES[name]())


letters = st.sampled_from(
    ["a", "|", "`", "ß", "語", "\U0001d518", "🧵", "\u202e", "<details>", "\n", "](", "*", "&", "ع"]
)


@settings(max_examples=8, deadline=None)
@given(st.lists(letters, min_size=1, max_size=4).map("".join), st.sampled_from(sorted(OUTCOMES)))
def test_longest_words_of_any_script_fit(word: str, name: str) -> None:
    """Hundreds of phases, findings and notices, all as long as they may be."""
    view = OUTCOMES[name]()
    long = (word * 4_000)[:4_000]
    tiers = [
        tier.model_copy(
            update={"name": long[:200], "phases": tuple(_long(one, long, n) for n in range(30) for one in tier.phases)}
        )
        for tier in view.tiers
    ]
    found = tuple(one.model_copy(update={"resolution": long}) for one in view.findings) * 60
    changed = {"tiers": tuple(tiers), "findings": found, "reason": long, "next_action": long, "notices": (long,) * 30}
    view = view.model_copy(update={**changed, "issue_title": long, "promotion_blockers": (long,) * 60})
    for page in (text.status_comment(view), text.pull_body(view), text.final_summary(view)):
        whole(page)
    whole(text.incident(view, long * 20, long * 20))


def _long(phase: PhaseView, long: str, number: int) -> PhaseView:
    account = phase.account.model_copy(update={"summary": long, "audit": long})
    changed = {"phase_id": f"{phase.phase_id}-{number}", "name": long[:200], "account": account}
    return phase.model_copy(
        update={**changed, "paths": tuple(f"{long[:100]}{n}" for n in range(50)), "criteria": (long[:1_000],) * 20}
    )


def _pages(view: RunView) -> list[str]:
    return [text.status_comment(view), text.pull_body(view), text.final_summary(view), text.check_output(view).summary]


@pytest.mark.parametrize("name", OUTCOMES)
def test_no_page_says_what_did_not_happen(name: str) -> None:
    """Each sentence that can be false, against what happened."""
    view = OUTCOMES[name]()
    phases = [phase for tier in view.tiers for phase in tier.phases]
    complete = [phase for phase in phases if phase.state is PhaseState.COMPLETE]
    for page in _pages(view):
        if "every phase is green" in page or "CI of the repository judged" in page or " (green" in page:
            assert complete
            assert not any(notice.startswith(UNJUDGED) for notice in view.notices)
        if "green and audited" in page:
            assert all(phase.auditor_attempts for phase in complete)
        if "the run is clean" in page or "Review and merge the pull request" in page:
            assert (view.state, view.promotion_blockers, view.promoted) == (RunState.DONE_SUCCESS, (), False)
        if "Promotion** 🎉 merged" in page:
            assert view.promoted
        if "✅ Autopack: Done" in page:
            assert view.state is RunState.DONE_SUCCESS
        for count, total in re.findall(r"(\d+) of (\d+) phases complete", page):
            assert (int(count), int(total)) in {(len(complete), len(phases)), (0, len(phases))}
        if "audit by a model of another vendor" in page:
            assert any(phase.auditor_attempts for phase in complete)
        if "Failing job" in page:
            assert view.failed_job_url in page


@pytest.mark.parametrize("name", OUTCOMES)
def test_open_state_says_by_when_it_is_over(name: str) -> None:
    view = OUTCOMES[name]()
    assert (" at the latest the " in text.status_comment(view)) is not view.state.terminal


def test_audited_phase_names_its_own_models() -> None:
    """A model's line is what that model did, not what another of its role did in another phase."""
    view = success()
    first, second = view.tiers[0].phases
    phases = (first.model_copy(update={"builders": ("one:strong",)}), second)
    view = view.model_copy(update={"tiers": (view.tiers[0].model_copy(update={"phases": phases}),)})
    body = text.pull_body(view)
    of_first = body.partition("`P1`")[2].partition("`P2`")[0]
    assert "one:strong" in of_first
    assert "one:builder" not in of_first
