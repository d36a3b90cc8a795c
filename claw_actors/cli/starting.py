"""``claw start``: have the program that owns the database start a workflow."""

from __future__ import annotations

import functools
from typing import Final, Literal, cast

import click

from .acting import acts
from .desk import Desk
from .parameters import json_values, labels

__all__ = ["COMMANDS"]


# Or the number -1 would be an option that does not exist.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("args", nargs=-1, metavar="[JSON]...", callback=json_values)
@click.option("--id", "id_", metavar="ID", help="The id of the workflow; random by default.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", callback=labels, help="Labels.")
@click.option("--description", metavar="TEXT", help="Stored, and shown.")
@click.option(
    "--on-existing",
    default="attach",
    show_default=True,
    type=click.Choice(["attach", "raise", "replace_closed"]),
    help="Where the id is taken: be content if it is the same workflow with the same arguments;"
    " refuse it; or delete one that has ended.",
)
@acts
def start(
    desk: Desk,
    *,
    name: str,
    args: list[object],
    id_: str | None,
    metadata: dict[str, str],
    description: str | None,
    on_existing: str,
) -> None:
    """Start a workflow with these arguments, and print its id.

    The program that owns the database has its code, and does it; without one it cannot be done.
    """
    made = desk.ask(
        lambda client: client.start(
            name,
            *args,
            id=id_,
            metadata=metadata,
            description=description,
            on_existing=cast("Literal['attach', 'raise', 'replace_closed']", on_existing),
        )
    )
    desk.answer({"id": made, "done": "started"}, functools.partial(click.echo, made))


COMMANDS: Final[tuple[click.Command, ...]] = (start,)
