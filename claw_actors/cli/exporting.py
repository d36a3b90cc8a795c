"""``claw export``: workflows as JSON lines, and pictures of one."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import attrs
import click

from .. import Client, EntryKind, HistoryEntry, WorkflowFilter, WorkflowState, drawing
from .archive import Archive, find, read_history
from .desk import Desk, at_desk
from .destination import check_destination, open_destination, writable
from .exits import Exit
from .filters import filter_options
from .ids import complete
from .output import as_line, print_json, several, tell
from .progress import Progress, telling_progress

__all__ = ["COMMANDS", "telling_exported"]

OFTEN: Final = 1_000
"""After so many workflows it is told how far an export is."""

FAMILY_PAGE: Final = 1_000


@click.command("export")
@click.argument("id", required=False, shell_complete=complete)
@click.option(
    "--format",
    "kind",
    default="jsonl",
    show_default=True,
    type=click.Choice(["jsonl", "timeline", "svg", "dag", "tree"]),
    help="All but the first are of one workflow.",
)
@click.option("--output", metavar="FILE", help="A new file, instead of stdout.")
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@click.option(
    "--width", type=click.IntRange(min=20), help="How wide a timeline may be, in columns."
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw a timeline in ASCII.")
@filter_options
@at_desk
def export(
    desk: Desk,
    *,
    id: str | None,
    kind: str,
    output: str | None,
    force: bool,
    width: int | None,
    ascii_only: bool,
    query: WorkflowFilter,
) -> None:
    """Write down what is stored of workflows: of ID, or of all that the filters let through.

    jsonl is everything, one record a line; timeline and svg show what was done when, dag what came
    after what, and tree which workflow has started which; the last two are for Mermaid.

    An export is to be read, not to be restored: for that there is `claw backup`.
    """
    if id is None and kind != "jsonl":
        raise click.UsageError(f"--format {kind} is of one workflow: name its ID")
    if id is not None and query != WorkflowFilter():
        raise click.UsageError("filters are for several workflows, and an ID is one")
    if output is not None:
        check_destination(output, desk.path, replace=force)
    if kind == "jsonl":
        _export_lines(desk, id, query, output, force=force)
        return
    assert id is not None
    text = _draw(desk, id, kind, _Look(width, ascii_only, output is not None))
    if desk.as_json and output is None:
        print_json({"id": id, "format": kind, "text": text})
        return
    with open_destination(output, replace=force) as write:
        write(text)
    if output is not None:
        _tell_written(desk, output, {"id": id, "format": kind})


def _tell_written(desk: Desk, output: str, record: dict[str, object]) -> None:
    counts = ", ".join(f"{value:,} {key}" for key, value in record.items() if type(value) is int)
    desk.answer(
        {"file": output, **record},
        lambda: tell(f"{output}: {counts}" if counts else f"{output}: written"),
    )


# -- JSON lines -------------------------------------------------------------------------------------


def telling_exported(progress: Progress) -> Callable[[int], None]:
    """Make what tells how many workflows are written, when it is told so."""

    def tell(workflows: int) -> None:
        if workflows % OFTEN == 0:
            progress.tell(f"exported {several(workflows, 'workflow')}")

    return tell


def is_terminal() -> bool:
    """Tell whether stdout is a person's."""
    return sys.stdout.isatty()


def _silent(_workflows: int) -> None:
    """Who watches the lines go by need not be told."""


def _export_lines(
    desk: Desk, id: str | None, query: WorkflowFilter, output: str | None, *, force: bool
) -> None:
    is_watched = output is None and is_terminal()

    async def main(client: Client, on_progress: Callable[[int], None]) -> Archive:
        # Before anything is written: a workflow that is not there leaves no file.
        found = find(client, query) if id is None else _one(await client.get(id))
        with open_destination(output, replace=force) as write:
            archive = Archive(client, lambda line: write(as_line(line)))
            await archive.export(desk.path, found, on_progress)
        return archive

    with telling_progress() as progress:
        tell_exported = _silent if is_watched else telling_exported(progress)
        archive = desk.ask(lambda client: main(client, tell_exported), keep_open=True)
    counts: dict[str, object] = {"workflows": archive.workflows, "entries": archive.entries}
    if output is not None:
        _tell_written(desk, output, {"format": "jsonl", **counts, "skipped": archive.skipped})
    if archive.skipped:
        tell(f"claw: {archive.skipped:,} could not be read wholly; see the records 'skipped'")
        raise click.exceptions.Exit(Exit.FAILED)


# A generator that holds nothing: nobody has to close it.
async def _one(state: WorkflowState) -> AsyncIterator[WorkflowState]:  # noqa: ASYNC900
    yield state


# -- pictures ---------------------------------------------------------------------------------------


@attrs.frozen
class _Look:
    """How a timeline is drawn.

    Attributes:
        width: in columns; ``None`` for what a terminal has.
        ascii_only: whether it was asked for in ASCII.
        to_file: whether it goes into a file, which is UTF-8.
    """

    width: int | None
    ascii_only: bool
    to_file: bool


def _draw(desk: Desk, id: str, kind: str, look: _Look) -> str:
    if kind == "tree":
        return drawing.tree_as_mermaid(desk.ask(lambda client: _family(client, id), keep_open=True))

    async def read(client: Client) -> tuple[WorkflowState, list[HistoryEntry]]:
        state = await client.get(id)
        # Values may be large, and all of them together more than there is memory.
        entries = [_without_value(one) async for one in read_history(client, id)]
        return state, entries

    state, entries = desk.ask(read)
    tasks = desk.ask(lambda client: client.tasks(id))
    if kind == "dag":
        return drawing.dag_as_mermaid(state, entries, tasks)
    timeline = drawing.timeline_of(state, entries, tasks, now=time.time())
    if kind == "svg":
        return drawing.timeline_as_svg(timeline)
    width = shutil.get_terminal_size((100, 24)).columns if look.width is None else look.width
    text = drawing.timeline_as_text(timeline, width=width, ascii_only=look.ascii_only)
    if not look.to_file and not look.ascii_only and writable(text) != text:
        text = drawing.timeline_as_text(timeline, width=width, ascii_only=True)
    return text


def _without_value(entry: HistoryEntry) -> HistoryEntry:
    # These are the values that a picture shows: the id of a child, the reason of a request.
    shown = entry.kind in (EntryKind.CHILD, EntryKind.CANCEL)
    return entry if shown else attrs.evolve(entry, value=None)


async def _family(client: Client, id: str) -> list[WorkflowState]:
    """Read a workflow and all below it, parents first."""
    family = [await client.get(id)]
    for parent in family:  # it grows
        query: WorkflowFilter | None = WorkflowFilter(parent=parent.id, limit=FAMILY_PAGE)
        while query is not None:
            page = await client.list(query)
            family += page.items
            after = page.next_after
            query = None if after is None else attrs.evolve(query, after=after)
    return family


COMMANDS: Final[tuple[click.Command, ...]] = (export,)
