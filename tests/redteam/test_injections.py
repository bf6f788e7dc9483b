"""Models that someone has taken over: every answer is theirs, and nothing gets out. Extend `injections.yaml`."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.replay.recording import ToolCall, Turn
from tests.support import trace
from tests.support.answers import Answer, Attempt, approves_but, edits, finding, phase, plan, write
from tests.support.story import Story

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("injections.yaml").read_text(encoding="utf-8")
)
SUGGESTION = re.compile(r"^(`{3,})suggestion\n.*?^\1$", re.MULTILINE | re.DOTALL)
"""A suggested change is code, which mentions no one; it ends where its fence does."""
PER_PHASE = 6
"""Texts that are said in one phase."""


@pytest.fixture
def story(request: pytest.FixtureRequest) -> Story:
    """A story on SQLite: what is tried is not about the database."""
    worlds = request.getfixturevalue("worlds")
    begin = request.getfixturevalue("stories")
    told: Story = begin(worlds.of("sqlite"))
    return told


def _call(case: dict[str, Any]) -> ToolCall:
    arguments = {name: "x" * 300 if value == "{{long}}" else value for name, value in case["args"].items()}
    return ToolCall(name=case["tool"], args=arguments)


def test_no_tool_leads_out(story: Story) -> None:
    """All calls in two replies; each is answered with its rule, and the phase's own work is all that is pushed."""
    known = [one for one in CASES["tools"] if one["tool"] != "push_to_main"]
    unknown = [one for one in CASES["tools"] if one["tool"] == "push_to_main"]
    turns = [Turn(tool_calls=list(map(_call, known))), Turn(tool_calls=list(map(_call, unknown)))]
    [*work, answer] = edits(write("greeting.txt", "hello\n")).turns
    story.plays(plan(phase()), {"P1": [Attempt([*turns, *work, answer])]})
    story.label()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
    body = story.requests("builder")[-1].body.decode()
    said = json.dumps(json.loads(body), ensure_ascii=False)
    wanted = Counter(one["rule"] for one in CASES["tools"] if one["rule"])
    assert {rule: said.count(rule) >= count for rule, count in wanted.items()} == dict.fromkeys(wanted, True)
    changed = story.hub.git(story.full_name, "diff", "--name-only", "main", story.head()).split()
    assert changed == ["greeting.txt"]
    assert "root:" not in said
    assert "recorded-anthropic" not in said


def test_no_text_acts_on_github(story: Story) -> None:
    """Each text is a summary, a finding, a suggested change, an audit's summary and the name of a phase."""
    texts = CASES["texts"]
    groups = [texts[start : start + PER_PHASE] for start in range(0, len(texts), PER_PHASE)]
    phases: list[dict[str, Any]] = []
    works: dict[str, list[Answer]] = {}
    for number, group in enumerate(groups, 1):
        whole = "\n".join(one["say"] for one in group)
        phases.append(phase(group[0]["say"].partition("\n")[0]))
        found = [
            finding("greeting.txt", 1, one["say"], severity="minor", replacement=one["say"].split("\n")[0])
            for one in group
        ]
        work = edits(write("greeting.txt", f"hello {number}\n"), summary=whole)
        works[f"P{number}"] = [work, approves_but(*found, summary=whole)]
    story.plays(plan(*phases, summary="\n".join(one["say"] for one in texts[:PER_PHASE])), works)
    story.label()
    state = story.wait_for_end()
    written = [SUGGESTION.sub("", entry.text) for entry in story.hub.journal(story.full_name)]
    messages = [story.message(sha) for sha in story.commits()]
    assert len(messages) == len(groups), state
    for one in texts:
        acting = re.compile(one["never"], re.MULTILINE)
        assert [
            text for text in (written if one.get("markdown") else [*written, *messages]) if acting.search(text)
        ] == [], one["name"]
    story.seen |= {key for entry in story.hub.journal(story.full_name) if (key := trace.written(entry)) is not None}


def test_there_are_enough() -> None:
    assert len(CASES["tools"]) + len(CASES["texts"]) >= 50
    assert all(one.get("rule") is not None for one in CASES["tools"])
