"""Run the git CLI: own environment, no hooks, no user configuration, no prompts, always a deadline."""

import asyncio
import base64
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from app.workspace.workspace_errors import GitError

DEFAULT_DEADLINE = 60.0
MAX_OUTPUT_BYTES = 256 * 1024 * 1024
_MAX_STDERR_BYTES = 64 * 1024
_CHUNK = 64 * 1024
_END_DEADLINE = 10.0
_URL_CREDENTIALS = re.compile(r"(?<!\w)(\w{1,40}://)[^/\s@]+@")

# Repository content must never decide which programs run: hooks, fsmonitor and external diffs stay off.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.quotePath=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
)
# A server behind a proxy or a private certificate authority needs these; nothing else is inherited.
_NETWORK_VARIABLES = (
    "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY",
    "https_proxy", "http_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a command may go over the network, and with which token (none: anonymous)."""

    url: str
    token: str | None = field(default=None, repr=False)

    def secrets(self) -> tuple[str, ...]:
        """The token in each form in which it could show up in an output."""
        return (self.token, _basic(self.token)) if self.token else ()

    def environment(self) -> dict[str, str]:
        """Variables that allow only this remote's protocol and send the token to its host only.

        The token travels in the environment, so it is in no argument list, no configuration file and no URL.
        """
        parts = urlsplit(self.url)
        variables = {name: os.environ[name] for name in _NETWORK_VARIABLES if name in os.environ}
        variables["GIT_ALLOW_PROTOCOL"] = parts.scheme
        if self.token:
            variables |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc}/.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {_basic(self.token)}",
            }
        return variables


@dataclass(frozen=True, slots=True)
class GitOutput:
    """What a command wrote. `truncated` is only ever true where the caller allowed it."""

    stdout: bytes
    exit_code: int
    truncated: bool = False

    @property
    def text(self) -> str:
        """Standard output as text without the last newline; undecodable bytes are replaced."""
        return self.stdout.decode(errors="replace").removesuffix("\n")


async def git(
    *arguments: str,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    remote: Remote | None = None,
    stdin: bytes | None = None,
    deadline: float = DEFAULT_DEADLINE,
    accept: Sequence[int] = (0,),
    max_output: int = MAX_OUTPUT_BYTES,
    cut_output: bool = False,
) -> GitOutput:
    """Run one git command and return its output.

    Without `remote` no protocol is allowed, so objects that a partial clone lacks are an error instead of a
    surprising download. Raises GitError on an exit code outside `accept`, after `deadline` seconds, and when more
    than `max_output` bytes are written (with `cut_output`: returns what fits, `truncated`).
    """
    secrets = remote.secrets() if remote else ()
    process = await asyncio.create_subprocess_exec(
        "git",
        *(part for setting in _CONFIG for part in ("-c", setting)),
        *arguments,
        cwd=cwd,
        env=_environment(variables, remote),
        stdin=DEVNULL if stdin is None else PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline):
            stdout, stderr, cut = await _communicate(process, stdin, max_output)
            exit_code = await process.wait()
    except TimeoutError as error:
        message = f"not finished after {deadline:g} seconds"
        raise GitError(_redacted(arguments, secrets), None, message) from error
    finally:
        await _end(process)
    if cut:
        if cut_output:
            return GitOutput(stdout, 0, truncated=True)
        raise GitError(_redacted(arguments, secrets), None, f"wrote more than {max_output} bytes")
    if exit_code not in accept:
        message = redact(stderr.decode(errors="replace"), secrets)
        raise GitError(_redacted(arguments, secrets), exit_code, message)
    return GitOutput(stdout, exit_code)


def redact(text: str, secrets: Sequence[str]) -> str:
    """Take the secrets, and user names and passwords inside URLs, out of a text."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _URL_CREDENTIALS.sub(r"\1***@", text)


def _redacted(arguments: Sequence[str], secrets: Sequence[str]) -> tuple[str, ...]:
    return tuple(redact(argument, secrets) for argument in arguments)


def _basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def _environment(variables: Mapping[str, str] | None, remote: Remote | None) -> dict[str, str]:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "",
    }
    if remote is not None:
        environment |= remote.environment()
    return environment | dict(variables or {})


async def _communicate(process: Process, stdin: bytes | None, limit: int) -> tuple[bytes, bytes, bool]:
    """Feed and drain all pipes at once; git is ended when standard output passes the limit."""
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process, stdin))
        errors = group.create_task(_read(process.stderr, _MAX_STDERR_BYTES, lambda: None))
        output = await _read(process.stdout, limit, lambda: _kill(process))
    return output[:limit], errors.result()[:_MAX_STDERR_BYTES], len(output) > limit


async def _feed(process: Process, stdin: bytes | None) -> None:
    if process.stdin is None or stdin is None:
        return
    try:
        process.stdin.write(stdin)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # git ended before reading everything; its exit code tells why
    finally:
        process.stdin.close()


async def _read(stream: asyncio.StreamReader, limit: int, on_overflow: Callable[[], None]) -> bytes:
    """Read to the end but store only a little over `limit` bytes. Unread output would keep `Process.wait` waiting."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.read(_CHUNK):
        if size > limit:
            continue
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            on_overflow()
    return b"".join(chunks)


def _kill(process: Process) -> None:
    """Kill git and its helpers (transport, index-pack): they share its session."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended by itself in between
            os.killpg(process.pid, signal.SIGKILL)


async def _end(process: Process) -> None:
    """Make sure that git is gone, so that its locks and files are not touched any more."""
    if process.returncode is not None:
        return
    _kill(process)
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(_END_DEADLINE):
        await asyncio.gather(_read(process.stdout, 0, lambda: None), _read(process.stderr, 0, lambda: None))
        await process.wait()
