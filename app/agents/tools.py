"""The Builder's tools over its worktree.

On replay of a workflow they run again, so they depend on the base commit and the calls before only. `run_command` is a
step: its record carries the output and the files that the command changed, and replay puts those back.

What a model did wrong is answered with a text that starts with `error:`, so that it can go on.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from dbos import DBOS
from pydantic_ai import Tool
from pydantic_ai.tools import RunContext, ToolDefinition

from app.agents.conversation import AgentDeps
from app.workspace import sandbox
from app.workspace.errors import EditError, PathError, SandboxError
from app.workspace.sandbox import CommandResult, Limits
from app.workspace.worktree import Worktree

MAX_LISTED = 400
MAX_HITS = 60
MAX_LINES = 400
MAX_CHARACTERS = 24_000

P = ParamSpec("P")


def _worktree(ctx: RunContext[AgentDeps]) -> Worktree:
    if ctx.deps.worktree is None:
        raise RuntimeError("a Builder needs a worktree")
    return ctx.deps.worktree


def _answering(
    tool: Callable[Concatenate[RunContext[AgentDeps], P], Awaitable[str]],
) -> Callable[Concatenate[RunContext[AgentDeps], P], Awaitable[str]]:
    """Turn what the workspace refuses into an answer for the model."""

    @wraps(tool)
    async def answering(ctx: RunContext[AgentDeps], *args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return await tool(ctx, *args, **kwargs)
        except (PathError, EditError, SandboxError) as error:
            return f"error: {error}"

    return answering


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}\n[cut; ask for less]"


def _pattern(text: str) -> str | None:
    """A glob or regex to hand on; None when it is empty. Raises EditError when no command line can carry it."""
    if "\0" in text:
        raise EditError("A pattern cannot contain a NUL character")
    return text or None


@_answering
async def list_files(ctx: RunContext[AgentDeps], glob: str = "") -> str:
    """List files, all or those that match a glob such as src/**/*.py."""
    paths = await _worktree(ctx).list_files(_pattern(glob))
    more = f"\n[{len(paths) - MAX_LISTED} more; use a glob]" if len(paths) > MAX_LISTED else ""
    return _bounded("\n".join(paths[:MAX_LISTED]) + more) if paths else "no files"


@_answering
async def search(ctx: RunContext[AgentDeps], regex: str, glob: str = "") -> str:
    """Find lines that match a regular expression."""
    result = await _worktree(ctx).search(_pattern(regex) or "", _pattern(glob))
    hits = [f"{hit.path}:{hit.line}: {hit.text}" for hit in result.matches[:MAX_HITS]]
    more = result.truncated or len(result.matches) > MAX_HITS
    return _bounded("\n".join(hits) + ("\n[more; narrow the search]" if more else "")) if hits else "no matches"


@_answering
async def read_file(ctx: RunContext[AgentDeps], path: str, start: int = 1, lines: int = MAX_LINES) -> str:
    """Read a file from line start, at most 400 lines at once."""
    first = max(1, start)
    part = await _worktree(ctx).read_file(path, first, first + max(1, min(lines, MAX_LINES)) - 1)
    if part.last < part.total_lines or part.first > 1:
        return _bounded(f"[lines {part.first} to {part.last} of {part.total_lines}]\n{part.text}")
    return _bounded(part.text) or "[empty file]"


@_answering
async def edit_file(ctx: RunContext[AgentDeps], path: str, old: str, new: str) -> str:
    """Replace the one occurrence of old, copied exactly, by new."""
    await _worktree(ctx).edit_file(path, old, new)
    return "edited"


@_answering
async def write_file(ctx: RunContext[AgentDeps], path: str, content: str) -> str:
    """Make a file or replace it whole."""
    await _worktree(ctx).write_file(path, content)
    return "written"


@_answering
async def delete_file(ctx: RunContext[AgentDeps], path: str) -> str:
    """Delete a file."""
    await _worktree(ctx).delete_file(path)
    return "deleted"


async def _offered(ctx: RunContext[AgentDeps], definition: ToolDefinition) -> ToolDefinition | None:
    return definition if ctx.deps.commands_allowed else None


@_answering
async def run_command(ctx: RunContext[AgentDeps], command: str) -> str:
    """Run a shell command at the root, without network."""
    worktree = _worktree(ctx)
    ran_here = False

    async def step() -> CommandResult:
        nonlocal ran_here
        ran_here = True
        limits = Limits(wall_seconds=ctx.deps.command_timeout_seconds)
        return await sandbox.run_command(worktree, command, limits=limits, read_only=ctx.deps.read_only_paths)

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
    Tool(run_command, prepare=_offered),
)
