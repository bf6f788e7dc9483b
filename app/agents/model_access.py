"""Keys and addresses of the model vendors, from the environment. Importing this is quick; the clients are not here."""

from collections.abc import Mapping

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

REQUIRED_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "azure": ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
    "local": ("AUTOPACK_LOCAL_BASE_URL",),
}
"""What makes a vendor usable; the first of each is enough to say that a person wants real models."""
KEY_VARIABLES = tuple(names[0] for names in REQUIRED_VARIABLES.values())


class ModelAccess(BaseSettings):
    """Each field is the environment variable of its name; an empty one counts as unset. Keys never show as text."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str = "https://api.anthropic.com"
    openai_api_key: SecretStr | None = None
    openai_base_url: str = "https://api.openai.com/v1"
    azure_openai_api_key: SecretStr | None = None
    azure_openai_endpoint: str | None = None
    azure_openai_api_version: str = "2025-04-01-preview"
    """Responses need 2025-03-01-preview or later; this one is the last with a date."""
    autopack_local_base_url: str | None = None
    """Any server that speaks OpenAI's Chat Completions."""
    autopack_local_api_key: SecretStr = SecretStr("none")

    @property
    def vendors(self) -> frozenset[str]:
        """The vendors for which everything needed is set."""
        return frozenset(vendor for vendor, names in REQUIRED_VARIABLES.items() if all(map(self._is_set, names)))

    @property
    def any_key(self) -> bool:
        """Whether the key or address of any vendor is set."""
        return any(map(self._is_set, KEY_VARIABLES))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys as text, to look for them where they must not be."""
        keys = (self.anthropic_api_key, self.openai_api_key, self.azure_openai_api_key, self.autopack_local_api_key)
        return tuple(key.get_secret_value() for key in keys if key is not None)

    def _is_set(self, variable: str) -> bool:
        return bool(getattr(self, variable.lower()))
