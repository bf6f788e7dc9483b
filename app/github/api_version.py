"""The version of the REST API: the newest that the server speaks, of those that Autopack knows.

A version that a server does not know is answered with 400 and the ones that it does, as in
jwoudenberg/update-nix-fetchgit#79. GitHub Enterprise Server up to 3.20 speaks 2022-11-28 alone (github/docs,
`data/release-notes` and `lib/rest/static`), 3.21 both.
"""

import re
from dataclasses import dataclass

import httpx

from app.github.github_errors import GitHubRefused

HEADER = "X-GitHub-Api-Version"
KNOWN = ("2026-03-10", "2022-11-28")
"""Newest first. What Autopack sends and reads is the same in both."""
_BAD_REQUEST = 400
_REFUSED = re.compile(r"is not a supported version")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")


class OtherVersion(httpx.TransportError):
    """The server speaks another version, which the next try uses."""


@dataclass
class SpokenVersion:
    """What the server was found to speak; the newest until it refuses that."""

    value: str = KNOWN[0]

    async def apply(self, request: httpx.Request) -> None:
        """Name the version in a request."""
        if HEADER in request.headers:
            request.headers[HEADER] = self.value

    async def learn(self, response: httpx.Response) -> None:
        """Read from a refusal what the server speaks. Raises `OtherVersion`, or `GitHubRefused` for none we know."""
        if response.status_code != _BAD_REQUEST:
            return
        await response.aread()
        if not _REFUSED.search(response.text):
            return
        spoken = set(_VERSION.findall(response.text)) - {response.request.headers.get(HEADER)}
        known = next((version for version in KNOWN if version in spoken), None)
        if known is None:
            versions = ", ".join(sorted(spoken)) or "none that it names"
            advice = f"Autopack speaks {' and '.join(KNOWN)}: update GitHub Enterprise Server, or Autopack"
            raise GitHubRefused(400, f"the server speaks other versions of the REST API ({versions}); {advice}")
        self.value = known
        raise OtherVersion(f"the server speaks version {known} of the REST API", request=response.request)
