"""The journal of one workflow in memory: immutable, and cheap to append to.

Appending to a tuple copies all of it, which is quadratic. A list shared by records, snapshots and
readers would be neither immutable nor safe. So full pieces are kept as they are, and an append copies
only the last one.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

import attrs

from ..._core.journal import Entry

__all__ = ["Journal"]

PIECE: Final = 256


@attrs.frozen
class Journal:
    """Entries of one run, in order. Never empty."""

    _full: tuple[tuple[Entry, ...], ...]
    _rest: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: tuple[Entry, ...]) -> Journal:
        """Make one of these entries, which have their numbers."""
        return cls((), entries)

    @property
    def last(self) -> Entry:
        """The last entry."""
        return self._rest[-1]

    def append(self, entries: tuple[Entry, ...]) -> Journal:
        """Return the journal with these entries, numbered on from the last one."""
        numbered = tuple(
            attrs.evolve(entry, n=n) for n, entry in enumerate(entries, start=self.last.n + 1)
        )
        if numbered and len(self._rest) >= PIECE:
            return Journal((*self._full, self._rest), numbered)
        return Journal(self._full, self._rest + numbered)

    def entries(self) -> tuple[Entry, ...]:
        """Return all of them; if they are few, without copying any."""
        if not self._full:
            return self._rest
        return tuple(chain.from_iterable((*self._full, self._rest)))
