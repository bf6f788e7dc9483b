"""The repository's own settings and instructions, read at one commit of the base branch. All of it is untrusted."""

import base64
import binascii
from urllib.parse import quote

from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.github_errors import GitHubRefused

SETTINGS = ".github/autopack.yml"
SETTINGS_OTHER = ".github/autopack.yaml"
INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md")
LIMIT_BYTES = 64_000
"""Instructions are cut here; settings longer than this are refused by their reader."""


class SettingsFiles(ApiModel):
    """What the base branch says to Autopack. `settings` is YAML text, None without the file."""

    settings: str | None
    instructions: dict[str, str]
    """Path → text, in the order of `INSTRUCTIONS`, only those that exist."""


class _File(ApiModel):
    type: str
    encoding: str = ""
    content: str = ""


async def read_settings_files(repo: Repo, sha: str) -> SettingsFiles:
    """Read the settings and instruction files as they are at commit `sha`."""
    found = {path: await read_text(repo, path, sha) for path in INSTRUCTIONS}
    return SettingsFiles(
        settings=await _read_settings(repo, sha),
        instructions={path: text[:LIMIT_BYTES] for path, text in found.items() if text is not None},
    )


async def _read_settings(repo: Repo, sha: str) -> str | None:
    """The settings file's text; under the other usual ending where there is none under the first."""
    text = await read_text(repo, SETTINGS, sha)
    return text if text is not None else await read_text(repo, SETTINGS_OTHER, sha)


async def read_text(repo: Repo, path: str, sha: str) -> str | None:
    """A file's text at a commit; None when there is no such file, or it is a folder or over 1 MB.

    Bytes that are not UTF-8 become replacement characters.
    """
    try:
        response = await repo.call(
            lambda: repo.rest.repos.async_get_content(repo.owner, repo.name, quote(path, safe="/"), ref=sha)
        )
    except GitHubRefused as refusal:
        if refusal.status == 404:
            return None
        raise
    if response.content.lstrip().startswith(b"["):  # a folder is answered with the list of its files
        return None
    file = parse_response(response, _File)
    if file.type != "file" or file.encoding != "base64":
        return None
    try:
        return base64.b64decode(file.content).decode(errors="replace")
    except binascii.Error:
        return None
