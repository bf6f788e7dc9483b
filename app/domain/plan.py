"""A plan: tiers of phases, as the Planner proposes it and the strategy governs it."""

import re
from collections import Counter
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from app.domain.frozen import Frozen
from app.domain.model_text import shortened

ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"
"""Letters, digits, `.`, `_`, `-`; 1 to 100; not starting with a dot or dash."""


def fits_branch_name(value: str) -> str:
    if ".." in value or value.endswith((".", ".lock")):
        raise ValueError("must be usable in a git branch name: no '..', no trailing '.' or '.lock'")
    return value


def is_identifier(value: str) -> bool:
    """Whether `value` may name a run, tier or phase, and so a git branch and a folder."""
    return re.fullmatch(ID_PATTERN, value) is not None and ".." not in value and not value.endswith((".", ".lock"))


Identifier = Annotated[str, StringConstraints(pattern=ID_PATTERN)]


EXTRA_TIERS = ("FRESH-BASE", "REVIEW")
"""How the ids of tiers begin that come up during a run: for the newest base, and for what people ask for."""


class TaskCategory(StrEnum):
    CROSS_CUTTING_REFACTOR = "cross_cutting_refactor"
    INDEX_REGISTRY_CHANGE = "index_registry_change"
    SCHEMA_CONTRACT_CHANGE = "schema_contract_change"
    BULK_MULTI_FILE_OPERATION = "bulk_multi_file_operation"
    SECURITY_AUTH_CHANGE = "security_auth_change"
    EXTERNAL_FEATURE_REUSE = "external_feature_reuse"
    EXTERNAL_CODE_INTAKE = "external_code_intake"
    FEATURE_SCAFFOLDING = "feature_scaffolding"
    DOCS = "docs"
    TESTS = "tests"
    DEBT_CLEANUP = "debt_cleanup"


class Complexity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class BuilderMode(StrEnum):
    COMPOSE = "compose"
    """The default: new and changed code as the phase needs."""
    TWEAK_LIGHT = "tweak_light"
    """One or two files, small diffs."""
    SCAFFOLDING_HEAVY = "scaffolding_heavy"
    """New modules; large ones are split into several phases."""
    REFACTOR_HEAVY = "refactor_heavy"
    SCHEMA_HEAVY = "schema_heavy"


class PlannedPhase(Frozen):
    """One unit of work that ends in one green, audited commit."""

    phase_id: Identifier
    tier_id: Identifier
    phase_index: int = Field(ge=0)
    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=20_000)
    acceptance_criteria: tuple[str, ...] = ()
    expected_paths: tuple[str, ...] = ()
    task_category: TaskCategory = TaskCategory.FEATURE_SCAFFOLDING
    complexity: Complexity = Complexity.MEDIUM
    builder_mode: BuilderMode = BuilderMode.COMPOSE
    mends: tuple[str, ...] = ()
    """Keys of the backlog's issues that the phase is there to fix."""


class AuditorProfile(StrEnum):
    """What the Auditor looks for: each is a file of `prompts/auditor/`."""

    GENERAL = "general"
    """Where a category names none."""
    BULK_REVIEW = "bulk_review"
    DEBT_CLEANUP_REVIEW = "debt_cleanup_review"
    EXTERNAL_CODE_REVIEW = "external_code_review"
    INDEX_REVIEW = "index_review"
    LICENSE_AND_SECURITY_REVIEW = "license_and_security_review"
    MINIMAL_PATCH = "minimal_patch"
    """Proposes the smallest patch; used after repeated failures."""
    REFACTOR_REVIEW = "refactor_review"
    SCHEMA_REVIEW = "schema_review"
    SECURITY_REVIEW = "security_review"


class PlannedTier(Frozen):
    """A group of phases that becomes clean, or not, together."""

    tier_id: Identifier
    tier_index: int = Field(ge=0)
    name: str = Field(min_length=1, max_length=200)
    description: str = ""


class Plan(Frozen):
    """Tiers in order and their phases in order. Ids are unique and every phase names a tier that exists."""

    tiers: tuple[PlannedTier, ...] = Field(min_length=1)
    phases: tuple[PlannedPhase, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        tiers = [tier.tier_id for tier in self.tiers]
        phases = [phase.phase_id for phase in self.phases]
        for kind, ids in (("tier", tiers), ("phase", phases)):
            repeated = sorted(one for one, times in Counter(ids).items() if times > 1)
            if repeated:
                raise ValueError(f"duplicate {kind} id: {', '.join(repeated)}")
            for one in ids:
                fits_branch_name(one)
        unknown = sorted({phase.tier_id for phase in self.phases} - set(tiers))
        if unknown:
            raise ValueError(f"unknown tier: {', '.join(unknown)}")
        return self

    @property
    def phase_ids(self) -> list[str]:
        return [phase.phase_id for phase in self.phases]

    def phases_of(self, tier_id: str) -> tuple[PlannedPhase, ...]:
        """The tier's phases by their index."""
        return tuple(sorted((p for p in self.phases if p.tier_id == tier_id), key=lambda phase: phase.phase_index))


class ProposedPhase(Frozen):
    """A phase as the Planner answers it; ids and indexes are given afterwards."""

    name: Annotated[str, shortened(200)] = Field(min_length=1, max_length=200)
    description: Annotated[str, shortened(20_000)] = Field(max_length=20_000)
    acceptance_criteria: list[str] = Field(min_length=1)
    expected_paths: list[str] = Field(default_factory=list)
    task_category: TaskCategory
    complexity: Complexity
    builder_mode: BuilderMode = BuilderMode.COMPOSE


class ProposedTier(Frozen):
    name: Annotated[str, shortened(200)] = Field(min_length=1, max_length=200)
    description: str = ""
    phases: list[ProposedPhase] = Field(min_length=1)


class PlannerAnswer(Frozen):
    """The Planner's structured answer."""

    summary: str
    tiers: list[ProposedTier] = Field(min_length=1)

    def as_plan(self) -> Plan:
        """Number tiers T1… and phases P1… in the order given."""
        tiers = tuple(
            PlannedTier(tier_id=f"T{i + 1}", tier_index=i, name=tier.name, description=tier.description)
            for i, tier in enumerate(self.tiers)
        )
        listed = [(tiers[i].tier_id, phase) for i, tier in enumerate(self.tiers) for phase in tier.phases]
        phases = tuple(
            PlannedPhase(phase_id=f"P{n + 1}", phase_index=n, tier_id=tier_id, **dict(phase))
            for n, (tier_id, phase) in enumerate(listed)
        )
        return Plan(tiers=tiers, phases=phases)
