"""A plan is posted, people edit it, and `run` carries it out as it is then."""

from tests.support.answers import edits, phase, plan, tier, write
from tests.support.repository_view import PERSON
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))
FAREWELL = edits(write("farewell.txt", "bye\n"))
THREE = plan(tier(phase("Greet people"), phase("Say nothing"), phase("Say goodbye")))


def _posted(story: Story) -> str:
    """The plan's comment, once it is there; the id of its run."""
    story.comment("/autopack plan")
    assert story.wait_for_end() == "DONE_SUCCESS"
    story.expect_comment("Autopack's plan: 3 phases", f"plan:{story.run_id}")
    return story.run_id


def _other_order(body: str) -> str:
    """The last phase first and with a criterion, the second without a tick."""
    before, _, rest = body.partition("- [x] `P1`")
    first, _, rest = rest.partition("- [x] `P2`")
    second, _, rest = rest.partition("- [x] `P3`")
    third, _, after = rest.partition("\n\n")
    third = f"{third}\n  - It is polite."
    return f"{before}- [x] `P3`{third}\n- [x] `P1`{first}- [ ] `P2`{second}\n\n{after}"


def test_edited_plan_is_carried_out(story: Story) -> None:
    """A phase is left out, the order is changed, a criterion is added; the Planner is not asked again."""
    story.plays(THREE, {"P1": [GREETING], "P3": [FAREWELL]})
    planned = _posted(story)
    assert "Comment `/autopack run`" in story.status()
    story.edit_comment("Autopack's plan", _other_order)
    story.wait_until(lambda: "edited by" in story.status(), "the edit is noted")
    assert f"Version 2 of the plan, edited by {PERSON}" in story.status()
    assert "P2 left out" in story.status()
    story.comment("/autopack run")
    story.wait_until(lambda: len(story.run_ids) == 2, "the run begins")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert [one.role for one in story.requests()].count("planner") == 1
    assert [one.phase for one in story.requests("builder")] == ["P3", "P3", "P1", "P1"]
    assert f"Carries out the plan of {planned}" in story.status().replace("\\", "")
    story.expect_offered(["P3", "P1"])
    story.expect_check("autopack", "neutral", story.commits()[0])
    for name in ("P1", "P3"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_comment(f"status:{planned}")


def test_added_criterion_and_phase(story: Story) -> None:
    story.plays(plan(phase("Greet people")), {"P1": [GREETING], "P2": [FAREWELL]})
    story.comment("/autopack plan")
    assert story.wait_for_end() == "DONE_SUCCESS"
    planned = story.run_id
    criterion = "  - People are greeted."
    more = f"{criterion}\n  - It says **hello** & <b>.\n- [x] Say goodbye"
    story.edit_comment("Autopack's plan", lambda body: body.replace(criterion, more))
    story.wait_until(lambda: "P1 must also" in story.status(), "the edit is noted")
    story.label()
    story.wait_until(lambda: len(story.run_ids) == 2, "the run begins")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    asked = story.requests("builder", "P1")[0].body.decode()
    assert "It says **hello** & <b>." in asked
    assert "Say goodbye" in story.requests("builder", "P2")[0].body.decode()
    story.expect_offered(["P1", "P2"])
    story.expect_check("autopack", "neutral", story.commits()[0])
    for name in ("P1", "P2"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_comment("Autopack's plan", f"plan:{planned}")
    story.expect_comment(f"status:{planned}")


def test_plan_that_cannot_be_read(story: Story) -> None:
    """The edit is answered at once, `run` builds nothing; without the comment, a plan is made anew."""
    story.plays(THREE, {"P1": [GREETING], "P2": [FAREWELL], "P3": [edits(write("more.txt", "x\n"))]})
    planned = _posted(story)
    story.edit_comment("Autopack's plan", lambda body: body.replace("- [x] `P2`", "- [x] `P9`"))
    story.expect_comment("The plan cannot be read as it is now", "the plan has no phase P9", "plan-unreadable:")
    run = story.comment("/autopack run")
    story.expect_comment("The plan cannot be read as it is now", f"plan-unreadable:{run} ")
    assert len(story.run_ids) == 1
    story.delete_comment("Autopack's plan")
    story.comment("/autopack run")
    story.wait_until(lambda: len(story.run_ids) == 2, "the run begins")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert [one.role for one in story.requests()].count("planner") == 2
    story.expect_offered(["P1", "P2", "P3"])
    for sha in story.commits()[:-1]:
        story.expect_check("autopack", "neutral", sha)
    for name in ("P1", "P2", "P3"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_comment(f"status:{planned}")


def test_approval_required(story: Story) -> None:
    """Where the repository wants it, the label has a plan made, and a person's `run` has it built."""
    story.settings["approval"] = "required"
    story.plays(plan(phase("Greet people")), {"P1": [GREETING]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    planned = story.run_id
    story.expect_comment("Autopack's plan: 1 phase", f"plan:{planned}")
    assert "Autopack: Planned" in story.status()
    assert [one.role for one in story.requests()] == ["planner"]
    story.comment("/autopack run")
    story.wait_until(lambda: len(story.run_ids) == 2, "the run begins")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    story.expect_offered(["P1"])
    story.expect_audit("P1")
    story.expect_comment(f"status:{planned}")


def test_questions_by_mention(story: Story) -> None:
    """What is about no run yet, or only asks: help, plan, status and run, each by calling the App."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.comment("@autopack help")
    story.expect_comment("| Command | What it does |")
    story.comment("@autopack plan")
    assert story.wait_for_end() == "DONE_SUCCESS"
    story.expect_comment("Autopack's plan: 1 phase")
    planned = story.run_id
    story.comment("@autopack status")
    story.expect_comment("The status comment is up to date")
    story.comment("@autopack run")
    story.wait_until(lambda: len(story.run_ids) == 2, "the run begins")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    story.expect_offered(["P1"])
    story.expect_audit("P1")
    story.expect_comment(f"status:{planned}")
