"""What a context waits for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from .._core.journal import EntryKind
from .._core.replay import Asked

if TYPE_CHECKING:
    import trio

    from .._core.journal import Entry
    from ..storage.write_queue import Write
    from .strand import Strand
    from .timers import Timer

__all__ = ["BEGIN", "Awaited", "Begin", "Condition", "Operation"]


class Begin:
    """The type of ``BEGIN``."""


BEGIN: Final = Begin()
"""What a task's operation is woken with when the past says nothing about it: run the body."""


@attrs.define(eq=False)
class Operation:
    """One thing that a context, or a scope, has asked for and not yet got: it ends by an entry.

    Attributes:
        strand: who asked.
        asked: what was asked for.
        deadline, length: of a sleep or a scope: when it is over, in POSIX seconds, and how long
            it is.
        scope: of a deadline, or a request to cancel: what it cancels. Nobody waits for such an
            operation.
        begin: of one that is nothing but a write of its own, such as a message that is sent: what
            posts that write. It cannot be cut short once that is under way, as a task cannot.
        begun: of a task: whether its body was told to run; then only its own entry ends it.
        entry: the entry that ends it, once that is known.
        write: its own entry on its way to storage.
        timer: its deadline, being watched.
    """

    strand: Strand
    asked: Asked
    deadline: float = math.inf
    length: float = 0.0
    scope: trio.CancelScope | None = None
    begin: Callable[[Operation], None] | None = None
    begun: bool = False
    entry: Entry | None = None
    write: Write | None = None
    timer: Timer | None = None

    @property
    def id(self) -> str:
        """Its structural id."""
        return self.asked.op

    @property
    def is_task(self) -> bool:
        """Whether it ends by its own entry only."""
        return self.asked.kind is EntryKind.TASK


@attrs.define(eq=False)
class Condition:
    """Something that a context waits for to become true; nothing is written about it.

    Attributes:
        strand: who waits.
        predicate: what tells whether it is true.
        group: conditions of one group have the same predicate, so that one of them is asked for
            all; ``None`` for one that stands alone.
        order: its place in the order of asking, once it was asked.
    """

    strand: Strand
    predicate: Callable[[], object]
    group: object = None
    order: int = 0

    @property
    def key(self) -> object:
        """Its group; of one that stands alone, itself."""
        return self if self.group is None else self.group


Awaited: TypeAlias = Operation | Condition
"""What a strand can wait for."""
