"""Rulesets from `rulesets/` and a repository's `.github/autopack.yml`, with errors that name the line."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import app
from app.domain.ruleset import RepositorySettings, Ruleset

FOLDER = Path(app.__file__).parent.parent / "rulesets"
SETTINGS_FILE = ".github/autopack.yml"


class SettingsError(ValueError):
    """A settings file that does not fit: one line of text per problem, each naming its line in the file."""


def default_ruleset() -> Ruleset:
    """The ruleset that ships with Autopack."""
    data: dict[str, Any] = yaml.safe_load((FOLDER / "default.yaml").read_text(encoding="utf-8"))
    data["models"] = yaml.safe_load((FOLDER / "models.yaml").read_text(encoding="utf-8"))
    return Ruleset.model_validate(data)


def parse_settings(text: str) -> RepositorySettings:
    """Read `.github/autopack.yml`. An empty file is all defaults. Raises `SettingsError`."""
    try:
        data: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 99; lists in lists in lists
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise SettingsError(f"{where}not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if data is None:
        return RepositorySettings()
    try:
        return RepositorySettings.model_validate(data)
    except ValidationError as error:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = [
            f"line {_line(node, one['loc'])}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from error


def _line(node: Any, location: tuple[int | str, ...]) -> int:
    """The 1-based line of the deepest part of `location` that the file holds."""
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
