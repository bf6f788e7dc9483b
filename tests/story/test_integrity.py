"""What may be hidden in a change, or cheats its checks, is refused, or waits for a person."""

import json
from typing import Any, cast

import sqlalchemy as sa

from tests.support.answers import edits, phase, plan, write
from tests.support.repository_view import PERSON
from tests.support.story import OUTSIDER, Story

TEST = "def test_greeting():\n    assert greet() == 'hello'\n"
EMPTIED = "def test_greeting():\n    pass\n"
TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def test_secret_is_refused_before_the_push(story: Story) -> None:
    story.plays(
        plan(phase()),
        {"P1": [edits(write("greeting.txt", f"hello {TOKEN}\n")), edits(write("greeting.txt", "hello\n"))]},
    )
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    assert len(story.commits()) == 1
    again = story.requests("builder")[-1].body.decode()
    assert "greeting.txt:1 holds what looks like a secret: GitHub Token" in again
    assert TOKEN not in story.hub.git(story.full_name, "log", "-p", "--all")


def test_emptied_test_waits_for_a_person(story: Story) -> None:
    """Promotion opens with the approving review of someone who may steer, of exactly this commit."""
    story.files["tests/test_greeting.py"] = TEST
    story.plays(plan(phase()), {"P1": [edits(write("tests/test_greeting.py", EMPTIED))]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    head = story.head()
    found = story.expect_check("autopack/integrity", "failure", head)["output"]
    assert found["title"] == "1 change needs a person"
    assert "tests/test\\_greeting.py has a test that checks nothing any more: test\\_greeting" in found["summary"]
    said = story.expect_check("autopack/promotion", "failure", head)["output"]["summary"].replace("\\", "")
    assert "checks nothing any more" in said
    assert "an approving review" in said
    assert story.pull()["draft"] is True
    story.review("APPROVE", "", by=OUTSIDER)
    story.wait_handled()
    assert story.pull()["draft"] is True
    story.review("APPROVE", "The test was wrong.")
    story.wait_until(lambda: story.pull()["draft"] is False, "the pull request is offered")
    story.wait_handled()
    accepted = story.expect_check("autopack/integrity", "success", head)["output"]
    assert f"Approved by `{PERSON}` at this commit" in accepted["summary"]
    story.expect_check("autopack/promotion", "success", head)
    story.read_all()


def test_weakening_of_one_attempt_stays_seen(story: Story) -> None:
    """All that the pull request changes is looked through, not the newest commit alone."""
    story.files["tests/test_greeting.py"] = TEST
    story.plays(
        plan(phase("Greet"), phase("Part")),
        {"P1": [edits(write("tests/test_greeting.py", EMPTIED))], "P2": [edits(write("bye.txt", "bye\n"))]},
    )
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    first, second = story.commits()
    for sha in (first, second):
        story.expect_check("autopack/integrity", "failure", sha)
    assert story.pull()["draft"] is True
    story.read_all()


def test_rule_is_left_out_by_the_settings(story: Story) -> None:
    story.settings["integrity"] = {"ignore": ["test_emptied"]}
    story.files["tests/test_greeting.py"] = TEST
    story.plays(plan(phase()), {"P1": [edits(write("tests/test_greeting.py", EMPTIED))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    story.expect_check("autopack/integrity", "success")


def test_promotion_demands_what_was_shown(story: Story) -> None:
    """Where an audit was shown something else than its commit changes, its approval does not count."""
    story.plays(
        plan(phase("Greet"), phase("Part")),
        {"P1": [edits(write("greeting.txt", "hello\n"))], "P2": [edits(write("bye.txt", "bye\n"))]},
    )
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.world.models.hold(role="builder")
    story.hub.runner.release()
    story.wait_for_request("builder", 3)
    first = f"run_id = '{story.run_id}' AND phase_id = 'P1'"
    account = story.world.scalar(sa.text(f"SELECT account FROM phases WHERE {first}"))
    read = json.loads(account) if isinstance(account, str) else cast("dict[str, Any]", account)
    other = json.dumps({**read, "shown": {**read["shown"], "digest": "0" * 64}})
    story.world.execute(sa.text(f"UPDATE phases SET account = :other WHERE {first}").bindparams(other=other))
    story.world.models.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    said = story.expect_check("autopack/promotion", "failure")["output"]["summary"].replace("\\", "")
    assert f"what the Auditor was shown of {story.commits()[0][:7]} is not what it changes" in said
    assert story.pull()["draft"] is True
    story.read_all()


def test_other_landing_is_said(story: Story) -> None:
    """A commit that someone adds after the offer lands with it: the pull request says in which file it differs."""
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    number = story.pull_number()
    story.push(story.branch, {"extra.txt": "unseen\n"})
    story.wait_handled()
    story.merge_pull()
    story.wait_for_status("the pull request is merged")
    story.wait_handled()
    said = story.expect_comment("is not what was audited and judged", on=number)
    assert "`extra.txt`" in said
    assert "greeting.txt" not in said


def test_landing_on_a_moved_base_is_no_difference(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.label()
    story.expect_success()
    story.expect_audit("P1")
    story.push("main", {"other.txt": "by hand\n"})
    story.wait_handled()
    story.merge_pull()
    story.wait_for_status("the pull request is merged")
    story.wait_handled()
