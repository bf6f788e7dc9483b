"""What run after run leaves open ages; then a run carries a phase that fixes it."""

from app.db import backlog
from app.db.engine import Database
from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.findings import issue_key
from tests.support.answers import approves, approves_but, edits, finding, phase, plan, write
from tests.support.story import Story

DOUBT = finding("greeting.txt", None, "No one is named in the greeting.", severity="minor")
KEY = issue_key(DOUBT["category"], DOUBT["component"], DOUBT["slug"])


def entry(story: Story) -> BacklogEntry:
    """The issue as the service's database has it."""
    db = Database(story.world.environment()["DATABASE_URL"])
    try:
        with db.reading() as session:
            found = backlog.get_entry(session, story.full_name, KEY)
    finally:
        db.close()
    assert found is not None
    return found


def next_issue(story: Story) -> None:
    """Another issue of the repository, labeled; its run is known once this returns."""
    story.number = story.open_issue("Greet them again")
    story.label()
    story.wait_until(lambda: bool(story.run_ids), "the issue has a run")


def leave_it_open(story: Story, number: int) -> str:
    """A run that ends well and leaves the minor issue open; its id."""
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", f"hello {number}\n")), approves_but(DOUBT)]})
    next_issue(story)
    story.wait_for_end(number)
    story.expect_success()
    story.expect_audit(DOUBT["problem"])
    assert "Findings: 1 open" in story.status()
    return story.run_id


def test_fourth_run_fixes_an_aged_issue(story: Story) -> None:
    story.begin()
    left = []
    for number in (1, 2, 3):
        run_id = leave_it_open(story, number)
        found = entry(story)
        assert (found.age_in_runs, found.age_in_tiers, found.last_seen_run_id) == (number, 1, run_id)
        left.append(found.status)
    assert left == [BacklogStatus.OPEN, BacklogStatus.OPEN, BacklogStatus.NEEDS_CLEANUP]
    story.plays(
        plan(phase()),
        {
            "P1": [edits(write("farewell.txt", "goodbye\n"))],
            "DEBT-1": [edits(write("greeting.txt", "hello, Ada\n")), approves("Ada is named.")],
        },
    )
    next_issue(story)
    story.wait_for_end(4)
    story.expect_success(("P1", "DEBT-1"))
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_audit("Nothing blocks it.")
    story.expect_audit("Ada is named.")
    assert DOUBT["problem"] in story.requests("builder", "DEBT-1")[-1].body.decode()
    found = entry(story)
    assert (found.status, found.age_in_runs) == (BacklogStatus.RESOLVED, 0)
    assert found.resolved_by_run_id == story.run_id
