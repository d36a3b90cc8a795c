"""Commands that look: they read the database by themselves, beside its owner or without one."""

from __future__ import annotations

import json
import math
import time
from typing import Final

import attrs
import click
import trio

from .. import Client, Status, TaskState, WorkflowFilter, WorkflowPage, WorkflowState
from .desk import SECONDS, Desk, at_desk
from .exits import Exit
from .filters import filter_options
from .ids import id_argument
from .output import print_fields, print_json, print_table, printable, tell, utc

__all__ = ["COMMANDS"]


@click.command("list")
@filter_options
@click.option("--limit", default=100, show_default=True, help="How many at most, up to 1,000.")
@click.option("--after", type=int, metavar="PLACE", help="Go on where the page before ended.")
@click.option("--offset", default=0, help="How many to skip.")
@click.option("--total", is_flag=True, help="Count all that match, too.")
@at_desk
def list_(
    desk: Desk,
    *,
    query: WorkflowFilter,
    limit: int,
    after: int | None,
    offset: int,
    total: bool,
) -> None:
    """List workflows, newest first."""
    query = attrs.evolve(query, limit=limit, after=after, offset=offset, include_total=total)
    page = desk.ask(lambda client: client.list(query))
    if desk.as_json:
        for state in page.items:
            print_json(state)
    elif page.items:
        _show_page(page)
    if page.total is not None:
        tell(f"{page.total} in all")
    if page.next_after is not None:
        tell(f"there are more: --after {page.next_after}")


def _show_page(page: WorkflowPage) -> None:
    rows = [(one.id, one.name, one.status, utc(one.created_at), one.reason) for one in page.items]
    print_table(("ID", "NAME", "STATUS", "CREATED", "REASON"), rows)


@click.command()
@id_argument
@at_desk
def show(desk: Desk, *, id: str) -> None:
    """Show all that is stored of a workflow, but for its tasks and values."""
    state = desk.ask(lambda client: client.get(id))
    desk.answer(state, lambda: _show_state(state))


def _show_state(state: WorkflowState) -> None:
    ended_well = state.status is Status.COMPLETED
    print_fields(
        {
            "id": state.id,
            "workflow": f"{state.name}@{state.version}",
            "status": state.status,
            "reason": state.reason,
            "description": state.description,
            "metadata": state.metadata or None,
            "parent": state.parent,
            "forked from": state.forked_from,
            "created": utc(state.created_at),
            "started": utc(state.started_at),
            "ended": utc(state.completed_at),
            "due": utc(state.wake_at),
            "input": json.dumps(state.input, ensure_ascii=False),
            "result": json.dumps(state.result, ensure_ascii=False) if ended_well else None,
            "error": None if state.error is None else str(state.error),
            "run": state.run,
            "lives": state.life,
            "recoveries": state.recoveries or None,
        }
    )


@click.command()
@id_argument
@at_desk
def tasks(desk: Desk, *, id: str) -> None:
    """List the tasks of a workflow: the ended ones in that order, then the others."""
    found = desk.ask(lambda client: client.tasks(id))
    if desk.as_json:
        for state in found:
            print_json(state)
    elif found:
        print_table(("TASK", "STATUS", "ATTEMPTS", "STARTED", "ENDED", "ERROR"), map(_row, found))


def _row(state: TaskState) -> tuple[object, ...]:
    error = None if state.error is None else str(state.error)
    times = (utc(state.started_at), utc(state.completed_at))
    return (state.id, state.status, state.attempt, *times, error)


@click.command()
@id_argument
@click.argument("key", required=False)
@at_desk
def value(desk: Desk, *, id: str, key: str | None) -> None:
    """Print what a workflow shows of itself: the value of KEY, or all of them."""
    if key is None:
        values = desk.ask(lambda client: client.values(id))
    else:
        values = {key: desk.ask(lambda client: client.value(id, key))}
    for name, one in values.items():
        text = json.dumps(one, ensure_ascii=False)
        if desk.as_json:
            print_json({"key": name, "value": one})
        else:
            text = printable(text)  # JSON escapes not all that a terminal obeys
            click.echo(text if key is not None else f"{printable(name)}  {text}")


_ENDS: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.QUARANTINED})
"""Where nothing more comes by itself."""


@click.command()
@id_argument
@click.option(
    "--every",
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    type=SECONDS,
    help="How often to look.",
)
@click.option(
    "--timeout", "limit_s", type=SECONDS, metavar="SECONDS", help="For how long, at most."
)
@at_desk
def watch(desk: Desk, *, id: str, every: float, limit_s: float | None) -> None:
    """Print a line for each change of a workflow's status, until it has ended.

    Ends with 0 if it has completed; with 1 if it has failed, was cancelled or is quarantined; with
    4 if --timeout is over before.
    """

    async def look(client: Client) -> WorkflowState | None:
        limit = math.inf if limit_s is None else limit_s
        with trio.move_on_after(limit):
            return await _watch(client, desk, id, every)
        return None

    state = desk.ask(look)
    if state is None:
        tell(f"claw: workflow {id!r} has not ended in {limit_s:g} s")
        raise click.exceptions.Exit(Exit.TIMED_OUT)
    if state.status is not Status.COMPLETED:
        raise click.exceptions.Exit(Exit.FAILED)


async def _watch(client: Client, desk: Desk, id: str, every: float) -> WorkflowState:
    """Print what changes, and return how it has ended."""
    shown: tuple[object, ...] = ()
    while True:
        state = await client.get(id)
        seen = (state.status, state.reason, state.run)
        if seen != shown:
            shown = seen
            _print_change(desk, state)
        if state.status in _ENDS:
            return state
        await trio.sleep(every)


def _print_change(desk: Desk, state: WorkflowState) -> None:
    now = time.time()
    record = {
        "at": now,
        "id": state.id,
        "run": state.run,
        "status": state.status,
        "reason": state.reason,
    }
    reason = f"  {printable(state.reason)}" if state.reason else ""
    desk.answer(record, lambda: click.echo(f"{utc(now)}  {state.status}{reason}"))


COMMANDS: Final[tuple[click.Command, ...]] = (list_, show, tasks, value, watch)
