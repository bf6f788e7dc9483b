"""A live service for each test process, started by the README's command, with nothing configured but its database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("api")
    started = Service(folder / "service", {"DATABASE_URL": f"sqlite:///{folder / 'autopack.db'}"})
    try:
        started.start()
        yield started
    finally:
        started.stop()
