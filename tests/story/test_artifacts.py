"""The files of runs can be deleted at any time: they are rebuilt from the database, to the byte."""

import os
from pathlib import Path

from tests.support import processes
from tests.support.answers import approves_but, edits, finding, phase, plan, write
from tests.support.story import Story


def test_deleted_files_are_rebuilt_byte_equal(story: Story, tmp_path: Path) -> None:
    minor = finding("greeting.txt", 1, "The greeting could be warmer.", severity="minor")
    story.plays(plan(phase()), {"P1": [edits(write("greeting.txt", "hello\n")), approves_but(minor)]})
    story.hub.runner.hold()
    story.label()
    story.wait_for_ci()
    story.wait_handled()
    amid = _deleted_and_rebuilt(story, tmp_path / "amid" / "files")
    page = amid[f"{story.run_id}/run_summary.md"].decode()
    assert "**Waiting for CI**" in page
    assert "The greeting could be warmer" in page
    assert f"{story.run_id}/issues/phase_0_P1_issues.json" in amid

    story.hub.runner.release()
    story.expect_success()
    story.expect_audit("P1")
    story.expect_review_comment("greeting.txt", 1)
    after = _deleted_and_rebuilt(story, tmp_path / "after" / "files")
    assert "its work may be merged" in after[f"{story.run_id}/run_summary.md"].decode()


def _deleted_and_rebuilt(story: Story, apart: Path) -> dict[str, bytes]:
    """Wait until the service has written what the database says, delete it all, rebuild it; the files.

    The service may be writing the same pages once more: they go in one step, and those written meanwhile are equal.
    """
    folder = story.world.service.folder / ".autonomous_runs"
    _rebuild(story, apart)
    expected = _contents(apart)
    story.wait_until(lambda: _contents(folder) == expected, "the files are what the database says")
    folder.rename(apart.parent / "deleted")
    _rebuild(story, folder)
    story.wait_until(lambda: _contents(folder) == expected, "the rebuilt files are what the database says")
    return expected


def _rebuild(story: Story, folder: Path) -> None:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "AUTONOMOUS_RUNS_DIR": str(folder)}
    rebuilding = processes.start(
        "app.cli",
        "artifacts",
        "rebuild",
        folder=story.world.service.folder,
        log=story.world.service.folder / "rebuild.log",
        environment={**story.world.environment(), **environment},
    )
    rebuilding.join(60)
    assert rebuilding.exitcode == 0


def _contents(folder: Path) -> dict[str, bytes]:
    """The artifacts in this folder, without a file that is being written: its name begins with a dot."""
    artifacts = [path for path in folder.rglob("[!.]*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in artifacts}
