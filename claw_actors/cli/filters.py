"""The options that say which workflows are meant; the same wherever several are."""

from __future__ import annotations

from typing import Final

import click

from .. import Status
from .desk import Answer
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


def filter_options(function: Answer) -> Answer:
    """Add the options: ``status``, ``name``, ``prefix``, ``metadata`` and ``parent``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
