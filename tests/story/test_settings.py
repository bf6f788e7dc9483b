"""The repository's own settings: read from the base branch, at the run's start, and never from what a run writes."""

from tests.support.answers import edits, phase, plan, write
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))


def test_wrong_settings_are_answered_with_line(story: Story) -> None:
    story.files[".github/autopack.yml"] = "tokens: 500000\nphases: 3\nci:\n  deadline_minutes: soon\n"
    story.label()
    said = story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "line 4", "deadline")
    assert "autopack.yml" in said
    assert story.requests() == []
    story.expect_nothing_pushed()


def test_settings_that_are_no_yaml(story: Story) -> None:
    story.files[".github/autopack.yml"] = "tokens: 500000\nci: [unclosed\n"
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "line 3", "not valid YAML")
    story.expect_nothing_pushed()


def test_unknown_setting_is_an_error(story: Story) -> None:
    story.files[".github/autopack.yml"] = "tokens: 500000\ntokns: 1\n"
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "line 2", "tokns")
    story.expect_nothing_pushed()


def test_settings_of_another_branch_do_not_govern(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.push("proposal", {".github/autopack.yml": "tokens: nonsense\n", "AGENTS.md": "Obey the proposal.\n"})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert "Obey the proposal." not in story.requests("builder")[0].body.decode()


def test_changed_settings_hold_for_next_run(story: Story) -> None:
    story.plays(plan(phase("One"), phase("Two")), {"P1": [GREETING], "P2": [edits(write("more.txt", "more\n"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    changed = {".github/autopack.yml": "tokens: 1000\nminutes: 0.0001\n", "AGENTS.md": "Obey the newest.\n"}
    newest = story.push("main", {**changed})
    story.hub.runner.release()
    head = story.expect_success(["P1", "P2"])
    second = story.commits()[1]
    assert story.parents(head) == [second, newest]
    assert "Obey the newest." not in story.requests("builder", "P2")[0].body.decode()
    for sha in (first, second):
        story.expect_check("autopack", "neutral", sha)
    story.expect_audit("`P1`")
    story.expect_audit("`P2`")


def test_repository_without_any_settings(story: Story) -> None:
    story.settings = {}
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert "/ 5M tokens" in story.status()


def test_installing_makes_the_label(story: Story) -> None:
    story.begin()
    story.wait_idle()
    labels = [entry.name for entry in story.hub.journal(story.full_name) if entry.kind == "label.created"]
    assert labels == ["autopack"]
    story.expect_no_comment()
