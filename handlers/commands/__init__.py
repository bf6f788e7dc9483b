"""Slash commands: `/autopack NAME [options]` in the text of a comment. One module each; the registry is `COMMANDS`."""

from collections.abc import Awaitable, Callable, Mapping

from handlers.commands import cancel_command, help_command, plan_command, run_command, status_command
from handlers.commands.parser import Command, CommandRequest, UnknownCommand, parse_comment
from handlers.outcomes import Action

COMMANDS: Mapping[str, Callable[[CommandRequest], Awaitable[list[Action]]]] = {
    "run": run_command.handle,
    "plan": plan_command.handle,
    "status": status_command.handle,
    "cancel": cancel_command.handle,
    "help": help_command.handle,
}

__all__ = ["COMMANDS", "Command", "CommandRequest", "UnknownCommand", "help_command", "parse_comment"]
