"""What each operation does to the tables, inside a transaction that somebody else ends.

Everything that can refuse an operation is checked before its first write. So a refused one has
changed nothing, and needs no savepoint; only :class:`Atomic`, whose later parts may be refused
after earlier ones have written, takes one.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias, assert_never

import attrs

from ..._core.journal import Entry, EntryKind, effective
from ..._core.lifecycle import TERMINAL
from ...errors import (
    ClawError,
    DuplicateKeyError,
    NotFoundError,
    StorageCorruptError,
    WorkflowClosedError,
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
    Deleted,
    Forget,
    GiveBack,
    Housekeeping,
    Operation,
    Prune,
    Pruned,
    Reported,
    Result,
    Saved,
    SaveTask,
    SaveWorkflow,
    Send,
    Sent,
    Steer,
    Steered,
    Transact,
    Trim,
    Trimmed,
)
from ..records import StoredValue, WorkflowRow
from ..refusals import CHILD_REFUSALS, SEND_REFUSALS, ChildRefusal, SendRefusal
from . import statements
from .belongings import letter_values, value_values
from .deletion import delete_step
from .family import Family
from .journal import Head, Journal
from .pruning import give_back, prune
from .remembered import find_remembered, forget, missing
from .rows import Stored, Values, read_entry, task_values, workflow_values
from .workflows import WorkflowTable

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Transaction"]

_log = logging.getLogger("claw_actors.storage")


_Plain: TypeAlias = (
    Create | Claim | Send | Steer | Trim | SaveWorkflow | SaveTask | Delete | Housekeeping
)


class Transaction:
    """Does operations on the writing connection, between its BEGIN and its COMMIT."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where
        self._journal = Journal(connection)
        self._workflows = WorkflowTable(connection, where)
        self._family = Family(connection, where, self._journal, self._workflows)

    # -- the frame ------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget what was known of the tables: something was rolled back."""
        self._journal.reset()
        self._workflows.reset()

    def flush(self) -> None:
        """Write the entries that are still queued."""
        self._journal.flush()

    def answer(self, operation: Operation) -> Result:
        """Do one operation and return its answer, or the error it is refused with."""
        try:
            if isinstance(operation, Advance):  # the usual one
                return self._advance(operation)
            assert not isinstance(operation, Transact), "it comes alone, in parts"
            if isinstance(operation, Atomic):
                with self._savepoint():
                    return tuple([self._do(part) for part in operation.operations])
            return self._do(operation)
        except ClawError as refusal:
            # It is returned, not raised: without the frames it would keep alive.
            return refusal.with_traceback(None)

    def answer_alone(self, operation: Operation) -> Result:
        """Do the same in a savepoint of its own, all of its writes included.

        Raises:
            sqlite3.Error, ValueError, TypeError, OverflowError: SQLite would not take it; what
                it wrote is rolled back.
        """
        with self._savepoint():
            result = self.answer(operation)
            self._journal.flush()
            return result

    @contextmanager
    def _savepoint(self) -> Generator[None, None, None]:
        self._journal.flush()
        self._connection.execute(statements.SAVEPOINT)
        try:
            yield
        except BaseException:
            self.reset()
            # A full disk has rolled back the whole transaction, savepoints included.
            if self._connection.in_transaction:
                self._connection.execute(statements.ROLLBACK_TO)
                self._connection.execute(statements.RELEASE)
            raise
        self._connection.execute(statements.RELEASE)

    def _do(self, operation: _Plain) -> Answer:
        match operation:
            case Create():
                return self._create(operation)
            case Claim():
                return self._claim(operation)
            case Send():
                return self._send(operation)
            case Steer():
                return self._steer(operation)
            case Trim():
                return self._trim(operation)
            case SaveWorkflow():
                return self._save_workflow(operation)
            case SaveTask():
                return self._save_task(operation)
            case Delete():
                return self._delete(operation)
            case Prune() | Forget() | GiveBack():
                return self._keep_house(operation)
            case _:  # pragma: no cover - the union is closed; the type checker proves it
                assert_never(operation)

    # -- operations -----------------------------------------------------------------------------

    def _keep_house(self, operation: Housekeeping) -> Answer:
        match operation:
            case Prune():
                return self._prune(operation)
            case Forget():
                return forget(self._connection, operation)
            case GiveBack():
                return give_back(self._connection, operation)
            case _:  # pragma: no cover - the union is closed; the type checker proves it
                assert_never(operation)

    def _create(self, operation: Create) -> Created:
        row = operation.row
        assert row.id is not None
        assert operation.entries, "the first one is the start"
        if self._workflows.find_pk(row.id) is not None:
            raise DuplicateKeyError(row.id)
        remembered = find_remembered(self._connection, row.id, self._where)
        if remembered is not None and not operation.again:
            raise remembered.refusal(row.name, operation.entries[0])
        parent_pk = None
        if row.parent is not None:
            parent_pk = self._workflows.find_pk(row.parent)
            if parent_pk is None:
                raise missing(self._connection, self._where, row.parent)
        if remembered is not None:
            self._connection.execute(statements.FORGET_ONE, (row.id,))
        pk = self._workflows.insert(row, parent_pk)
        # The start is numbered 0.
        head = self._journal.begin(pk, Head(row.run, row.life, n=-1))
        return Created(pk, self._journal.append(pk, head, operation.entries))

    def _advance(self, operation: Advance) -> Advanced:
        pk = operation.pk
        stored = None
        head = self._journal.known(pk)
        if head is None or operation.change is not None:
            stored = self._workflows.get(pk)
            if stored is None:
                raise NotFoundError("workflow", operation.id)
            head = self._journal.head(stored)
        operation.check(head.life, head.n)
        if operation.opened:
            self._connection.executemany(
                statements.SAVE_TASK,
                [task_values(pk, head.run, task) for task in operation.opened],
            )
        if operation.closed:
            self._connection.executemany(
                statements.DELETE_TASK, [(pk, head.run, op) for op in operation.closed]
            )
        row = None
        if operation.change is not None:
            assert stored is not None
            change = operation.change_of(stored.row)
            assert change is not None
            row = self._workflows.change(stored, change)
            head.life = row.life
            if operation.continued:
                # What is left of the run before is found by its number, which no reader asks for.
                head = self._journal.begin(pk, Head(row.run, row.life, n=-1))
                self._save_belongings(operation)
                return Advanced(self._journal.append(pk, head, operation.continued))
        if operation.values or operation.dead_letters:
            self._save_belongings(operation)
        if operation.sends or operation.children:
            advanced = self._advance_along(operation, head)
        else:
            advanced = Advanced(self._journal.append(pk, head, operation.entries))
        if row is None or stored is None or stored.parent_pk is None:
            return advanced
        reported = self._family.tell_parent(stored, row, operation.entries)
        return attrs.evolve(advanced, reported=reported)

    def _save_belongings(self, operation: Advance) -> None:
        """Set values, and put letters aside."""
        pk, at = operation.pk, operation.values_at
        values = [value_values(pk, StoredValue(key, value, at)) for key, value in operation.values]
        self._connection.executemany(statements.SAVE_VALUE, values)
        letters = [letter_values(pk, letter) for letter in operation.dead_letters]
        self._connection.executemany(statements.INSERT_LETTER, letters)

    def _advance_along(self, operation: Advance, head: Head) -> Advanced:
        """Write the entries of an advance, what it sends, and the children that it starts."""
        taken = [self._try_to_admit(send) for send in operation.sends]
        refusals = [one if isinstance(one, SEND_REFUSALS) else None for one in taken]
        children = [self._try_to_start(operation.pk, create) for create in operation.children]
        refused = [one if isinstance(one, CHILD_REFUSALS) else None for one in children]
        # Heads of children have come since this one was looked for, and it may have made room.
        head = self._journal.begin(operation.pk, head)
        n = self._journal.append(operation.pk, head, operation.recorded(refusals, refused))
        sent = [
            self._deliver(one, send) if isinstance(one, Stored) else one
            for one, send in zip(taken, operation.sends, strict=True)
        ]
        return Advanced(n, tuple(sent), tuple(children))

    def _try_to_start(self, parent_pk: int, create: Create) -> Created | ChildRefusal:
        """Create a child, or find it there."""
        try:
            return self._family.find_child(parent_pk, create) or self._create(create)
        except CHILD_REFUSALS as refusal:
            return refusal.with_traceback(None)

    def _claim(self, operation: Claim) -> Claimed:
        claimed: dict[int, Stored] = {}
        rows: list[WorkflowRow] = []
        for pk, life in operation.lives:
            # The same one may be named twice: then it is the claimed one that counts.
            stored = claimed.get(pk) or self._readable(pk)
            if stored is None or (change := operation.change_of(stored.row, life)) is None:
                continue
            row = change.apply(stored.row)
            claimed[pk] = Stored(row, stored.parent_pk, workflow_values(row, stored.parent_pk))
            rows.append(row)
            if (head := self._journal.known(pk)) is not None:
                head.life = row.life
        self._workflows.claim(list(claimed.values()))
        return Claimed(tuple(rows))

    def _readable(self, pk: int) -> Stored | None:
        """Read one row of several; a damaged one must not stop the others."""
        try:
            return self._workflows.get(pk)
        except StorageCorruptError as error:
            _log.warning("left as it is: %s", error)
            return None

    def _send(self, operation: Send) -> Sent:
        taken = self._admit(operation)
        return taken if isinstance(taken, Sent) else self._deliver(taken, operation)

    def _deliver(self, stored: Stored, send: Send) -> Sent:
        """Append what was admitted to its journal."""
        pk, head = stored.row.pk, self._journal.head(stored)
        return Sent(pk, self._journal.append(pk, head, (send.entry,)))

    def _try_to_admit(self, send: Send) -> Stored | Sent | SendRefusal:
        try:
            return self._admit(send)
        except SEND_REFUSALS as refusal:
            return refusal.with_traceback(None)

    def _admit(self, operation: Send) -> Stored | Sent:
        """Do all of a send but its entry; return whose journal that belongs to.

        Returns:
            The workflow as it was read, or the answer if it is a duplicate.

        Raises:
            NotFoundError, WorkflowClosedError, StorageCorruptError: it is refused.
        """
        stored = self._workflows.find(operation.id)
        row, key = stored.row, operation.key
        if key is not None and self._read(statements.SELECT_KEY, (row.pk, key)):
            return Sent(row.pk, 0, duplicate=True)
        if row.status in TERMINAL:
            raise WorkflowClosedError(operation.id, row.status)
        if key is not None:
            self._connection.execute(statements.INSERT_KEY, (row.pk, key))
        self._workflows.make_due(stored, operation.entry.at)
        return stored

    def _steer(self, operation: Steer) -> Steered:
        root = self._workflows.find(operation.id)
        operation.check(root.row)
        changed: list[tuple[WorkflowRow, int]] = []
        reported: list[Reported] = []
        for stored in self._below(root):
            change = operation.change_of(stored.row)
            if change is None:
                continue
            head = self._journal.head(stored)
            row = self._workflows.change(stored, change)
            head.life = row.life
            if row.status in TERMINAL:
                self._connection.execute(statements.DELETE_TASKS, (row.pk, head.run))
            changed.append((row, self._journal.append(row.pk, head, (operation.entry,))))
            told = self._family.tell_parent(stored, row, (operation.entry,))
            if told is not None:
                reported.append(told)
        return Steered(tuple(changed), tuple(reported))

    def _below(self, root: Stored) -> Generator[Stored, None, None]:
        """Yield a workflow and all below it that were not abandoned, parents before children."""
        found = deque([root])
        while found:
            stored = found.popleft()
            yield stored
            children = self._read(statements.SELECT_FAMILY, (stored.row.pk,))
            found.extend(child for (pk,) in children if (child := self._readable(pk)) is not None)

    def _save_workflow(self, operation: SaveWorkflow) -> Saved:
        stored = self._workflows.find(operation.id)
        operation.check(stored.row)
        head = self._journal.head(stored)
        row = self._workflows.change(stored, operation.change)
        head.life = row.life
        self._journal.append(row.pk, head, operation.entries)
        return Saved(row.revision)

    def _save_task(self, operation: SaveTask) -> Saved:
        id = operation.workflow_id
        pk, revision = self._workflows.find_revision(id)
        head = self._journal.known(pk)
        if head is None:  # only then the whole row has to be read, and checked
            head = self._journal.head(self._workflows.find(id))
        entry, opened = operation.entry, operation.opened
        recorded = self._outcome(id, pk, head, operation.op)
        if recorded is not None:
            operation.check_repeats(recorded)
            return Saved(revision)
        if opened is not None:
            self._connection.execute(statements.SAVE_TASK, task_values(pk, head.run, opened))
        if entry is not None:
            self._connection.execute(statements.DELETE_TASK, (pk, head.run, entry.op))
            self._journal.append(pk, head, (entry,))
        return Saved(revision)

    def _outcome(self, id: str, pk: int, head: Head, op: str) -> Entry | None:
        """Return the recorded outcome of a task, unless it was voided."""
        # Voiding judges each entry by itself, so the other ones need not be read.
        if head.life == 0:
            # No incarnation has ever written, so every outcome was saved, and the index has it.
            self._journal.flush_if_queued(pk, op)
            saved = self._read(statements.SELECT_SAVED, (pk, head.run, op))
            if not saved:  # as a rule
                return None
            self._journal.flush()
            found = saved + self._read(statements.SELECT_ENDS, (pk, head.run))
        else:
            self._journal.flush()
            found = self._read(statements.SELECT_OUTCOMES_OF, (pk, head.run, op))
        entries = sorted(
            (read_entry(values, id, self._where) for values in found), key=lambda entry: entry.n
        )
        outcomes = [entry for entry in effective(entries) if entry.kind is EntryKind.TASK]
        return outcomes[-1] if outcomes else None

    def _read(self, sql: str, of: Values) -> list[Values]:
        return self._connection.execute(sql, of).fetchall()

    def _trim(self, operation: Trim) -> Trimmed:
        stored = self._readable(operation.pk)
        if stored is None:
            return Trimmed(done=True)
        of = {"wf": operation.pk, "run": stored.row.run, "limit": operation.limit}
        deleted = [
            self._connection.execute(delete, of).rowcount for delete in statements.TRIM_PIECES
        ]
        return Trimmed(done=max(deleted) < operation.limit)

    def _delete(self, operation: Delete) -> Deleted:
        self._journal.flush()
        deleted = delete_step(self._connection, self._where, operation)
        self._journal.forget(deleted.pk)
        return deleted

    def _prune(self, operation: Prune) -> Pruned:
        self._journal.flush()
        return prune(self._connection, self._where, operation, self._journal.forget)
