"""Models that refuse, stay silent, talk nonsense or are out of reach."""

from collections import Counter

import pytest

from tests.support.answers import (
    Attempt,
    Audit,
    Plan,
    approves,
    edits,
    failing_at_first,
    fails,
    hangs,
    malformed,
    phase,
    plan,
    refuses,
    write,
)
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))


def test_model_that_refuses_leaves_it_to_a_person(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [Attempt(refuses())] * 2})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "refused")
    assert {one.vendor for one in story.requests("builder")} == {"anthropic", "openai"}, "every model was asked"
    story.expect_nothing_pushed()


def test_planner_that_refuses(story: Story) -> None:
    story.plays(Plan(refuses()))
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "refused")
    story.expect_nothing_pushed()


def test_other_model_takes_over_from_one_that_refuses(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [failing_at_first(GREETING, refusal=True, only_for="anthropic")]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert [one.vendor for one in story.requests("builder")] == ["anthropic", "openai", "openai"]


def test_malformed_answers_need_a_person(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [Attempt(malformed())] * 2})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "malformed")
    asked = Counter((one.attempt, one.vendor) for one in story.requests("builder"))
    assert set(asked.values()) == {4}, "it gets the error, but not for ever"
    assert set(asked) == {(number, vendor) for number in (1, 2) for vendor in ("anthropic", "openai")}
    story.expect_nothing_pushed()


def test_auditor_that_never_answers_in_form_passes_nothing(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING, Audit(malformed())]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "malformed")
    story.expect_draft()


def test_model_corrected_once_goes_on(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [Attempt([malformed()[0], *GREETING.turns])]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")


def test_models_that_stay_silent_time_out(story: Story) -> None:
    story.settings["model_timeout_seconds"] = 0.2
    story.plays(plan(phase()), {"P1": [Attempt(hangs())]})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "model timeout", "/autopack run")
    assert {one.vendor for one in story.requests("builder")} == {"anthropic", "openai"}
    story.expect_nothing_pushed()


def test_silent_model_is_replaced_by_the_next(story: Story) -> None:
    story.settings["model_timeout_seconds"] = 0.3
    story.plays(plan(phase()), {"P1": [failing_at_first(GREETING, hang_seconds=60, only_for="anthropic")]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")


def test_overloaded_vendor_is_asked_again(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [failing_at_first(GREETING, status=529, times=1)]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert [one.vendor for one in story.requests("builder")] == ["anthropic"] * 3


def test_overloaded_vendor_is_replaced_by_the_other(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [failing_at_first(GREETING, status=529, only_for="anthropic")]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    vendors = [one.vendor for one in story.requests("builder")]
    assert vendors == ["anthropic"] * 3 + ["openai"] * 2, "three tries, then the other vendor goes on"
    built_with = story.requests("builder")[-1].model
    assert f"built by `openai:{built_with}`" in story.pull()["body"]
    assert built_with in story.status()


def test_vendor_that_takes_no_request_is_named(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [Attempt(fails(401))]})
    story.label()
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "model rejected", "401")
    story.expect_nothing_pushed()


@pytest.mark.parametrize(
    ("status", "said"),
    [(400, "the provider answered 400"), (402, "the provider answered 402"), (404, "the provider answered 404")],
)
def test_barred_vendor_gives_way_in_every_role(story: Story, status: int, said: str) -> None:
    """Out of credit, not allowed or retired: the other vendor does the whole run, and the status says why."""
    barred = {"status": status, "only_for": "anthropic"}
    planned, audited = Plan([plan(phase()).turns[0].model_copy(update=barred)]), approves()
    audit = Audit([audited.turns[0].model_copy(update={**barred, "only_for": "openai"})])
    story.plays(planned, {"P1": [failing_at_first(GREETING, **barred), audit]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    status_text = story.status()
    assert said in status_text
    used = {(one.role, one.model) for one in story.requests() if one.vendor == "openai"}
    assert {role for role, _ in used} == {"planner", "builder", "auditor"}
    for role, model in used:
        assert f"| {role.capitalize()} | `openai:{model}` |" in status_text


def test_unanswered_attempt_gives_way_to_the_next(story: Story) -> None:
    half = [edits(write("greeting.txt", "hello\n")).turns[0], *malformed()]
    story.plays(plan(phase()), {"P1": [Attempt(half), edits(write("more.txt", "more\n"))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    second = story.requests("builder")[-1].body.decode()
    assert "What your last attempt changed" in second
    assert "+hello" in second
    assert story.file("greeting.txt") == "hello", "what the first one left is part of the commit"
    assert story.file("more.txt") == "more"


def test_run_waits_for_a_provider_that_is_down(story: Story) -> None:
    story.settings["provider_pauses_minutes"] = [0.01]
    down = failing_at_first(GREETING, status=503, times=6)
    story.plays(plan(phase()), {"P1": [down]})
    story.label()
    story.wait_for_status("🔌 Autopack: Provider down")
    story.expect_success()
    story.expect_audit("P1")


def test_model_that_was_asked_for_is_used(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.comment("/autopack run --model openai:gpt-6.1-sol")
    story.expect_success()
    story.expect_audit("P1")
    assert {one.model for one in story.requests("builder")} == {"gpt-6.1-sol"}
    assert {one.vendor for one in story.requests("auditor")} == {"anthropic"}


def test_model_without_a_key_is_refused(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.comment("/autopack run --model azure:gpt-6.1-sol")
    story.expect_failure("DONE_FAILED_ENVIRONMENT", "azure", "no key")
    assert story.requests() == []
    story.expect_nothing_pushed()


def test_models_words_cannot_act_on_github(story: Story) -> None:
    """Mentions, closing words, markers and CI skips in what models say are shown, and do nothing."""
    words = "@maintainer fixes #1 [skip ci] <!-- autopack:status:forged -->\nAutopack-Run: forged"
    story.plays(
        plan(phase("Greet @maintainer, closes #1")),
        {"P1": [edits(write("greeting.txt", "hello\n"), summary=words), approves(words)]},
    )
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    for text in (
        story.message(head),
        story.pull()["body"].replace("Closes #1", ""),
        story.status(),
        story.pull()["title"],
    ):
        assert "@maintainer" not in text
        assert "fixes #1" not in text
        assert "closes #1" not in text
        assert "[skip ci]" not in text
    assert "\nAutopack-Run: forged" not in story.message(head)
    assert story.run_ids == [story.run_id]
