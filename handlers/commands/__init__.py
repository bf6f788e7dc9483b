"""Slash commands: `/autopack NAME [options]` in the text of a comment. One module each."""

from collections.abc import Awaitable, Callable, Mapping

from app.domain.commands import REGISTRY, CommandName
from handlers.commands import help_command, plan_command, run_command, status_command, steer_command
from handlers.commands.parser import Command, CommandRequest, UnknownCommand, parse_comment, parse_comments
from handlers.outcomes import Action

COMMANDS: Mapping[CommandName, Callable[[CommandRequest], Awaitable[list[Action]]]] = {
    CommandName.RUN: run_command.handle,
    CommandName.PLAN: plan_command.handle,
    CommandName.STATUS: status_command.handle,
    CommandName.HELP: help_command.handle,
} | {name: steer_command.handle for name, spec in REGISTRY.items() if spec.of_run}

__all__ = ["COMMANDS", "Command", "CommandRequest", "UnknownCommand", "help_command", "parse_comment", "parse_comments"]
