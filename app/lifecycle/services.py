"""What the steps of the workflows work with: set once when the process starts.

Workflows are recovered by name after a crash, so they are functions of the module and find their surroundings here.
"""

from dataclasses import dataclass
from pathlib import Path

from app.db.engine import Database
from app.domain.ruleset import Ruleset
from app.github.client import GitHubApp


@dataclass(frozen=True)
class Services:
    db: Database
    github: GitHubApp | None
    """None while GitHub is not configured."""
    server_url: str
    data_dir: Path
    """Holds mirrors and worktrees."""
    ruleset: Ruleset
    vendors: frozenset[str]
    """Model vendors for which a key is configured."""


class NotConfigured(RuntimeError):
    """Something that the work needs is not configured; the text says what to set."""


_services: Services | None = None


def configure(services: Services | None) -> None:
    """Set the surroundings of every workflow in this process."""
    global _services  # noqa: PLW0603  workflows are recovered by name and have no other way to it
    _services = services


def services() -> Services:
    """The surroundings. Raises `NotConfigured` before `configure`."""
    if _services is None:
        raise NotConfigured("the service has not been started")
    return _services
