"""Backups, and the way back."""

from __future__ import annotations

import sys
from functools import partial
from typing import Final, TextIO

import attrs
import click
import trio

from .. import BackupReport, RestoreReport, back_up
from .. import restore as restore_from
from .desk import Desk, at_desk

__all__ = ["COMMANDS", "Progress"]

STEPS: Final = 10
"""A log wants to know now and then how far it is, a person always."""


@attrs.define
class Progress:
    """Tells how far a copy is: a person on one line, that changes; a log now and then."""

    stream: TextIO
    _told: int = -1

    def __call__(self, done: int, pages: int) -> None:
        """Tell it.

        Args:
            done: how many pages are copied.
            pages: of how many.
        """
        percent = 100 * done // max(1, pages)
        step = percent if self.stream.isatty() else percent // STEPS * STEPS
        if step == self._told:
            return
        self._told = step
        text = f"copied {percent:3} % ({done:,} of {pages:,} pages)"
        if self.stream.isatty():
            text = f"\r{text}" if done < pages else f"\r{text}\n"
        else:
            text = f"{text}\n"
        self.stream.write(text)
        self.stream.flush()


@click.command()
@click.argument("destination", metavar="DEST")
@at_desk
def backup(desk: Desk, *, destination: str) -> None:
    """Copy the database to DEST, in use or not, and read every row of the copy back."""
    progress = Progress(sys.stderr)
    report = trio.run(partial(back_up, desk.path, destination, on_progress=progress))
    desk.answer(report, partial(_show_backup, report))


def _show_backup(report: BackupReport) -> None:
    click.echo(
        f"{report.path}: {report.workflows:,} workflows, {report.rows:,} rows read back,"
        f" {report.bytes:,} bytes"
    )


@click.command()
@click.argument("backup", metavar="BACKUP")
@click.option("--replace", is_flag=True, help="There may be a database; it is kept as .replaced.")
@at_desk
def restore(desk: Desk, *, backup: str, replace: bool) -> None:
    """Make the database of BACKUP, where no program uses it."""
    report = trio.run(partial(restore_from, backup, desk.path, replace=replace))
    desk.answer(report, partial(_show_restored, report))


def _show_restored(report: RestoreReport) -> None:
    click.echo(f"{report.path}: {report.workflows:,} workflows, {report.rows:,} rows read back")
    if report.replaced is not None:
        click.echo(
            f"what was there before lies in {report.replaced};"
            f" {report.lost_commits:,} of its commits are not in the backup"
        )


COMMANDS: Final[tuple[click.Command, ...]] = (backup, restore)
