"""The routes over a real database file, served in this process; the drainer is left out, so the inbox can be read."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.db.engine import Database
from app.settings import Settings
from app.web import webhooks
from app.web.background import Background
from app.web.body_limit import BodyLimit
from app.web.dependencies import ServiceState
from app.web.drainer import Drainer
from app.web.intake import Intake

SECRET = "It's a Secret to Everybody"
CONFIGURED = Settings(
    github_app_id=77,
    github_private_key=SecretStr("-----BEGIN RSA PRIVATE KEY-----"),
    github_webhook_secret=SecretStr(SECRET),
)


def sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@asynccontextmanager
async def running(intake: Intake) -> AsyncGenerator[None]:
    """The intake at work."""
    task = asyncio.create_task(intake.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def serving(db: Database, settings: Settings = CONFIGURED) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the webhook route; an error in the route is an answer 500, as it is behind a real server."""
    api = FastAPI()
    api.add_middleware(BodyLimit)
    api.add_middleware(webhooks.Door)
    intake = Intake(db)
    api.state.service = ServiceState(
        settings=settings, db=db, intake=intake, drainer=Drainer(db), background=Background({})
    )
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    async with running(intake), httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@pytest.fixture
def empty_db(tmp_path: Path) -> Iterator[Database]:
    """A database without tables: every write fails."""
    database = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    yield database
    database.close()


@pytest.fixture
def db(empty_db: Database) -> Database:
    empty_db.migrate()
    return empty_db


@pytest.fixture
async def client(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(db) as one:
        yield one
