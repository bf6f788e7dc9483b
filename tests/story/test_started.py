"""What `POST /runs/start` reads of a repository: the issue that it names, and what earlier runs left open."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from app.db.engine import Database
from app.db.tables import Backlog, Project
from app.domain.aging import BacklogStatus
from tests.support.answers import approves, edits, write
from tests.support.external import PHASE, Client, expect_offered, new_file
from tests.support.story import Story

KEY = "docs__greeting_txt__nobody_named"


@pytest.fixture
def client(story: Story) -> Iterator[Client]:
    made = Client(story)
    yield made
    made.close()


def start(story: Story, run_id: str, issue: int) -> httpx.Response:
    body = {
        "run": {"run_id": run_id, "repository": story.full_name, "issue_number": issue},
        "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "The work"}],
        "phases": [{**PHASE, "phase_id": "P1"}],
    }
    return httpx.post(f"{story.world.service.url}/runs/start", json=body, timeout=60)


def test_issue_must_be_open_and_free(client: Client, story: Story) -> None:
    client.start({}, issue_number=story.number)
    again = start(story, f"{client.run_id}-b", story.number)
    assert (again.status_code, f"The run {client.run_id} is on for the issue" in again.text) == (409, True)
    succeed(client, "P1")
    missing = start(story, f"{client.run_id}-b", 9999)
    assert (missing.status_code, "there is no issue" in missing.text) == (422, True)
    pull = start(story, f"{client.run_id}-b", story.pull_number())
    assert (pull.status_code, "is a pull request" in pull.text) == (422, True)
    story.close_issue()
    closed = start(story, f"{client.run_id}-b", story.number)
    assert (closed.status_code, "is closed" in closed.text) == (422, True)
    expect_offered(story, "P1")
    story.expect_comment(f"status:{client.run_id}")


def test_later_parts_keep_announced_ids(client: Client, story: Story) -> None:
    first = client.run_id
    card = client.start({}, {}, max_phases=1, run_scope="single_tier")
    assert [(one["run_id"], one["phase_ids"]) for one in card["linked_runs"]] == [(f"{first}-part-2", ["P2"])]
    succeed(client, "P1")
    client.run_id = f"{first}-part-2"

    def governed() -> bool:
        answer = httpx.get(f"{story.world.service.url}/runs/{client.run_id}", timeout=60)
        return answer.status_code == 200 and answer.json()["state"] == "RUN_CREATED"

    story.wait_until(governed, "the second part has its phases")
    assert (client.run()["part"], client.run()["parts"], client.run()["linked_runs"]) == (2, 2, [])
    succeed(client, "P2")
    for run_id, phase_id in ((first, "P1"), (client.run_id, "P2")):
        story.turn_to(run_id)
        story.wait_idle()
        story.expect_offered([phase_id])


def test_own_plan_fixes_aged_issues(client: Client, story: Story) -> None:
    leave_open(story)
    story.plays(
        phases={
            "P1": [edits(write("greeting.txt", "hello\n"))],
            "DEBT-1": [edits(write("greeting.txt", "hello, Ada\n")), approves("Ada is named.")],
        }
    )
    card = client.start({}, builder="autopack")
    assert [[one["phase_id"] for one in tier["phases"]] for tier in card["tiers"]] == [["P1"], ["DEBT-1"]]
    assert client.phase("DEBT-1")["task_category"] == "debt_cleanup"
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1", "DEBT-1")
    story.expect_audit("Nothing blocks it.")
    story.expect_audit("Ada is named.")


def test_external_plan_stays_as_posted(client: Client, story: Story) -> None:
    leave_open(story)
    card = client.start({})
    assert [one["phase_id"] for tier in card["tiers"] for one in tier["phases"]] == ["P1"]
    assert card["debt_status"]
    succeed(client, "P1")
    expect_offered(story, "P1")


def succeed(client: Client, phase_id: str) -> None:
    """The phase, the last one of its run, is built, audited and green."""
    client.build(phase_id, new_file(f"{phase_id}.txt", "hello\n"))
    client.audit(phase_id)
    client.wait_end("DONE_SUCCESS")


def leave_open(story: Story) -> None:
    """An issue of the repository that is past its age."""
    db = Database(story.world.environment()["DATABASE_URL"])
    try:
        with db.writing() as session:
            session.add(Project(project_id=story.full_name))
            session.flush()
            session.add(
                Backlog(
                    project_id=story.full_name,
                    issue_key=KEY,
                    category="docs",
                    base_severity="minor",
                    problem="No one is named.",
                    status=BacklogStatus.NEEDS_CLEANUP,
                    occurrences=3,
                    age_in_runs=3,
                    age_in_tiers=1,
                    seen_in_tiers=["T1"],
                    first_seen_run_id="r1",
                    last_seen_run_id="r3",
                    last_seen_at=datetime.now(UTC),
                )
            )
    finally:
        db.close()
