"""What people say without a command changes the run, or is answered."""

from tests.support.answers import approves_but, edits, finding, finds, phase, plan, write
from tests.support.repository_view import PERSON
from tests.support.story import OUTSIDER, Story

GREETING = edits(write("greeting.txt", "hello\n"))
POLITE = edits(write("greeting.txt", "good morning\n"))
COLD = finding("greeting.txt", 1, "The greeting is cold.")


def test_finding_called_wrong_is_settled(story: Story) -> None:
    """The phase passes without another attempt, and no later run of the repository reports it again."""
    story.plays(plan(phase()), {"P1": [GREETING, finds(COLD)]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.wait_until(lambda: len(story.line_comments()) == 1, "the finding is shown")
    [shown] = story.line_comments()
    story.answer_line(shown, "Wrong, because I say so.", by=OUTSIDER)
    said = story.answer_line(shown, "Wrong, because the issue asks for hello.")
    story.wait_until(lambda: story.line_reactions(said["id"]) == ["eyes"], "it is acknowledged")
    story.wait_handled()
    story.hub.runner.release()
    story.expect_success()
    story.expect_review("This is not right yet.")
    story.expect_resolved_threads(1)
    story.expect_fixed(shown, f"Not a problem, says `{PERSON}`", "right after all")
    assert len(story.commits()) == 1
    assert f"wrong, says {PERSON}: the issue asks for hello." in story.status().replace("\\", "")

    story.number = story.open_issue("Greet people again")
    story.plays(plan(phase()), {"P1": [GREETING, finds(COLD)]})
    story.label()
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    story.expect_offered(["P1"])
    asked = story.requests("auditor")[-1].body.decode()
    assert "greeting.txt: The greeting is cold." in asked
    assert f"Wrong, says {PERSON}, because the issue asks for hello" in asked
    story.expect_audit("Left out: 1 of its findings")


def test_verdict_is_taken_back(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING, approves_but(finding("greeting.txt", 1, severity="minor"))]})
    story.label()
    story.expect_success()
    story.expect_review("Good enough.")
    [shown] = story.line_comments()
    story.answer_line(shown, "This is a false positive.")
    story.wait_until(lambda: "Findings: 0 open" in story.status(), "it is closed")
    story.answer_line(shown, "right after all")
    story.wait_until(lambda: "Findings: 1 open" in story.status(), "it is open again")
    story.wait_handled()
    story.expect_resolved_threads(1)
    story.expect_fixed(shown, "Not a problem, says")


def test_answer_to_a_finding_is_a_request(story: Story) -> None:
    story.plays(
        plan(phase()),
        {
            "P1": [GREETING, approves_but(finding("greeting.txt", 1, "Too short.", severity="minor"))],
            "REVIEW-1": [POLITE],
        },
    )
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    story.wait_until(lambda: len(story.line_comments()) == 1, "the finding is shown")
    [shown] = story.line_comments()
    said = story.answer_line(shown, "Say good morning instead.")
    story.wait_for_status(f"{PERSON} commented on a line")
    story.hub.runner.release()
    story.expect_success(["P1", "REVIEW-1"])
    asked = story.requests("builder", "REVIEW-1")[0].body.decode()
    assert "Too short." in asked
    assert "Say good morning instead." in asked
    assert story.line_reactions(said["id"]) == ["eyes"]
    [answer] = [one for one in story.line_comments() if one.get("in_reply_to_id") == shown["id"]]
    assert f"Done in {story.head()[:7]}." in answer["body"]
    story.read_all()
    story.expect_check("autopack", "neutral", first)


def test_answer_is_answered_again(story: Story) -> None:
    """After Autopack's answer, thanks ask for nothing; a second request closes promotion until it is done."""
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [POLITE]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.line_comment("greeting.txt", 1, "Say good morning.")
    story.wait_for_status(f"{PERSON} commented on a line")
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    story.wait_until(lambda: story.pull()["draft"] is False, "it is offered")
    thread = story.expect_thread("greeting.txt", "Say good morning.")
    story.answer_line(thread, "Thanks, looks good to me!")
    story.wait_handled()
    assert story.pull()["draft"] is False
    said = story.answer_line(thread, "Better, but say it to everyone.")
    story.wait_until(lambda: story.pull()["draft"] is True, "it is a draft again")
    story.plays(plan(phase()), {"REVIEW-2": [edits(write("greeting.txt", "good morning all\n"))]})
    story.comment("/autopack retry", on=story.pull_number())
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert "say it to everyone" in story.requests("builder", "REVIEW-2")[0].body.decode()
    assert story.line_reactions(said["id"]) == ["eyes"]
    answers = [one["body"] for one in story.line_comments() if one.get("in_reply_to_id") == thread["id"]]
    assert len(answers) == 2
    story.wait_until(lambda: story.pull()["draft"] is False, "it is offered again")
    story.read_all()


def test_comment_goes_to_the_next_attempt(story: Story) -> None:
    story.plays(
        plan(phase("Greet people"), phase("Say goodbye")),
        {"P1": [GREETING], "P2": [edits(write("bye.txt", "bye\n"))]},
    )
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    said = story.comment("Say it in French too, please.")
    thanks = story.comment("Thank you!")
    other = story.comment("Say it in Latin too, please.", by=OUTSIDER)
    story.wait_until(lambda: story.reactions(said) == ["eyes"], "it is acknowledged")
    story.wait_handled()
    story.hub.runner.release()
    story.expect_success(["P1", "P2"])
    asked = story.requests("builder", "P2")[0].body.decode()
    assert f"{PERSON}: Say it in French too, please." in asked
    assert "Latin" not in asked
    assert "in French too" in story.requests("auditor", "P2")[0].body.decode()
    assert (story.reactions(thanks), story.reactions(other)) == ([], [])
    assert "is given to attempt 1 of P2" in story.status()
    story.read_all()


def test_comment_after_the_last_attempt_is_said(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    said = story.comment("Say it in French too, please.", on=story.pull_number())
    story.wait_until(lambda: story.reactions(said) == ["eyes"], "it is acknowledged")
    story.hub.runner.release()
    story.expect_success()
    story.expect_audit("P1")
    assert "came after the last attempt: `/autopack fix` has it done" in story.status().replace("\\", "")


DRAFT = """\
on: {pull_request: {types: [opened, synchronize, ready_for_review]}}
jobs: {test: {if: "!github.event.pull_request.draft", runs-on: x, steps: [{run: "true"}]}}
"""


def test_request_at_the_very_end_starts_a_run(story: Story) -> None:
    """While CI judges the pull request out of draft, all requests are read already: another run does this one."""
    story.files[".github/workflows/ci.yml"] = DRAFT
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [POLITE]})
    story.world.models.hold(role="auditor")
    story.label()
    story.wait_for_request("auditor")
    story.hub.runner.wait_idle()
    story.hub.runner.hold()
    story.world.models.release()
    story.wait_until(lambda: story.pull_number() > 0 and story.pull()["draft"] is False, "it leaves draft")
    story.wait_for_status("Autopack: Waiting for CI")
    first = story.run_id
    story.comment("/autopack fix Say good morning.")
    story.wait_handled()
    story.hub.runner.release()
    story.wait_until(lambda: len(story.run_ids) == 2, "another run begins by itself")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert f"Goes on with {first}" in story.status().replace("\\", "")
    assert story.file("greeting.txt") == "good morning"
    story.expect_comment("is done in", story.head()[:7], on=story.pull_number())
    story.read_all()
