"""The last heartbeat of a task: when it was, and what the body told, as one JSON text."""

from __future__ import annotations

import attrs

__all__ = ["Heartbeat"]


@attrs.frozen
class Heartbeat:
    """What a task body has told of its progress.

    Attributes:
        at: when, in POSIX seconds.
        details: encoded; ``null`` if it told nothing but that it is alive.
    """

    at: float
    details: bytes

    def to_text(self) -> str:
        """Make the text that is stored: a JSON array of the two."""
        return f"[{self.at!r},{self.details.decode()}]"

    @classmethod
    def from_text(cls, text: str) -> Heartbeat:
        """Read what :meth:`to_text` made."""
        at, _, details = text[1:-1].partition(",")
        return cls(float(at), details.encode())
