"""Everything that the contexts of one incarnation have asked for and not yet got."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import outcome

from .operation import Condition, Operation

if TYPE_CHECKING:
    from .operation import Awaited

__all__ = ["Waiting"]


class Waiting:
    """What is waited for: operations, which end by an entry, and conditions."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        # How many of the operations are tasks.
        self.tasks: int = 0
        # A predicate is being asked, so the code that runs is the author's, without the turn.
        self.is_judging: bool = False
        # By group, each in the order in which they were asked.
        self.conditions: dict[object, dict[Condition, None]] = {}
        self._asked = 0
        # The next one first; those of what nobody waits for any more are left out late.
        self._deadlines: list[tuple[float, str]] = []

    def add(self, awaited: Awaited) -> None:
        """Take up what was asked for."""
        if isinstance(awaited, Condition):
            self._asked += 1
            awaited.order = self._asked
            self.conditions.setdefault(awaited.key, {})[awaited] = None
            return
        self.operations[awaited.id] = awaited
        self.tasks += awaited.is_task
        if awaited.deadline < math.inf:
            heapq.heappush(self._deadlines, (awaited.deadline, awaited.id))

    def remove(self, awaited: Awaited) -> bool:
        """Take out what nobody waits for any more; ``False`` if it was out already."""
        if isinstance(awaited, Condition):
            group = self.conditions[awaited.key]
            del group[awaited]
            if not group:
                del self.conditions[awaited.key]
            return True
        if self.operations.pop(awaited.id, None) is None:
            return False
        self.tasks -= awaited.is_task
        return True

    def first_true(self) -> tuple[Condition, outcome.Outcome[object]] | None:
        """Find the first condition that is true, or cannot be judged, and what judged it.

        Who waits first is served first. Of a group one is asked for all: a lock that a thousand
        wait for costs no more than one that nobody waits for.
        """
        found: tuple[Condition, outcome.Outcome[object]] | None = None
        self.is_judging = True
        for group in self.conditions.values():
            condition = next(iter(group))
            if found is None or condition.order < found[0].order:
                judged = outcome.capture(condition.predicate)
                if isinstance(judged, outcome.Error) or judged.value:
                    found = condition, judged
        self.is_judging = False
        return found

    def next_deadline(self) -> float:
        """Return the earliest deadline, in POSIX seconds; infinite if there is none.

        Without one the instance waits for its own code, or for somebody outside.
        """
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self.operations:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else math.inf

    def unscoped(self) -> list[Operation]:
        """Return the operations that contexts wait for; nobody waits for those of scopes."""
        return [operation for operation in self.operations.values() if operation.scope is None]

    def awaited(self) -> list[Awaited]:
        """Return what contexts wait for that do not know yet that they are cancelled."""
        conditions = (one for group in self.conditions.values() for one in group)
        everything: list[Awaited] = [*self.unscoped(), *conditions]
        return [
            awaited
            for awaited in everything
            if awaited.strand.operation is awaited and not awaited.strand.marked
        ]
