"""Owners rename, transfer, archive and delete; they suspend the App and take it away. Runs follow, or end with a word.

Events and rules: https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository and
https://docs.github.com/en/repositories/creating-and-managing-repositories/renaming-a-repository
"""

import httpx
import pytest

from tests.support.answers import edits, phase, plan, write
from tests.support.repository_view import PERSON
from tests.support.story import Story
from tests.support.world import WAIT_SECONDS

GREETING = edits(write("greeting.txt", "hello\n"))
FAREWELL = edits(write("farewell.txt", "bye\n"))


def waits_for_ci(story: Story) -> None:
    """A run of two phases waits for the CI of its first."""
    story.plays(plan(phase(), phase()), {"P1": [GREETING], "P2": [FAREWELL]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.turn_to(story.run_id)


def succeeds(story: Story) -> None:
    story.hub.runner.release()
    story.expect_success(["P1", "P2"])
    story.expect_check("autopack", "neutral", story.commits()[0])
    for name in ("P1", "P2"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")


def ended(story: Story) -> dict[str, str]:
    """The run, by the REST API, once it is over."""
    story.world.wait_idle(2 * WAIT_SECONDS)
    return dict(httpx.get(f"{story.world.service.url}/runs/{story.run_id}", timeout=WAIT_SECONDS).json())


@pytest.mark.parametrize("told", [True, False], ids=["with its event", "by redirects alone"])
def test_renamed_repository_keeps_its_run(story: Story, told: bool) -> None:
    story.begin()
    if not told:
        story.hub.install_app(story.full_name, events=["issues", "issue_comment", "workflow_run", "pull_request"])
    waits_for_ci(story)
    owner, _, name = story.full_name.partition("/")
    story.rename(f"{owner}/orchard-{name}")
    succeeds(story)


def test_transferred_repository_keeps_its_run(story: Story) -> None:
    other = story.world.new_repository_name()
    story.hub.import_repository(other, owner_role={PERSON: "admin"})
    story.hub.install_app(other)
    waits_for_ci(story)
    story.rename(f"{other.partition('/')[0]}/{story.full_name.partition('/')[2]}")
    succeeds(story)


def test_transfer_out_of_reach_ends_the_run(story: Story) -> None:
    waits_for_ci(story)
    story.hub.import_repository("elsewhere/other")
    story.rename(f"elsewhere/{story.full_name.partition('/')[2]}")
    run = ended(story)
    assert run["state"] == "DONE_CANCELLED"
    assert run["reason"] == f"{PERSON} took the App away from the repository"
    story.commits()
    story.pull()
    story.status()
    story.expect_check("autopack", None)


def test_archived_repository_ends_its_run(story: Story) -> None:
    waits_for_ci(story)
    owner = story.hub.as_owner(PERSON)
    owner.archive(story.full_name)
    run = ended(story)
    assert (run["state"], run["reason"]) == ("DONE_CANCELLED", f"the repository was archived by {PERSON}")
    owner.archive(story.full_name, archived=False)
    story.wait_for_status("Autopack: Cancelled")
    story.world.wait_idle()
    story.commits()
    story.expect_draft("cancelled")
    story.expect_audit("P1")


def test_deleted_repository_ends_its_run(story: Story) -> None:
    waits_for_ci(story)
    story.hub.as_owner(PERSON).delete(story.full_name)
    run = ended(story)
    assert (run["state"], run["reason"]) == ("DONE_CANCELLED", f"the repository was deleted by {PERSON}")
    story.number = 0  # there is nothing left to read


def test_renamed_default_branch_is_followed(story: Story) -> None:
    waits_for_ci(story)
    story.hub.as_owner(PERSON).rename_default_branch(story.full_name, "trunk")
    story.default_branch = "trunk"
    story.world.wait_handled()
    succeeds(story)
    assert story.pull()["base"]["ref"] == "trunk"


@pytest.mark.parametrize("action", ["deleted", "transferred"])
def test_issue_that_is_gone_cancels_its_run(story: Story, action: str) -> None:
    waits_for_ci(story)
    story.commits()
    story.pull()
    story.status()
    story.hub.as_owner(PERSON).end_issue(story.full_name, story.number, action)
    run = ended(story)
    assert (run["state"], run["reason"]) == ("DONE_CANCELLED", f"the issue was {action} by {PERSON}")
    story.expect_draft("cancelled")
    story.expect_audit("P1")


def test_suspended_app_ends_runs_and_tells_later(story: Story) -> None:
    waits_for_ci(story)
    owner = story.hub.as_owner(PERSON)
    owner.suspend(story.full_name)
    run = ended(story)
    assert (run["state"], run["reason"]) == ("DONE_CANCELLED", f"{PERSON} suspended the App")
    owner.suspend(story.full_name, suspended=False)
    story.wait_for_status("Autopack: Cancelled")
    story.world.wait_idle()
    story.commits()
    story.expect_draft("cancelled")
    story.expect_audit("P1")


def test_uninstalled_app_ends_its_runs(story: Story) -> None:
    waits_for_ci(story)
    story.hub.as_owner(PERSON).uninstall(story.full_name)
    run = ended(story)
    assert (run["state"], run["reason"]) == ("DONE_CANCELLED", f"{PERSON} uninstalled the App")
    story.commits()
    story.pull()
    story.status()
    story.expect_check("autopack", None)
