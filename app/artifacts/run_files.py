"""Paths and contents of the files of a run and of the projects: pure functions of what the database says."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.artifacts import documents
from app.db.tables import DEFAULT_PROJECT
from app.domain.aging import BacklogEntry
from app.domain.run_export import Backlogs, PostedPatch, ProjectRules, RunArchive

BACKLOG_FILE = "project_issue_backlog.json"
_PROJECT_FILE = re.compile(r"project_.*\.json", re.IGNORECASE)


def run_folder(run_id: str) -> str:
    """The folder of a run. One that is named like a file of the projects gets a `~`, which no run id can hold."""
    return f"{run_id}~" if _PROJECT_FILE.fullmatch(run_id) else run_id


def run_files(archive: RunArchive) -> dict[str, str]:
    """The files of a run: text by path in its folder."""
    files = {"run_summary.md": documents.run_page(archive)}
    if archive.plan is not None:
        files |= _work_files(archive)
    if archive.strategy is not None:
        files["strategy.json"] = as_json(archive.strategy)
    files |= {path: patch.text for path, patch in _patches(archive)}
    if archive.summary.state.failed:
        incident = dict(_incident(archive))
        files |= {f"incident/{name}": text for name, text in incident.items()}
        files["incident/incident.md"] = documents.incident_page(archive, sorted(incident))
    return files


def _work_files(archive: RunArchive) -> dict[str, str]:
    """The pages of tiers and phases, and the issues of each phase and of the run."""
    summary = archive.summary
    files = {documents.tier_path(tier): documents.tier_page(archive, tier) for tier in summary.tiers}
    for phase in summary.phases:
        files[documents.phase_path(phase)] = documents.phase_page(archive, phase)
        issues = archive.issues[phase.phase_id].model_dump(mode="json")
        files[f"issues/phase_{phase.phase_index}_{phase.phase_id}_issues.json"] = as_json(issues)
    index = {key: entry.model_dump(mode="json") for key, entry in archive.index.items()}
    files["run_issue_index.json"] = as_json({"run_id": summary.run_id, "issues_by_key": index})
    return files


def _patches(archive: RunArchive) -> Iterator[tuple[str, PostedPatch]]:
    indexes = {phase.phase_id: phase.phase_index for phase in archive.summary.phases}
    for patch in archive.patches:
        phase = f"{indexes.get(patch.phase_id, 0)}_{patch.phase_id}"
        yield f"patches/phase_{phase}_{patch.role}_{patch.attempt}_{patch.number}.patch", patch


def _incident(archive: RunArchive) -> Iterator[tuple[str, str]]:
    """The files in the folder of the incident's page."""
    still_open = [one.model_dump(mode="json") for one in archive.view.findings if one.open]
    yield "findings.json", as_json(still_open)
    exhausted = archive.view.exhausted.model_dump(mode="json") if archive.view.exhausted else None
    yield "budgets.json", as_json({**archive.summary.budgets.model_dump(mode="json"), "exhausted": exhausted})
    if archive.last_log.strip():
        yield "ci_excerpt.txt", archive.last_log
    if archive.patches:
        yield "last.patch", archive.patches[-1].text


def backlog_file(backlogs: Backlogs) -> str:
    """All backlogs in one file: the service's own project as `GET /project/issues/backlog` has it, then every one."""
    by_project = {project_id: _by_key(entries) for project_id, entries in backlogs.items()}
    return as_json(
        {
            "project_id": DEFAULT_PROJECT,
            "issues_by_key": by_project.get(DEFAULT_PROJECT, {}),
            "projects": {project_id: {"issues_by_key": entries} for project_id, entries in by_project.items()},
        }
    )


def ruleset_file(rules: ProjectRules) -> tuple[str, str]:
    """The name and the text of a project's file of rules."""
    name = "Autopack" if rules.project_id == DEFAULT_PROJECT else rules.project_id.replace("/", "__")
    return f"project_ruleset_{name}.json", as_json(rules.model_dump(mode="json"))


def as_json(value: Any) -> str:
    """JSON with sorted keys, so that equal values are equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _by_key(entries: tuple[BacklogEntry, ...]) -> Mapping[str, Any]:
    return {entry.issue_key: entry.model_dump(mode="json") for entry in entries}
