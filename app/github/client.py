"""The GitHub App and its clients: one per repository, with tokens that reach that repository alone."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from githubkit import GitHub, GitHubCore
from githubkit.auth import AppAuthStrategy, AppInstallationAuthStrategy
from githubkit.auth.app import AppAuth
from githubkit.auth.base import BaseAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.utils import UNSET
from githubkit_schemas.v2026_03_10.rest import RestNamespace
from pydantic import SecretStr

from app.domain.frozen import Frozen
from app.github.api_calls import ApiModel, Page, RetryPolicy, create_once, pages, parse_response, send_idempotent
from app.github.api_version import SpokenVersion
from app.github.connections import Connections, tls_context
from app.github.github_errors import OUT_OF_REACH, GitHubRefused, GitHubUnavailable, RepositoryMoved
from app.github.request_budget import RequestBudget
from app.github.shown import Shown
from app.github.silence import Silence
from app.github.writes import Writes

TIMEOUT = httpx.Timeout(20.0, connect=5.0)
"""Seconds for one request; how long it is tried again is `RetryPolicy`."""
MAX_REPOSITORIES = 500
"""Clients that are kept: an organization has thousands of repositories, and few with a run."""
TOKEN_MARGIN = timedelta(minutes=10)
"""A git token with less left than this is renewed, so that a long fetch does not outlive it."""

T = TypeVar("T")
ApiCall = TypeVar("ApiCall", bound=BaseAuthStrategy)


class GitHubSettings(Frozen):
    """The App's identity and where GitHub is. `api_url` of GitHub Enterprise Server ends in `/api/v3`."""

    app_id: int
    private_key: SecretStr
    """PEM text."""
    webhook_secret: SecretStr
    api_url: str = "https://api.github.com"
    server_url: str = "https://github.com"
    user_agent: str = "autopack/0.1"
    patience: RetryPolicy = RetryPolicy()


class GitToken(ApiModel):
    """A token with which git may fetch one repository. Never store it: no workflow step may return it."""

    token: SecretStr
    expires_at: datetime


class PooledGitHub(GitHub[ApiCall]):
    """A client that shares the App's connections; githubkit alone opens a new one for every request."""

    connections: Connections

    @asynccontextmanager
    async def get_async_client(self) -> AsyncGenerator[httpx.AsyncClient, None]:
        yield httpx.AsyncClient(
            **self._get_client_defaults(),
            transport=self.connections.pool(),
            event_hooks=self.config.async_event_hooks,
        )


class _Auth(AppAuth):
    """githubkit takes the unquoted path for a URL, and so cannot ask for a branch with `#` in its name."""

    def _get_api_route(self, url: httpx.URL) -> httpx.URL:
        base = self.github.config.base_url.raw_path.rstrip(b"/")
        path = url.raw_path.partition(b"?")[0].removeprefix(base)
        return httpx.URL(path.decode("ascii"))


class _InstallationAuth(AppInstallationAuthStrategy):
    def get_auth_flow(self, github: GitHubCore[Any]) -> httpx.Auth:
        return _Auth(
            github,
            self.app_id,
            self.private_key,
            installation_id=self.installation_id,
            repositories=self.repositories,
            repository_ids=self.repository_ids,
        )


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository as the App reaches it. Holds a live client: pass ids across workflow steps, not this.

    `call`, `pages` and `create` are the ways to send a request; they try again as `app.github.api_calls` says.
    """

    app: "GitHubApp" = field(repr=False)
    github: PooledGitHub[AppInstallationAuthStrategy] = field(repr=False)
    owner: str
    name: str
    installation_id: int
    id: int | None
    """GitHub's, which stays when the repository is renamed or transferred."""
    app_id: int
    app_slug: str
    patience: RetryPolicy
    for_person: bool = False
    """Whether a person waits: then it may use what is kept of the hourly limit for that."""

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def bot_login(self) -> str:
        return f"{self.app_slug}[bot]"

    @property
    def rest(self) -> RestNamespace:
        """githubkit's REST methods, of the pinned version."""
        return self.github.rest("2026-03-10")

    async def call(self, call: Callable[[], Awaitable[T]], *, exists: bool = False) -> T:
        """Send a request that may be sent twice. What `exists` for sure may be unknown to GitHub for some seconds."""
        return await self._send(lambda: send_idempotent(self.patience, call, exists=exists))

    async def pages(self, call: Page, item: type[T], *, key: str | None = None) -> list[T]:
        """Read all pages of a list."""
        return await self._send(lambda: pages(self.patience, call, item, key=key))

    async def create(
        self, look: Callable[[], Awaitable[T | None]], make: Callable[[], Awaitable[T]], *, unique: bool = False
    ) -> T:
        """Look for a thing and make it when it is not there; `make` sends one request, once.

        Of what is `unique` by its name, GitHub refuses a second one: it is made first, and looked for after that.
        """
        return await self._send(lambda: create_once(self.patience, look, make, unique=unique))

    async def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Send a GraphQL request about what exists; it may be sent twice. Errors in its answer: `GitHubRefused`."""
        return await self.call(lambda: self.github.graphql.arequest(query, variables), exists=True)

    async def _send(self, work: Callable[[], Awaitable[T]]) -> T:
        """Send within the installation's budget. Raises `RepositoryMoved` where another one reaches it now."""
        if not self.for_person:
            self.app.budget.require(self.installation_id)
        try:
            return await self.app.renewing(work)
        except GitHubRefused as refusal:
            if refusal.status in OUT_OF_REACH:
                await self.app.require_unmoved(self)
            raise

    def url(self, path: str = "") -> str:
        """The web address of the repository, or of `path` in it."""
        return f"{self.app.settings.server_url.rstrip('/')}/{self.full_name}/{path}".rstrip("/")


class _App(ApiModel):
    slug: str


class _Installation(ApiModel):
    id: int


class GitHubApp:
    """The App: its own client, and one `Repo` per repository, kept for as long as this lives."""

    def __init__(self, settings: GitHubSettings) -> None:
        self.settings = settings
        self._tokens = MemCacheStrategy()
        self._git_tokens: dict[str, GitToken] = {}
        self._repos: OrderedDict[tuple[int, str, int | None], Repo] = OrderedDict()
        self._installations: dict[int, PooledGitHub[AppInstallationAuthStrategy]] = {}
        self._slug: str | None = None
        self._version = SpokenVersion()
        self.trouble: str | None = None
        """Why GitHub did not know the App when it was last asked; empty where it did, None before that."""
        self.silence = Silence()
        self.shown = Shown()
        self.budget = RequestBudget()
        self._connections = Connections()
        self.writes = Writes()
        self.client = self._client(AppAuthStrategy(settings.app_id, settings.private_key.get_secret_value()))

    @property
    def rest(self) -> RestNamespace:
        """REST methods that authenticate as the App itself."""
        return self.client.rest("2026-03-10")

    async def call(self, call: Callable[[], Awaitable[T]]) -> T:
        """Send a request as the App; it may be sent twice."""
        return await send_idempotent(self.settings.patience, call)

    def rest_of_installation(self, installation_id: int) -> RestNamespace:
        """REST methods that reach all repositories of an installation, to list those."""
        if installation_id not in self._installations:
            auth = AppInstallationAuthStrategy(
                self.settings.app_id,
                self.settings.private_key.get_secret_value(),
                installation_id,
                permissions={"metadata": "read"},
            )
            self._installations[installation_id] = self._client(auth, installation_id)
        return self._installations[installation_id].rest("2026-03-10")

    async def check(self) -> str:
        """Ask GitHub who the App is, and keep what is wrong as `trouble`; empty when nothing is."""
        try:
            self._slug = parse_response(await self.call(self.rest.apps.async_get_authenticated), _App).slug
            self.trouble = ""
        except (GitHubRefused, GitHubUnavailable) as trouble:
            self.trouble = str(trouble)
        return self.trouble

    async def slug(self) -> str:
        """The App's name in URLs and, with `[bot]`, its login."""
        if self._slug is None:
            self._slug = parse_response(await self.call(self.rest.apps.async_get_authenticated), _App).slug
        return self._slug

    async def installation(self, installation_id: int, full_name: str, repository_id: int | None = None) -> Repo:
        """The repository `owner/name`, reached through an installation; the same object while it is in use.

        With its id, its tokens outlive a new name: https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
        """
        key = (installation_id, full_name, repository_id)
        if key in self._repos:
            self._repos.move_to_end(key)
            return self._repos[key]
        owner, _, name = full_name.partition("/")
        auth = _InstallationAuth(
            self.settings.app_id,
            self.settings.private_key.get_secret_value(),
            installation_id,
            repositories=[name] if repository_id is None else UNSET,
            repository_ids=UNSET if repository_id is None else [repository_id],
        )
        repo = Repo(
            app=self,
            github=self._client(auth, installation_id),
            owner=owner,
            name=name,
            installation_id=installation_id,
            id=repository_id,
            app_id=self.settings.app_id,
            app_slug=await self.slug(),
            patience=self.settings.patience,
        )
        if len(self._repos) >= MAX_REPOSITORIES:
            self._repos.popitem(last=False)
        return self._repos.setdefault(key, repo)

    async def installation_of(self, full_name: str) -> Repo:
        """The repository `owner/name`; reads its installation. Raises `GitHubRefused` (404) if there is none."""
        owner, _, name = full_name.partition("/")
        response = await self.call(
            lambda: self.rest.apps.async_get_repo_installation(quote(owner, safe=""), quote(name, safe=""))
        )
        return await self.installation(parse_response(response, _Installation).id, full_name)

    async def require_unmoved(self, repo: Repo) -> None:
        """Raise `RepositoryMoved` where another installation reaches the repository now."""
        if repo.id is None:
            return
        try:
            found = await self.installation_of(repo.full_name)
        except GitHubRefused:
            return
        if found.installation_id != repo.installation_id:
            raise RepositoryMoved(f"{repo.full_name} is reached through another installation now", 1.0)

    async def git_token(self, repo: Repo) -> GitToken:
        """A token that may only read the contents of this one repository; valid for ten minutes at least."""
        known = self._git_tokens.get(repo.full_name)
        if known is not None and known.expires_at - datetime.now(UTC) > TOKEN_MARGIN:
            return known
        response = await self.call(
            lambda: self.rest.apps.async_create_installation_access_token(
                repo.installation_id,
                repositories=[repo.name] if repo.id is None else UNSET,
                repository_ids=UNSET if repo.id is None else [repo.id],
                permissions={"contents": "read"},
            )
        )
        token = self._git_tokens[repo.full_name] = parse_response(response, GitToken)
        return token

    async def renewing(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`; if GitHub no longer takes the kept tokens (401), forget them and do it again."""
        try:
            return await work()
        except GitHubRefused as refusal:
            if refusal.status != 401:
                raise
        self.forget_tokens()
        return await work()

    def forget_tokens(self) -> None:
        """Have new ones made: GitHub does not take those that are kept, or gave the App other permissions since."""
        self._tokens.cleanup()
        self._git_tokens.clear()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._connections.aclose()

    def _client(self, auth: ApiCall, installation_id: int = 0) -> PooledGitHub[ApiCall]:
        async def note_limit(response: httpx.Response) -> None:
            self.budget.note(installation_id, response.headers)

        client: PooledGitHub[ApiCall] = PooledGitHub(
            auth,
            base_url=self.settings.api_url,
            user_agent=self.settings.user_agent,
            timeout=TIMEOUT,
            ssl_verify=tls_context(),
            cache_strategy=self._tokens,
            http_cache=False,  # `app.github.conditional` does that
            auto_retry=False,  # `app.github.api_calls` decides what may be sent again
            async_event_hooks={
                "request": [self._version.apply, self.writes.begin],
                "response": [self._version.learn, self.writes.note, *([note_limit] if installation_id else [])],
            },
        )
        client.connections = self._connections
        return client


async def git_token(repo: Repo) -> GitToken:
    """A token that may only read the contents of this one repository; valid for ten minutes at least."""
    return await repo.app.git_token(repo)
