"""What a file is, found out before anything may change it.

The connection used here is read-only, and never the last one that could write: so a file that
is refused is as it was, byte for byte, its log included.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from typing import Final

import attrs

from ...errors import StorageCorruptError, StorageUnavailableError, StorageVersionError
from . import statements
from .connection import open_plain, open_reading
from .faults import corrupt, primary_code
from .files import Place, find_stray_log
from .schema import APPLICATION_ID, SCHEMA_VERSION
from .watermark import read_watermark

__all__ = ["Found", "check_watermark", "find_version", "inspect", "refuse_new", "refuse_others"]

_log = logging.getLogger("claw_actors.storage")
_STEPS_BETWEEN_LOOKS: Final = 10_000


@attrs.frozen
class Found:
    """What is there.

    Attributes:
        new: nothing yet.
        clean: whether the last owner closed it.
        commits: how many commits it holds.
        version: that of its schema; ``None`` if it is new.
    """

    new: bool
    clean: bool
    commits: int
    version: int | None


NOTHING: Final = Found(new=True, clean=True, commits=0, version=None)


def inspect(place: Place, quick_check_seconds: float) -> Found:
    """Look at an existing file; see :func:`_inspect`."""
    try:
        return _inspect(place, quick_check_seconds)
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_READONLY:
            raise
    # A crash during the very first opening, before there is a log, leaves a rollback journal,
    # which only a writer may play back. Any program that opens the file would do the same.
    with closing(open_plain(place)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return _inspect(place, quick_check_seconds)


def _inspect(place: Place, quick_check_seconds: float) -> Found:
    """Look at an existing file.

    Args:
        place: where it is.
        quick_check_seconds: how long to look for damage after an unclean end.

    Raises:
        StorageVersionError: a newer version wrote it.
        StorageCorruptError: it is damaged, or no database.
        StorageUnavailableError: it is somebody else's database.
        sqlite3.Error: anything else.
    """
    with closing(open_reading(place)) as connection:
        version = find_version(connection, place)
        if version is None:
            return NOTHING
        meta = connection.execute(statements.SELECT_META).fetchone()
        if meta is None:
            raise corrupt(place.path, "the row of claw_meta is missing")
        clean, commits = meta
        if not clean:
            _quick_check(connection, place.path, quick_check_seconds)
        return Found(new=False, clean=bool(clean), commits=commits, version=version)


def find_version(connection: sqlite3.Connection, place: Place) -> int | None:
    """Find out which version of ours wrote a file; ``None`` if there is nothing in it.

    Raises:
        StorageVersionError: a newer one.
        StorageUnavailableError: it is somebody else's database.
    """
    application = _pragma(connection, "application_id")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and tables == 0:
        return None
    if application != APPLICATION_ID:
        raise StorageUnavailableError(
            place.path,
            "it is the database of another program"
            f" (application_id {application:#x}, {tables} tables); name another file",
        )
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise StorageVersionError(place.path, version, SCHEMA_VERSION)
    return version


def refuse_new(version: int | None, place: Place) -> None:
    """Refuse a file that is new: there is nothing in it to copy or to look at.

    Raises:
        StorageUnavailableError: it is new.
    """
    if version is None:
        raise StorageUnavailableError(place.path, "nothing was stored in it yet")


def refuse_others(version: int | None, place: Place) -> None:
    """Refuse what only an owner may open: a file that is new, or was made by an older version.

    Raises:
        StorageUnavailableError: it is new.
        StorageVersionError: it has to be brought up to date first.
    """
    refuse_new(version, place)
    assert version is not None
    if version != SCHEMA_VERSION:
        raise StorageVersionError(place.path, version, SCHEMA_VERSION)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _quick_check(connection: sqlite3.Connection, path: str, limit_seconds: float) -> None:
    """Look for damage, as far as the time reaches."""
    stop_at = time.monotonic() + limit_seconds
    connection.set_progress_handler(lambda: time.monotonic() >= stop_at, _STEPS_BETWEEN_LOOKS)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        _log.info("%s: quick_check was stopped after %g s", path, limit_seconds)
        return
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise corrupt(path, f"quick_check says: {verdict}")


def check_watermark(place: Place, found: Found, *, accept_loss: bool) -> None:
    """Compare what is there with what was acknowledged.

    Raises:
        StorageCorruptError: acknowledged commits are missing, and that was not accepted.
    """
    acknowledged = read_watermark(place.mark)
    if acknowledged > found.commits:
        reason = (
            f"{acknowledged} commits were acknowledged and {found.commits} are there:"
            f" {acknowledged - found.commits} are lost"
        )
    elif find_stray_log(place) == place.wal:
        # SQLite would throw it away. A `-journal` is what a crash in the first opening leaves.
        reason = f"there is nothing in it, and {place.wal} beside it has commits"
    else:
        return
    if accept_loss:
        _log.warning("%s: %s; accepted", place.path, reason)
        return
    what = "the file, and its -wal," if found.new else "its -wal"
    raise StorageCorruptError(
        place.path,
        reason,
        f"Put {what} back if it was moved or deleted, or restore a backup. To go on with what is"
        " there (a backup was restored, or the file was removed on purpose), open it once with"
        " accept_loss=True",
    )
