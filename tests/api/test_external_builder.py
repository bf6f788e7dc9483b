"""`examples/external_builder.py` drives a run of the live service, as a reader would start it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import Service
from tests.support.story import Story

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAM = EXAMPLES / "external_builder.py"
SECONDS = 90
LINES = 80


def plan(run_id: str) -> dict[str, Any]:
    """The example's plan under another id: it is sent elsewhere too."""
    found: dict[str, Any] = json.loads((EXAMPLES / "test_run.json").read_text(encoding="utf-8"))
    found["run"]["run_id"] = run_id
    return found


def drive(service: Service, folder: Path, asked: dict[str, Any], program: Path = PROGRAM, **environment: str) -> str:
    """Run the program to its end; what it printed, its complaints last."""
    (folder / "plan.json").write_text(json.dumps(asked), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(program), "plan.json", service.url],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return ended.stdout + ended.stderr


def test_it_drives_a_run_to_its_success(service: Service, tmp_path: Path) -> None:
    printed = drive(service, tmp_path, plan("driven"))
    summary = json.loads(printed[printed.index("{") :])
    assert (summary["run_id"], summary["state"]) == ("driven", "DONE_SUCCESS")
    assert [(one["state"], one["builder_attempts"], one["tokens_used"]) for one in summary["phases"]] == [
        ("COMPLETE", 1, 1000),
        ("COMPLETE", 1, 1000),
        ("COMPLETE", 1, 1000),
    ]
    assert [one["auditor_attempts"] for one in summary["phases"]] == [0, 1, 0]
    run = httpx.get(f"{service.url}/runs/driven").json()
    assert run["promotion_eligible_to_main"]


def test_it_rebuilds_rejected_and_unreadable_work(service: Service, tmp_path: Path) -> None:
    """Its builder is replaced as its docstring says: first no diff, then a failure, then the work."""
    careless = tmp_path / "careless.py"
    asked = 'if not feedback: return {"status": "success", "patch_content": "diff --git..."}\n'
    asked += '    if phase["builder_attempts"] == 0: return {"status": "failed", "notes": "tests are red"}\n    '
    text = PROGRAM.read_text(encoding="utf-8")
    assert text.count("path, text = f") == 1
    careless.write_text(text.replace("path, text = f", f"{asked}path, text = f"), encoding="utf-8")
    printed = drive(service, tmp_path, plan("careless"), careless)
    assert "refused: The patch holds no file" in printed
    assert "is sent back: tests are red" in printed
    assert json.loads(printed[printed.index("{") :])["state"] == "DONE_SUCCESS"


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_it_waits_for_ci_and_auditor(story: Story, tmp_path: Path) -> None:
    """Its auditor is replaced by no one."""
    nobody = tmp_path / "nobody.py"
    text = PROGRAM.read_text(encoding="utf-8")
    assert text.count('    return {"recommendation"') == 1
    nobody.write_text(text.replace('    return {"recommendation"', '    return None\n    return {"recommendation"'))
    asked = plan("in-a-repository")
    story.plays(phases={phase["phase_id"]: [] for phase in asked["phases"]})
    story.begin()
    story.turn_to("in-a-repository")
    asked["run"]["repository"] = story.full_name
    printed = drive(story.world.service, tmp_path, asked, nobody)
    assert json.loads(printed[printed.index("{") :])["state"] == "DONE_SUCCESS"
    assert "Autopack's own Auditor is at work" in printed
    story.wait_idle()
    assert story.file("notes/P1.2.md") is not None
    story.expect_offered([phase["phase_id"] for phase in asked["phases"]])
    for sha in story.commits()[:-1]:
        story.expect_check("autopack", "neutral", sha)


def test_it_says_why_a_run_was_not_started(service: Service, tmp_path: Path) -> None:
    asked = plan("twice")
    httpx.post(f"{service.url}/runs/start", json=asked).raise_for_status()
    assert "not started: There is a run twice already" in drive(service, tmp_path, asked)


def test_it_sends_the_token(tmp_path: Path) -> None:
    guarded = Service(tmp_path / "service", {"AUTOPACK_API_TOKEN": "a long and secret token"})
    try:
        guarded.start()
        assert "not started: Send the header Authorization" in drive(guarded, tmp_path, plan("guarded"))
        printed = drive(guarded, tmp_path, plan("guarded"), AUTOPACK_API_TOKEN="a long and secret token")
        assert json.loads(printed[printed.index("{") :])["state"] == "DONE_SUCCESS"
    finally:
        guarded.stop()


def test_it_is_short() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) < LINES
