"""The high-water mark: how many commits were acknowledged, kept outside the database.

A write-ahead log that was cut or deleted takes its commits with it, and SQLite finds the rest
"ok". Eight bytes beside the database tell: written after each commit, compared at open. They
are not synced. A mark that lags claims less, and no mark claims nothing; it is never ahead.
"""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path
from typing import Final

__all__ = ["Watermark", "read_watermark"]

_log = logging.getLogger("claw_actors.storage")
_MARK: Final = struct.Struct(">Q")


def read_watermark(path: str) -> int:
    """Return the number of commits that were acknowledged; 0 if nothing is claimed."""
    try:
        with Path(path).open("rb") as file:
            stored = file.read(_MARK.size)
    except FileNotFoundError:
        return 0
    return int(_MARK.unpack(stored)[0]) if len(stored) == _MARK.size else 0


class Watermark:
    """The mark of an open database."""

    def __init__(self, path: str) -> None:
        """Open the file, or make it (0600).

        Raises:
            OSError: it cannot be made.
        """
        self._path = path
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )

    def write(self, commits: int) -> None:
        """Note that this many commits are durable."""
        try:
            os.pwrite(self._descriptor, _MARK.pack(commits), 0)
        except OSError as error:
            # The commit has happened, and a mark that lags only claims less.
            _log.warning("the high-water mark %s cannot be written: %s", self._path, error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
