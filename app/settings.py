"""Settings from the environment: the variables of the documentation's table and no others."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.github.client import GitHubSettings

_GITHUB_VARIABLES = ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET")


class Settings(BaseSettings):
    """All that the service reads from its environment. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: str | None = None
    autonomous_runs_dir: Path = Path(".autonomous_runs")
    github_app_id: int | None = None
    github_private_key: SecretStr | None = None
    github_webhook_secret: SecretStr | None = None
    github_api_url: str = "https://api.github.com"
    github_server_url: str = "https://github.com"
    autopack_api_token: SecretStr | None = None
    max_runs: int = Field(default=50, ge=1)
    max_runs_per_repository: int = Field(default=10, ge=1)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)

    @field_validator("github_private_key", mode="after")
    @classmethod
    def _key_or_path(cls, value: SecretStr | None) -> SecretStr | None:
        """A value that is not PEM text is the path of a file that holds it; `\\n` means a line break."""
        if value is None:
            return None
        text = value.get_secret_value().replace("\\n", "\n")
        if "-----BEGIN" in text:
            return SecretStr(text)
        try:
            return SecretStr(Path(text).expanduser().read_text(encoding="utf-8"))
        except OSError as error:
            # The value may be a mangled key: it must not be shown.
            raise ValueError(f"neither PEM text nor a readable file ({type(error).__name__})") from None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Keys and tokens as text, to look for them where they must not be."""
        values = (self.github_private_key, self.github_webhook_secret, self.autopack_api_token)
        return tuple(value.get_secret_value() for value in values if value is not None)

    @property
    def data_dir(self) -> Path:
        """The folder of mirrors, worktrees and the default database: outside the artifacts, which may be deleted."""
        return self.autonomous_runs_dir.absolute().parent / ".autopack"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'autopack.db'}"

    @cached_property
    def github_missing(self) -> tuple[str, ...]:
        """The variables without which GitHub cannot be served."""
        values = (self.github_app_id, self.github_private_key, self.github_webhook_secret)
        return tuple(name for name, value in zip(_GITHUB_VARIABLES, values, strict=True) if value is None)

    @cached_property
    def github(self) -> GitHubSettings | None:
        """The App, or None when one of its variables is missing."""
        if self.github_app_id is None or self.github_private_key is None or self.github_webhook_secret is None:
            return None
        return GitHubSettings(
            app_id=self.github_app_id,
            private_key=self.github_private_key,
            webhook_secret=self.github_webhook_secret,
            api_url=self.github_api_url,
            server_url=self.github_server_url,
        )
