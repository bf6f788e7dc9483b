"""Which workflows a push starts. Sources are GitHub's pages on workflow syntax and on events."""

import pytest

from app.domain.workflow_triggers import MAX_WORKFLOW_BYTES, Push, expected_workflows

PUSH = Push(branch="autonomous/r1", base="main", pushed_paths=("docs/a.md",), pull_paths=("docs/a.md", "src/b.py"))

STARTS = [
    "on: push",
    "on: [push, workflow_dispatch]",
    "on: pull_request",
    '"on": {push: {branches: ["autonomous/**"]}}',
    "on: {push: {branches-ignore: [main]}}",
    "on: {push: {paths: ['**.md']}}",
    "on: {pull_request: {paths: ['src/**']}}",
    "on: {pull_request: {branches: [main], types: [opened]}}",
    "on: {push: {branches: [main]}, pull_request: }",
    "on: {pull_request_target: {}}",
    "on: {push: {paths-ignore: ['src/**']}}",
    "on: {push: {paths: ['**', '!src/**']}}",
    "not: [valid",
    "- a list",
]
STARTS_NOT = [
    ("on: workflow_dispatch", "on workflow_dispatch"),
    ("on: {schedule: [{cron: '0 0 * * *'}]}", "on schedule"),
    ("on: {release: {types: [published]}}", "on release"),
    ("on: {push: {tags: ['v*']}}", "tags"),
    ("on: {push: {branches: [main]}}", "branches"),
    ("on: {push: {paths: ['src/**']}}", "paths"),
    ("on: {push: {paths-ignore: ['**.md']}}", "paths-ignore"),
    ("on: {pull_request: {branches: [release]}}", "branches"),
    ("on: {pull_request: {types: [closed]}}", "types"),
    ("on: {pull_request: {paths: ['test/**']}}", "paths"),
    ("jobs: {}", "on nothing"),
]


@pytest.mark.parametrize("text", STARTS)
def test_starts(text: str) -> None:
    assert expected_workflows({".github/workflows/a.yml": text}, PUSH).applying == (".github/workflows/a.yml",)


@pytest.mark.parametrize(("text", "why"), STARTS_NOT)
def test_does_not_start(text: str, why: str) -> None:
    found = expected_workflows({".github/workflows/a.yml": text}, PUSH)
    assert (found.applying, found.reasons) == ((), (f"a.yml ({why})",))


def test_what_cannot_be_read_is_expected() -> None:
    assert expected_workflows({"a": None, "b": "x" * (MAX_WORKFLOW_BYTES + 1)}, PUSH).applying == ("a", "b")


def test_no_pull_request_starts_nothing_for_one() -> None:
    assert not expected_workflows({"a": "on: pull_request"}, PUSH.model_copy(update={"has_pull": False})).applying
