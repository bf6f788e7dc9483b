"""The one place where requests to GitHub are repeated, bounded by a deadline, and their answers read.

A request that timed out, or whose connection broke, may have been carried out. What may be sent twice goes through
`repeat`; what creates something goes through `create`, which looks for the thing before every try.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
from githubkit.exception import (
    GitHubException,
    GraphQLFailed,
    RateLimitExceeded,
    RequestError,
    RequestFailed,
)
from githubkit.response import Response
from pydantic import ConfigDict, TypeAdapter, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential_jitter,
)

from app.domain.frozen import Frozen
from app.github.github_errors import GitHubRefused, GitHubUnavailable, is_unknown

T = TypeVar("T")
AnyResponse = Response[Any, Any]
Page = Callable[[int], Awaitable[AnyResponse]]

PER_PAGE = 100
MAX_PAGES = 50
LAG_SECONDS = 5.0
"""How long GitHub may not know what was just made, or what an event has just reported: kubernetes/test-infra#2262,
runatlantis/atlantis#1131, peter-evans/create-pull-request#4356."""
SECONDARY_LIMIT_SECONDS = 60.0
"""GitHub's advice where a secondary rate limit names no time."""


class ApiModel(Frozen):
    """Base of what is read from GitHub: the fields used, everything else ignored."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one request is tried, in seconds, and the waits between tries (doubling, up to `longest_wait`)."""

    total: float = 120.0
    first_wait: float = 0.25
    longest_wait: float = 30.0
    tries: int = 1_000


class _Failure(Exception):
    """A failure worth another try, not before `after` seconds if GitHub said so.

    After the last try it is a `refusal`, where GitHub has answered.
    """

    def __init__(self, reason: str, after: float | None = None, refusal: GitHubRefused | None = None) -> None:
        super().__init__(reason, after, refusal)
        self.reason = reason
        self.after = after
        self.refusal = refusal


async def send_idempotent(policy: RetryPolicy, call: Callable[[], Awaitable[T]], *, exists: bool = False) -> T:
    """Send a request that may be sent twice, until it is answered. Raises `GitHubRefused` or `GitHubUnavailable`.

    Of what `exists` for sure, GitHub may say for some seconds that it does not.
    """
    return await _retry(policy, call, exists=exists)


async def create_once(
    policy: RetryPolicy,
    look: Callable[[], Awaitable[T | None]],
    make: Callable[[], Awaitable[T]],
    *,
    unique: bool = False,
) -> T:
    """Return what `look` finds, else what `make` creates; look again before every further try.

    `make` sends its request once. What is `unique` by its name is made without a look before: GitHub refuses a second
    one. Raises `GitHubRefused` or `GitHubUnavailable`.
    """
    looked = not unique

    async def attempt() -> T:
        nonlocal looked
        found = await look() if looked else None
        looked = True
        if found is not None:
            return found
        try:
            return await make()
        except RequestFailed as error:
            # "already exists": made by an earlier try that the look did not see yet, or by someone else meanwhile
            if error.response.status_code in {409, 422}:
                found = await look()
                if found is not None:
                    return found
                if "already exists" in _message(error.response):  # and is not shown yet
                    refusal = GitHubRefused(error.response.status_code, _refused(error.response))
                    raise _Failure("it exists, and is not there yet", refusal=refusal) from error
            raise

    return await _retry(policy, attempt)


async def pages(policy: RetryPolicy, call: Page, item: type[T], *, key: str | None = None) -> list[T]:
    """Read all pages of a list (under `key` where the list is wrapped). Refused when it has more than 5,000 entries."""
    items: list[T] = []
    name = ""
    listed: TypeAdapter[list[T]] = _adapter(list[item])  # a type known at run time
    for number in range(1, MAX_PAGES + 1):
        response = await send_idempotent(policy, lambda number=number: call(number))
        name = response_name(response)
        batch = _batch(response, listed, key)
        items.extend(batch)
        if "next" not in response.raw_response.links and len(batch) < PER_PAGE:
            return items
    raise GitHubRefused(0, f"a list has more than {MAX_PAGES * PER_PAGE} entries: {name}")


def parse_response(response: AnyResponse, model: type[T]) -> T:
    """The answer as `model`. Raises `GitHubUnavailable` when it is something else (a proxy's page, half an answer)."""
    return _parsed(response, lambda: _adapter(model).validate_json(response.content))


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once: that takes longer than to read an answer."""
    return TypeAdapter(kind)


def response_name(response: AnyResponse) -> str:
    """Method and path of the request, without its query."""
    return f"{response.raw_request.method} {response.raw_request.url.path}"


def _batch(response: AnyResponse, listed: TypeAdapter[list[T]], key: str | None) -> list[T]:
    if key is None:
        return _parsed(response, lambda: listed.validate_json(response.content))
    whole = parse_response(response, dict[str, Any])
    return _parsed(response, lambda: listed.validate_python(whole.get(key)))


def _parsed(response: AnyResponse, validate: Callable[[], T]) -> T:
    try:
        return validate()
    except ValidationError as error:
        raise GitHubUnavailable(f"answer not understood: {response_name(response)}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])} {first['msg']}"


async def _retry(policy: RetryPolicy, attempt: Callable[[], Awaitable[T]], *, exists: bool = False) -> T:
    """Repeat what failed in a way that may pass, with growing pauses or the one that GitHub names."""
    backoff = wait_exponential_jitter(multiplier=policy.first_wait, max=policy.longest_wait, jitter=policy.first_wait)

    def wait(state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        after = failure.after if isinstance(failure, _Failure) else None
        return backoff(state) if after is None else after

    failures: list[_Failure] = []
    lag_ends = time.monotonic() + LAG_SECONDS

    async def classified() -> T:
        try:
            return await attempt()
        except GitHubException as error:
            try:
                failure = _classify(error)
            except GitHubRefused as refusal:
                if not (exists and is_unknown(refusal) and time.monotonic() < lag_ends):
                    raise
                failure = _Failure("not there yet", refusal=refusal)
            failures.append(failure)
            raise failure from error

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_Failure),
        stop=stop_before_delay(policy.total) | stop_after_attempt(policy.tries),
        wait=wait,
        reraise=True,
    )
    try:
        async with asyncio.timeout(policy.total):
            return await retrying(classified)
    except (TimeoutError, _Failure) as error:
        # At the deadline the last failure says more than the request that was cut off.
        last = failures[-1] if failures else _Failure(f"no answer within {policy.total:g} s")
        if last.refusal is not None:
            raise last.refusal from error
        raise GitHubUnavailable(last.reason, last.after) from error


def _classify(error: GitHubException) -> _Failure:
    """The failure if another try may help; raises `GitHubRefused` if none will."""
    cause = _innermost(error)
    if isinstance(cause, RateLimitExceeded):
        return _Failure(f"rate limit ({cause.response.status_code})", cause.retry_after.total_seconds())
    if isinstance(cause, RequestFailed):
        return _classify_status(cause.response)
    if isinstance(cause, GraphQLFailed):
        return _classify_graphql(cause)
    if isinstance(cause, (httpx.TransportError, httpx.DecodingError, OSError)):
        return _Failure(f"{type(cause).__name__}: {cause}".rstrip(": "))
    if isinstance(cause, ValidationError):
        return _Failure("the answer with the token was not understood")
    if isinstance(cause, GitHubRefused):
        raise cause from error
    # the text may hold what was sent, such as a key
    raise GitHubRefused(0, f"the request could not be made: {type(cause).__name__}") from error


def _innermost(error: GitHubException) -> object:
    """githubkit wraps what failed while it fetched a token in further RequestErrors."""
    cause: object = error
    while isinstance(cause, RequestError) and not isinstance(cause, RequestFailed):
        cause = cast("RequestError[Exception]", cause).exc
    return cause


def _classify_status(response: AnyResponse) -> _Failure:
    status = response.status_code
    message = _message(response)
    if status >= 500 or status == 408:
        return _Failure(f"{status} on {response_name(response)}")
    # "was submitted too quickly" is a 422; GitHub's advice there is to wait (cli/cli#4801).
    too_fast = any(words in message.lower() for words in ("secondary rate limit", "submitted too quickly"))
    if status == 429 or (status in {403, 422} and too_fast):
        return _Failure(f"rate limit ({status})", SECONDARY_LIMIT_SECONDS)
    # A commit is never deleted: this is one that has not reached all of GitHub.
    if status == 404 and message.startswith("No commit found for the ref"):
        return _Failure(f"404 on {response_name(response)}: {message}")
    raise GitHubRefused(status, _refused(response))


def _refused(response: AnyResponse) -> str:
    return f"{response_name(response)}: {_message(response)}{_needed(response)}"


def _needed(response: AnyResponse) -> str:
    """The permissions that would be enough, where GitHub says so.

    https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
    """
    accepted = response.headers.get("x-accepted-github-permissions", "")
    lacks = response.status_code == 403 and "not accessible by integration" in response.text
    return f" (the App needs the permission {accepted[:100].replace('=', ': ')})" if accepted and lacks else ""


class _Refusal(ApiModel):
    message: str = ""
    errors: object = None


def _message(response: AnyResponse) -> str:
    try:
        body = _Refusal.model_validate_json(response.content)
    except ValidationError:
        return response.text[:300]
    return f"{body.message} {body.errors}"[:1_000] if body.errors else body.message[:1_000]


_GRAPHQL_MAY_PASS = ("something went wrong while executing your query", "timeout", "timed out", "loading")
"""Words of errors in a 200 that pass by themselves (octokit/plugin-retry.js#395)."""


def _classify_graphql(error: GraphQLFailed) -> _Failure:
    """Errors without a type, or of a service that is out of reach, may pass; raises `GitHubRefused` for the others."""
    errors = error.response.errors or []
    words = "; ".join(one.message for one in errors)
    untyped = any(one.type in {None, "SERVICE_UNAVAILABLE", "INTERNAL"} for one in errors)
    if untyped and (not words or any(passing in words.lower() for passing in _GRAPHQL_MAY_PASS)):
        return _Failure(f"graphql: {words[:300]}")
    if any(one.type == "SERVICE_UNAVAILABLE" for one in errors):
        return _Failure(f"graphql: {words[:300]}")
    raise _graphql_refusal(error)


def _graphql_refusal(error: GraphQLFailed) -> GitHubRefused:
    errors = error.response.errors or []
    kinds = {one.type for one in errors}
    status = 404 if "NOT_FOUND" in kinds else 403 if "FORBIDDEN" in kinds else 422
    return GitHubRefused(status, "graphql: " + "; ".join(one.message for one in errors)[:1_000])
