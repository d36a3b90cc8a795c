"""Deleting a workflow with its children.

All of them disappear in one commit; those that have not ended are terminated in it, so that a parent
above is told. What hung on them is dropped afterwards, in bounded pieces; the next owner finishes what
a crash leaves of that.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, cast

import trio

from .._core.journal import END_OP, Entry, EntryKind, EntryStatus
from .._core.lifecycle import UNFINISHED, Event, Status
from ..errors import InvalidTransitionError, NotFoundError, WorkflowClosedError
from ..storage.model import MAX_PAGE, WorkflowFilter
from ..storage.operations import Atomic, Delete, Deleted, Steer, Steered
from ..storage.steering import ABANDON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..storage.actor import StorageActor
    from ..storage.records import WorkflowRow
    from .environment import Environment

__all__ = ["Removal"]

REASON = "it was deleted"

PIECE = 5_000
"""How many journal entries one commit deletes at most, of all of a family together."""


def _to_terminate(family: Sequence[WorkflowRow]) -> list[WorkflowRow]:
    """Return those that have not ended, but for those below one of them: they go with it."""
    found: list[WorkflowRow] = []
    covered: set[str] = set()
    for row in family:
        assert row.id is not None
        if row.parent in covered:
            covered.add(row.id)
        elif not row.status.is_terminal:
            covered.add(row.id)
            found.append(row)
    return found


class Removal:
    """Removes workflows from storage."""

    def __init__(self, actor: StorageActor, environment: Environment) -> None:
        self._actor = actor
        self._environment = environment

    async def remove(self, id: str, *, force: bool) -> list[str]:
        """Delete a workflow and its children that were not abandoned; return their ids.

        Args:
            id: the workflow.
            force: terminate those that have not ended.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidTransitionError: one has not ended, and ``force`` is not set.

        Cancelled means not deleted.
        """
        while True:
            family = await self._family(id)
            going = [row for row in family if row.status in (*UNFINISHED, Status.PAUSED)]
            if going and not force:
                raise self._refusal(id, going[0])
            try:
                return await self._remove(family)
            except (WorkflowClosedError, NotFoundError):
                pass  # one has ended, or was deleted, since it was looked at

    def _refusal(self, id: str, row: WorkflowRow) -> InvalidTransitionError:
        assert row.id is not None
        advice = "cancel it first, or force=True"
        if row.id != id:
            advice = f"it is a child of {id!r}, and would go with it: {advice}"
        return InvalidTransitionError(row.id, row.status, "delete", advice)

    async def _family(self, id: str) -> list[WorkflowRow]:
        """Read a workflow and all below it that were not abandoned, parents before children."""
        stored = await self._actor.read(self._actor.backend.get_workflow, id)
        family: list[WorkflowRow] = []
        found = deque([stored.row])
        while found:
            row = found.popleft()
            family.append(row)
            after, more = None, True
            while more:
                query = WorkflowFilter(parent=row.id, limit=MAX_PAGE, after=after)
                page = await self._actor.read(self._actor.backend.list_workflows, query)
                found.extend(one.row for one in page.items if one.row.on_close != ABANDON)
                more = page.more
                after = page.items[-1].row.pk if more else None
        return family

    async def _remove(self, family: Sequence[WorkflowRow]) -> list[str]:
        ids = [row.id for row in family if row.id is not None]
        ends = [self._end(row) for row in _to_terminate(family)]
        limit = max(1, PIECE // len(ids))
        # Children first: so each is still found by its parent, whatever comes in between.
        deletes = [Delete(id, limit=limit) for id in reversed(ids)]
        group = Atomic((*ends, *deletes))
        answers = cast("tuple[object, ...]", await self._actor.submit(group))
        born = {
            row.id
            for answer in answers
            if isinstance(answer, Steered)
            for row, _ in answer.changed
            if row.id is not None and row.id not in ids
        }
        # It is gone for everyone now; a cancellation must not pretend otherwise.
        with trio.CancelScope(shield=True):
            for answer in answers:
                await self._finish(answer)
            for id in sorted(born):  # it was started while the family was looked at
                with contextlib.suppress(NotFoundError):
                    await self._finish(await self._actor.submit(Delete(id)))
        return [*ids, *sorted(born)]

    async def _finish(self, answer: object) -> None:
        while isinstance(answer, Deleted) and not answer.done:
            answer = await self._actor.submit(Delete("", answer.pk))

    def _end(self, row: WorkflowRow) -> Steer:
        assert row.id is not None
        at = self._environment.wall()
        entry = Entry(END_OP, "end", EntryKind.END, EntryStatus.CANCELLED, at)
        return Steer(row.id, Event.TERMINATE, entry, REASON)
