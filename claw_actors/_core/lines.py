"""Lines out of a stream of bytes, none of them longer than it may be."""

from __future__ import annotations

__all__ = ["LineBuffer", "LineTooLong"]


class LineTooLong(ValueError):
    """More bytes came than a line may have, and no end of it."""


class LineBuffer:
    """Takes bytes in pieces of any size, and gives lines.

    It never holds more than the longest line and the piece that came last.
    """

    def __init__(self, max_bytes: int) -> None:
        """Begin without anything.

        Args:
            max_bytes: how long a line may be, its end not counted.
        """
        self.max_bytes = max_bytes
        self._bytes = bytearray()
        # Invariant: there is no end of a line before this place. A line that comes byte by byte
        # is not searched from its beginning each time.
        self._searched = 0

    def __len__(self) -> int:
        """How many bytes wait to be taken."""
        return len(self._bytes)

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._bytes += data

    def take(self) -> bytes | None:
        """Return the next line without its end, or ``None`` if it has not come whole.

        Raises:
            LineTooLong: it is longer than it may be; what comes behind it cannot be told from it.
        """
        end = self._bytes.find(b"\n", self._searched)
        if (len(self._bytes) if end < 0 else end) > self.max_bytes:
            raise LineTooLong(f"a line is longer than {self.max_bytes:,} bytes")
        if end < 0:
            self._searched = len(self._bytes)
            return None
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._searched = 0
        return line
