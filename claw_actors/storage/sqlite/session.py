"""What is held between open and close: the lock, the mark, the writer, the readers."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from contextlib import ExitStack
from functools import partial
from typing import Final

import attrs

from ...errors import ClawError
from ..backend import OpenReport
from . import statements
from .connection import Durability, open_reading, open_writing, refuse_old_sqlite
from .deletion import list_tombstones
from .files import (
    Place,
    create_private,
    find_place,
    find_stray_log,
    locate,
    refuse_missing,
    refuse_network,
    refuse_unfit,
)
from .inspection import NOTHING, check_watermark, inspect, refuse_others
from .lock import OwnerLock, Role, owner_name
from .pool import ReaderPool
from .reader import Reader
from .schema import migrate
from .watermark import Watermark
from .writer import Writer

__all__ = ["Session", "open_session"]

_log = logging.getLogger("claw_actors.storage")
_OWNER_BYTES: Final = 16


@attrs.frozen
class Session:
    """An open database.

    Attributes:
        writer, reader: what works on it.
        report: what was found at opening.
        place: its files.
        pool: the connections of the reader.
        anchor: a read-only connection that reads nothing; the last one to close where the log
            must stay as it is.
        watermark, lock: the files beside it.
    """

    writer: Writer
    reader: Reader
    report: OpenReport
    place: Place
    pool: ReaderPool
    anchor: sqlite3.Connection
    watermark: Watermark
    lock: OwnerLock

    def close(self, *, clean: bool) -> None:
        """End in good order, and let go. What goes wrong is logged: the next open finds it."""
        if self.writer.failed:
            self.abandon()
            return
        with ExitStack() as last:
            last.callback(self.lock.release)
            last.callback(self.watermark.close)
            last.callback(self.writer.connection.close)
            # Before the writer, so that the log can be moved into the database and removed.
            self.pool.close()
            self.anchor.close()
            try:
                self.writer.end(clean=clean)
            except ClawError as error:
                _log.warning("%s was not closed cleanly: %s", self.place.path, error)

    def abandon(self) -> None:
        """Let go, and leave every file as it is."""
        with ExitStack() as last:
            last.callback(self.lock.release)
            last.callback(self.watermark.close)
            # SQLite's last connection to a file moves the log into it. A read-only one cannot,
            # so it goes last.
            last.callback(self.anchor.close)
            last.callback(self.writer.connection.close)
            self.pool.close()


def open_session(
    path: str,
    durability: Durability,
    *,
    accept_loss: bool,
    quick_check_seconds: float,
    role: Role = "owner",
) -> Session:
    """Go through the whole of opening; on an error nothing stays open.

    The order matters. Nothing is created before the path makes sense; nothing is looked at
    before the lock is held; nothing is changed before everything was looked at.

    A visitor creates nothing, migrates nothing, and leaves what was cut off to the next owner.

    Raises:
        ClawError: as :meth:`claw_actors.storage.backend.Backend.open`.
        OSError, sqlite3.Error: anything else, to be mapped by the caller.
    """
    refuse_old_sqlite(path)
    place = _find(path, role)
    with ExitStack() as undo:
        lock = OwnerLock(place.lock, place.path, role)
        undo.callback(lock.release)
        refuse_network(place)
        exists = refuse_unfit(place)  # again, now that nobody else changes it
        # Beside an empty file SQLite throws a log away, even when it only reads.
        nothing = not exists or find_stray_log(place) == place.wal
        found = NOTHING if nothing else inspect(place, quick_check_seconds)
        if role == "visitor":
            refuse_others(found.version, place)
        check_watermark(place, found, accept_loss=accept_loss)
        if not exists:
            create_private(place)
        watermark = Watermark(place.mark)
        undo.callback(watermark.close)
        connection = open_writing(place, durability, new=found.new)
        undo.callback(connection.close)
        owner = secrets.token_hex(_OWNER_BYTES)
        epoch, commits = _take_ownership(connection, owner, role)
        watermark.write(commits)
        anchor = _open_anchor(place)
        undo.callback(anchor.close)
        report = OpenReport(
            clean=found.clean,
            epoch=epoch,
            created=found.new,
            unfinished_deletes=list_tombstones(connection) if role == "owner" else (),
        )
        undo.pop_all()
    pool = ReaderPool(partial(open_reading, place), place.path)
    return Session(
        writer=Writer(connection, place, owner, watermark),
        reader=Reader(pool, place.path),
        report=report,
        place=place,
        pool=pool,
        anchor=anchor,
        watermark=watermark,
        lock=lock,
    )


def _find(path: str, role: Role) -> Place:
    """Find the files; a visitor's must be there."""
    if role == "visitor":
        place = locate(path)
        refuse_missing(place)
    else:
        place = find_place(path)
        refuse_unfit(place)
    return place


def _take_ownership(connection: sqlite3.Connection, owner: str, role: Role) -> tuple[int, int]:
    """Migrate and take the owner's row in one transaction; return the epoch and its commits."""
    connection.execute(statements.BEGIN_WRITE)
    # On an error the connection is closed, which rolls back.
    if role == "owner":
        migrate(connection)
    ((epoch, commits),) = connection.execute(
        statements.TAKE_OWNERSHIP, (owner, owner_name(role), role)
    ).fetchall()
    connection.execute(statements.COMMIT)
    return epoch, commits


def _open_anchor(place: Place) -> sqlite3.Connection:
    connection = open_reading(place)
    try:
        # A first read makes it one of the file's users.
        connection.execute(statements.SELECT_META).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
