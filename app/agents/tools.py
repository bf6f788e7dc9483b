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
from typing import Any, Concatenate, Literal, ParamSpec

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
from app.domain.shown_text import cut_line
from app.workspace import sandbox
from app.workspace.edits import Edit
from app.workspace.git import redact
from app.workspace.sandbox import CommandResult, Limits
from app.workspace.workspace_errors import EditError, GitError, WorkspaceError
from app.workspace.worktree import Worktree

MAX_LISTED = 400
MAX_HITS = 60
MAX_LINES = 400
MAX_CHARACTERS = 24_000
MAX_LINE = 4_000
MAX_PATTERN = 4_000
EDITED = "edited"
"""The answer to an edit; the conversation adds the lines that it changed."""

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
    shown = _fitting(paths[:MAX_LISTED])
    left = len(paths) - len(shown)
    more = [f"[{left:,} of {len(paths):,} files left out; use a glob]"] if left else []
    return "\n".join([*shown, *more]) if paths else "no files"


@answering
async def search(ctx: RunContext[AgentDeps], regex: str, glob: str = "") -> str:
    """Find lines that match a Perl-compatible regular expression."""
    result = await _worktree(ctx).search(_pattern(regex) or "", _glob(glob))
    hits = _fitting([f"{hit.path}:{hit.line}: {hit.text}" for hit in result.matches[:MAX_HITS]])
    left = result.left_out + len(result.matches) - len(hits)
    more = [f"[{left:,} more matching lines left out; narrow the search or give a glob]"] if left else []
    return "\n".join([*hits, *more]) if hits else "no matches"


@answering
async def read_file(ctx: RunContext[AgentDeps], path: str, start: int = 1, lines: int = MAX_LINES) -> str:
    """Read a file from line start, at most 400 lines at once."""
    first = max(1, start)
    part = await _worktree(ctx).read_file(path, first, first + max(1, min(lines, MAX_LINES)) - 1)
    if part.total_lines == 0:
        return "[empty file]"
    if first > part.total_lines:
        return f"error: {path} has {part.total_lines:,} lines; start within them"
    wanted = [cut_line(line, MAX_LINE) for line in part.text.removesuffix("\n").split("\n")]
    shown = _fitting(wanted)
    last = part.first + len(shown) - 1
    notes = [f"stored as {part.encoding}"] if part.encoding else []
    if last < part.total_lines or part.first > 1:
        go_on = f"; go on with start={last + 1}" if last < part.total_lines else ""
        notes.insert(0, f"lines {part.first} to {last} of {part.total_lines}{go_on}")
    text = "\n".join(shown) + ("\n" if part.text.endswith("\n") and last == part.last else "")
    return f"[{'; '.join(notes)}]\n{text}" if notes else text


@answering
async def edit_file(
    ctx: RunContext[AgentDeps],
    path: str,
    old: str,
    new: str,
    replace_all: bool = False,
    insert_at: int = 0,
    more: list[list[str]] = [],  # noqa: B006 - so the schema says that none is needed
) -> str:
    """Replace the one passage old by new; more: further [old, new] pairs. Or put new before line insert_at."""
    if insert_at:
        await _worktree(ctx).insert_lines(path, insert_at, new)
        return EDITED
    if not all(len(pair) == 2 for pair in more):
        raise EditError("Each item of more is a pair: the old passage and the new one")
    await _worktree(ctx).edit_file(path, [Edit(old, new, replace_all), *(Edit(one, other) for one, other in more)])
    return EDITED


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


async def _if_merging(ctx: RunContext[AgentDeps], definition: ToolDefinition) -> ToolDefinition | None:
    return definition if ctx.deps.sides is not None else None


@answering
async def take_side(ctx: RunContext[AgentDeps], path: str, side: Literal["branch", "base"]) -> str:
    """In a merge, have a file whole as one side has it; where that has none, it is deleted."""
    worktree, sides = _worktree(ctx), ctx.deps.sides
    if sides is None:
        raise EditError("Nothing is merged here")
    taken = await worktree.mirror.file_at(sides.branch if side == "branch" else sides.base, path)
    if taken.content is not None:
        await worktree.apply_changes([taken])
        return f"{path} is as in the {side} now"
    if path in await worktree.list_files(None):
        await worktree.delete_file(path)
        return f"the {side} has no {path}: it is deleted"
    return f"the {side} has no {path}, and there is none"


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
    return f"exit code {result.exit_code}{_how_it_ended(result)}\n{result.output}"


def _how_it_ended(result: CommandResult) -> str:
    notes = [result.ended_because] if result.ended_because else []
    if result.failed_parts:
        parts = " | ".join(map(str, result.failed_parts))
        notes.append(f"but a part of the last pipeline failed: {parts}")
    if result.nested_repositories:
        folders = ", ".join(result.nested_repositories)
        notes.append(f"nested git repositories, whose files are not in your patch while they have a .git: {folders}")
    return f" ({'; '.join(notes)})" if notes else ""


def _fitting(lines: list[str]) -> list[str]:
    """The first lines that fit into one answer; at least one."""
    room, shown = MAX_CHARACTERS, list[str]()
    for line in lines:
        room -= len(line) + 1
        if room < 0 and shown:
            break
        shown.append(line)
    return shown


def _tool(function: Callable[..., Awaitable[str]], **options: Any) -> Tool[AgentDeps]:
    """The tool, without the words of its schema that tell a model nothing: they would be paid in every request."""
    tool = Tool[AgentDeps](function, **options)
    tool.function_schema.json_schema.pop("additionalProperties", None)
    return tool


BUILDER_TOOLS: tuple[Tool[AgentDeps], ...] = (
    _tool(list_files),
    _tool(search),
    _tool(read_file),
    _tool(edit_file),
    _tool(write_file),
    _tool(delete_file),
    _tool(take_side, prepare=_if_merging),
    _tool(run_command, prepare=_if_commands_allowed),
)
