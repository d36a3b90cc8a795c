"""What a storage backend is: synchronous, whole transactions, called by the storage actor only.

To write one, subclass :class:`Backend` and run ``claw_actors.testing.conformance`` on it.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import attrs

from .._core.journal import Entry, OpenTask
from ..errors import StorageCorruptError
from .model import WorkflowCounts, WorkflowFilter
from .operations import Operation, Result
from .pruning import EndedPage
from .records import (
    DeadLetter,
    JournalPage,
    Listing,
    Loaded,
    StoredValue,
    StoredWorkflow,
    Unfinished,
    WakeTime,
    WorkflowRow,
)

__all__ = ["Backend", "OpenReport"]


@attrs.frozen(kw_only=True)
class OpenReport:
    """What a backend found when it was opened.

    Attributes:
        clean: whether the last owner closed it; ``True`` for a new one.
        epoch: counts owners, this one included.
        created: whether it is new.
        unfinished_deletes: keys of workflows that were half deleted, to be finished.
    """

    clean: bool
    epoch: int
    created: bool
    unfinished_deletes: tuple[int, ...] = ()


class Backend(abc.ABC):
    """A place where workflows are kept.

    Writes (:meth:`open`, :meth:`commit`, :meth:`tidy`, :meth:`close`) are called one at a time,
    from changing threads. Reads may run at any time between ``open`` and ``close``, in several
    threads at once and beside a commit; each sees whole commits only, and every commit that had
    returned before the read began.
    """

    blocking: bool = True
    """Whether calls may block on I/O, so that they belong in a worker thread."""

    transactional: bool = False
    """Whether it does a :class:`Transact`: it is an SQL database, which authors may work in."""

    @property
    @abc.abstractmethod
    def where(self) -> str:
        """Name the place for messages: a path, or the backend's name."""

    @property
    def socket_path(self) -> str | None:
        """Where to put the socket on which other processes of this machine find the owner.

        By default ``None``: nobody else can reach what is kept here.
        """
        return None

    @abc.abstractmethod
    def open(self) -> OpenReport:
        """Take ownership.

        Raises:
            StorageLockedError: somebody else owns it.
            StorageUnavailableError: it cannot be reached or made.
            StorageVersionError: it was written by a newer version.
            StorageCorruptError: it is damaged.
        """

    @abc.abstractmethod
    def close(self, *, clean: bool = True) -> None:
        """Let go in good order. Closing one that is not open does nothing.

        Args:
            clean: whether what an unclean end has cut off, if there was one, has been dealt with.
                A visitor that recovered nothing passes on what it found, so that the next owner
                still learns of it.

        Never raises a :class:`ClawError`: what could not be tidied is found at the next open.
        """

    @abc.abstractmethod
    def abandon(self) -> None:
        """Let go without touching what is stored, after an error: the next open is an unclean one."""

    @abc.abstractmethod
    def commit(self, group: Sequence[Operation]) -> list[Result]:
        """Do all of these in one durable transaction, in order, and answer each.

        An operation that is refused changes nothing and is answered with its error; the others
        are committed. Returned means durable. A :class:`Transact` comes alone.

        Raises:
            StorageUnavailableError: nothing of the group was applied; it may be tried again.
            OutcomeUnknownError: an I/O error; the group may or may not be stored. The backend
                must not be used any more, but for ``abandon``.
            StorageCorruptError: the file is damaged; nothing more can be relied on.
        """

    @abc.abstractmethod
    def tidy(self) -> None:
        """Give back space, bounded in time; called when nothing is waiting. May do nothing."""

    @abc.abstractmethod
    def get_workflow(self, id: str) -> StoredWorkflow:
        """Read one workflow with its start and end.

        Raises:
            NotFoundError: there is none.
            StorageCorruptError: what is stored is damaged.
        """

    @abc.abstractmethod
    def list_workflows(self, query: WorkflowFilter) -> Listing:
        """Read one page, newest first. ``query.after`` is a ``pk``: only older ones (smaller)."""

    @abc.abstractmethod
    def count_workflows(self) -> WorkflowCounts:
        """Count workflows by status; tell which of those that have not ended came first, and the next due.

        Damaged ones count. It should cost little, however many there are: people look often.
        """

    @abc.abstractmethod
    def read_tasks(
        self, workflow_id: str, op: str | None = None
    ) -> tuple[list[Entry], list[OpenTask]]:
        """Read a workflow's tasks: outcomes in commit order (voided ones left out) and open work.

        Args:
            workflow_id: the workflow.
            op: only this task, if given.

        Raises:
            NotFoundError: there is no such workflow. (An unknown task is just empty.)
        """

    @abc.abstractmethod
    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        """Read the next entries of a workflow's present run, voided ones included.

        A page may be shorter than ``limit``, so that large values do not fill memory; it is empty
        only if nothing follows.

        Args:
            workflow_id: the workflow.
            after: only later than this run and number; ``(0, 0)`` begins with the start.
            limit: how many at most.

        Raises:
            NotFoundError: there is no such workflow.
            StorageCorruptError: one of them is damaged, or missing.
        """

    @abc.abstractmethod
    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        """Read one of a workflow's values, as it was set last; ``None`` if it never was.

        Raises:
            NotFoundError: there is no such workflow.
            StorageCorruptError: what is stored is damaged.
        """

    @abc.abstractmethod
    def list_values(self, workflow_id: str) -> list[StoredValue]:
        """Read all values of a workflow, in order of their keys (by code point).

        Raises:
            NotFoundError: there is no such workflow.
            StorageCorruptError: one of them is damaged.
        """

    @abc.abstractmethod
    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        """Read the next dead letters of a workflow, in the order in which they were put aside.

        Args:
            workflow_id: the workflow.
            after: only those whose ``seq`` is larger; 0 begins with the first.
            limit: how many at most.

        Raises:
            NotFoundError: there is no such workflow.
            StorageCorruptError: one of them is damaged.
        """

    @abc.abstractmethod
    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        """Read all that incarnations start from, in the order asked for.

        One that cannot be read is answered with its error; one that is gone is left out.
        """

    @abc.abstractmethod
    def read_rows(self, ids: Sequence[str]) -> list[WorkflowRow | StorageCorruptError]:
        """Read the rows of these workflows, in the order asked for, and nothing else of them.

        One that cannot be read is answered with its error; one that is gone is left out.
        """

    @abc.abstractmethod
    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        """Read rows that recovery must bring back, in order of ``pk``.

        These are the pending and running ones, and the waiting ones whose ``wake_at`` is at or
        before ``due_by``. A pending one is listed whatever its ``wake_at``.

        Args:
            after_pk: only larger keys.
            due_by: POSIX seconds.
            limit: how many rows to look at.
        """

    @abc.abstractmethod
    def list_wake_times(self, after: tuple[float, int], limit: int) -> list[WakeTime]:
        """Read the next waiting workflows in order of (``wake_at``, ``pk``).

        Each with the time of its last entry, because a clock may have been set back since: then
        ``wake_at`` alone would let it wait for longer than it ever was to.

        Args:
            after: only later than this pair.
            limit: how many at most.
        """

    @abc.abstractmethod
    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        """Read the next ended workflows that are bound to no parent, in descending order of ``pk``.

        See :func:`claw_actors.storage.pruning.is_bound`.

        Args:
            before_pk: only smaller keys.
            limit: how many workflows to look at, whatever their status; a page may be empty and
                yet not the last one.
        """
