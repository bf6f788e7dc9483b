"""Few notifications: what people get mail for, counted over whole runs. Edits, checks and reactions notify nobody.

https://docs.github.com/en/subscriptions-and-notifications/concepts/about-notifications
"""

from app.cli import DEMO
from app.replay import load_recordings
from tests.support.answers import edits, finding, finds, phase, plan, write
from tests.support.story import Story

NOTIFIES = ("comment.created", "review.created", "pull.created")


def _notifications(story: Story) -> list[str]:
    """Comments, reviews and pull requests of the App; answers in threads are looked for apart."""
    journal = story.hub.journal(story.full_name)
    of_reviews = sum(entry.kind == "review_comment.created" for entry in journal)
    inline = len([one for one in story.line_comments() if not one.get("in_reply_to_id")])
    answers = ["answer in a thread"] * (of_reviews - inline)
    return [entry.kind for entry in journal if entry.kind in NOTIFIES] + answers


def test_demo_notifies_four_times(story: Story) -> None:
    """The demo's repository, issue and recording: status, pull request, the review that found something, the end."""
    root = DEMO / "repository"
    paths = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    story.files = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in paths}
    story.title, _, story.body = (DEMO / "issue.md").read_text(encoding="utf-8").removeprefix("# ").partition("\n")
    story.settings = {}
    story.plays_recording(load_recordings(DEMO / "recording.yaml")["*"])
    story.label()
    story.expect_success(("P1", "P2", "P3"))
    assert len(_notifications(story)) <= 4, _notifications(story)
    story.read_all()


def test_failed_run_notifies_three_times(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("broken", text)) for text in ("oops\n", "again\n")]})
    story.label()
    incident = story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "CI is red")
    assert len(_notifications(story)) <= 3, _notifications(story)
    for said in (incident, story.status()):
        assert f"**Failing job:** {story.hub.url}/{story.full_name}/actions/runs/" in said.partition("<details>")[0]
    story.read_all()


def test_fixed_finding_notifies_once(story: Story) -> None:
    """That it is fixed is written into its own comment, and the thread resolved."""
    wrong = finding("greeting.txt", 1)
    fixed = edits(write("greeting.txt", "hi\n"))
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n")), finds(wrong), fixed]})
    story.label()
    assert story.wait_for_end().startswith("DONE_")
    assert _notifications(story).count("review.created") == 1
    story.read_all()
