"""What no patch may touch: refused before anything is pushed."""

from tests.support.answers import command, delete, edits, phase, plan, write
from tests.support.story import CI, Story

GREETING = write("greeting.txt", "hello\n")


def test_forbidden_paths_are_left_out(story: Story) -> None:
    forbidden = (".github/workflows/ci.yml", ".github/autopack.yml", "docs/CODEOWNERS", ".gitattributes")
    first = edits(GREETING, *(write(path, "name: mine\n") for path in forbidden))
    story.plays(plan(phase()), {"P1": [first, edits(write("more.txt", "more\n"))]})
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    assert story.commits() == [head], "the refused attempt left no commit"
    assert story.hub.git(story.full_name, "diff", "--name-only", "main", head).split() == ["greeting.txt", "more.txt"]
    told = story.requests("builder")[-1].body.decode()
    assert "refused before it was pushed" in told
    assert all(path in told for path in forbidden)


def test_forbidden_paths_time_and_again_violate_the_policy(story: Story) -> None:
    story.plays(
        plan(phase()),
        {"P1": [edits(write(".github/workflows/ci.yml", CI + "\n")), edits(delete(".github/workflows/ci.yml"))]},
    )
    story.label()
    story.expect_failure("DONE_FAILED_POLICY_VIOLATION", ".github/workflows/ci.yml")
    assert len(story.requests("builder")) == 4
    story.expect_nothing_pushed()


def test_path_that_the_repository_protects(story: Story) -> None:
    story.settings["patch"] = {"protected_paths": ["keys/**"]}
    story.plays(plan(phase()), {"P1": [edits(write("keys/house.txt", "x")), edits(write("keys/car.txt", "x"))]})
    story.label()
    story.expect_failure("DONE_FAILED_POLICY_VIOLATION", "keys/car.txt")
    story.expect_nothing_pushed()


def test_link_that_leaves_the_repository_is_refused(story: Story) -> None:
    story.settings["commands"] = {"allowed": True}
    story.plays(
        plan(phase()),
        {"P1": [edits(command("ln -s ../../etc/passwd out")), edits(command("ln -s /etc/passwd out"))]},
    )
    story.label()
    story.expect_failure("DONE_FAILED_POLICY_VIOLATION", "out")
    story.expect_nothing_pushed()


def test_tools_refuse_outside_and_git_paths(story: Story) -> None:
    story.plays(
        plan(phase()),
        {"P1": [edits(write("../outside", "x"), write(".git/config", "x"), write("/tmp/outside", "x"), GREETING)]},
    )
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    assert story.requests("builder")[-1].body.decode().count("error: ") == 3
    assert story.hub.git(story.full_name, "diff", "--name-only", "main", head).split() == ["greeting.txt"]


def test_large_patch_is_refused_without_violation(story: Story) -> None:
    story.settings["patch"] = {"max_files": 1}
    too_much = edits(GREETING, write("more.txt", "more\n"))
    story.plays(plan(phase()), {"P1": [too_much, edits(write("more.txt", "again\n"))]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "2 files changed, at most 1")
    story.expect_nothing_pushed()


def test_builder_that_changes_nothing(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(), edits()]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "changed no file")
    story.expect_nothing_pushed()


def test_builder_that_cannot_do_it_says_why(story: Story) -> None:
    cannot = edits(status="cannot", summary="There is no garden here.")
    story.plays(plan(phase()), {"P1": [cannot, cannot]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "There is no garden here.")
    story.expect_nothing_pushed()


def test_builder_runs_allowed_commands(story: Story) -> None:
    story.settings["commands"] = {"allowed": True}
    story.plays(plan(phase()), {"P1": [edits(command("cat README.md && echo hello > greeting.txt"))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert story.file("greeting.txt") == "hello"
    assert "exit code 0" in story.requests("builder")[-1].body.decode()


def test_forbidden_commands_are_not_offered(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(GREETING)]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert "run_command" not in story.requests("builder")[0].tools
    assert "edit_file" in story.requests("builder")[0].tools
