"""What the commands share: which database is meant, and how to answer."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import attrs
import click
import trio

from .. import Client, Config, load_config, open_client
from .output import print_json

__all__ = [
    "PATIENCE_S",
    "SECONDS",
    "Decorator",
    "Desk",
    "Function",
    "answer_option",
    "at_desk",
    "place_options",
    "settings",
    "sqlite_path",
]

T = TypeVar("T")

Function: TypeAlias = Callable[..., None]
"""The function of a command."""

Decorator: TypeAlias = Callable[[Function], Function]
"""What adds options to a command's function."""

PATIENCE_S: Final = 10.0

SECONDS: Final = click.FloatRange(min=0, min_open=True)
"""The type of an option that is a length of time."""


def place_options(function: Function) -> Function:
    """Add the options that say which database is meant: ``db`` and ``config``."""
    for option in (
        click.option("--config", metavar="FILE", help="Read the settings from this file."),
        click.option(
            "--db", metavar="PATH", help="The SQLite database, whatever the settings say."
        ),
    ):
        function = option(function)
    return function


answer_option: Final[Decorator] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object a line."
)


def settings(db: str | None, config: str | None) -> Config:
    """Read the settings that a command was given.

    Raises:
        ConfigurationError: they are not possible.
    """
    given = {} if db is None else {"storage.type": "sqlite", "storage.sqlite.path": db}
    return load_config(config, arguments=given)


def sqlite_path(db: str | None, config: str | None) -> str:
    """Find out which database a command is about.

    Raises:
        UsageError: no database is named.
        ConfigurationError: the settings are not possible.
    """
    storage = settings(db, config).storage
    if storage.type == "memory":
        raise click.UsageError(
            "no database is named, and the settings keep workflows in memory, where only their own"
            " process sees them; give --db PATH, or set storage.type to 'sqlite'"
        )
    return storage.sqlite.path


@attrs.frozen(kw_only=True)
class Desk:
    """Where an operator stands: before one database.

    Attributes:
        path: the database.
        as_json: whether a program reads the answers.
        patience_s: how long to try to have something done.
    """

    path: str
    as_json: bool
    patience_s: float = PATIENCE_S

    def ask(self, question: Callable[[Client], Awaitable[T]], *, keep_open: bool = False) -> T:
        """Do something with a client of the database, and return what comes of it.

        Args:
            question: what.
            keep_open: whether it reads very often.
        """

        async def main() -> T:
            async with open_client(
                self.path, timeout=self.patience_s, keep_open=keep_open
            ) as client:
                return await question(client)

        return trio.run(main)

    def answer(self, record: object, show: Callable[[], None]) -> None:
        """Print a record, or show it to a person."""
        if self.as_json:
            print_json(record)
        else:
            show()


def at_desk(function: Function) -> Function:
    """Give a command a :class:`Desk`, and the options that tell which one."""

    @place_options
    @answer_option
    @functools.wraps(function)
    def command(
        db: str | None,
        config: str | None,
        as_json: bool,
        patience_s: float = PATIENCE_S,
        **options: object,
    ) -> None:
        desk = Desk(path=sqlite_path(db, config), as_json=as_json, patience_s=patience_s)
        function(desk, **options)

    return command
