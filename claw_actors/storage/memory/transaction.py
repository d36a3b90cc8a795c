"""What each operation does to a table of workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import attrs

from ..._core.journal import Entry, EntryKind, OpenTask, effective
from ..._core.lifecycle import TERMINAL, Status
from ...errors import (
    ClawError,
    DuplicateKeyError,
    HistoryPrunedError,
    NotFoundError,
    TransactionsUnsupportedError,
    WorkflowClosedError,
)
from ..family import (
    differences,
    end_of_child,
    hears,
    is_stuck,
    is_told_of_quarantine,
    reason_of_parent,
)
from ..operations import (
    Advance,
    Advanced,
    Answer,
    Atomic,
    Claim,
    Claimed,
    Create,
    Created,
    Delete,
    Forget,
    GiveBack,
    GivenBack,
    Housekeeping,
    Operation,
    Prune,
    Reported,
    Result,
    Saved,
    SaveTask,
    SaveWorkflow,
    Send,
    Sent,
    Single,
    Steer,
    Steered,
    Transact,
    Trim,
    Trimmed,
)
from ..records import RowChange, StoredValue, WorkflowRow
from ..refusals import CHILD_REFUSALS, SEND_REFUSALS, ChildRefusal, SendRefusal
from .journal import Journal
from .removal import delete, forget, prune
from .table import Record, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Transaction"]


def _changed(row: WorkflowRow, change: RowChange) -> WorkflowRow:
    """Apply a change, without keeping a mapping that its author may change later."""
    changed = change.apply(row)
    return attrs.evolve(changed, metadata=dict(changed.metadata))


def _with_belongings(record: Record, advance: Advance) -> Record:
    """Set values, and put letters aside."""
    values = {key: StoredValue(key, value, advance.values_at) for key, value in advance.values}
    letters = tuple(
        attrs.evolve(letter, seq=seq)
        for seq, letter in enumerate(advance.dead_letters, start=len(record.dead_letters) + 1)
    )
    return attrs.evolve(
        record,
        values={**record.values, **values},
        dead_letters=record.dead_letters + letters,
    )


def _made_due(record: Record, at: float) -> Record:
    """Return a record that has got something from outside: if it waits, it is due."""
    if record.row.status is not Status.WAITING:
        return record
    return attrs.evolve(record, row=RowChange(wake_at=at).apply(record.row))


def _first(entries: tuple[Entry, ...]) -> Journal:
    """Make the journal of a run that begins with these."""
    return Journal.of(tuple(attrs.evolve(entry, n=n) for n, entry in enumerate(entries)))


def _with_open_tasks(record: Record, open_tasks: Mapping[str, OpenTask]) -> Record:
    return attrs.evolve(record, open_tasks=open_tasks)


@attrs.frozen
class Transaction:
    """Does operations on a table; one that is refused leaves no trace."""

    _table: Table

    def answer(self, operation: Operation) -> Result:
        """Do one operation and return its answer, or the error it is refused with."""
        mark = self._table.mark()
        try:
            if isinstance(operation, Atomic):
                return tuple([self._do(part) for part in operation.operations])
            return self._do(operation)
        except ClawError as refusal:
            self._table.unwind(mark)
            # It is returned, not raised: without the frames it would keep alive.
            return refusal.with_traceback(None)

    def _do(self, operation: Single) -> Answer:
        match operation:
            case Create():
                return self._create(operation)
            case Advance():
                return self._advance(operation)
            case Transact():
                [entry] = operation.advance.entries
                raise TransactionsUnsupportedError(entry.name, "memory")
            case Claim():
                return self._claim(operation)
            case Send():
                return self._send(operation)
            case Steer():
                return self._steer(operation)
            case Trim():
                return Trimmed(done=True)  # earlier runs have left nothing
            case SaveWorkflow():
                return self._save_workflow(operation)
            case SaveTask():
                return self._save_task(operation)
            case Delete():
                return delete(self._table, operation)
            case Prune() | Forget() | GiveBack():
                return self._keep_house(operation)
            case _:  # pragma: no cover - the union is closed; the type checker proves it
                assert_never(operation)

    def _keep_house(self, operation: Housekeeping) -> Answer:
        match operation:
            case Prune():
                return prune(self._table, operation)
            case Forget():
                return forget(self._table, operation)
            case GiveBack():
                return GivenBack(0, done=True)
            case _:  # pragma: no cover - the union is closed; the type checker proves it
                assert_never(operation)

    def _create(self, operation: Create) -> Created:
        row = operation.row
        assert row.id is not None
        assert operation.entries
        if self._table.has(row.id):
            raise DuplicateKeyError(row.id)
        remembered = self._table.remembered(row.id)
        if remembered is not None and not operation.again:
            raise remembered.refusal(row.name, operation.entries[0])
        parent_pk = None if row.parent is None else self._table.find(row.parent).row.pk
        if remembered is not None:
            self._table.remember(row.id, None)
        pk = self._table.next_pk()
        record = Record(
            row=attrs.evolve(row, pk=pk, metadata=dict(row.metadata)),
            parent_pk=parent_pk,
            journal=_first(operation.entries),
        )
        self._table.put(pk, record)
        return Created(pk, record.last_n)

    def _advance(self, operation: Advance) -> Advanced:
        record = self._table.get_visible(operation.pk)
        if record is None:
            raise NotFoundError("workflow", operation.id)
        operation.check(record.row.life, record.last_n)
        if operation.opened or operation.closed:
            opened = {task.op: task for task in operation.opened}
            kept = {**record.open_tasks, **opened}
            for op in operation.closed:
                kept.pop(op, None)
            record = _with_open_tasks(record, kept)
        before = record
        if (change := operation.change_of(record.row)) is not None:
            record = attrs.evolve(record, row=_changed(record.row, change))
        if operation.values or operation.dead_letters:
            record = _with_belongings(record, operation)
        if operation.sends or operation.children:
            advanced = self._advance_along(operation, record)
        else:
            record = record.with_entries(operation.entries)
            if operation.continued:
                record = attrs.evolve(record, journal=_first(operation.continued), open_tasks={})
            self._table.put(operation.pk, record)
            advanced = Advanced(record.last_n)
        if operation.change is None or record.parent_pk is None:
            return advanced
        told = self._tell_parent(before, record, operation.entries)
        return attrs.evolve(advanced, reported=told)

    def _advance_along(self, operation: Advance, record: Record) -> Advanced:
        """Write the entries of an advance, what it sends, and the children that it starts."""
        # One that sends to itself is told as what it is from now on.
        self._table.put(operation.pk, record)
        taken = [self._try_to_admit(send) for send in operation.sends]
        refusals = [one if isinstance(one, SEND_REFUSALS) else None for one in taken]
        children = [self._start_child(operation.pk, create) for create in operation.children]
        refused = [one if isinstance(one, CHILD_REFUSALS) else None for one in children]
        record = self._append(operation.pk, operation.recorded(refusals, refused))
        sent = [
            Sent(one, self._append(one, (send.entry,)).last_n) if isinstance(one, int) else one
            for one, send in zip(taken, operation.sends, strict=True)
        ]
        return Advanced(record.last_n, tuple(sent), tuple(children))

    def _start_child(self, parent_pk: int, create: Create) -> Created | ChildRefusal:
        """Create a child, or find it there."""
        id = create.row.id
        assert id is not None
        if not self._table.has(id):
            try:
                return self._create(create)
            except HistoryPrunedError as refusal:
                return refusal.with_traceback(None)
        found = self._table.find(id)
        is_sibling = found.parent_pk == parent_pk
        if differs := differences(create, found.row, found.entries[0], is_sibling):
            return DuplicateKeyError(id, differs)
        return Created(found.row.pk, 0, existed=True)

    def _tell_parent(
        self, before: Record, after: Record, entries: Sequence[Entry]
    ) -> Reported | None:
        """Let the parent know of a child's end, and why it has to go on waiting."""
        pk = after.parent_pk
        parent = None if pk is None else self._table.get_visible(pk)
        if parent is None:
            return None
        pk, id = parent.row.pk, parent.row.id
        assert id is not None
        if is_told_of_quarantine(before.row, after.row):
            reason = reason_of_parent(parent.row, self._first_stuck(pk))
            if reason != parent.row.reason:
                parent = attrs.evolve(parent, row=_changed(parent.row, RowChange(reason=reason)))
                self._table.put(pk, parent)
        entry = end_of_child(after.row, entries)
        if entry is None or not hears(parent.row, after.row):
            return None
        self._table.put(pk, _made_due(parent, entry.at))
        n = self._append(pk, (entry,)).last_n
        return Reported(pk, id, attrs.evolve(entry, n=n))

    def _first_stuck(self, parent_pk: int) -> WorkflowRow | None:
        """Return the oldest child of a workflow that keeps it waiting in quarantine."""
        stuck = (record.row for record in self._table.children(parent_pk) if is_stuck(record.row))
        return next(stuck, None)

    def _append(self, pk: int, entries: tuple[Entry, ...]) -> Record:
        before = self._table.get(pk)
        assert before is not None
        record = before.with_entries(entries)
        self._table.put(pk, record)
        return record

    def _claim(self, operation: Claim) -> Claimed:
        rows: list[WorkflowRow] = []
        for pk, life in operation.lives:
            record = self._table.get_visible(pk)
            if record is None or (change := operation.change_of(record.row, life)) is None:
                continue
            claimed = attrs.evolve(record, row=change.apply(record.row))
            self._table.put(pk, claimed)
            rows.append(self._table.row(claimed))
        return Claimed(tuple(rows))

    def _send(self, operation: Send) -> Sent:
        taken = self._admit(operation)
        if isinstance(taken, Sent):
            return taken
        return Sent(taken, self._append(taken, (operation.entry,)).last_n)

    def _try_to_admit(self, send: Send) -> int | Sent | SendRefusal:
        try:
            return self._admit(send)
        except SEND_REFUSALS as refusal:
            return refusal.with_traceback(None)

    def _admit(self, operation: Send) -> int | Sent:
        """Do all of a send but its entry; return whose journal that belongs to.

        Returns:
            The key of the workflow, or the answer if it is a duplicate.

        Raises:
            NotFoundError, WorkflowClosedError: it is refused.
        """
        record, key = self._table.find(operation.id), operation.key
        if key is not None and key in record.keys:
            return Sent(record.row.pk, 0, duplicate=True)
        if record.row.status in TERMINAL:
            raise WorkflowClosedError(operation.id, record.row.status)
        if key is not None:
            record = attrs.evolve(record, keys=record.keys.add(key))
        self._table.put(record.row.pk, _made_due(record, operation.entry.at))
        return record.row.pk

    def _steer(self, operation: Steer) -> Steered:
        root = self._table.find(operation.id)
        operation.check(root.row)
        changed: list[tuple[WorkflowRow, int]] = []
        reported: list[Reported] = []
        for record in self._table.family(root):
            change = operation.change_of(record.row)
            if change is None:
                continue
            steered = attrs.evolve(
                record.with_entries((operation.entry,)), row=change.apply(record.row)
            )
            if steered.row.status in TERMINAL:
                steered = _with_open_tasks(steered, {})
            self._table.put(record.row.pk, steered)
            changed.append((self._table.row(steered), steered.last_n))
            if (told := self._tell_parent(record, steered, (operation.entry,))) is not None:
                reported.append(told)
        return Steered(tuple(changed), tuple(reported))

    def _save_workflow(self, operation: SaveWorkflow) -> Saved:
        record = self._table.find(operation.id)
        operation.check(record.row)
        record = attrs.evolve(
            record.with_entries(operation.entries), row=_changed(record.row, operation.change)
        )
        self._table.put(record.row.pk, record)
        return Saved(record.row.revision)

    def _save_task(self, operation: SaveTask) -> Saved:
        record = self._table.find(operation.workflow_id)
        op, entry, opened = operation.op, operation.entry, operation.opened
        recorded = _outcome(record, op)
        if recorded is not None:
            operation.check_repeats(recorded)
            return Saved(record.row.revision)
        kept = {other: task for other, task in record.open_tasks.items() if other != op}
        if opened is not None:
            kept[op] = opened
        if entry is not None:
            record = record.with_entries((entry,))
        self._table.put(record.row.pk, _with_open_tasks(record, kept))
        return Saved(record.row.revision)


def _outcome(record: Record, op: str) -> Entry | None:
    """Return the recorded outcome of a task, unless it was voided."""
    for entry in reversed(effective(record.entries)):
        if entry.kind is EntryKind.TASK and entry.op == op:
            return entry
    return None
