"""The explorer's witness: what must hold at every task body, and after every death."""

from __future__ import annotations

import attrs

from .._core.journal import Entry, EntryKind, effective
from .._core.lifecycle import Status
from .._runtime.environment import AttemptBegun
from ..storage.memory import MemoryStorage
from ..storage.model import MAX_PAGE, WorkflowFilter
from ..storage.records import Loaded
from .disk import FakeDisk

__all__ = ["Witness", "read_everything"]


def read_everything(storage: MemoryStorage) -> dict[int, Loaded]:
    """Read all that a storage holds, by key, without disturbing it."""
    copy = storage.snapshot()
    copy.open()
    found: dict[int, Loaded] = {}
    after: int | None = None
    while True:
        page = copy.list_workflows(WorkflowFilter(limit=MAX_PAGE, after=after))
        for loaded in copy.load([item.row.pk for item in page.items]):
            assert isinstance(loaded, Loaded), "memory does not decay"
            found[loaded.row.pk] = loaded
        if not page.more:
            return found
        after = page.items[-1].row.pk


def _outcomes(loaded: Loaded, kind: EntryKind) -> list[Entry]:
    return [entry for entry in effective(loaded.entries) if entry.kind is kind]


@attrs.define
class Witness:
    """Watches one life of the process, independently of the journal.

    Attributes:
        disk: the disk of this life.
        found: what was on it at the start.
        probation_s: virtual seconds after which a recovery counts no more.
        problems: what did not hold.
        attempts: how many task bodies have begun.
    """

    disk: FakeDisk
    found: dict[int, Loaded]
    probation_s: float
    problems: list[str] = attrs.field(factory=list[str])
    attempts: int = 0
    _seen: set[int] = attrs.field(factory=set[int])

    def begun(self, attempt: AttemptBegun, elapsed_s: float) -> None:
        """Look at what is durable at the very moment a task body is about to run."""
        self.attempts += 1
        name = f"task {attempt.task_id} of {attempt.workflow_id} in life {attempt.life}"
        durable = read_everything(self.disk.surviving())
        loaded = next((one for one in durable.values() if one.row.id == attempt.workflow_id), None)
        if loaded is None:
            self.problems.append(f"{name} runs, and its workflow is not durable")
            return
        if attempt.task_id in {entry.op for entry in _outcomes(loaded, EntryKind.TASK)}:
            self.problems.append(f"{name} runs again after its record")
        if loaded.entries[-1].n < attempt.delivered:
            self.problems.append(f"{name} runs on the strength of an entry that is not durable")
        if loaded.row.life != attempt.life:
            self.problems.append(f"{name} runs, and life {loaded.row.life} is the stored one")
        self._check_recovery(loaded, attempt, name, elapsed_s)

    def _check_recovery(
        self, loaded: Loaded, attempt: AttemptBegun, name: str, elapsed_s: float
    ) -> None:
        """What an unclean end has cut off is counted as recovered before any of it runs."""
        pk = loaded.row.pk
        first, before = pk not in self._seen, self.found.get(pk)
        self._seen.add(pk)
        if not first or before is None or before.row.status is not Status.RUNNING:
            return
        # Progress, or a healthy while, has taken the count back; a respawn is no recovery.
        progressed = len(loaded.entries) > len(before.entries) or elapsed_s >= self.probation_s
        if progressed or attempt.life != before.row.life + 1:
            return
        if loaded.row.recoveries != before.row.recoveries + 1:
            self.problems.append(f"{name} runs before its recovery is counted")

    def check_survivors(self) -> None:
        """Compare what survives with what was found at the start, and with what was promised."""
        survivors = read_everything(self.disk.surviving())
        for pk, (run, n) in self.disk.acknowledged.items():
            if pk not in survivors:
                self.problems.append(f"workflow number {pk} was acknowledged, and is lost")
            elif (survivors[pk].row.run, survivors[pk].entries[-1].n) < (run, n):
                id = survivors[pk].row.id
                self.problems.append(f"entry {n} of {id} was acknowledged, and is lost")
        for pk, before in self.found.items():
            if pk in survivors:
                self._compare(before, survivors[pk])
        for loaded in survivors.values():
            self._check_journal(loaded)

    def _compare(self, before: Loaded, after: Loaded) -> None:
        id = after.row.id
        if after.row.life < before.row.life:
            self.problems.append(f"the life of {id} went down")
        if after.row.run < before.row.run:
            self.problems.append(f"the run of {id} went down")
        is_same = after.row.run == before.row.run
        if is_same and after.entries[: len(before.entries)] != before.entries:
            self.problems.append(f"the journal of {id} was changed")

    def _check_journal(self, loaded: Loaded) -> None:
        id = loaded.row.id
        if [entry.n for entry in loaded.entries] != list(range(len(loaded.entries))):
            self.problems.append(f"the journal of {id} has gaps")
        recorded = [entry.op for entry in _outcomes(loaded, EntryKind.TASK)]
        if len(set(recorded)) != len(recorded):
            self.problems.append(f"a task of {id} is recorded twice")
        ends = len(_outcomes(loaded, EntryKind.END))
        if ends != loaded.row.status.is_terminal:
            self.problems.append(f"{id} is {loaded.row.status} and has {ends} ends")
