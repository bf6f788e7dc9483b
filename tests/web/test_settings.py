"""The environment governs, and an error about it shows no secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings

PEM = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_need_be_set() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.autonomous_runs_dir == Path(".autonomous_runs")
    assert settings.database == f"sqlite:///{Path.cwd() / '.autopack' / 'autopack.db'}"
    assert settings.github is None
    assert settings.github_missing == ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PORT", "GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"):
        monkeypatch.setenv(name, "")
    assert Settings() == Settings(database_url=None)
    assert Settings().port == 8000


def test_the_database_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h/db")
    assert Settings().database == "postgresql://u@h/db"


@pytest.mark.parametrize("how", ["text", "one line", "file"])
def test_the_key_is_text_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PEM)
    value = {"text": PEM, "one line": PEM.replace("\n", "\\n"), "file": str(file)}[how]
    monkeypatch.setenv("GITHUB_APP_ID", "77")
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", value)
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "hook")
    github = Settings().github
    assert github is not None
    assert github.private_key.get_secret_value() == PEM
    assert (github.app_id, github.webhook_secret.get_secret_value()) == (77, "hook")
    assert Settings().github_missing == ()


def test_a_mangled_key_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "MIIEowIBAAKCAQEAmangled")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "neither PEM text nor a readable file" in str(refused.value)
    assert "MIIEow" not in str(refused.value)


def test_no_secret_is_shown() -> None:
    settings = Settings.model_validate({"github_webhook_secret": "hunter2", "autopack_api_token": "hunter2"})
    assert "hunter2" not in repr(settings) + str(settings)


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_is_a_port(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)
    with pytest.raises(ValidationError, match="port"):
        Settings()
