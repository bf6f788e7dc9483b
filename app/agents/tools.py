"""The Builder's tools over its worktree.

On replay of a workflow they run again, so they depend on the base commit and the calls before only. `run_command` is a
step: its record carries the output and the files that the command changed, and replay puts those back.

What a model did wrong, and all else that a tool raises, is answered with a text that starts with `error:`, so that the
model can go on.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import PurePosixPath
from typing import Concatenate, ParamSpec

from dbos import DBOS
from dbos import error as engine
from pydantic_ai import Tool
from pydantic_ai.exceptions import (
    AgentRunError,
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    SkipToolValidation,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
from pydantic_ai.tools import RunContext, ToolDefinition
from sqlalchemy.exc import SQLAlchemyError

from app.agents.conversation import AgentDeps
from app.domain.budget import BudgetExhausted, ModelFailed, RunStopped
from app.workspace import sandbox
from app.workspace.git import redact
from app.workspace.sandbox import CommandResult, Limits
from app.workspace.workspace_errors import EditError, GitError, WorkspaceError
from app.workspace.worktree import Worktree

MAX_LISTED = 400
MAX_HITS = 60
MAX_LINES = 400
MAX_CHARACTERS = 24_000
MAX_PATTERN = 4_000

_MAX_ERROR = 2_000
# Cancellation and what the workflow engine ends a workflow with are no `Exception`.
_CONTROL = (
    *(BudgetExhausted, RunStopped, ModelFailed),
    *(engine.DBOSException, SQLAlchemyError),  # a step that could not be recorded
    *(ModelRetry, ToolFailed, CallDeferred, ApprovalRequired, SkipToolExecution, SkipToolValidation),
    *(ToolRetryError, ToolFailedError, AgentRunError),
)

P = ParamSpec("P")
log = logging.getLogger(__name__)


def _worktree(ctx: RunContext[AgentDeps]) -> Worktree:
    if ctx.deps.worktree is None:
        raise RuntimeError("a Builder needs a worktree")
    return ctx.deps.worktree


def answering(
    tool: Callable[Concatenate[RunContext[AgentDeps], P], Awaitable[str]],
) -> Callable[Concatenate[RunContext[AgentDeps], P], Awaitable[str]]:
    """Answer an exception of a tool to the model, unless it governs the run or the conversation."""

    @wraps(tool)
    async def guarded(ctx: RunContext[AgentDeps], *args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return await tool(ctx, *args, **kwargs)
        except _CONTROL:
            raise
        except (WorkspaceError, OSError, UnicodeError) as error:
            return f"error: {_told(error, ctx.deps.worktree)}"
        except Exception as error:  # a model that comes across a defect can still go on
            log.exception("the tool %s failed by a defect", tool.__name__)
            return f"error: the tool failed by a defect: {_told(error, ctx.deps.worktree)}; try another way"

    return guarded


def _told(error: Exception, worktree: Worktree | None) -> str:
    """The error in a line or a few, without places of this machine."""
    if isinstance(error, GitError):
        text = f"git could not do this: {error.stderr.strip() or 'no message'}"
    elif isinstance(error, OSError):
        text = error.strerror or type(error).__name__
    elif isinstance(error, WorkspaceError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    text = text[:_MAX_ERROR]
    if worktree is not None:
        for place, name in ((worktree.path, "."), (worktree.mirror.path, "(git)"), (worktree.mirror.root, "(data)")):
            for spelling in {str(place.resolve()), str(place.absolute()), str(place)}:
                text = text.replace(spelling, name)
    return redact(text, ())


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}\n[cut; ask for less]"


def _pattern(text: str) -> str | None:
    """A glob or regex to hand on; None when it is empty. Raises EditError when no command line can carry it."""
    if "\0" in text:
        raise EditError("A pattern cannot contain a NUL character")
    if len(text) > MAX_PATTERN:
        raise EditError(f"A pattern cannot have more than {MAX_PATTERN} characters")
    return text or None


def _glob(text: str) -> str | None:
    """A glob to hand on; None when it means all files, as `.` does."""
    return None if PurePosixPath(text) in {PurePosixPath(), PurePosixPath("/")} else _pattern(text)


@answering
async def list_files(ctx: RunContext[AgentDeps], glob: str = "") -> str:
    """List files, all or those that match a glob such as src/**/*.py."""
    paths = await _worktree(ctx).list_files(_glob(glob))
    more = f"\n[{len(paths) - MAX_LISTED} more; use a glob]" if len(paths) > MAX_LISTED else ""
    return _bounded("\n".join(paths[:MAX_LISTED]) + more) if paths else "no files"


@answering
async def search(ctx: RunContext[AgentDeps], regex: str, glob: str = "") -> str:
    """Find lines that match a regular expression."""
    result = await _worktree(ctx).search(_pattern(regex) or "", _glob(glob))
    hits = [f"{hit.path}:{hit.line}: {hit.text}" for hit in result.matches[:MAX_HITS]]
    more = result.truncated or len(result.matches) > MAX_HITS
    return _bounded("\n".join(hits) + ("\n[more; narrow the search]" if more else "")) if hits else "no matches"


@answering
async def read_file(ctx: RunContext[AgentDeps], path: str, start: int = 1, lines: int = MAX_LINES) -> str:
    """Read a file from line start, at most 400 lines at once."""
    first = max(1, start)
    part = await _worktree(ctx).read_file(path, first, first + max(1, min(lines, MAX_LINES)) - 1)
    if part.last < part.total_lines or part.first > 1:
        return _bounded(f"[lines {part.first} to {part.last} of {part.total_lines}]\n{part.text}")
    return _bounded(part.text) or "[empty file]"


@answering
async def edit_file(ctx: RunContext[AgentDeps], path: str, old: str, new: str) -> str:
    """Replace the one occurrence of old, copied exactly, by new."""
    await _worktree(ctx).edit_file(path, old, new)
    return "edited"


@answering
async def write_file(ctx: RunContext[AgentDeps], path: str, content: str) -> str:
    """Make a file or replace it whole."""
    await _worktree(ctx).write_file(path, content)
    return "written"


@answering
async def delete_file(ctx: RunContext[AgentDeps], path: str) -> str:
    """Delete a file."""
    await _worktree(ctx).delete_file(path)
    return "deleted"


async def _if_commands_allowed(ctx: RunContext[AgentDeps], definition: ToolDefinition) -> ToolDefinition | None:
    return definition if ctx.deps.commands_allowed else None


@answering
async def run_command(ctx: RunContext[AgentDeps], command: str) -> str:
    """Run a shell command at the root, without network."""
    worktree = _worktree(ctx)
    ran_here = False

    async def step() -> CommandResult:
        nonlocal ran_here
        ran_here = True
        limits = Limits(wall_seconds=ctx.deps.command_timeout_seconds)
        return await sandbox.run_command(worktree, command, limits=limits)

    in_workflow = DBOS.workflow_id is not None
    result = await (DBOS.run_step_async({"name": "builder.run_command"}, step) if in_workflow else step())
    if not ran_here:
        await worktree.apply_changes(result.changes)
    ended = f" ({result.ended_because})" if result.ended_because else ""
    return _bounded(f"exit code {result.exit_code}{ended}\n{result.output}")


BUILDER_TOOLS: tuple[Tool[AgentDeps], ...] = (
    Tool(list_files),
    Tool(search),
    Tool(read_file),
    Tool(edit_file),
    Tool(write_file),
    Tool(delete_file),
    Tool(run_command, prepare=_if_commands_allowed),
)
