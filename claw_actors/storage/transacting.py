"""An author's own SQL, committed together with the outcome that it stands for.

Only backends that say so (``Backend.transactional``) can do it. It comes alone in its group: what it
does is rolled back as a whole, and that must not take others along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from .._core.journal import Entry
    from .._core.transacting import Connection
    from .operations import Advance

__all__ = ["RolledBack", "Transact", "Transacted"]


@attrs.frozen(eq=False)
class Transact:
    """Call a function with a connection, and append the outcome that it returns.

    The function is called in the backend's own transaction, after the fence was checked. If it
    raises, everything is rolled back, and the answer is :class:`RolledBack`. It is called again if
    the group is: when nothing of it was applied (:exc:`StorageUnavailableError`).

    Attributes:
        advance: of one entry, whose value is what the function returns; without sends and children.
            Refused as an :class:`Advance` is; then the function was not called.
        run: the function; it returns the encoded value.
        limit_s: seconds after which it is interrupted; ``None`` for none.

    Refused with ``TransactionsUnsupportedError`` where there is no SQL.
    """

    advance: Advance
    run: Callable[[Connection], bytes]
    limit_s: float | None = None


@attrs.frozen
class Transacted:
    """Answer to :class:`Transact`: the entry as it is stored."""

    entry: Entry


@attrs.frozen(eq=False)
class RolledBack:
    """Answer to :class:`Transact`: the function has failed, and nothing is stored.

    Attributes:
        error: what it raised; or ``TaskTimeoutError``, if it was interrupted.
    """

    error: BaseException
