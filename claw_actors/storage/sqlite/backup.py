"""A copy of a database, made while it is in use; and back again.

A copy is made in one moment of the database: with every commit that was acknowledged before it
began, and with nothing half done. Readers do not disturb a writer in WAL mode, so it goes on
meanwhile. What was copied is examined, row by row, before it gets its name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from ...errors import StorageUnavailableError
from .connection import open_plain, open_reading, refuse_old_sqlite
from .examination import examine
from .faults import corrupt, mapped
from .files import (
    Place,
    create_private,
    find_place,
    find_stray_log,
    locate,
    refuse_missing,
    refuse_network,
    refuse_unfit,
    sync_directory,
)
from .inspection import find_version, refuse_new
from .lock import OwnerLock
from .watermark import Watermark, read_watermark

__all__ = ["BackupReport", "RestoreReport", "back_up", "restore"]

PAGES_AT_A_TIME: Final = 1_000
"""Between two pieces somebody can be told how far it is."""

PARTIAL: Final = ".partial"
REPLACED: Final = ".replaced"
ANOTHER: Final = "name a file that does not"
REPLACE: Final = (
    "name another file, or say that it may be replaced (`claw restore --replace`, or replace=True)"
)

# The copy belongs to nobody, and it was not cut off: nothing of it has killed a process.
_DISOWN: Final = (
    "UPDATE claw_meta SET owner = NULL, owner_name = NULL, role = NULL, clean = 1 WHERE one = 1"
)
_COMMITS: Final = "SELECT commits FROM claw_meta WHERE one = 1"
_WORKFLOWS: Final = "SELECT count(*) FROM claw_workflow WHERE id IS NOT NULL"


@attrs.frozen(kw_only=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        path: the copy.
        bytes: how large it is.
        commits: how many commits it holds.
        workflows: how many workflows.
        rows: how many rows were read back and compared with their checksums.
    """

    path: str
    bytes: int
    commits: int
    workflows: int
    rows: int


@attrs.frozen(kw_only=True)
class RestoreReport:
    """What a restored database holds.

    Attributes:
        path: the database.
        commits, workflows, rows: see :class:`BackupReport`.
        lost_commits: how many commits were acknowledged in the database that was replaced, since
            the backup was made; 0 if none was there.
        replaced: where that database lies now, or its log, if only that was left; ``None`` if
            there was nothing.
    """

    path: str
    commits: int
    workflows: int
    rows: int
    lost_commits: int
    replaced: str | None


def back_up(
    source: str,
    destination: str,
    on_progress: Callable[[int, int], None] = lambda done, pages: None,
) -> BackupReport:
    """Copy a database, in use or not, to a file that does not exist yet.

    Args:
        source: the database.
        destination: the copy; its directory is made (0700) if only that is missing.
        on_progress: told how many of how many pages are copied.

    Raises:
        StorageUnavailableError: there is no database, or ``destination`` exists or cannot be
            written. Nothing is left of a copy that failed.
        StorageVersionError: a newer version of claw_actors has made it.
        StorageCorruptError: what was copied is damaged, and so is the database.
    """
    with mapped(source):
        refuse_old_sqlite(source)
        from_place = locate(source)
        refuse_missing(from_place)
        to_place = find_place(destination)
        _refuse_taken(to_place, ANOTHER)
        with _partial(to_place) as partial:
            with closing(open_reading(from_place)) as reading:
                refuse_new(find_version(reading, from_place), from_place)
                _copy(reading, partial, on_progress)
            report = _finish(partial, to_place.path, source)
            _put_in_place(partial, to_place)
    return report


def restore(backup: str, destination: str, *, replace: bool = False) -> RestoreReport:
    """Make a database of a backup, where no program uses it.

    Args:
        backup: a file that :func:`back_up` has made.
        destination: the database.
        replace: whether there may be one; then it is kept beside the new one, as ``….replaced``.

    Raises:
        StorageLockedError: a program has the database open; it is named.
        StorageUnavailableError: there is no such backup; or a database, or the log of one, and
            ``replace`` was not said, or the one that was replaced last is still there.
        StorageVersionError: a newer version of claw_actors has made the backup.
        StorageCorruptError: the backup is damaged. The database is as it was.
    """
    with mapped(backup):
        refuse_old_sqlite(backup)
        from_place = locate(backup)
        refuse_missing(from_place)
        to_place = find_place(destination)
        refuse_network(to_place)
        lock = OwnerLock(to_place.lock, to_place.path)
        try:
            return _restore(from_place, to_place, replace)
        finally:
            lock.release()


def _restore(from_place: Place, to_place: Place, replace: bool) -> RestoreReport:
    refuse_unfit(to_place)
    if not replace:
        _refuse_taken(to_place, REPLACE)
    acknowledged = read_watermark(to_place.mark)
    with _partial(to_place) as partial:
        with closing(open_reading(from_place)) as reading:
            refuse_new(find_version(reading, from_place), from_place)
            _copy(reading, partial, lambda done, pages: None)
        copied = _finish(partial, to_place.path, from_place.path)
        replaced = _set_aside(to_place)
        # From here on fewer commits are claimed: those of the backup.
        mark = Watermark(to_place.mark)
        mark.write(copied.commits)
        mark.close()
        _put_in_place(partial, to_place)
    return RestoreReport(
        path=to_place.path,
        commits=copied.commits,
        workflows=copied.workflows,
        rows=copied.rows,
        lost_commits=max(0, acknowledged - copied.commits),
        replaced=replaced,
    )


def _refuse_taken(place: Place, advice: str) -> None:
    """Refuse to write over something, or beside a log that SQLite would play back into it.

    Raises:
        StorageUnavailableError: there is something of that name.
    """
    if os.path.lexists(place.path):
        raise StorageUnavailableError(place.path, f"it exists; {advice}")
    log = find_stray_log(place)
    if log is not None:
        raise StorageUnavailableError(
            place.path, f"it does not exist, but the log of such a database does, {log}; {advice}"
        )


@contextmanager
def _partial(place: Place) -> Generator[Place]:
    """Make a file to copy into, beside the one it will be; whatever happens, it is gone in the end."""
    partial = Place(place.path + PARTIAL)
    for path in (partial.path, partial.wal, f"{partial.path}-shm"):
        with suppress(FileNotFoundError):  # of a copy that was killed
            os.unlink(path)
    create_private(partial)
    try:
        yield partial
    finally:
        for path in (partial.path, partial.wal, f"{partial.path}-shm", f"{partial.path}-journal"):
            with suppress(FileNotFoundError):
                os.unlink(path)


def _copy(
    reading: sqlite3.Connection, partial: Place, on_progress: Callable[[int, int], None]
) -> None:
    # In one read transaction, so that a commit meanwhile does not make the copy begin anew.
    reading.execute("BEGIN")
    reading.execute(_COMMITS).fetchone()
    with closing(open_plain(partial)) as writing:
        reading.backup(
            writing,
            pages=PAGES_AT_A_TIME,
            progress=lambda _, left, pages: on_progress(pages - left, pages),
            sleep=0,
        )
    reading.execute("ROLLBACK")


def _finish(partial: Place, path: str, source: str) -> BackupReport:
    """Make a copy one file that belongs to nobody, and look at all of it."""
    with closing(open_plain(partial)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute(_DISOWN)
        found = examine(connection, source)
        if found.damage:
            raise corrupt(source, "; ".join(found.damage[:3]))
        (commits,) = connection.execute(_COMMITS).fetchone()
        (workflows,) = connection.execute(_WORKFLOWS).fetchone()
    return BackupReport(
        path=path,
        bytes=Path(partial.path).stat().st_size,
        commits=commits,
        workflows=workflows,
        rows=found.rows,
    )


def _set_aside(place: Place) -> str | None:
    """Rename what is to be replaced, a database with its log; return its new name."""
    old = (*place.logs, place.path)
    if find_stray_log(place) is None and not os.path.lexists(place.path):
        return None
    aside = Place(place.path + REPLACED)
    _refuse_taken(aside, "it was replaced last; move it away, or remove it")
    # Its log first: without it, the database would not be what it was.
    for path, new in zip(old, (*aside.logs, aside.path), strict=True):
        with suppress(FileNotFoundError):
            os.rename(path, new)
    with suppress(FileNotFoundError):
        os.unlink(f"{place.path}-shm")
    # Before the copy gets the name: after a loss of power the old log must not lie beside it.
    sync_directory(place.directory)
    return aside.path if os.path.lexists(aside.path) else find_stray_log(aside)


def _put_in_place(partial: Place, place: Place) -> None:
    """Give a copy its name, if that is still free, so that it survives a loss of power."""
    try:
        os.link(partial.path, place.path)
    except FileExistsError:
        _refuse_taken(place, ANOTHER)
    os.unlink(partial.path)
    sync_directory(place.directory)
