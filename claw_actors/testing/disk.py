"""A disk for simulated crashes: what is committed, what would survive, and when to die."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import attrs

from .._core.journal import Entry, OpenTask
from ..errors import ClawError, OutcomeUnknownError, StorageCorruptError, StorageUnavailableError
from ..storage.backend import Backend, OpenReport
from ..storage.memory import MemoryStorage
from ..storage.model import WorkflowCounts, WorkflowFilter
from ..storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Create,
    Created,
    Delete,
    Deleted,
    Operation,
    Prune,
    Pruned,
    Result,
    Send,
    Sent,
    Steer,
    Steered,
)
from ..storage.pruning import EndedPage
from ..storage.records import (
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

__all__ = ["CrashPoint", "FakeDisk", "When"]


class When(enum.Enum):
    """Where in a commit the process dies."""

    BEFORE = "before"
    """Nothing of the commit is on disk."""
    INSIDE = "inside"
    """It is on disk, and nobody was told."""
    AFTER = "after"
    """It is on disk, and those who waited for it were told and may have gone on a little."""


@attrs.frozen
class CrashPoint:
    """A moment to die.

    Attributes:
        commit: which commit of the process's life, from 1.
        when: where in it.
        ticks: for ``AFTER``, how many scheduler ticks later.
    """

    commit: int
    when: When
    ticks: int = 0

    def __str__(self) -> str:
        later = f", {self.ticks} ticks later" if self.ticks else ""
        return f"{self.when.value} commit {self.commit}{later}"


class FakeDisk(Backend):
    """A memory backend with a disk below it, which keeps what was synced when the process dies.

    Attributes:
        commits: how many groups were committed in this life.
        acknowledged: for each workflow's key, its run and the number of the last entry that
            storage has said is durable.
        is_dead: whether the process has died.
    """

    blocking = False

    def __init__(self, surviving: MemoryStorage, crash: CrashPoint | None) -> None:
        self.commits: int = 0
        self.acknowledged: dict[int, tuple[int, int]] = {}
        self._working = surviving.snapshot()
        self._synced = surviving
        self._crash = crash
        self.is_dead: bool = False
        self._on_dying: Callable[[int], None] = lambda ticks: None

    @property
    def where(self) -> str:
        return "a fake disk"

    def when_dying(self, notify: Callable[[int], None]) -> None:
        """Have ``notify`` called with the ticks left, when the crash point ``AFTER`` is reached."""
        self._on_dying = notify

    def die(self) -> None:
        """From now on nothing is written or read any more."""
        self.is_dead = True

    def surviving(self) -> MemoryStorage:
        """Return what a process that starts now would find."""
        return self._synced.snapshot()

    def sync(self) -> None:
        """Make durable what is committed."""
        self._synced = self._working.snapshot()

    def _check_alive(self) -> None:
        if self.is_dead:
            raise StorageUnavailableError(self.where, "the process is dead")

    # -- writing ------------------------------------------------------------------------------------

    def open(self) -> OpenReport:
        report = self._working.open()
        self.sync()  # the owner row
        return report

    def close(self, *, clean: bool = True) -> None:
        if not self.is_dead:
            self._working.close(clean=clean)
            self.sync()

    def abandon(self) -> None:
        self.is_dead = True

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        if self.is_dead:
            raise OutcomeUnknownError(self.where, "the process is dead")
        self.commits += 1
        point = self._crash if self._crash and self._crash.commit == self.commits else None
        if point and point.when is When.BEFORE:
            self.is_dead = True
            raise OutcomeUnknownError(self.where, "died before the commit")
        results = self._working.commit(group)
        self.sync()
        if point and point.when is When.INSIDE:
            self.is_dead = True
            for pk in [pk for pk in self.acknowledged if self._run_of(pk) is None]:
                del self.acknowledged[pk]  # it was deleted, though nobody will be told
            raise OutcomeUnknownError(self.where, "died inside the commit")
        self._acknowledge(group, results)
        if point:
            self._on_dying(point.ticks)
        return results

    def _acknowledge(self, group: Sequence[Operation], results: Sequence[Result]) -> None:
        for operation, result in zip(group, results, strict=True):
            match operation, result:
                case Atomic(operations=parts), tuple():
                    self._acknowledge(parts, result)
                case Advance(pk=pk), Advanced(n=n):
                    self._note(pk, n)
                    self._acknowledge_others(result)
                case Send(), Sent():
                    self._acknowledge_sent(result)
                case Create(), Created(pk=pk, n=n):
                    self._note(pk, n)
                case Steer(), Steered(changed=changed):
                    for row, n in changed:
                        self._note(row.pk, n)
                case Delete(), Deleted(pk=pk):
                    self.acknowledged.pop(pk, None)
                case Prune(), Pruned():
                    self._acknowledge_pruned()
                case _:
                    pass  # claims are told by the rows themselves

    def _acknowledge_pruned(self) -> None:
        """Of what was pruned nothing has to survive but the memory of its id."""
        there = self._working.load(list(self.acknowledged))
        left = {one.row.pk for one in there if isinstance(one, Loaded)}
        for pk in set(self.acknowledged) - left:
            del self.acknowledged[pk]

    def _acknowledge_others(self, answer: Advanced) -> None:
        """Note what an advance has done to others: their entries, children, the parent's entry."""
        for one in answer.sent:
            self._acknowledge_sent(one)
        for child in answer.children:
            if isinstance(child, Created) and not child.existed:
                self._note(child.pk, child.n)
        if (reported := answer.reported) is not None:
            self._note(reported.pk, reported.entry.n)

    def _acknowledge_sent(self, answer: Sent | ClawError) -> None:
        if isinstance(answer, Sent) and not answer.duplicate:
            self._note(answer.pk, answer.n)

    def _note(self, pk: int, n: int) -> None:
        run = self._run_of(pk)
        if run is not None:  # else it was deleted in the same group
            self.acknowledged[pk] = (run, n)

    def _run_of(self, pk: int) -> int | None:
        """Look past the backend's face, which would read the whole journal for it."""
        record = self._working._table.get_visible(pk)  # pyright: ignore[reportPrivateUsage]
        return None if record is None else record.row.run

    def tidy(self) -> None:
        """Do nothing: there is no space to give back."""

    # -- reading ------------------------------------------------------------------------------------

    def get_workflow(self, id: str) -> StoredWorkflow:
        self._check_alive()
        return self._working.get_workflow(id)

    def list_workflows(self, query: WorkflowFilter) -> Listing:
        self._check_alive()
        return self._working.list_workflows(query)

    def count_workflows(self) -> WorkflowCounts:
        self._check_alive()
        return self._working.count_workflows()

    def read_tasks(
        self, workflow_id: str, op: str | None = None
    ) -> tuple[list[Entry], list[OpenTask]]:
        self._check_alive()
        return self._working.read_tasks(workflow_id, op)

    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        self._check_alive()
        return self._working.read_journal(workflow_id, after, limit)

    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        self._check_alive()
        return self._working.get_value(workflow_id, key)

    def list_values(self, workflow_id: str) -> list[StoredValue]:
        self._check_alive()
        return self._working.list_values(workflow_id)

    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        self._check_alive()
        return self._working.list_dead_letters(workflow_id, after, limit)

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        self._check_alive()
        return self._working.load(pks)

    def read_rows(self, ids: Sequence[str]) -> list[WorkflowRow | StorageCorruptError]:
        self._check_alive()
        return self._working.read_rows(ids)

    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        self._check_alive()
        return self._working.list_unfinished(after_pk, due_by, limit)

    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        self._check_alive()
        return self._working.list_ended(before_pk, limit)

    def list_wake_times(self, after: tuple[float, int], limit: int) -> list[WakeTime]:
        self._check_alive()
        return self._working.list_wake_times(after, limit)
