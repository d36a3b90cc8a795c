"""Commands that act: through the program that owns the database, or in its place.

Each is done, and durable, when it ends with 0.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Final

import click

from .. import Client
from .desk import PATIENCE_S, SECONDS, Desk, Function, at_desk
from .ids import id_argument
from .parameters import read_json

__all__ = ["COMMANDS", "acts"]

reason_option: Final = click.option("--reason", metavar="TEXT", help="Stored, and shown.")


def acts(function: Function) -> Function:
    """Give a command a desk, and let it be told how long to try."""
    timeout = click.option(
        "--timeout",
        "patience_s",
        default=PATIENCE_S,
        show_default=True,
        type=SECONDS,
        metavar="SECONDS",
        help="How long to try to reach the owner.",
    )
    return timeout(at_desk(function))


def _do(desk: Desk, operation: str, id: str, act: Callable[[Client], Awaitable[None]]) -> None:
    desk.ask(act)
    desk.answer({"id": id, "done": operation}, lambda: click.echo(f"{id}: {operation}"))


# Or the number -1 would be an option that does not exist.
@click.command(context_settings={"ignore_unknown_options": True})
@id_argument
@click.argument("topic")
@click.argument("payload", metavar="JSON", callback=read_json)
@click.option("--key", metavar="TEXT", help="With the same key, a message is taken once.")
@acts
def send(desk: Desk, *, id: str, topic: str, payload: object, key: str | None) -> None:
    """Send a message to a workflow; it is kept until the workflow takes it."""
    _do(
        desk,
        "sent",
        id,
        lambda client: client.send(id, topic, payload, idempotency_key=key),
    )


@click.command()
@id_argument
@reason_option
@acts
def cancel(desk: Desk, *, id: str, reason: str | None) -> None:
    """Ask a workflow to cancel itself: it cleans up and is rolled back."""
    _do(desk, "cancel requested", id, lambda client: client.cancel(id, reason))


@click.command()
@id_argument
@reason_option
@acts
def terminate(desk: Desk, *, id: str, reason: str | None) -> None:
    """End a workflow at once, without a word to its code."""
    _do(desk, "terminated", id, lambda client: client.terminate(id, reason))


@click.command()
@id_argument
@reason_option
@acts
def pause(desk: Desk, *, id: str, reason: str | None) -> None:
    """Stop a workflow where it stands, until it is resumed."""
    _do(desk, "paused", id, lambda client: client.pause(id, reason))


@click.command()
@id_argument
@acts
def resume(desk: Desk, *, id: str) -> None:
    """Let a paused workflow go on."""
    _do(desk, "resumed", id, lambda client: client.resume(id))


@click.command()
@id_argument
@acts
def retry(desk: Desk, *, id: str) -> None:
    """Let a failed or quarantined workflow go on from where it stood."""
    _do(desk, "goes on", id, lambda client: client.retry(id))


@click.command()
@id_argument
@click.option(
    "--at", required=True, metavar="TASK", help="The task that is done anew; see `tasks`."
)
@click.option("--id", "new_id", metavar="NEW", help="The id of the new workflow.")
@acts
def fork(desk: Desk, *, id: str, at: str, new_id: str | None) -> None:
    """Start a new workflow from another one's past, and print its id."""
    made = desk.ask(lambda client: client.fork(id, at=at, new_id=new_id))
    desk.answer({"id": made, "done": "forked", "from": id}, functools.partial(click.echo, made))


@click.command()
@id_argument
@click.option("--force", is_flag=True, help="Also what has not ended.")
@acts
def delete(desk: Desk, *, id: str, force: bool) -> None:
    """Delete a workflow with all that hangs on it, its children, too."""
    _do(desk, "deleted", id, lambda client: client.delete(id, force=force))


COMMANDS: Final[tuple[click.Command, ...]] = (
    *(send, cancel, pause, resume, terminate, retry, fork, delete),
)
