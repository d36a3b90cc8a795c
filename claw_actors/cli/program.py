"""The command ``claw``, in which errors become one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..errors import ClawError
from . import acting, copying, examining, looking, running
from .exits import exit_code
from .output import printable, tell

__all__ = ["main", "program"]


class _Program(click.Group):
    """Commands whose errors are lines."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; see :class:`.exits.Exit`."""
        try:
            return super().invoke(ctx)
        except ClawError as error:
            tell(f"claw: {printable(str(error))}")
            ctx.exit(exit_code(error))


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="claw_actors", prog_name="claw")
def program() -> None:
    """Look at durable workflows, act on them, and run them.

    The database is named by --db, or by the settings: claw.toml, or the environment
    (CLAW_STORAGE_TYPE=sqlite, CLAW_STORAGE_SQLITE_PATH=orders.db). Where a program owns it, that
    program does what is asked for; where none does, it is stored for the next one.

    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 not found, 4 timed out.
    """


def _commands() -> Iterator[click.Command]:
    for room in (looking, acting, copying, examining, running):
        yield from room.COMMANDS


for _command in _commands():
    program.add_command(_command)


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    program(prog_name="claw")
