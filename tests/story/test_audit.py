"""The Auditor's findings: shown on the diff, given back to the Builder, resolved once they are fixed."""

from tests.support.answers import approves, approves_but, command, edits, finding, finds, phase, plan, write
from tests.support.story import Story

LARGE = f"{'x' * 250_000}\n"
"""A line that is longer than what the Auditor reads in one request."""
BEFORE = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n"


def test_finding_is_fixed_and_its_thread_resolved(story: Story) -> None:
    story.files["numbers.txt"] = BEFORE
    wrong = finding("numbers.txt", 9, "Nine became nein.", replacement="nine!")
    story.plays(
        plan(phase()),
        {
            "P1": [
                edits(write("numbers.txt", BEFORE.replace("nine", "nein"))),
                finds(wrong, summary="Mind the language."),
                edits(write("numbers.txt", BEFORE.replace("nine", "nine!"))),
                approves("Well said.", fixed=[wrong]),
            ]
        },
    )
    story.label()
    head = story.expect_success()
    first = story.commits()[0]
    story.expect_check("autopack", "neutral", first)
    review = story.expect_review("Mind the language.", "The Auditor asks for changes")
    assert review["commit_id"] == first
    story.expect_audit("Well said.")
    comment = story.expect_review_comment("numbers.txt", 9, "Nine became nein.", "```suggestion\nnine!\n```")
    assert comment["side"] == "RIGHT"
    story.expect_resolved_threads(1)
    story.expect_fixed(comment, "Fixed in " + head[:7])
    assert "Nine became nein." in story.requests("builder")[-1].body.decode()
    assert "Nine became nein." in story.requests("auditor")[-1].body.decode(), "the Auditor knows what is open"
    assert "Findings: 0 open, 1 settled" in story.status()


def test_finding_outside_diff_is_in_body(story: Story) -> None:
    story.files["numbers.txt"] = BEFORE
    story.plays(
        plan(phase()),
        {
            "P1": [
                edits(write("numbers.txt", BEFORE.replace("one", "ONE"))),
                approves_but(finding("numbers.txt", 9, "Nine is old.", severity="minor")),
            ]
        },
    )
    story.label()
    story.expect_success()
    review = story.expect_review("Not on a line of this diff", "Nine is old.")
    assert "numbers.txt:9" in review["body"]
    assert "Findings: 1 open" in story.status()


def test_dangerous_category_is_audited_before_anything_is_pushed(story: Story) -> None:
    wrong = finding("login.txt", 1, "Everyone may come in.")
    story.world.models.hold(role="auditor")
    story.plays(
        plan(phase(category="security_auth_change", complexity="high")),
        {
            "P1": [
                edits(write("login.txt", "open\n")),
                finds(wrong),
                edits(write("login.txt", "closed\n")),
                approves("The door is closed.", fixed=[wrong]),
            ]
        },
    )
    story.label()
    story.wait_for_request("auditor")
    story.expect_nothing_pushed()
    story.world.models.release()
    head = story.expect_success()
    assert story.commits() == [head], "what the Auditor sent back was never pushed"
    assert story.message(head).startswith("[strict] P1: ")
    story.expect_audit("The door is closed.")
    assert "Findings: 0 open, 1 settled" in story.status()


def test_endless_rejections_need_a_person(story: Story) -> None:
    wrong = finding("greeting.txt", 1, "This is no greeting.")
    tries = [answer for word in ("a", "b") for answer in (edits(write("greeting.txt", word)), finds(wrong))]
    story.plays(plan(phase()), {"P1": tries})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "This is no greeting.")
    assert len(story.requests("auditor")) == 2
    story.expect_draft()
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_audit(f"audit:{story.run_id}:P1:1")
    story.expect_audit(f"audit:{story.run_id}:P1:2")
    story.expect_review_comment("greeting.txt", 1, "This is no greeting.")
    story.expect_resolved_threads(0)


def test_rejected_dangerous_work_is_never_pushed(story: Story) -> None:
    wrong = finding("login.txt", 1, "Everyone may come in.")
    tries = [answer for word in ("a", "b") for answer in (edits(write("login.txt", word)), finds(wrong))]
    story.plays(plan(phase(category="security_auth_change", complexity="high")), {"P1": tries})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "Everyone may come in.")
    story.expect_nothing_pushed()


def test_auditor_of_another_vendor_than_the_builder(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n"))]})
    story.label()
    story.expect_success()
    vendors = {one.role: one.vendor for one in story.requests()}
    assert vendors["builder"] != vendors["auditor"]
    for role in ("builder", "auditor"):
        story.expect_audit("`P1`", story.requests(role)[0].model)


def test_too_many_minor_findings_fail_run(story: Story) -> None:
    story.settings["safety"] = "safety_critical"
    doubts = [finding("greeting.txt", 1, problem, severity="minor") for problem in ("It is short.", "It is dull.")]
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n")), approves_but(*doubts)]})
    story.label()
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", "tier T1", "is not clean", "the safety profile")
    story.expect_review_comment("greeting.txt", 1, "It is short.")
    story.expect_review_comment("greeting.txt", 1, "It is dull.")
    story.expect_audit("P1")
    story.expect_draft()
    story.expect_ref(f"refs/autopack/{story.run_id}/P1")


def test_diff_over_the_auditors_window_is_not_approved(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("large.txt", LARGE)), edits(write("greeting.txt", "hello\n"))]})
    story.label()
    why = ("the Auditor reads at most 1,200,000", "Make the change smaller")
    story.expect_failure("DONE_FAILED_REQUIRES_HUMAN_REVIEW", *why)
    assert story.requests("auditor") == [], "nothing is paid for it"
    for number in (1, 2):
        story.expect_audit(
            f"audit:{story.run_id}:P1:{number}", "The Auditor asks for changes", *why, "audited by `no m"
        )
    assert why[0] in story.requests("builder")[-1].body.decode(), "the Builder knows what to change"
    assert len(story.commits()) == 2, "a small change on top does not get the large one approved"
    story.expect_check("autopack", "neutral", story.commits()[0])
    story.expect_draft()


def test_smaller_second_diff_is_audited_whole(story: Story) -> None:
    story.plays(plan(phase()), {"P1": [edits(write("large.txt", LARGE)), edits(write("large.txt", "small\n"))]})
    story.label()
    story.expect_success()
    story.expect_audit("Make the change smaller")
    story.expect_audit("Nothing blocks it.")
    (asked,) = story.requests("auditor")
    assert b"new file mode" in asked.body, "it reads all that the phase changed"
    assert b"audit__patch__diff_over" not in asked.body
    story.expect_check("autopack", "neutral", story.commits()[0])
    assert "Findings: 0 open, 1 settled" in story.status()


def test_large_diff_is_audited_whole_in_parts(story: Story) -> None:
    """Every changed line is in a prompt, and the parts come to one audit."""
    story.settings["patch"] = {"max_lines": 7_000}
    lines = [f"{number:05} " + "x" * 60 for number in range(6_000)]
    files = [
        write(f"part{n}.txt", "".join(f"{line}\n" for line in lines[n * 2_000 : (n + 1) * 2_000])) for n in range(3)
    ]
    doubt = finding("part0.txt", 1, "It is dull.", severity="minor")
    story.plays(plan(phase(category="feature_scaffolding")), {"P1": [edits(*files), approves_but(doubt)]})
    story.label()
    story.expect_success()
    asked = [request.body.decode() for request in story.requests("auditor")]
    assert len(asked) == 3
    assert all(f"this is part {number}." in text for number, text in enumerate(asked, 1))
    assert [line for line in lines if not any(line in text for text in asked)] == []
    story.expect_review("Part 1: Good enough.", "Part 3: Good enough.")
    story.expect_review_comment("part0.txt", 1, "It is dull.")


def test_large_binary_files_hide_no_source_file(story: Story) -> None:
    hide = "head -c 150000 /dev/urandom > a.png; echo open > login.txt; head -c 150000 /dev/urandom > z.png"
    story.settings["commands"] = {"allowed": True}
    story.plays(plan(phase(category="security_auth_change", complexity="high")), {"P1": [edits(command(hide))]})
    story.label()
    assert story.wait_for_end() == "DONE_SUCCESS"
    [asked] = [request.body.decode() for request in story.requests("auditor")]
    assert "R1 +open" in asked
    assert asked.count("not shown: sha256") == 2
    found = story.expect_check("autopack/integrity", "failure")["output"]["summary"].replace("\\", "")
    assert "a.png is binary, so that no rule and no Auditor has read it" in found
    assert story.pull()["draft"] is True
    story.read_all()
