"""Rulesets from `rulesets/`, a repository's `.github/autopack.yml` and plan files, with errors that name the line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

import app
from app.config.yaml_errors import Location, read_yaml, validate
from app.domain.frozen import Frozen
from app.domain.plan import (
    BuilderMode,
    Complexity,
    Identifier,
    Plan,
    PlannedPhase,
    PlannedTier,
    TaskCategory,
    fits_branch_name,
)
from app.domain.ruleset import Minutes, RepositorySettings, Ruleset, RunScope, SafetyProfile, Tokens
from app.domain.strategy import Engine, RunOptions

FOLDER = Path(app.__file__).parent.parent / "rulesets"
SCHEMAS: Mapping[str, type[BaseModel]] = {"schema.json": Ruleset, "settings.schema.json": RepositorySettings}
"""The published JSON schemas, files in `rulesets/`, and the models they are made of."""


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
    data = read_yaml(text)
    return RepositorySettings() if data is None else validate(RepositorySettings, data, text)


_Id = Annotated[Identifier, AfterValidator(fits_branch_name)]


class _StrictModel(Frozen):
    model_config = ConfigDict(extra="forbid")


class _PlanFileRun(Frozen):
    """The `run` of a `POST /runs/start`: what it says of budgets, scope and builder."""

    safety_profile: SafetyProfile | None = None
    run_scope: RunScope | None = None
    token_cap: Tokens | None = None
    max_phases: int | None = Field(default=None, ge=1, le=1000)
    max_duration_minutes: Minutes | None = None
    builder: Engine = Engine.EXTERNAL


class _PlanFileTier(_StrictModel):
    tier_id: _Id
    tier_index: int | None = Field(default=None, ge=0)
    name: str = Field(min_length=1, max_length=200)
    description: str | None = None


class _PlanFilePhase(_StrictModel):
    phase_id: _Id
    phase_index: int | None = Field(default=None, ge=0)
    tier_id: _Id
    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    acceptance_criteria: tuple[str, ...] = ()
    expected_paths: tuple[str, ...] = ()
    task_category: TaskCategory | None = None
    complexity: Complexity | None = None
    builder_mode: BuilderMode | None = None


class PlanFile(Frozen):
    """A plan in a file, alone or as the body of a `POST /runs/start`. Indexes that are left out follow the order."""

    run: _PlanFileRun | None = None
    tiers: tuple[_PlanFileTier, ...] = Field(min_length=1)
    phases: tuple[_PlanFilePhase, ...] = Field(min_length=1)

    def as_plan(self) -> Plan:
        """The plan. Raises `ValueError` when ids repeat or a phase names a tier that is not there; see `parse_plan`."""
        tiers = ({"tier_index": n} | one.model_dump(exclude_none=True) for n, one in enumerate(self.tiers))
        phases = ({"phase_index": n} | one.model_dump(exclude_none=True) for n, one in enumerate(self.phases))
        return Plan(
            tiers=tuple(PlannedTier.model_validate(one) for one in tiers),
            phases=tuple(PlannedPhase.model_validate(one) for one in phases),
        )

    @property
    def engine(self) -> Engine:
        """A run over REST is built by whoever posts results, unless it says otherwise."""
        return self.run.builder if self.run else Engine.AUTOPACK

    @property
    def options(self) -> RunOptions:
        """What the file's `run` asks for."""
        run = self.run or _PlanFileRun()
        return RunOptions(
            tokens=run.token_cap,
            phases=run.max_phases,
            minutes=run.max_duration_minutes,
            safety=run.safety_profile,
            scope=run.run_scope,
        )


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
    """The JSON schema as the file of this name in `rulesets/` is to hold it."""
    schema = SCHEMAS[name].model_json_schema()
    if name == "schema.json":
        schema["required"].remove("models")  # they stand in a file of their own
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_null_defaults(schema)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def outdated_schemas() -> list[Path]:
    """The published schemas that differ from their models, or are not there."""
    files = {FOLDER / name: name for name in SCHEMAS}
    return [path for path, name in files.items() if not path.exists() or path.read_text("utf-8") != schema_text(name)]


def publish_schemas() -> None:
    """Write the published schemas anew."""
    for name in SCHEMAS:
        (FOLDER / name).write_text(schema_text(name), encoding="utf-8")


def _without_null_defaults(schema: Any) -> Any:
    """A key that may be left out has no default that could be written."""
    if isinstance(schema, dict):
        items = cast("dict[str, Any]", schema).items()
        return {key: _without_null_defaults(value) for key, value in items if (key, value) != ("default", None)}
    return [_without_null_defaults(one) for one in cast("list[Any]", schema)] if isinstance(schema, list) else schema
