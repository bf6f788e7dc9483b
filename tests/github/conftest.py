"""A GitHub App whose requests are answered by respx; nothing leaves the machine."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from app.github.api_calls import RetryPolicy
from app.github.client import GitHubApp, GitHubSettings, Repo

API = "https://api.github.test"
APP_ID = 77


@pytest.fixture(scope="session")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return pem.decode()


@pytest.fixture
def github() -> Iterator[respx.MockRouter]:
    """GitHub's answers, at paths below its API. A request that no route expects fails the test."""
    with respx.mock(assert_all_called=False) as router:
        router.get("/app").respond(json={"slug": "autopack", "id": APP_ID})
        expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        router.post("/app/installations/5/access_tokens", name="tokens").respond(
            201, json={"token": "ghs_example", "expires_at": expires, "permissions": {}}
        )
        yield router


@pytest.fixture
async def app(private_key: str) -> AsyncIterator[GitHubApp]:
    settings = GitHubSettings(
        app_id=APP_ID,
        private_key=SecretStr(private_key),
        webhook_secret=SecretStr("hook"),
        api_url=API,
        server_url="https://github.test",
        patience=RetryPolicy(total=3.0, first_wait=0.01, longest_wait=0.05),
    )
    app = GitHubApp(settings)
    yield app
    await app.aclose()


@pytest.fixture
async def repo(app: GitHubApp, github: respx.MockRouter) -> Repo:
    return await app.installation(5, "acme/widgets")
