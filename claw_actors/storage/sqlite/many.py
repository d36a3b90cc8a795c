"""Many keys as one parameter, for statements about many workflows at once.

Between two statements Python lets other threads run, and the one with the event loop need not let
go again for milliseconds: statement by statement, work of many workflows takes several times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["OF_THESE", "these"]

# Not so many parameters: that would be a new statement to prepare for each number of keys.
OF_THESE: Final = "IN (SELECT value FROM json_each(:pks))"
"""What follows a column; the parameters are those of :func:`these`."""


def these(pks: Iterable[int]) -> dict[str, str]:
    """Make the parameters for ``OF_THESE``."""
    return {"pks": f"[{','.join(map(str, pks))}]"}
