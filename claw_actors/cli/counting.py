"""``claw stats``: how many workflows there are, where they stand, and how much room they take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import click

from .. import Client, Status, WorkflowFilter
from .desk import Desk, at_desk
from .output import print_fields, print_table, utc

__all__ = ["COMMANDS", "Stats"]


@attrs.frozen(kw_only=True)
class Stats:
    """What is counted.

    Attributes:
        path: the database.
        bytes, wal_bytes: how large the file is, and the log beside it.
        workflows: how many there are in each status.
        oldest: of each status that has not ended, when the oldest of the newest thousand was
            created, in POSIX seconds.
        next_due: when the first of these is due that waits for a time; ``None`` if none does.
    """

    path: str = ""
    bytes: int = 0
    wal_bytes: int = 0
    workflows: dict[str, int]
    oldest: dict[str, float]
    next_due: float | None


@click.command()
@at_desk
def stats(desk: Desk) -> None:
    """Count workflows by status, and tell how large the database is.

    It reads beside the owner or without one. Of those that have not ended, the newest thousand of
    each status are looked at for the oldest, and for what is due next.
    """
    counted = desk.ask(_count)
    path = Path(desk.path).resolve()
    log = path.with_name(f"{path.name}-wal")
    found = attrs.evolve(counted, path=str(path), bytes=_size(path), wal_bytes=_size(log))
    desk.answer(found, lambda: _show(found))


async def _count(client: Client) -> Stats:
    workflows: dict[str, int] = {}
    oldest: dict[str, float] = {}
    due: list[float] = []
    for status in Status:
        limit = 1 if status.is_terminal else 1_000
        query = WorkflowFilter(status=status, limit=limit, include_total=True)
        page = await client.list(query)
        workflows[status.value] = page.total or 0
        due += [state.wake_at for state in page.items if state.wake_at is not None]
        created = [state.created_at for state in page.items if state.created_at is not None]
        if created and not status.is_terminal:
            oldest[status.value] = min(created)
    return Stats(
        workflows=workflows,
        oldest=oldest,
        next_due=min(due, default=None),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # nothing was written since it was closed
        return 0


def _show(found: Stats) -> None:
    rows = [
        (status, f"{count:,}", utc(found.oldest.get(status)))
        for status, count in found.workflows.items()
        if count
    ]
    print_table(("STATUS", "WORKFLOWS", "OLDEST"), rows)
    print_fields(
        {
            "in all": f"{sum(found.workflows.values()):,}",
            "next due": utc(found.next_due),
            "size": f"{found.bytes:,} bytes, and {found.wal_bytes:,} in its log",
        }
    )


COMMANDS: Final[tuple[click.Command, ...]] = (stats,)
