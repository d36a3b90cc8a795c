"""Ownership between processes: one ``flock`` on a file beside the database.

It ends with the process, however that ends. The file itself is never unlinked: a name that goes
away would let two owners hold locks on two files of the same name.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import socket
from typing import Final

from ...errors import StorageLockedError

__all__ = ["OwnerLock", "owner_name"]

_MAX_NOTE_BYTES: Final = 500


def owner_name() -> str:
    """Name this process as it is shown to whoever is refused."""
    return f"pid {os.getpid()} on {socket.gethostname()}"


class OwnerLock:
    """A held lock. It is released by :meth:`release`, or by the end of the process."""

    def __init__(self, path: str, for_path: str) -> None:
        """Take the lock at once, or not at all.

        Args:
            path: the lock file; it is created (0600) if need be.
            for_path: the database, for messages.

        Raises:
            StorageLockedError: somebody holds it; the error names them.
            OSError: the file cannot be made or locked.
        """
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_note()
        except BlockingIOError:
            holder = self._read_note()
            self.release()
            raise StorageLockedError(for_path, holder) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of the lock; the file stays."""
        os.close(self._descriptor)

    def _write_note(self) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        note = f"{owner_name()} since {now}".encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, note, 0)

    def _read_note(self) -> str:
        note = os.pread(self._descriptor, _MAX_NOTE_BYTES, 0).decode(errors="replace")
        # The holder may have locked it and not yet written.
        return note.strip() or "another process"
