"""The idempotency keys of one workflow in memory: immutable, and cheap to add to.

Adding to a frozenset copies all of it. So there are several, each larger than the next one, and an
addition joins those that would be out of order: a key is copied as often as the number of keys
doubles.
"""

from __future__ import annotations

import attrs

__all__ = ["Keys"]


@attrs.frozen
class Keys:
    """A set of keys."""

    # Invariant: disjoint, and each larger than the one behind it.
    _parts: tuple[frozenset[str], ...] = ()

    def __contains__(self, key: str) -> bool:
        return any(key in part for part in self._parts)

    def add(self, key: str) -> Keys:
        """Return the set with this key, which is not in it yet."""
        parts, grown = list(self._parts), frozenset((key,))
        while parts and len(parts[-1]) <= len(grown):
            grown |= parts.pop()
        return Keys((*parts, grown))
