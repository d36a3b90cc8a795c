"""Backups of a SQLite database, and a look at how it is, beside whatever uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import trio

from .findings import Finding
from .sqlite.backup import BackupReport, RestoreReport
from .sqlite.backup import back_up as back_up_now
from .sqlite.backup import restore as restore_now
from .sqlite.diagnosis import ExaminationReport, diagnose
from .sqlite.files import checked_path

__all__ = [
    "BackupReport",
    "ExaminationReport",
    "Finding",
    "RestoreReport",
    "back_up",
    "examine",
    "restore",
]


async def back_up(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> BackupReport:
    """Copy a SQLite database to a file of its own, while it is in use or while it is not.

    The copy holds every commit that was acknowledged before this was called. Whoever uses the
    database goes on meanwhile; only its log grows for as long as the copying takes. Every row of
    the copy is compared with its checksum before the copy gets its name.

    Args:
        source: the database, in use by this process or another, or by none.
        destination: the copy, which must not exist. Its directory is made (0700) if only that is
            missing; the file is readable by its owner alone (0600).
        on_progress: called in a worker thread with how many of how many pages are copied.

    Returns:
        What the copy holds.

    Raises:
        StorageUnavailableError: there is no database; or the copy exists, or cannot be written.
        StorageVersionError: another version of claw_actors has made the database.
        StorageCorruptError: the database is damaged: the copy was, and is gone.
        InvalidInputError: one of these is no path.

    Cancelled, there is no copy.
    """
    copy = partial(
        back_up_now,
        checked_path(source),
        checked_path(destination),
        partial(_tell, on_progress),
    )
    return await trio.to_thread.run_sync(copy)


async def restore(
    backup: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    replace: bool = False,
) -> RestoreReport:
    """Make a SQLite database of a backup, where no program uses it.

    Unfinished workflows go on from where they stood in the backup, and what they have done since
    then they do again: their tasks get the same idempotency keys.

    Args:
        backup: a file that :func:`back_up` has made. It is examined, and stays as it is.
        destination: the database.
        replace: whether there may be one. It is kept as ``….replaced``, until somebody removes it.

    Returns:
        What was restored, and how many commits of the replaced database are not in it.

    Raises:
        StorageLockedError: a program uses the database; it is named.
        StorageUnavailableError: there is no backup; or a database, and ``replace`` was not said,
            or the one that was replaced last is still there.
        StorageVersionError: another version of claw_actors has made the backup.
        StorageCorruptError: the backup is damaged. The database is as it was.
        InvalidInputError: one of these is no path.

    It is over before a cancellation takes effect.
    """
    make = partial(restore_now, checked_path(backup), checked_path(destination), replace=replace)
    return await trio.to_thread.run_sync(make)


async def examine(path: str | os.PathLike[str], *, quick: bool = False) -> ExaminationReport:
    """Look at a SQLite database, in use or not, and compare every row with its checksum.

    Besides damage it looks for rows that belong to nothing, for workflows that cannot go on by
    themselves, and for what is known to be wrong with this version of SQLite.

    Nothing is changed, and whoever uses the database goes on meanwhile. It is read in pieces, so
    that nothing keeps the owner from cutting its log; only SQLite's own ``integrity_check`` cannot
    be divided, and the log may grow for as long as that takes.

    Args:
        path: the database.
        quick: read no rows; only see that it can be opened, is ours, and has all commits that
            were acknowledged.

    Returns:
        How it is. Damage that could be read around is in it, and is no exception.

    Raises:
        StorageUnavailableError: there is no database.
        StorageVersionError: another version of claw_actors has made it.
        StorageCorruptError: it is so damaged that it cannot be read at all.
        InvalidInputError: this is no path.

    It is over before a cancellation takes effect.
    """
    look = partial(diagnose, checked_path(path), quick=quick)
    return await trio.to_thread.run_sync(look)


def _tell(on_progress: Callable[[int, int], None] | None, done: int, pages: int) -> None:
    """Tell how far it is; raises if the caller has been cancelled."""
    trio.from_thread.check_cancelled()
    if on_progress is not None:
        on_progress(done, pages)
