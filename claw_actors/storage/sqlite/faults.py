"""What an error of SQLite means to us: every ``sqlite3.Error`` is mapped here and nowhere else."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from ...errors import (
    ClawError,
    InvalidInputError,
    OutcomeUnknownError,
    StorageCorruptError,
    StorageUnavailableError,
)
from .files import what_is_forbidden

__all__ = [
    "CULPRITS",
    "commit_failed",
    "corrupt",
    "mapped",
    "primary_code",
    "read_failed",
    "refused",
]

CULPRITS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)
"""Errors that one operation's own values cause; its neighbours can still commit."""

# SQLITE_ERROR is what a missing table or column is reported as: somebody changed the schema.
_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_ERROR,
    }
)

# A COMMIT that ends in one of these has not happened: the transaction could be rolled back, and
# a commit frame that was cut off by a full disk is no commit frame.
_NOT_COMMITTED: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY}
)

# What SQLite says where the system has said no.
_FORBIDDEN: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code; ``None`` for errors of the Python module itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


# SQLite calls it a disk error, whatever the system has said.
_NO_INDEX: Final = "; the index of its log, -shm, could not be made: is the disk full?"


def _reason(error: BaseException) -> str:
    name = getattr(error, "sqlite_errorname", None)
    hint = _NO_INDEX if name == "SQLITE_IOERR_SHMSIZE" else ""
    return f"{error} ({name}){hint}" if name else str(error)


def corrupt(where: str, reason: str) -> StorageCorruptError:
    """Make the error for a damaged file or record, with what to do about it."""
    return StorageCorruptError(
        where,
        reason,
        "Stop using the file, keep a copy of it with its -wal, and restore a backup;"
        " without one, `sqlite3 FILE .recover` salvages what can be read",
    )


def read_failed(error: BaseException, where: str) -> ClawError:
    """Map an error of a read, or of opening: nothing was at stake."""
    # A value too big to be read was never written; and sqlite3 cannot even decode SQLite's
    # message if that quotes a damaged schema.
    too_big = primary_code(error) == sqlite3.SQLITE_TOOBIG
    if primary_code(error) in _DAMAGE or too_big or isinstance(error, UnicodeDecodeError):
        return corrupt(where, _reason(error))
    if isinstance(error, CULPRITS):
        return _unacceptable(error)
    hint = what_is_forbidden(where) if primary_code(error) in _FORBIDDEN else ""
    return StorageUnavailableError(where, _reason(error) + hint)


@contextmanager
def mapped(where: str) -> Generator[None]:
    """Map what is raised in a block that works with files that nobody has open, or only reads.

    Args:
        where: the path, for what does not say it.
    """
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(str(error.filename or where), str(error)) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise read_failed(error, where) from error


def commit_failed(error: sqlite3.Error, where: str, *, committing: bool) -> ClawError:
    """Map an error that ended a whole group, after its transaction was rolled back.

    Args:
        error: what SQLite said.
        where: the path.
        committing: whether it was COMMIT that failed. Then only what is known to come before
            the point of no return counts as "not applied".
    """
    code = primary_code(error)
    if code in _DAMAGE:
        return corrupt(where, _reason(error))
    # A write or fsync that failed may still reach the disk: seen after a crash. Fail-stop.
    if code == sqlite3.SQLITE_IOERR or (committing and code not in _NOT_COMMITTED):
        return OutcomeUnknownError(where, _reason(error))
    return StorageUnavailableError(where, _reason(error))


def refused(operation: object, error: BaseException) -> ClawError:
    """Make the answer to an operation whose own values SQLite would not take."""
    refusal = _unacceptable(error, type(operation).__name__)
    refusal.__cause__ = error.with_traceback(None)
    return refusal


def _unacceptable(error: BaseException, field: str = "value") -> InvalidInputError:
    return InvalidInputError(
        field,
        _reason(error),
        "texts must be valid Unicode, whole numbers fit into 64 bits, times be finite",
    )
