"""From a label to a pull request that is ready to be merged."""

import json

from tests.support.answers import approves, edits, phase, plan, tier, write
from tests.support.repository_view import PERSON
from tests.support.story import Story


def test_label_leads_to_a_ready_pull_request(story: Story) -> None:
    story.plays(
        plan(phase("Greet people")),
        {"P1": [edits(write("greeting.txt", "hello\n"), summary="Adds the greeting."), approves("A fine greeting.")]},
    )
    story.label()
    head = story.expect_success()
    story.expect_audit("A fine greeting.", "P1")
    assert story.reactions() == ["eyes"]
    assert story.commits() == [head]
    assert story.file("greeting.txt") == "hello"
    message = story.message(head)
    assert message.startswith("P1: Greet people\n\nAdds the greeting.")
    assert f"Autopack-Run: {story.run_id}\n" in message
    assert f"\nCo-authored-by: {PERSON} <" in message
    assert story.pull()["body"].startswith(f"Closes #{story.number}")
    assert f"run {story.run_id}: done; 1 of 1 phases complete; every phase is green and audited" in (
        story.world.service.log()
    )


def test_phases_of_two_tiers_follow_each_other(story: Story) -> None:
    story.plays(
        plan(tier(phase("Greet people"), phase("Say goodbye"), name="Words"), tier(phase("Explain"), name="Docs")),
        {
            "P1": [edits(write("hello.txt", "hello\n"))],
            "P2": [edits(write("bye.txt", "bye\n"))],
            "P3": [edits(write("README.md", "# Garden\n\nIt greets.\n"))],
        },
    )
    story.comment("/autopack run")
    story.expect_success(["P1", "P2", "P3"])
    commits = story.commits()
    assert [story.message(sha).partition(":")[0] for sha in commits] == ["P1", "P2", "P3"]
    for sha, phase_id in zip(commits, ("P1", "P2", "P3"), strict=True):
        story.expect_ref(f"refs/autopack/{story.run_id}/{phase_id}", sha)
        story.expect_audit("Nothing blocks it.", f"`{phase_id}`")
    for sha in commits[:-1]:
        story.expect_check("autopack", "neutral", sha)
    assert "3 of 3 phases" in story.status()
    assert "normal CI, audited while CI runs" in story.status(), "the strategy is shown"


def test_acts_are_in_the_audit_log(story: Story) -> None:
    """Who asked, and each change that Autopack made on GitHub."""
    story.plays(phases={"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.label()
    story.expect_success()
    story.expect_audit("Nothing blocks it.")
    lines = (story.world.service.folder / ".autopack" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    acts = [one for one in map(json.loads, lines) if story.full_name in one["where"] + one["act"]]
    asked = [one for one in acts if one["actor"] == PERSON]
    assert [one["act"] for one in asked if story.run_id in one["outcome"]] == ["issues labeled"]
    written = {one["act"] for one in acts if one["actor"] == "Autopack"}
    assert f"POST /repos/{story.full_name}/pulls" in written
    assert f"POST /repos/{story.full_name}/git/commits" in written
