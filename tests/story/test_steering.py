"""People steer a run: they pause it, leave phases out, try again, and have more done."""

import os
import subprocess
import sys

import httpx
import pytest

from tests.support.answers import delete, edits, phase, plan, tier, write
from tests.support.repository_view import PERSON
from tests.support.story import Story

GREETING = edits(write("greeting.txt", "hello\n"))
POLITE = edits(write("greeting.txt", "good morning\n"))
FAREWELL = edits(write("farewell.txt", "bye\n"))
MENDED = edits(write("farewell.txt", "bye\n"), delete("broken"))
BROKEN = edits(write("broken", "oops\n"))
TWO = plan(tier(phase(name="Greet"), phase(name="Part")))


def test_pause_sends_no_further_request(story: Story) -> None:
    """In the middle of a conversation: the reply under way is booked, and the conversation goes on from there."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.world.models.hold(role="builder", turn=0)
    story.label()
    story.wait_for_request("builder")
    pause = story.comment("/autopack pause")
    story.wait_until(lambda: story.reactions(pause) == ["eyes"], "the command is acknowledged")
    story.wait_for_status("Autopack: Paused")
    story.world.models.release()
    story.wait_handled()
    again = story.comment("/autopack pause")
    story.expect_comment("is paused already")
    assert len(story.requests("builder")) == 1, "no further request is sent"
    assert f"paused by {PERSON}" in story.status()
    assert "at the latest the run is cancelled" in story.status()
    assert story.reactions(again) == ["eyes"]
    story.comment("/autopack resume")
    story.expect_success()
    story.expect_audit("P1")
    assert len(story.requests("builder")) == 2, "what was said before is not asked again"
    assert f"resumed by {PERSON}" in story.status()
    story.comment("/autopack resume")
    story.expect_comment("has ended")


def test_pause_during_ci_keeps_the_next_phase(story: Story) -> None:
    story.plays(TWO, {"P1": [GREETING], "P2": [FAREWELL]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.comment("/autopack pause")
    story.wait_for_status("Autopack: Paused")
    story.hub.runner.release()
    story.wait_until(lambda: "1 of 2 phases complete" in story.status(), "the first phase is complete")
    assert "Autopack: Paused" in story.status()
    assert story.requests("builder", "P2") == []
    story.comment("/autopack resume", on=story.pull_number())
    story.expect_success(("P1", "P2"))
    _expect_first_review(story)


def _expect_first_review(story: Story) -> None:
    for name in ("P1", "P2"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_check("autopack", "neutral", story.commits()[0])


def test_paused_run_can_be_cancelled(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.world.models.hold(role="planner")
    story.label()
    story.wait_for_request("planner")
    story.comment("/autopack pause")
    story.wait_for_status("Autopack: Paused")
    story.world.models.release()
    story.comment("/autopack cancel")
    assert story.wait_for_end() == "DONE_CANCELLED"
    story.expect_nothing_pushed()


def test_phase_that_has_not_begun_is_skipped(story: Story) -> None:
    story.plays(TWO, {"P1": [GREETING], "P2": [FAREWELL]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.comment("/autopack skip P7")
    story.expect_comment("The run has no phase P7; it has P1, P2.")
    story.comment("/autopack skip p2")
    story.wait_until(lambda: f"skipped by {PERSON}" in story.status(), "the phase is skipped")
    story.hub.runner.release()
    head = story.expect_success()
    story.expect_audit("P1")
    assert story.requests("builder", "P2") == []
    assert "skipped: P2; every other phase is green and audited" in story.status()
    assert story.parents(head) == [story.main]


def test_skipped_phase_is_taken_back(story: Story) -> None:
    """What a phase at work has pushed is undone, and CI judges the branch without it."""
    story.plays(TWO, {"P1": [GREETING], "P2": [BROKEN, FAREWELL]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.hub.runner.release()
    story.wait_until(lambda: len(story.requests("builder", "P2")) > 0, "the second phase begins")
    story.world.models.hold(role="builder", turn=0)
    story.wait_until(lambda: "attempt 2" in story.status(), "the phase is tried again")
    story.comment("/autopack skip P2")
    story.wait_until(lambda: f"skipped by {PERSON}" in story.status(), "the phase is to be skipped")
    story.world.models.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    commits = story.commits()
    assert story.message(commits[-1]).startswith("Take P2 back")
    assert story.hub.git(story.full_name, "diff", commits[0], commits[-1]) == ""
    story.expect_offered(["P1"])
    for sha in commits[:-1]:
        story.expect_check("autopack", "neutral", sha)
    story.expect_audit(f"audit:{story.run_id}:P1:1")


def test_retry_keeps_what_is_green(story: Story) -> None:
    """A run that failed is gone on with: same branch and pull request, and only what is not complete is built."""
    story.settings["categories"] = {"docs": {"builder_tries": 1}}
    story.plays(TWO, {"P1": [GREETING], "P2": [BROKEN, FAREWELL]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "P2")
    failed, pull, branch, red = story.run_id, story.pull_number(), story.branch, story.head()
    story.comment("/autopack retry P1")
    story.expect_comment("P1 is complete: say what to change with `/autopack fix`.")
    story.plays(TWO, {"P2": [MENDED]})
    retry = story.comment("/autopack retry P2")
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert story.branch == branch
    assert story.pull_number() == pull
    assert story.parents(story.head()) == [red]
    assert [one.phase for one in story.requests("builder") if one.phase == "P1"] == ["P1", "P1"]
    assert f"Goes on with {failed}" in story.status().replace("\\", "")
    assert "2 of 2 phases complete" in story.status()
    assert story.reactions(retry) == ["eyes"]
    story.expect_offered(["P2"])
    first = story.commits()[0]
    story.expect_check("autopack", "neutral", first)
    story.expect_check("autopack", "neutral", red)
    story.expect_check("autopack/promotion", "failure", red)
    story.expect_ref(f"refs/autopack/{failed}/P1")
    for key in (f"{failed}:P1:1", f"{failed}:P2:1", f"{story.run_id}:P2:1"):
        story.expect_audit(f"audit:{key}")
    old = story.expect_comment(f"status:{failed}")
    assert f"the run {story.run_id} goes on from here" in old.replace("\\", "")


def test_fix_during_the_run(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING], "REVIEW-1": [POLITE]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    fix = story.comment("/autopack fix Say good morning.\n\nAnd mean it:\n```\ngood morning\n```")
    story.wait_until(lambda: story.reactions(fix) == ["eyes"], "the command is acknowledged")
    story.hub.runner.release()
    assert story.wait_for_end() == "DONE_SUCCESS"
    asked = story.requests("builder", "REVIEW-1")[0].body.decode()
    assert "Say good morning." in asked
    assert "And mean it" in asked
    story.expect_comment("is done in", story.head()[:7], on=story.pull_number())
    story.expect_offered(["P1", "REVIEW-1"])
    for name in ("P1", "REVIEW-1"):
        story.expect_audit(f"audit:{story.run_id}:{name}:1")
    story.expect_check("autopack", "neutral", story.commits()[0])


def test_fix_after_the_end(story: Story) -> None:
    """Once offered, the pull request is a draft again, gets one more commit, and is offered again; twice."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    first_head = story.expect_success()
    story.expect_audit("P1")
    first, pull = story.run_id, story.pull_number()
    story.plays(plan(phase()), {"REVIEW-1": [POLITE], "REVIEW-2": [FAREWELL]})
    story.comment("/autopack fix Say good morning.", on=pull)
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert story.pull_number() == pull
    assert story.parents(story.head()) == [first_head]
    story.expect_comment("is done in", story.head()[:7], on=pull)
    second_head = story.expect_offered(["REVIEW-1"])
    second = story.run_id
    assert "2 of 2 phases complete" in story.status()
    story.comment("/autopack fix Say bye, too.")
    story.wait_until(lambda: len(story.run_ids) == 3, "another run goes on")
    assert story.wait_for_end(3) == "DONE_SUCCESS"
    assert story.parents(story.head()) == [second_head]
    story.expect_comment("is done in", story.head()[:7], on=pull)
    story.expect_offered(["REVIEW-2"])
    for key in (f"{first}:P1:1", f"{second}:REVIEW-1:1", f"{story.run_id}:REVIEW-2:1"):
        if ":P1" not in key:
            story.expect_audit(f"audit:{key}")
    for sha in (first_head, second_head):
        story.expect_check("autopack", "neutral", sha)
        story.expect_check("autopack/promotion", "success", sha)
    for run in (first, second):
        story.expect_comment(f"status:{run}")
    story.comment("/autopack retry")
    story.expect_comment("The run ended well: say what to change with `/autopack fix`.")


def test_boxes_are_ticked(story: Story) -> None:
    """GitHub sends the edit of the status comment; it is written anew, and ticking it as an outsider does nothing."""
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.tick("Pause")
    story.wait_for_status("Autopack: Paused")
    assert "- [x]" not in story.status()
    story.tick("Resume")
    story.wait_for_status("Autopack: Waiting for CI")
    assert f"resumed by {PERSON}" in story.status()
    story.tick("Cancel")
    assert story.wait_for_end() == "DONE_CANCELLED"
    story.expect_check("autopack", "cancelled")
    story.expect_check("autopack/promotion", "failure")
    story.expect_ref(f"refs/heads/{story.branch}", story.head())
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.pull()
    cancelled = story.run_id
    story.hub.runner.release()
    story.plays(plan(phase()), {"P1": [edits(summary="It is there already.")]})
    story.tick("Retry")
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert story.parents(story.expect_offered(["P1"])) == [story.main]
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_comment(f"status:{cancelled}")


def test_every_command_over_the_api(story: Story) -> None:
    """The registry's commands, over REST and by the command line; what does not fit the run's state is refused."""
    story.settings["categories"] = {"docs": {"builder_tries": 1}}
    story.plays(TWO, {"P1": [GREETING], "P2": [BROKEN]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    run, service = story.run_id, story.world.service
    paused = httpx.post(f"{service.url}/runs/{run}/pause", json={"by": "night shift"}, timeout=30)
    assert paused.status_code == 200, paused.text
    story.wait_for_status("Autopack: Paused")
    assert "paused by night shift" in story.status()
    refused = httpx.post(f"{service.url}/runs/{run}/pause", timeout=30)
    assert (refused.status_code, "paused already" in refused.json()["detail"]) == (409, True)
    assert _cli(story, "resume", run) == f"The run {run} goes on.\n"
    assert httpx.post(f"{service.url}/runs/{run}/skip", json={}, timeout=30).status_code == 422
    assert httpx.post(f"{service.url}/runs/{run}/fix", json={"text": " "}, timeout=30).status_code == 422
    assert httpx.post(f"{service.url}/runs/none/cancel", timeout=30).status_code == 404
    assert "Refused (409): The run has no phase P9" in _cli(story, "skip", run, "P9", fails=True)
    assert "has not ended" in _cli(story, "promote", run)
    story.hub.runner.release()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "P2")
    red = story.head()
    assert "CI_RUNNING" in _cli(story, "logs", run)
    assert "DONE_FAILED_REQUIRES_HUMAN_REVIEW" in _cli(story, "logs", run, "--follow")
    assert run in _cli(story, "runs")
    assert "P2" in _cli(story, "show", run)
    story.plays(TWO, {"P2": [MENDED]})
    assert "goes on with it" in _cli(story, "retry", run)
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    story.expect_offered(["P2"])
    for sha in story.commits()[:-1]:
        story.expect_check("autopack", "neutral", sha)
    story.expect_check("autopack/promotion", "failure", red)
    for key in (f"{run}:P1:1", f"{run}:P2:1", f"{story.run_id}:P2:1"):
        story.expect_audit(f"audit:{key}")
    story.expect_ref(f"refs/autopack/{run}/P1")
    story.expect_comment(f"status:{run}")


@pytest.mark.parametrize("way", ["comment", "mention", "rest", "command line"])
def test_each_command_each_way(story: Story, way: str) -> None:
    """The same run is paused, resumed, shortened, asked about, cancelled, retried and corrected."""
    story.plays(TWO, {"P1": [GREETING], "P2": [FAREWELL]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    _give(story, way, "pause")
    story.wait_for_status("Autopack: Paused")
    _give(story, way, "resume")
    story.wait_for_status("Autopack: Waiting for CI")
    _give(story, way, "skip", "P2")
    story.wait_for_status("skipped by")
    answer = _give(story, way, "promote")
    assert "has not ended" in (answer or story.expect_comment("has not ended"))
    _give(story, way, "cancel")
    assert story.wait_for_end() == "DONE_CANCELLED"
    cancelled = story.run_id
    story.hub.runner.release()
    story.plays(TWO, {"P1": [edits(summary="It is there already.")], "P2": [FAREWELL], "REVIEW-1": [POLITE]})
    story.world.models.hold(role="builder", turn=0)
    _give(story, way, "retry")
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    story.wait_until(lambda: len(story.requests("builder", "P1")) == 3, "its first phase is at work")
    _give(story, way, "fix", "Say good morning.")
    story.wait_handled()
    story.world.models.release()
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    assert "Say good morning." in story.requests("builder", "REVIEW-1")[0].body.decode()
    assert f"Goes on with {cancelled}" in story.status().replace("\\", "")
    story.read_all()


def _give(story: Story, way: str, command: str, argument: str = "") -> str:
    """Give a command about the run; what is answered, where the way has an answer."""
    if way in {"comment", "mention"}:
        story.comment(" ".join(filter(None, ("/autopack" if way == "comment" else "@autopack", command, argument))))
        story.wait_handled()
        return ""
    if way == "command line":
        return _cli(story, *filter(None, (command, story.run_id, argument)))
    body = {"phase_id": argument} if command == "skip" else {"text": argument} if argument else {}
    given = httpx.post(f"{story.world.service.url}/runs/{story.run_id}/{command}", json=body, timeout=30)
    assert given.status_code == 200, given.text
    return str(given.json()["message"])


def test_fix_over_the_api_is_done_once(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [GREETING]})
    story.label()
    head, run = story.expect_success(), story.run_id
    story.expect_audit("P1")
    story.plays(plan(phase()), {"REVIEW-1": [POLITE]})
    address, body = f"{story.world.service.url}/runs/{run}/fix", {"text": "Say good morning.", "request_id": "one"}
    first, again = (httpx.post(address, json=body, timeout=30).json() for _ in range(2))
    assert first["run_id"] == again["run_id"]
    story.wait_until(lambda: len(story.run_ids) == 2, "another run goes on")
    assert story.wait_for_end(2) == "DONE_SUCCESS"
    story.expect_offered(["REVIEW-1"])
    story.expect_comment("is done in", on=story.pull_number())
    assert "Refused (409): The run ended well" in _cli(story, "retry", story.run_id, fails=True)
    story.expect_check("autopack", "neutral", head)
    story.expect_check("autopack/promotion", "success", head)
    story.expect_audit(f"audit:{story.run_id}:REVIEW-1:1")
    story.expect_comment(f"status:{run}")
    story.expect_comment("Autopack: Done", f"summary:{run}", on=story.pull_number())


def _cli(story: Story, *words: str, fails: bool = False) -> str:
    """What the command line prints, with the service's address in the environment."""
    environment = {**os.environ, "AUTOPACK_URL": story.world.service.url, "COLUMNS": "200"}
    command = [sys.executable, "-m", "app.cli", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode != 0) is fails, ended.stdout + ended.stderr
    return ended.stderr if fails else ended.stdout
