"""Ownership between processes: one ``flock`` on a file beside the database.

It ends with the process, however that ends. The file itself is never unlinked: a name that goes
away would let two owners hold locks on two files of the same name.

The holder writes into it who it is, and empties it when it goes. So a note is missing, or that of a
process which is dead, only in the moment between a lock and its note: whoever finds one so looks
again, as it does where the note says that its writer only visits.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import socket
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from ...errors import StorageLockedError

__all__ = ["OwnerLock", "Role", "find_holder", "owned_since", "owner_name"]

Role: TypeAlias = Literal["owner", "visitor"]
"""Who takes a file: its owner for as long as it runs, or an operator for a moment."""

_MAX_NOTE_BYTES: Final = 500
_NOTE: Final = re.compile(r"(a visitor, )?pid (\d+) on ")


def owner_name(role: Role = "owner") -> str:
    """Name this process as it is shown to whoever is refused."""
    visitor = "a visitor, " if role == "visitor" else ""
    return f"{visitor}pid {os.getpid()} on {socket.gethostname()}"


def _is_passing(note: str) -> bool:
    """Tell whether the holder may be gone in a moment, or has not said yet who it is."""
    match = _NOTE.match(note)
    if match is None or match[1]:
        return True
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it lives, and is somebody else's
    return False


def _read_note(descriptor: int) -> str:
    return os.pread(descriptor, _MAX_NOTE_BYTES, 0).decode(errors="replace").strip()


def find_holder(path: str) -> str | None:
    """Find out who holds a lock, as they named themselves; ``None`` if nobody does.

    It is tried, shared and for an instant: whoever wants it just then finds no note of a holder in
    it, and looks again.

    Args:
        path: the lock file.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_note(descriptor) or "another process"
    finally:
        os.close(descriptor)
    return None


def owned_since(holder: str) -> float | None:
    """Tell since when an owner has had the database, in POSIX seconds.

    Args:
        holder: what :func:`find_holder` returned.

    Returns:
        The time; ``None`` of a visitor, and of somebody who has not said.
    """
    match = _NOTE.match(holder)
    if match is None or match[1]:
        return None
    try:
        return datetime.datetime.fromisoformat(holder.rpartition(" since ")[2]).timestamp()
    except ValueError:
        return None


class OwnerLock:
    """A held lock. It is released by :meth:`release`, or by the end of the process."""

    def __init__(self, path: str, for_path: str, role: Role = "owner") -> None:
        """Take the lock at once, or not at all.

        Args:
            path: the lock file; it is created (0600) if need be.
            for_path: the database, for messages.
            role: what it is taken for.

        Raises:
            StorageLockedError: somebody holds it; the error names them.
            OSError: the file cannot be made or locked.
        """
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_note(role)
        except BlockingIOError:
            note = _read_note(self._descriptor)
            os.close(self._descriptor)
            holder = note or "another process"
            raise StorageLockedError(for_path, holder, passing=_is_passing(note)) from None
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go of the lock; the file stays, empty."""
        with suppress(OSError):  # a full or failing disk must not keep it locked
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _write_note(self, role: Role) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        note = f"{owner_name(role)} since {now}".encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, note, 0)
