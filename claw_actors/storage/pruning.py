"""Pruning: ended workflows go, and their ids are remembered, so that none is used again unawares.

What the operations are, and what binds a child to its parent; for backends, so that they agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .._core.identity import run_key_of
from .._core.lifecycle import TERMINAL, Status
from ..errors import HistoryPrunedError
from .steering import ABANDON

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core.journal import Entry
    from .._core.retention import Ended
    from .records import WorkflowRow

__all__ = [
    "EndedPage",
    "Forget",
    "Forgotten",
    "GiveBack",
    "GivenBack",
    "Prune",
    "Pruned",
    "Remembered",
    "ended_at",
    "family_ended_at",
    "how_many_fit",
    "is_bound",
]


@attrs.frozen
class Prune:
    """Remove ended workflows, each with its family, and remember their ids.

    A family is a workflow and the children bound to it (:func:`is_bound`), and theirs. It goes as
    a whole, or stays as a whole: it stays if one of it has not ended before ``ended_before``, is
    damaged, or is bound to a parent that is still there.

    As many go as fit into the limit, and the first one that may go in any case. Only such a long
    one may have entries left, as with ``Delete``, when it has become invisible; those are deleted
    by ``Delete("", pk)`` for each that the answer names, or by the next owner.

    Attributes:
        pks: the workflows.
        ended_before: only what has ended before this, in POSIX seconds.
        at: when they are pruned, in POSIX seconds.
        limit: how many journal entries to delete at most (but one of each workflow of a family).
    """

    pks: tuple[int, ...]
    ended_before: float
    at: float
    limit: int = 5_000


@attrs.frozen
class Pruned:
    """Answer to :class:`Prune`.

    Attributes:
        ids: of all that went.
        unfinished: keys of those that have entries left.
        left: those that may go and did not fit, in order.
    """

    ids: tuple[str, ...]
    unfinished: tuple[int, ...] = ()
    left: tuple[int, ...] = ()


@attrs.frozen
class Forget:
    """Forget ids of workflows that were pruned before a time; they can be used again.

    Attributes:
        pruned_before: POSIX seconds.
        limit: how many at most.
    """

    pruned_before: float
    limit: int = 1_000


@attrs.frozen
class Forgotten:
    """Answer to :class:`Forget`: how many were forgotten."""

    count: int


@attrs.frozen
class GiveBack:
    """Give a bounded piece of unused space back to the file system.

    Attributes:
        pages: how many pages at most.
    """

    pages: int = 100


@attrs.frozen
class GivenBack:
    """Answer to :class:`GiveBack`.

    Attributes:
        bytes: how many.
        done: whether there is no more.
    """

    bytes: int
    done: bool


@attrs.frozen(kw_only=True)
class EndedPage:
    """Some ended workflows, those created last first; none that is bound to a parent.

    Attributes:
        items: what was found.
        last_pk: where the next page starts; 0 if there is none.
    """

    items: tuple[Ended, ...]
    last_pk: int


@attrs.frozen
class Remembered:
    """What is left of a pruned workflow.

    Attributes:
        id, name, status: which one, and how it ended.
        digest: of its arguments.
        ended_at, pruned_at: POSIX seconds.
    """

    id: str
    name: str
    status: Status
    digest: bytes | None
    ended_at: float
    pruned_at: float

    def refusal(self, name: str, start: Entry) -> HistoryPrunedError:
        """Make the error for one that is to have this id.

        Args:
            name: of its workflow.
            start: its first entry.
        """
        differs: list[str] = []
        if name != self.name:
            differs.append("workflow")
        if start.digest != self.digest:
            differs.append("arguments")
        return HistoryPrunedError(self.id, self.status, self.ended_at, self.pruned_at, differs)


def is_bound(on_close: str, parent_op: str | None, parent_run_key: str | None) -> bool:
    """Tell whether a workflow stays as long as its parent.

    A parent that is retried may start its children anew, and finds them then. That is over when
    the parent is gone or in its next run; and a child that was abandoned is on its own.

    Args:
        on_close, parent_op: the child's.
        parent_run_key: the parent's, if that is still there.
    """
    if parent_run_key is None or on_close == ABANDON:
        return False
    return parent_op is None or run_key_of(parent_op) == parent_run_key


def how_many_fit(sizes: Iterable[int], limit: int) -> int:
    """Tell how many families of these sizes, in journal entries, one ``Prune`` takes."""
    taken = total = 0
    for size in sizes:
        total += size
        if taken and total > limit:
            break
        taken += 1
    return taken


def family_ended_at(rows: Iterable[WorkflowRow]) -> float | None:
    """Return when the last of a family has ended; ``None`` if one of them has not."""
    latest = 0.0
    for row in rows:
        if row.status not in TERMINAL:
            return None
        latest = max(latest, ended_at(row))
    return latest


def ended_at(row: WorkflowRow) -> float:
    """Return when an ended workflow has ended; of one saved by hand, the last that is known."""
    if row.completed_at is not None:
        return row.completed_at
    return row.created_at if row.started_at is None else row.started_at
