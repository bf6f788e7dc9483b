"""Slash commands: `/autopack NAME [options]` in the text of a comment. One module each; the registry is `COMMANDS`."""

from collections.abc import Awaitable, Callable, Mapping

from handlers.actions import Action
from handlers.commands import cancel, help_command, plan, run, status
from handlers.commands.parse import Asked, Command, Unknown, parse_comment

COMMANDS: Mapping[str, Callable[[Asked], Awaitable[list[Action]]]] = {
    "run": run.handle,
    "plan": plan.handle,
    "status": status.handle,
    "cancel": cancel.handle,
    "help": help_command.handle,
}

__all__ = ["COMMANDS", "Asked", "Command", "Unknown", "help_command", "parse_comment"]
