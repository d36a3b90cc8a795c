"""Backups, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import click
import trio

from .. import BackupReport, RestoreReport, back_up
from .. import restore as restore_from
from .desk import Desk, at_desk
from .output import several
from .progress import Progress, telling_progress

__all__ = ["COMMANDS", "telling_copied"]

STEPS: Final = 10
"""A log wants to know now and then how far it is, a person always."""


def telling_copied(progress: Progress) -> Callable[[int, int], None]:
    """Make what tells how far a copy is, when it is told so."""
    told = -1

    def tell(done: int, pages: int) -> None:
        nonlocal told
        percent = 100 * done // max(1, pages)
        step = percent if progress.is_watched else percent // STEPS * STEPS
        if step != told:
            told = step
            progress.tell(f"copied {percent:3} % ({done:,} of {pages:,} pages)")

    return tell


@click.command()
@click.argument("destination", metavar="DEST")
@at_desk
def backup(desk: Desk, *, destination: str) -> None:
    """Copy the database to DEST, in use or not, and read every row of the copy back."""
    with telling_progress() as progress:
        copied = telling_copied(progress)
        report = trio.run(partial(back_up, desk.path, destination, on_progress=copied))
    desk.answer(report, partial(_show_backup, report))


def _what_was_copied(report: BackupReport | RestoreReport) -> str:
    workflows, rows = several(report.workflows, "workflow"), several(report.rows, "row")
    return f"{report.path}: {workflows}, {rows} read back"


def _show_backup(report: BackupReport) -> None:
    click.echo(f"{_what_was_copied(report)}, {report.bytes:,} bytes")


@click.command()
@click.argument("backup", metavar="BACKUP")
@click.option("--replace", is_flag=True, help="There may be a database; it is kept as .replaced.")
@at_desk
def restore(desk: Desk, *, backup: str, replace: bool) -> None:
    """Make the database of BACKUP, where no program uses it."""
    report = trio.run(partial(restore_from, backup, desk.path, replace=replace))
    desk.answer(report, partial(_show_restored, report))


def _show_restored(report: RestoreReport) -> None:
    click.echo(_what_was_copied(report))
    if report.replaced is not None:
        click.echo(
            f"what was there before lies in {report.replaced};"
            f" {report.lost_commits:,} of its commits are not in the backup"
        )


COMMANDS: Final[tuple[click.Command, ...]] = (backup, restore)
