"""``claw stats``: how many workflows there are, where they stand, and how much room they take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import click

from .. import Client, OwnerStatistics
from ..drawing.wording import length
from ..errors import ControlRefusedError, OwnerUnreachableError, RequestOutcomeUnknownError
from .desk import Desk, at_desk
from .output import plain, print_fields, print_json, print_table, several, utc

__all__ = ["COMMANDS", "Stats"]


OWNER_PATIENCE_S: Final = 2.0
"""How long the owner may take to say how it is; what is counted does not need it."""


@attrs.frozen(kw_only=True)
class Stats:
    """What is counted.

    Attributes:
        path: the database.
        bytes, wal_bytes: how large the file is, and the log beside it.
        workflows: how many there are in each status.
        oldest: of each status that has not ended, when the one created first was created, in
            POSIX seconds.
        next_due: when the first is due that waits for a time; ``None`` if none does.
    """

    path: str
    bytes: int
    wal_bytes: int
    workflows: dict[str, int]
    oldest: dict[str, float]
    next_due: float | None


@attrs.frozen
class Asked:
    """What has come of asking the owner.

    Attributes:
        owner: how it is; ``None`` if there is none, or if it could not be asked.
        trouble: why it could not.
    """

    owner: OwnerStatistics | None
    trouble: str | None = None


@click.command()
@at_desk
def stats(desk: Desk) -> None:
    """Count workflows by status, tell how large the database is, and how its owner is.

    What is counted is read beside the owner or without one. What is in memory, what runs, and how
    fast it is written, only the owner knows: it is asked.
    """
    counts = desk.ask(lambda client: client.count())
    path = Path(desk.path).resolve()
    log = path.with_name(f"{path.name}-wal")
    found = Stats(
        path=str(path),
        bytes=_size(path),
        wal_bytes=_size(log),
        workflows={status.value: count for status, count in counts.by_status.items()},
        oldest={status.value: at for status, at in counts.oldest.items()},
        next_due=counts.next_due,
    )
    asked = attrs.evolve(desk, patience_s=OWNER_PATIENCE_S).ask(_ask)
    if desk.as_json:
        of_owner = {"owner": plain(asked.owner), "owner_trouble": asked.trouble}
        print_json({**attrs.asdict(found), **of_owner})
    else:
        _show(found, asked)


async def _ask(client: Client) -> Asked:
    """Ask the owner; that it cannot be asked is an answer, too."""
    try:
        return Asked(await client.owner())
    except (ControlRefusedError, OwnerUnreachableError, RequestOutcomeUnknownError) as error:
        return Asked(None, str(error))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # nothing was written since it was closed
        return 0


def _show(found: Stats, asked: Asked) -> None:
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
            **_fields_of(asked),
        }
    )


def _fields_of(asked: Asked) -> dict[str, object]:
    owner = asked.owner
    if owner is None:
        return {"owner": asked.trouble or "nobody"}
    now, storage = owner.runtime, owner.runtime.storage
    took = storage.last_commit_seconds
    last = "" if took is None else f", the last one in {1_000 * took:.1f} ms"
    return {
        "owner": f"pid {owner.pid} on {owner.host}, claw_actors {owner.version},"
        f" open for {length(now.up_seconds)}",
        "in memory": f"{several(now.active, 'workflow')}, {now.idle:,} of them only wait",
        "tasks": f"{now.running_tasks:,} run now, {now.attempts:,} attempts begun",
        "commits": f"{storage.commits:,}{last}; {storage.queued:,} writes wait",
        "storage": storage.unavailable,
    }


COMMANDS: Final[tuple[click.Command, ...]] = (stats,)
