"""People review the pull request: what they request is done and answered, and keeps promotion closed until then."""

from tests.support.answers import edits, phase, plan, write
from tests.support.repository_view import PERSON
from tests.support.story import OUTSIDER, Story

GREETING = edits(write("greeting.txt", "hello\n"))
POLITE = edits(write("greeting.txt", "good morning\n"))
ASKED = ("greeting.txt", 1, "Say good morning.")


def _expect_closed(story: Story, *why: str) -> None:
    said = story.expect_check("autopack/promotion", "failure")["output"]["summary"].replace("\\", "")
    for words in why:
        assert words in said
    assert story.pull()["draft"] is True


def test_requested_changes_become_a_phase(story: Story) -> None:
    """During CI: after the plan's phases the Builder does what the review asks for, and each thread is answered."""
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [POLITE]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    story.review("REQUEST_CHANGES", "Please be polite.", ASKED)
    story.wait_for_status(f"{PERSON} requested changes")
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    head = story.head()
    assert story.parents(head) == [first]
    assert story.file("greeting.txt") == "good morning"
    asked = story.requests("builder", "REVIEW-1")[0].body.decode()
    assert "Please be polite." in asked
    assert "greeting.txt:1: Say good morning." in asked
    thread = story.expect_thread("greeting.txt", "Say good morning.")
    story.expect_reply(thread, f"Done in {head[:7]}.")
    story.expect_comment("Promotion stays closed until", f"is done in {head[:7]}", on=story.pull_number())
    _expect_closed(story, f"{PERSON} requested changes", f"they are in {head[:7]}", "an approval")
    story.expect_comment("Autopack: Done", f"summary:{story.run_id}", on=story.pull_number())
    story.review("APPROVE", "")
    story.wait_until(lambda: story.pull()["draft"] is False, "the pull request is offered")
    story.wait_handled()
    story.expect_check("autopack/promotion", "success", head)
    story.expect_check("autopack", "success", head)
    story.expect_check("autopack", "neutral", first)
    for name in ("P1", "REVIEW-1"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
        story.expect_ref(f"refs/autopack/{story.run_id}/{name}")
    story.expect_ref(f"refs/heads/{story.branch}", head)
    assert "Review and merge the pull request" in story.status()


def test_review_after_the_end_closes_promotion(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    requested = story.review("REQUEST_CHANGES", "Not like this.")
    story.wait_until(lambda: story.pull()["draft"] is True, "the pull request is a draft again")
    story.wait_handled()
    _expect_closed(story, f"{PERSON} requested changes in a review, which are not made")
    assert "Settle what keeps the pull request from being merged" in story.status()
    story.dismiss(requested)
    story.wait_until(lambda: story.pull()["draft"] is False, "the pull request is offered again")
    story.wait_handled()
    story.expect_check("autopack/promotion", "success", head)


def test_reviews_that_decide_nothing(story: Story) -> None:
    """A comment, and a request of somebody without write access, keep nothing closed."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.review("COMMENT", "Nice.")
    story.review("REQUEST_CHANGES", "I want another color.", by=OUTSIDER)
    story.hub.runner.release()
    story.expect_success()
    story.expect_audit("P1")
    assert "requested changes" not in story.status()


def test_promote_says_what_prevents_it(story: Story) -> None:
    """Also where the review's event was lost: it is read again. A foreign commit is not called audited."""
    story.comment("/autopack promote")
    story.expect_comment("There is no run for this issue.")
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    story.hub.webhooks.pause()
    requested = story.review("REQUEST_CHANGES", "Not like this.")
    story.hub.webhooks.lose()
    story.hub.webhooks.resume()
    story.comment("/autopack promote", on=story.pull_number())
    story.expect_comment("The run may not be promoted", "requested changes", on=story.pull_number())
    _expect_closed(story, f"{PERSON} requested changes")
    story.hub.webhooks.pause()
    story.dismiss(requested)
    story.hub.webhooks.lose()
    story.hub.webhooks.resume()
    story.comment("/autopack promote")
    story.expect_comment("Nothing prevents promotion: every phase is green and audited.")
    story.expect_check("autopack/promotion", "success", head)
    assert story.pull()["draft"] is False
    theirs = story.push(story.branch, {"mine.txt": "mine\n"})
    story.comment("/autopack promote")
    story.expect_comment(f"{theirs[:7]} now, which Autopack neither wrote nor audited")


def test_late_ci_opens_promotion(story: Story) -> None:
    """A run that no CI judged is promotable once one has, and somebody says so."""
    story.files.pop(".github/workflows/ci.yml")
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    head = story.head()
    story.expect_audit("P1")
    _expect_closed(story, "no CI judged the commits")
    story.expect_comment("not eligible", f"summary:{story.run_id}", on=story.pull_number())
    story.hub.report_check(story.full_name, head, "nightly", app_slug="other-ci", conclusion="success")
    story.comment("/autopack promote")
    story.expect_comment("Nothing prevents promotion")
    story.expect_check("autopack/promotion", "success", head)
    story.expect_check("autopack", "success", head)
    assert story.pull()["draft"] is False
    story.expect_ref(f"refs/heads/{story.branch}", head)


def test_line_comments_are_answered(story: Story) -> None:
    """Each thread of a person: one by the commit that does it, one by the reason why nothing does."""
    story.plays(
        plan(phase()),
        {
            "P1": [edits(write("greeting.txt", "hello\n"), write("other.txt", "one\n"))],
            "REVIEW-1": [
                edits(write("greeting.txt", "good morning\n"), declined={2: "One is what the issue asks for."})
            ],
        },
    )
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    story.line_comment("greeting.txt", 1, "Say good morning.")
    story.line_comment("other.txt", 1, "Why not two?")
    story.line_comment("other.txt", 1, "I want three.", by=OUTSIDER)
    story.wait_for_status(f"{PERSON} commented on a line")
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    done, refused = (
        story.expect_thread("greeting.txt", "Say good morning."),
        story.expect_thread("other.txt", "Why not two?"),
    )
    story.expect_reply(done, f"Done in {story.head()[:7]}.")
    story.expect_reply(refused, "Not done: One is what the issue asks for.")
    asked = story.requests("builder", "REVIEW-1")[0].body.decode()
    assert "other.txt:1: Why not two?" in asked
    assert "I want three" not in asked
    story.expect_offered(["P1", "REVIEW-1"])
    story.expect_check("autopack", "neutral", first)
    for name in ("P1", "REVIEW-1"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    assert all(story.line_reactions(one["id"]) == ["eyes"] for one in (done, refused))


def test_comment_that_asks_for_nothing(story: Story) -> None:
    """The Builder declines it, nothing is pushed for it, and promotion is open."""
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [edits(declined={1: "No change is asked for."})]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    head = story.head()
    story.line_comment("greeting.txt", 1, "Nice!")
    story.wait_for_status(f"{PERSON} commented on a line")
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    assert story.head() == head
    story.expect_reply(story.expect_thread("greeting.txt", "Nice!"), "Not done: No change is asked for.")
    story.expect_offered(["P1"])
    story.expect_audit("P1")


def test_comment_after_the_end_is_seen_to(story: Story) -> None:
    """It keeps promotion closed until it is done by `retry`."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    head = story.expect_success()
    story.expect_audit("P1")
    run = story.run_id
    story.line_comment("greeting.txt", 1, "Say good morning.")
    story.wait_until(lambda: story.pull()["draft"] is True, "the pull request is a draft again")
    story.wait_handled()
    _expect_closed(story, f"{PERSON} commented on a line", "is not answered")
    story.plays(plan(phase()), {"REVIEW-1": [POLITE]})
    story.comment("/autopack retry", on=story.pull_number())
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    story.expect_reply(story.expect_thread("greeting.txt", "Say good morning."), f"Done in {story.head()[:7]}.")
    story.expect_offered(["REVIEW-1"])
    story.expect_check("autopack", "neutral", head)
    story.expect_check("autopack/promotion", "failure", head)
    story.expect_audit(f"audit:{story.run_id}:REVIEW-1:1")
    story.expect_comment(f"status:{run}")
    story.expect_comment("Autopack: Done", f"summary:{run}", on=story.pull_number())


def test_two_rounds_of_requested_changes(story: Story) -> None:
    """What is requested while the first is made becomes a second phase, in a tier of its own."""
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [POLITE], "REVIEW-2": [edits(write("more.txt", "x\n"))]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    first = story.head()
    story.line_comment("greeting.txt", 1, "Say good morning.")
    story.wait_for_status(f"{PERSON} commented on a line")
    story.world.models.hold(role="builder", turn=0)
    story.hub.runner.release()
    story.wait_until(lambda: len(story.requests("builder", "REVIEW-1")) == 1, "the first request is being made")
    story.comment("/autopack fix Write more.")
    story.wait_handled()
    story.world.models.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    second = story.commits()[1]
    story.expect_offered(["P1", "REVIEW-1", "REVIEW-2"])
    story.expect_reply(story.expect_thread("greeting.txt", "Say good morning."), "Done in")
    story.expect_comment("is done in", on=story.pull_number())
    for sha in (first, second):
        story.expect_check("autopack", "neutral", sha)
    for name in ("P1", "REVIEW-1", "REVIEW-2"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
