"""What the routers work with, set when the service starts."""

from dataclasses import dataclass

from fastapi import Request

from app.db.engine import Database
from app.db.worker_lock import LOCAL
from app.settings import Settings
from app.web.background import Background
from app.web.drainer import Drainer
from app.web.intake import Intake


@dataclass(frozen=True)
class ServiceState:
    settings: Settings
    db: Database
    intake: Intake
    drainer: Drainer
    background: Background
    executor: str = LOCAL
    """The name of this process's work."""


def state(request: Request) -> ServiceState:
    """The service's state, as a dependency of a route."""
    found: ServiceState = request.app.state.service
    return found
