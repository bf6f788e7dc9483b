"""Secrets in text: tokens and keys by the patterns of detect-secrets, and the service's own in any usual encoding."""

import base64
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import quote

from app.domain.integrity import Flag

_PLUGINS = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
"""Modules and classes of detect-secrets: those that know a vendor's form. Its guesses by entropy or by the names of
variables would refuse honest code."""
_MORE = (
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,200}"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{20,100}"),
    re.compile(r"\bhf_[A-Za-z0-9]{30,60}"),
    re.compile(r"\bdop_v1_[a-f0-9]{64}"),
)
"""Newer forms, as their vendors document them."""
_PLACEHOLDER = re.compile(r"EXAMPLE|(?P<same>[A-Za-z0-9])(?P=same){7}|x{6}|\.{3}", re.IGNORECASE)
MAX_LINE = 5_000
"""Characters of a line that are looked at for patterns; a longer one is looked at in pieces of this length."""
_SHORTEST = 12
"""Own secrets that are shorter are no secrets, and would be found everywhere."""


def scan_secrets(path: str, added: Iterable[tuple[int, str]], own: Sequence[str]) -> list[Flag]:
    """Flags for secrets in added lines. The service's own are looked for in all of them together, without blanks."""
    lines = list(added)
    flags = [
        Flag(rule="secret", path=path, line=number, detail=kind) for number, line in lines if (kind := _kind_of(line))
    ]
    together = _bare("".join(line for _, line in lines))
    if any(needle in text for text in (together, together.casefold()) for needle in _needles(tuple(own))):
        flags.append(Flag(rule="own_secret", path=path))
    return flags


def _kind_of(line: str) -> str:
    """What a line seems to hold; empty where it holds no secret, or one that is plainly made up."""
    if len(line) < _SHORTEST:
        return ""
    for start in range(0, min(len(line), 200 * MAX_LINE), MAX_LINE):
        piece = line[start : start + MAX_LINE + 300]
        for plugin in _plugins():
            if any(not _PLACEHOLDER.search(str(found)) for found in plugin.analyze_string(piece)):
                return str(plugin.secret_type)
        if any((found := pattern.search(piece)) and not _PLACEHOLDER.search(found[0]) for pattern in _MORE):
            return "a token"
    return ""


@cache
def _plugins() -> tuple[Any, ...]:
    return tuple(getattr(import_module(f"detect_secrets.plugins.{name}"), kind)() for name, kind in _PLUGINS.items())


def _bare(text: str) -> str:
    """The text without blanks, quotes and line ends, also those that are written as escapes."""
    return re.sub(r"[\s\"'+,\\]|\\[nr]", "", text)


@cache
def _needles(own: tuple[str, ...]) -> frozenset[str]:
    """The secrets, as they are and in the encodings in which text carries bytes."""
    found: set[str] = set()
    for secret in own:
        for part in _parts(secret):
            raw = part.encode()
            found |= {part, part[::-1], raw.hex(), quote(part, safe="")}
            for shift in range(3):  # what stands before it shifts the letters of Base64
                coded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
                found.add(coded[(0, 2, 3)[shift] : -1])
                found.add(coded[(0, 2, 3)[shift] : -1].replace("+", "-").replace("/", "_"))
    return frozenset(_bare(one) for one in found if len(_bare(one)) >= _SHORTEST)


def _parts(secret: str) -> list[str]:
    """A key of many lines by its lines, so that any of them is found; others whole."""
    lines = [line.strip() for line in secret.strip().splitlines() if "-----" not in line]
    if len(lines) > 1:
        return [line for line in lines if len(line) >= 40]
    return [secret.strip()] if len(secret.strip()) >= _SHORTEST else []
