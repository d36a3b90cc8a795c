"""``claw prune``: ended workflows go, and the file gets smaller."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import click

from .. import PruneReport
from .acting import acts
from .desk import Desk
from .output import print_json, several
from .progress import Progress, telling_progress

__all__ = ["COMMANDS", "telling_pruned"]

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])")


def _seconds(_context: object, _parameter: object, text: str | None) -> float | None:
    """Return a length of time, such as 30d, in seconds."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no length of time; say 90s, 15m, 12h, 30d or 8w")
    return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.option("--older-than", callback=_seconds, metavar="TIME", help="Ended so long ago: 30d.")
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    metavar="N",
    help="Of each workflow name, the N started last stay.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(["completed", "failed", "cancelled"]),
    help="Only what ended so; may be repeated.",
)
@click.option("--name", "names", multiple=True, metavar="NAME", help="Only these workflows.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@acts
def prune(
    desk: Desk,
    *,
    older_than: float | None,
    keep: int | None,
    statuses: tuple[str, ...],
    names: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Remove workflows that have ended, and give back their space.

    --older-than or --keep must be given; with both, each keeps what it keeps. What has not ended is
    never removed. The ids are remembered, so that none is used again unawares.
    """
    if older_than is None and keep is None:
        raise click.UsageError("say --older-than TIME or --keep N: without, everything would go")
    with telling_progress() as progress:
        report = desk.ask(
            lambda client: client.prune(
                older_than=older_than,
                keep=keep,
                status=statuses or None,
                name=names or None,
                dry_run=dry_run,
                on_pruned=telling_pruned(desk, progress, dry_run=dry_run),
            )
        )
    desk.answer(report, lambda: _show(report))


def telling_pruned(
    desk: Desk, progress: Progress, *, dry_run: bool
) -> Callable[[Sequence[str]], None]:
    """Make what tells of ids that are pruned, and how many these are by now.

    A log is told only how many they were in the end, and of a dry run the ids say enough.
    """
    done = "would be pruned" if dry_run else "pruned"
    count = 0

    def tell(ids: Sequence[str]) -> None:
        nonlocal count
        count += len(ids)
        if progress.is_watched and not dry_run:
            progress.tell(f"pruned {count:,}")
        for id in ids:
            if desk.as_json:
                print_json({"id": id, "done": done})
            elif dry_run:
                click.echo(id)

    return tell


def _show(report: PruneReport) -> None:
    if report.dry_run:
        click.echo(f"{several(report.pruned, 'workflow')} would be pruned, with their children")
    else:
        click.echo(
            f"{several(report.pruned, 'workflow')} pruned, {report.bytes_freed:,} bytes freed"
        )


COMMANDS: Final[tuple[click.Command, ...]] = (prune,)
