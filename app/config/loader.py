"""Rulesets from `rulesets/`, a repository's `.github/autopack.yml` and plan files, with errors that name the line."""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

import app
from app.config.yaml_errors import Location, read_yaml, validate
from app.domain.api_requests import Id, PhaseSpec, RunSpec, TierSpec, plan_of
from app.domain.frozen import Frozen
from app.domain.plan import Complexity, Plan, TaskCategory
from app.domain.repository_rules import RepositorySettings
from app.domain.ruleset import Ruleset
from app.domain.strategy import Engine, RunOptions

MAX_SETTINGS = 25_000
"""Characters of a repository's settings: more than anyone writes, and read in a tenth of a second."""
FOLDER = Path(app.__file__).parent.parent / "rulesets"
SCHEMAS: Mapping[str, type[BaseModel]] = {"schema.json": Ruleset, "settings.schema.json": RepositorySettings}
"""The published JSON schemas, files in `rulesets/`, and the models they are made of."""


@functools.cache
def default_ruleset() -> Ruleset:
    """The ruleset that ships with Autopack."""
    return parse_ruleset((FOLDER / "default.yaml").read_text(encoding="utf-8"))


def parse_ruleset(text: str) -> Ruleset:
    """Read a ruleset, which is whole but for `models`: without them the models that ship are taken.

    Raises `SettingsError`.
    """
    data = read_yaml(text)
    if isinstance(data, dict):
        models: object = yaml.safe_load((FOLDER / "models.yaml").read_text(encoding="utf-8"))
        return validate(Ruleset, {"models": models} | cast("dict[Any, Any]", data), text)
    return validate(Ruleset, data, text)


def parse_settings(text: str) -> RepositorySettings:
    """Read `.github/autopack.yml`. An empty file is all defaults. Raises `SettingsError`."""
    data = read_yaml(text, MAX_SETTINGS)
    return RepositorySettings() if data is None else validate(RepositorySettings, data, text)


class _PlanFileRun(RunSpec):
    run_id: Id = "plan"


class _PlanFileTier(TierSpec):
    model_config = ConfigDict(extra="forbid")


class _PlanFilePhase(PhaseSpec):
    model_config = ConfigDict(extra="forbid")


class PlanFile(Frozen):
    """A plan in a file, alone or as the body of a `POST /runs/start`. Indexes that are left out follow the order."""

    run: _PlanFileRun | None = None
    tiers: tuple[_PlanFileTier, ...] = Field(min_length=1)
    phases: tuple[_PlanFilePhase, ...] = Field(min_length=1)

    @field_validator("tiers", "phases", mode="before")
    @classmethod
    def _indexed(cls, listed: object, info: ValidationInfo) -> object:
        index = "tier_index" if info.field_name == "tiers" else "phase_index"
        if not isinstance(listed, list):
            return listed
        entries = enumerate(cast("list[Any]", listed))
        return [
            {index: n} | cast("dict[Any, Any]", entry) if isinstance(entry, dict) else entry for n, entry in entries
        ]

    def as_plan(self, complexities: Mapping[TaskCategory, Complexity]) -> Plan:
        """The plan, as `plan_of` makes it; `parse_plan` has checked its ids."""
        return plan_of(self.tiers, self.phases, complexities)

    @property
    def engine(self) -> Engine:
        """A run over REST is built by the client that posts results, unless the request names Autopack."""
        return self.run.builder if self.run else Engine.AUTOPACK

    @property
    def options(self) -> RunOptions:
        """What the file's `run` asks for."""
        return self.run.options if self.run else RunOptions()


def parse_plan(text: str) -> PlanFile:
    """Read a plan of `tiers` and `phases`, YAML or JSON. Raises `SettingsError`."""
    return validate(PlanFile, read_yaml(text), text, _check_ids)


def _check_ids(file: PlanFile) -> Iterator[tuple[Location, str]]:
    tiers = [tier.tier_id for tier in file.tiers]
    phases = [phase.phase_id for phase in file.phases]
    for name, kind, ids in (("tiers", "tier", tiers), ("phases", "phase", phases)):
        for place, one in enumerate(ids):
            if one in ids[:place]:
                yield (name, place, f"{kind}_id"), f"duplicate {kind} id: {one}"
    for place, phase in enumerate(file.phases):
        if phase.tier_id not in tiers:
            yield ("phases", place, "tier_id"), f"unknown tier: {phase.tier_id}; there are {', '.join(tiers)}"


def schema_text(name: str) -> str:
    """The JSON schema that the file of this name in `rulesets/` must hold."""
    schema = SCHEMAS[name].model_json_schema()
    if name == "schema.json":
        schema["required"].remove("models")  # they have a file of their own
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_null_defaults(schema)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def outdated_schemas() -> list[Path]:
    """The published schemas that differ from their models, or are not there."""
    files = {FOLDER / name: name for name in SCHEMAS}
    return [path for path, name in files.items() if not path.exists() or path.read_text("utf-8") != schema_text(name)]


def publish_schemas() -> None:
    """Write the published schemas again."""
    for name in SCHEMAS:
        (FOLDER / name).write_text(schema_text(name), encoding="utf-8")


def _without_null_defaults(schema: Any) -> Any:
    """A key that may be left out has no default that could be written."""
    if isinstance(schema, dict):
        items = cast("dict[str, Any]", schema).items()
        return {key: _without_null_defaults(value) for key, value in items if (key, value) != ("default", None)}
    return [_without_null_defaults(one) for one in cast("list[Any]", schema)] if isinstance(schema, list) else schema
