"""The files of a run are what the database says: written whole, rebuilt to the byte, and never outside their folder."""

import asyncio
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import NoResultFound
from syrupy.assertion import SnapshotAssertion

from app.artifacts import run_files, writer
from app.config.loader import default_ruleset
from app.db import finding_rows, run_rows
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import Backlog, Project, Run
from app.domain.api_requests import BuilderResult
from app.domain.budget import Exhausted, Kind, Role, Scope
from app.domain.findings import Severity
from app.domain.states import PhaseState, RunState
from app.queries import run_archive
from app.runs import transitions
from app.settings import Settings
from app.workflows.services import configure
from tests.db.sample_rows import NOW, after, finding, new_run, planned_run

RULESET = default_ruleset()
PAGES = {
    *("run_summary.md", "run_issue_index.json", "strategy.json", "tiers/tier_0_T1.md", "tiers/tier_1_T2.md"),
    *(f"phases/phase_{index}_{phase}.md" for index, phase in enumerate(("P1", "P2", "P3"))),
    *(f"issues/phase_{index}_{phase}_issues.json" for index, phase in enumerate(("P1", "P2", "P3"))),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(autonomous_runs_dir=tmp_path / ".autonomous_runs", github_server_url="https://github.example")


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    database.migrate()
    yield database
    database.close()


def write(db: Database, settings: Settings, run_id: str = "r1") -> Path:
    writer.write_run(db, settings, RULESET, run_id)
    return settings.autonomous_runs_dir / run_id


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failed_run(db: Database) -> None:
    """A run that ended on a cap, with an issue, a log and a posted patch."""
    planned_run(db)
    finding_rows.record(db, "r1", "P1", [finding("typo"), finding("leak", Severity.MAJOR)], "audit 1", NOW)
    finding_rows.resolve(db, "r1", "P1", [finding("typo").fingerprint], "fixed in abc1234")
    hit = Exhausted(scope=Scope.PHASE, name="P1", kind=Kind.TOKENS, limit=200_000, used=190_000, needs=20_000)
    run_rows.update(db, "r1", {"last_log": "FAILED test_greeting\n"})
    with db.writing() as session:
        session.add(
            Submission(
                run_id="r1",
                phase_id="P1",
                role=Role.BUILDER,
                attempt=2,
                body=BuilderResult(run_id="r1", phase_id="P1", status="success", patch_content="--- a/x\n+++ b/x\n"),
                answer=None,
                at=NOW,
            )
        )
    transitions.end_run(db, "r1", RunState.DONE_FAILED_BUDGET_EXHAUSTED, hit.reason, after(hours=1), hit)


def test_a_run_without_plan_has_its_summary_only(db: Database, settings: Settings) -> None:
    run_rows.create(db, new_run(), NOW)
    folder = write(db, settings)
    assert set(contents(folder)) == {"run_summary.md"}
    page = (folder / "run_summary.md").read_text(encoding="utf-8")
    assert page.startswith("# Run r1\n\n🗺️ **Planning** (`PLAN_BOOTSTRAP`)")
    assert "https://github.example/acme/widgets/issues/7" in page


def test_planned_run_has_all_pages(db: Database, settings: Settings) -> None:
    planned_run(db)
    finding_rows.record(db, "r1", "P2", [finding("typo")], "audit 1", NOW)
    folder = write(db, settings)
    assert set(contents(folder)) == PAGES
    of_phase = json.loads((folder / "issues/phase_1_P2_issues.json").read_text(encoding="utf-8"))
    assert (of_phase["phase_id"], of_phase["minor_issue_count"], of_phase["issue_state"]) == (
        "P2",
        1,
        "has_minor_issues",
    )
    index = json.loads((folder / "run_issue_index.json").read_text(encoding="utf-8"))
    assert index["run_id"] == "r1"
    assert index["issues_by_key"]["docs__readme__typo"]["seen_in_phases"] == ["P2"]
    strategy = json.loads((folder / "strategy.json").read_text(encoding="utf-8"))
    assert strategy["token_cap"] == 5_000_000
    assert "[`P2`](../phases/phase_1_P2.md)" in (folder / "tiers/tier_0_T1.md").read_text(encoding="utf-8")
    summary = (folder / "run_summary.md").read_text(encoding="utf-8")
    assert "[`P2`](phases/phase_1_P2.md) Step P2" in summary
    assert "1 minor (at most 9) and 0 major open" in summary
    assert "docs__readme__typo" in (folder / "phases/phase_1_P2.md").read_text(encoding="utf-8")


def test_pages_of_a_failed_run(db: Database, settings: Settings, page: SnapshotAssertion) -> None:
    failed_run(db)
    files = {name: text.decode() for name, text in contents(write(db, settings)).items() if name.endswith(".md")}
    for name in ("run_summary.md", "tiers/tier_0_T1.md", "phases/phase_0_P1.md", "incident/incident.md"):
        assert files[name] == page(name=Path(name).stem)


def test_links_between_the_pages_lead_somewhere(db: Database, settings: Settings) -> None:
    failed_run(db)
    folder = write(db, settings)
    for page in folder.rglob("*.md"):
        targets = [part.split(")")[0] for part in page.read_text(encoding="utf-8").split("](")[1:]]
        assert targets or page.parent.name == "phases"
        for target in targets:
            assert target.startswith("https://") or (page.parent / target).is_file(), f"{page.name}: {target}"


def test_a_failure_leaves_an_incident_pack(db: Database, settings: Settings) -> None:
    failed_run(db)
    folder = write(db, settings) / "incident"
    found = contents(folder)
    assert set(found) == {"incident.md", "findings.json", "ci_excerpt.txt", "budgets.json", "last.patch"}
    page = found["incident.md"].decode()
    assert "phase P1: 190,000 of 200,000 tokens used" in page
    assert "FAILED test_greeting" in page
    assert [one["finding"]["issue_key"] for one in json.loads(found["findings.json"])] == ["docs__readme__leak"]
    budgets = json.loads(found["budgets.json"])
    assert (budgets["exhausted"]["name"], budgets["token_cap"]) == ("P1", 5_000_000)
    assert found["last.patch"] == b"--- a/x\n+++ b/x\n"
    assert (folder.parent / "patches/phase_0_P1_builder_2_1.patch").read_bytes() == found["last.patch"]


def test_rewritten_files_are_byte_equal(db: Database, settings: Settings) -> None:
    failed_run(db)
    first = contents(write(db, settings))
    shutil.rmtree(settings.autonomous_runs_dir)
    assert contents(write(db, settings)) == first


def test_obsolete_files_are_removed(db: Database, settings: Settings) -> None:
    planned_run(db)
    folder = write(db, settings)
    expected = contents(folder)
    (folder / "tiers/tier_9_gone.md").write_text("old")
    (folder / "old/older").mkdir(parents=True)
    (folder / "old/older/oldest.txt").write_text("old")
    (folder / "phases/.writing.1").write_text("a crash left this")
    write(db, settings)
    assert contents(folder) == expected
    assert not (folder / "old").exists()


def test_files_that_have_not_changed_are_not_touched(db: Database, settings: Settings) -> None:
    planned_run(db)
    folder = write(db, settings)
    before = (folder / "strategy.json").stat().st_ino, (folder / "phases/phase_0_P1.md").stat().st_ino
    transitions.move_phase(db, "r1", "P1", PhaseState.EXECUTING, "attempt 1", NOW)
    write(db, settings)
    assert (folder / "strategy.json").stat().st_ino == before[0]
    assert (folder / "phases/phase_0_P1.md").stat().st_ino != before[1], "replaced, not written in place"


def test_nothing_is_written_where_a_link_leads(db: Database, settings: Settings, tmp_path: Path) -> None:
    planned_run(db)
    folder, elsewhere = write(db, settings), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("mine")
    shutil.rmtree(folder / "phases")
    (folder / "phases").symlink_to(elsewhere)
    (folder / "run_summary.md").unlink()
    (folder / "run_summary.md").symlink_to(elsewhere / "precious.txt")
    (folder / "more").symlink_to(elsewhere)
    write(db, settings)
    assert contents(elsewhere) == {"precious.txt": b"mine"}
    assert set(contents(folder)) == PAGES
    assert not (folder / "phases").is_symlink()


@pytest.mark.parametrize("run_id", ["../../x", "/etc/x", "", "a/../../b", ".."])
def test_what_is_no_run_id_is_never_written(db: Database, settings: Settings, run_id: str) -> None:
    run_rows.create(db, new_run(run_id), NOW)
    with pytest.raises(NoResultFound):
        write(db, settings, run_id)
    assert not settings.autonomous_runs_dir.exists()


def test_run_named_like_project_file_coexists(db: Database, settings: Settings) -> None:
    run_rows.create(db, new_run("project_issue_backlog.json"), NOW)
    writer.write_run(db, settings, RULESET, "project_issue_backlog.json")
    writer.write_projects(db, settings, RULESET, run_archive.list_project_ids(db))
    assert set(contents(settings.autonomous_runs_dir)) == {
        "project_issue_backlog.json",
        "project_issue_backlog.json~/run_summary.md",
        "project_ruleset_Autopack.json",
        "project_ruleset_acme__widgets.json",
    }


def test_projects_have_backlog_and_rules_files(db: Database, settings: Settings) -> None:
    planned_run(db)
    finding_rows.record(db, "r1", "P1", [finding("typo")], "audit 1", NOW)
    with db.writing() as session:
        session.add(Project(project_id="autopack"))
        session.flush()
        kept = session.get_one(Backlog, ("acme/widgets", "docs__readme__typo"))
        copied = {column: getattr(kept, column) for column in sa.inspect(Backlog).columns.keys()}  # noqa: SIM118
        session.add(Backlog(**copied | {"project_id": "autopack", "issue_key": "own__key__one"}))
    writer.write_projects(db, settings, RULESET, run_archive.list_project_ids(db))
    found = {name: json.loads(content) for name, content in contents(settings.autonomous_runs_dir).items()}
    assert set(found) == {
        "project_issue_backlog.json",
        "project_ruleset_Autopack.json",
        "project_ruleset_acme__widgets.json",
    }
    backlog = found["project_issue_backlog.json"]
    assert (backlog["project_id"], set(backlog["issues_by_key"])) == ("autopack", {"own__key__one"})
    assert set(backlog["projects"]["acme/widgets"]["issues_by_key"]) == {"docs__readme__typo"}
    rules = found["project_ruleset_acme__widgets.json"]
    assert (rules["last_run_id"], rules["strategy"]["token_cap"]) == ("r1", 5_000_000)
    assert "phases" not in rules["strategy"]
    assert found["project_ruleset_Autopack.json"]["ruleset"]["run"]["tokens"] == RULESET.run.tokens


def test_foreign_text_breaks_no_page(db: Database, settings: Settings) -> None:
    planned_run(db)
    nasty = "| a | `b` </details>\n# Not a heading <!-- x --> \N{GREEK SMALL LETTER ALPHA}"
    run_rows.update(db, "r1", {"reason": nasty, "issue_title": nasty})
    page = (write(db, settings) / "run_summary.md").read_text(encoding="utf-8")
    assert "\n# Not" not in page
    assert "</details>" not in page.replace("</details>\n", "")
    assert "<!-- x" not in page
    assert "\N{GREEK SMALL LETTER ALPHA}" in page


# The background task


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


async def test_files_follow_the_database(db: Database, settings: Settings) -> None:
    planned_run(db)
    folder = settings.autonomous_runs_dir
    task = asyncio.create_task(writer.run_writer_loop(db, settings, RULESET))
    try:
        await asyncio.to_thread(until, (folder / "r1/run_summary.md").is_file, "open runs are written at the start")
        for number in range(30):
            run_rows.update(db, "r1", {"next_action": f"Step {number}."})
        run_rows.create(db, new_run("r2", issue=8), NOW)
        await asyncio.to_thread(until, (folder / "r2/run_summary.md").is_file, "a new run is written")
        finding_rows.record(db, "r1", "P1", [finding()], "audit 1", NOW)
        backlog = folder / "project_issue_backlog.json"
        await asyncio.to_thread(
            until, lambda: backlog.is_file() and b"docs__readme__typo" in backlog.read_bytes(), "the backlog follows"
        )
        await asyncio.to_thread(until, lambda: "docs__readme__typo" in summary(folder), "the run follows")
        shutil.rmtree(folder)
        run_rows.update(db, "r1", {"next_action": "Step back."})
        apart = settings.model_copy(update={"autonomous_runs_dir": settings.data_dir / "apart"})
        expected = contents(write(db, apart))
        await asyncio.to_thread(until, lambda: contents(folder / "r1") == expected, "the folder is made again")
        run_rows.update(db, "r1", {"next_action": "The last step."})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        configure(None)
    assert "The last step" in summary(folder), "what changed before the end is written at the end"


def summary(folder: Path) -> str:
    page = folder / "r1/run_summary.md"
    return page.read_text(encoding="utf-8") if page.is_file() else ""


# The command


def rebuild(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "artifacts", "rebuild", *arguments],
        cwd=settings.autonomous_runs_dir.parent,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "GITHUB_SERVER_URL": settings.github_server_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_rebuild_works_while_service_runs(db: Database, settings: Settings) -> None:
    db.claim()
    failed_run(db)
    run_rows.create(db, new_run("r2", issue=8), NOW)
    for run_id in ("r1", "r2"):
        write(db, settings, run_id)
    writer.write_projects(db, settings, RULESET, run_archive.list_project_ids(db))
    before = contents(settings.autonomous_runs_dir)
    shutil.rmtree(settings.autonomous_runs_dir)
    done = rebuild(settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the files of 2 runs" in done.stdout
    assert contents(settings.autonomous_runs_dir) == before
    shutil.rmtree(settings.autonomous_runs_dir)
    assert rebuild(settings, "--run", "r2").returncode == 0
    assert set(contents(settings.autonomous_runs_dir)) == {"r2/run_summary.md"}


def test_the_command_says_what_is_wrong(db: Database, settings: Settings) -> None:
    for unknown in ("nobody", "../../x"):
        done = rebuild(settings, "--run", unknown)
        assert (done.returncode, done.stderr.strip()) == (1, f"There is no run {unknown}")
    assert db.sqlite
    Path(settings.database.removeprefix("sqlite:///")).rename(settings.data_dir / "moved.db")
    done = rebuild(settings)
    assert done.returncode == 1
    assert "there is no database" in done.stderr
    assert not (settings.data_dir / "autopack.db").exists()


def test_while_one_process_writes_no_other_does(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned_run(db)
    monkeypatch.setattr(writer, "LOCK_SECONDS", 0.2)
    with (settings.data_dir / "artifacts.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process"):
            write(db, settings)
    assert not settings.autonomous_runs_dir.exists()
    assert set(contents(write(db, settings))) == PAGES


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\0b", ""])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(writer.OutsideArtifactsFolder):
        writer.replace_files(tmp_path / "runs", {name: "text"})
    assert list(tmp_path.rglob("x")) == []


def test_run_folder_keeps_its_name() -> None:
    assert run_files.run_folder("run-1") == "run-1"
    assert run_files.run_folder("project_x") == "project_x"
    assert run_files.run_folder("Project_ruleset_a.json") == "Project_ruleset_a.json~"


def test_the_runs_row_is_the_last_to_know(db: Database) -> None:
    """Those that ended last come after all that have not ended, and only so many."""
    for number in range(4):
        run_rows.create(db, new_run(f"r{number}", issue=number), after(minutes=number))
    for number in (0, 2, 3):
        transitions.end_run(db, f"r{number}", RunState.DONE_CANCELLED, "cancelled", after(hours=number + 1))
    assert run_archive.list_recent_run_ids(db, 2) == ["r1", "r3", "r2"]
    with db.reading() as session:
        assert session.get_one(Run, "r1").completed_at is None
