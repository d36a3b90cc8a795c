"""The options that say which workflows are meant; the same wherever several are."""

from __future__ import annotations

import functools
from typing import Final

import click

from .. import Status, WorkflowFilter
from .desk import Function
from .parameters import labels

__all__ = ["filter_options"]


_OPTIONS: Final = (
    click.option(
        "--status",
        multiple=True,
        type=click.Choice(list(map(str, Status))),
        help="Repeat for several.",
    ),
    click.option("--name", multiple=True, help="The name of the workflow. Repeat for several."),
    click.option("--prefix", help="How the id begins."),
    click.option(
        "--metadata",
        multiple=True,
        metavar="KEY=VALUE",
        callback=labels,
        help="Repeat: all must hold.",
    ),
    click.option("--parent", metavar="ID", help="The workflow that has started them."),
)


def filter_options(function: Function) -> Function:
    """Give a command a ``query``, and the options that say what it asks for."""

    @functools.wraps(function)
    def command(
        status: tuple[str, ...],
        name: tuple[str, ...],
        prefix: str | None,
        metadata: dict[str, str],
        parent: str | None,
        **options: object,
    ) -> None:
        query = WorkflowFilter(
            status=status or None,
            name=name or None,
            id_prefix=prefix,
            metadata=metadata,
            parent=parent,
        )
        function(query=query, **options)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command
