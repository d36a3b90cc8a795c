"""The children of one incarnation's instance: which were started, and which have ended.

The sequencer puts the end of each child in here in commit order, as it puts messages into the
inbox; a handle's ``result()`` looks for it here. Neither writes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.journal import EntryStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core.journal import Entry
    from .._core.offspring import OnParentClose

__all__ = ["Brood"]


class Brood:
    """Children by id."""

    def __init__(self, started: Mapping[str, OnParentClose]) -> None:
        """Make it from what the past says.

        Args:
            started: the children that this run has started in earlier lives.
        """
        self._started: dict[str, OnParentClose] = dict(started)
        # How each has ended that has: the first end that counts. An operator may have let a child
        # go on after it, but what code has seen stays as it was.
        self._ends: dict[str, Entry] = {}
        # Whose end was told to the code that asked for it.
        self._seen: set[str] = set()

    def __repr__(self) -> str:
        return f"<Brood of {len(self._started)}, {len(self._ends)} ended>"

    def start(self, id: str, on_close: OnParentClose) -> None:
        """A child was started."""
        self._started[id] = on_close

    def end(self, entry: Entry) -> None:
        """A child has ended."""
        self._ends.setdefault(entry.name, entry)

    def has_ended(self, id: str) -> bool:
        """Tell whether a child has ended."""
        return id in self._ends

    def take_end(self, id: str) -> Entry:
        """Return how a child has ended, to be told to the code that waits for it."""
        self._seen.add(id)
        return self._ends[id]

    def running(self, on_close: OnParentClose) -> list[str]:
        """Return the children with this fate that have not ended, in order of their starts."""
        return [
            id for id, fate in self._started.items() if fate == on_close and id not in self._ends
        ]

    def unseen_failure(self) -> Entry | None:
        """Return the end of the first child that was to be waited for, and failed unnoticed."""
        for id, entry in self._ends.items():
            is_failure = entry.status is EntryStatus.FAILED and id not in self._seen
            if is_failure and self._started.get(id) == "wait":
                return entry
        return None
