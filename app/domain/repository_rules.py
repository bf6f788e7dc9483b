"""What a repository changes of the rules, in `.github/autopack.yml`, and the rules that then govern a run."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, ConfigDict, Field, create_model

from app.domain.plan import Complexity, TaskCategory
from app.domain.ruleset import (
    CategoryRules,
    CiRules,
    CommandRules,
    EffortRules,
    ExternalRules,
    IntegrityRules,
    IssueCaps,
    Minutes,
    ModelName,
    ModelRules,
    MoneyRules,
    OutputTokens,
    PatchRules,
    ProfileRules,
    PromotionRules,
    Rules,
    Ruleset,
    RunCaps,
    RunScope,
    SafetyProfile,
    Thresholds,
    TierCaps,
    Tokens,
)

R = TypeVar("R", bound=Rules)


class _Changes(Rules):
    model_config = ConfigDict(use_attribute_docstrings=False)  # a made class has no source to look for


def _partial(part: type[R], *not_theirs: str) -> type[R]:
    """A model of the part's keys but those that only the service sets, all optional.

    A key that is not set is not merged, so its default is never seen.
    """
    fields: dict[str, Any] = {}
    for name, field in part.model_fields.items():
        if name in not_theirs:
            continue
        bounds = [
            bound for bound in field.metadata if not isinstance(bound, AfterValidator)
        ]  # a table need not be whole
        fields[name] = (Annotated[field.annotation, *bounds, Field(description=field.description)], None)
    return cast("type[R]", create_model(part.__name__, __base__=_Changes, __module__=__name__, **fields))


class CategoryChanges(_partial(CategoryRules)):
    """What a repository changes of a category."""


class RunChanges(_partial(RunCaps)):
    """What a repository changes of a run's caps."""


class TierChanges(_partial(TierCaps)):
    """What a repository changes of a tier's caps."""


class MoneyChanges(_partial(MoneyRules, "person_day", "service_day")):
    """What a repository changes of the caps in money."""


class ProfileChanges(_partial(ProfileRules)):
    """What a repository changes of a safety profile."""


class ThresholdChanges(_partial(Thresholds)):
    """What a repository changes of the thresholds."""


class PromotionChanges(_partial(PromotionRules)):
    """What a repository changes of the promotion policy."""


class ModelChanges(_partial(ModelRules)):
    """What a repository changes of the models; a list replaces the ruleset's."""


class RepositorySettings(Rules):
    """`.github/autopack.yml` as read from the base branch at a run's start. Absent keys keep the ruleset's figures."""

    tokens: Tokens | None = None
    """Short for `run.tokens`, and outweighs it; so do the next two."""
    phases: int | None = Field(default=None, ge=1, le=1000)
    minutes: Minutes | None = None
    model: ModelName | None = None
    safety: SafetyProfile = SafetyProfile.NORMAL
    scope: RunScope | None = None
    commands: CommandRules = CommandRules()
    approval: Literal["none", "required"] = "none"
    """With `required`, a run posts its plan and builds nothing: a person's `/autopack run` then has it built."""
    issue_comments: Literal["steering", "all", "none"] = "steering"
    """Whose comments on the issue the models read: of people who may steer the run, of everyone but bots, or none."""
    state_labels: bool = False
    """Whether the issue's labels `autopack:running` and `autopack:needs-you` say the state of its run."""
    model_timeout_seconds: float = Field(default=300, gt=0, le=1800)
    """How long a model may send nothing; then the next model of the list is tried."""
    provider_pauses_minutes: tuple[Minutes, ...] | None = None
    categories: dict[TaskCategory, CategoryChanges] | None = None
    complexity_token_caps: dict[Complexity, Tokens] | None = None
    run: RunChanges | None = None
    tier: TierChanges | None = None
    issue: IssueCaps | None = None
    usd: MoneyChanges | None = None
    profiles: dict[SafetyProfile, ProfileChanges] | None = None
    thresholds: ThresholdChanges | None = None
    ci: CiRules | None = None
    patch: PatchRules | None = None
    integrity: IntegrityRules | None = None
    promotion: PromotionChanges | None = None
    external: ExternalRules | None = None
    models: ModelChanges | None = None
    output_tokens: OutputTokens | None = None
    effort: EffortRules | None = None
    requests_per_attempt: int | None = Field(default=None, ge=1, le=500)


class EffectiveRules(Ruleset):
    """The rules that govern a run: the ruleset with what the repository changes of it. `effective_rules` makes them."""

    safety: SafetyProfile
    model: ModelName | None
    commands: CommandRules
    state_labels: bool

    @property
    def complexities(self) -> Mapping[TaskCategory, Complexity]:
        """Of phases whose plan does not say theirs."""
        return {category: rules.complexity for category, rules in self.categories.items()}


def effective_rules(default: Ruleset, settings: RepositorySettings) -> EffectiveRules:
    """Merge the repository's settings into the ruleset.

    Blocks are merged key by key, lists are replaced; only `patch.protected_paths` grows.
    """
    own = settings.model_dump(include=set(Ruleset.model_fields), exclude_unset=True)
    changes = {key: value for key, value in own.items() if value is not None}
    short = {key: getattr(settings, key) for key in ("tokens", "phases", "minutes")}
    changes["run"] = changes.get("run", {}) | {key: value for key, value in short.items() if value is not None}
    merged = _merge(default.model_dump(), changes)
    merged["patch"]["protected_paths"] = tuple(
        dict.fromkeys((*default.patch.protected_paths, *merged["patch"]["protected_paths"]))
    )
    merged |= {"safety": settings.safety, "model": settings.model, "commands": settings.commands}
    merged["state_labels"] = settings.state_labels
    return EffectiveRules.model_validate(merged)


def _merge(base: Mapping[Any, Any], changes: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        nested = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(cast("Mapping[Any, Any]", before), cast("Mapping[Any, Any]", value)) if nested else value
    return merged
