"""The command ``claw``, in which errors become one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, cast

import click

from ..errors import ClawError
from .exits import Exit, exit_code, is_unread
from .output import printable, tell

__all__ = ["ROOMS", "main", "program"]

ROOMS: Final[dict[str, tuple[str, ...]]] = {
    "looking": ("list", "show", "tasks", "value", "watch"),
    "acting": ("send", "cancel", "pause", "resume", "terminate", "retry", "fork", "delete"),
    "starting": ("start",),
    "copying": ("backup", "restore"),
    "counting": ("stats",),
    "demonstrating": ("demo",),
    "examining": ("doctor",),
    "exporting": ("export",),
    "foreseeing": ("recover-report",),
    "pruning": ("prune",),
    "running": ("run",),
}
"""The modules of this package that hold commands, and the names of those commands."""

_ROOM_OF: Final = {name: room for room, names in ROOMS.items() for name in names}


class _Program(click.Group):
    """Commands whose errors are lines.

    The module of a command is imported when the command is asked for: who lists workflows does not
    wait for what the others need.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- as click calls it
        """Name the commands, in the order of the alphabet."""
        return sorted(_ROOM_OF)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 -- as click calls it
        cmd_name: str,
    ) -> click.Command | None:
        """Import a command; ``None`` if there is none of this name."""
        if cmd_name not in _ROOM_OF:
            return None
        room = importlib.import_module(f".{_ROOM_OF[cmd_name]}", __package__)
        commands = cast("Iterable[click.Command]", room.COMMANDS)
        return next(command for command in commands if command.name == cmd_name)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; see :class:`.exits.Exit`."""
        try:
            return super().invoke(ctx)
        except ClawError as error:
            tell(f"claw: {printable(str(error))}")
            ctx.exit(exit_code(error))
        except (BrokenPipeError, ExceptionGroup) as error:
            if not is_unread(error):
                raise
            _forget_output()
            ctx.exit(Exit.UNREAD)


def _forget_output() -> None:
    """Let Python, which tries at its end to write what is left, write it to nowhere."""
    with suppress(OSError):  # a test's output is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="claw_actors", prog_name="claw")
def program() -> None:
    """Look at durable workflows, act on them, and run them.

    The database is named by --db, or by the settings: claw.toml, or the environment
    (CLAW_STORAGE_TYPE=sqlite, CLAW_STORAGE_SQLITE_PATH=orders.db). Where a program owns it, that
    program does what is asked for; where none does, it is stored for the next one.

    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 not found, 4 timed out, 141 its output is read
    by nobody any more.
    """


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    program(prog_name="claw")
