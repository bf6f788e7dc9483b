"""What can go wrong in a workspace; every message is fit to be shown to a model or a person."""

import re

_NETWORK = re.compile(
    r"could not resolve host|timed out|connection (?:reset|refused)|early eof|rpc failed|unexpected disconnect"
    r"|the remote end hung up|error: 5\d\d|returned error: (?:429|5\d\d)|failed to connect|gnutls_handshake"
    r"|ssl_connect|empty reply from server|recv failure|send failure",
    re.IGNORECASE,
)


# git asks for a user's name when the server refuses the token of `http.extraHeader`, and may not ask:
# https://github.com/actions/checkout/issues/26 ("the error means getting 401 from github.com"), /issues/997 (expired).
_UNAUTHORIZED = re.compile(r"could not read username for|authentication failed for|returned error: 401", re.IGNORECASE)


class WorkspaceError(Exception):
    """Base of all errors that this room raises on purpose."""


class GitError(WorkspaceError):
    """A git command failed, timed out or wrote too much. Secrets are removed before this is made.

    `command` is the git subcommand with its arguments, `exit_code` is None when git was ended by a deadline or limit.
    """

    def __init__(self, command: tuple[str, ...], exit_code: int | None, stderr: str) -> None:
        self.command: tuple[str, ...] = command
        self.exit_code: int | None = exit_code
        self.stderr: str = stderr
        outcome = "was ended" if exit_code is None else f"failed with exit code {exit_code}"
        super().__init__(f"git {' '.join(command)} {outcome}: {stderr.strip() or 'no message'}")

    def __reduce__(self) -> tuple[type["GitError"], tuple[tuple[str, ...], int | None, str]]:
        """Pickle by fields: the default would pass only the message, and workflow steps store their errors."""
        return (GitError, (self.command, self.exit_code, self.stderr))

    @property
    def network(self) -> bool:
        """Whether the network or the server failed, so that it may go better later."""
        return bool(_NETWORK.search(self.stderr))

    @property
    def unauthorized(self) -> bool:
        """Whether the server no longer takes the token (401)."""
        return bool(_UNAUTHORIZED.search(self.stderr))


class PathError(WorkspaceError):
    """A path may not be used; the message says what to do instead."""


class EditError(WorkspaceError):
    """An edit did not fit the file; the message says why and where it nearly fits."""


class PatchError(WorkspaceError):
    """A patch from outside did not apply; the message names the file and hunk."""


class LockTimeoutError(WorkspaceError):
    """Another process kept a lock longer than the deadline."""


class SandboxError(WorkspaceError):
    """A command was refused because it could not be run in the sandbox."""


class RecordError(WorkspaceError):
    """What a command left cannot be recorded, so its changes were undone; the message says why."""
