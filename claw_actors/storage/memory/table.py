"""The workflows in memory: immutable records in a table that can take changes back.

A record is replaced, never changed. So the undo log is a list of the records that were
replaced, a snapshot copies dictionaries and nothing below them, and a reader may keep what it
was given.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import attrs

from ..._core.journal import Entry, OpenTask
from ..._core.lifecycle import Status
from ...errors import NotFoundError
from ..pruning import Remembered, is_bound
from ..records import DeadLetter, StoredValue, WakeTime, WorkflowRow
from ..steering import ABANDON
from .journal import Journal
from .keys import Keys

__all__ = ["Record", "Table"]


@attrs.frozen(kw_only=True)
class Record:
    """One workflow and all that hangs on it.

    Attributes:
        row: its row as it was written. Read it with :meth:`Table.row`, which knows whether the
            parent is still there.
        parent_pk: the parent's key: its id may be free again, and taken by another workflow.
        journal: of its present run.
        open_tasks: its open work by op; replaced, never changed.
        keys: of the messages that it was sent, in all of its runs.
        values: what it shows of itself, by key; replaced, never changed.
        dead_letters: what it could not take. Few, as each is a mistake of a sender: so a tuple.
    """

    row: WorkflowRow
    parent_pk: int | None
    journal: Journal
    open_tasks: Mapping[str, OpenTask] = attrs.field(factory=dict[str, OpenTask])
    keys: Keys = attrs.field(factory=Keys)
    values: Mapping[str, StoredValue] = attrs.field(factory=dict[str, StoredValue])
    dead_letters: tuple[DeadLetter, ...] = ()

    @property
    def last_n(self) -> int:
        """The number of the last entry."""
        return self.journal.last.n

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries of the journal."""
        return self.journal.entries()

    def with_entries(self, entries: tuple[Entry, ...]) -> Record:
        """Return the record with these entries appended, numbered on from the last one."""
        # Spelled out, because it runs for every commit: attrs.evolve looks at each field by name.
        return Record(
            row=self.row,
            parent_pk=self.parent_pk,
            journal=self.journal.append(entries),
            open_tasks=self.open_tasks,
            keys=self.keys,
            values=self.values,
            dead_letters=self.dead_letters,
        )


Due: TypeAlias = tuple[float, int, str]
"""(``wake_at``, key, id) of a waiting workflow; the first two say where it stands."""


def _due(record: Record | None) -> Due | None:
    """Return where a record stands among the waiting ones; ``None`` if it is not one of them."""
    if record is None or record.row.id is None or record.row.wake_at is None:
        return None
    if record.row.status is not Status.WAITING:
        return None
    return record.row.wake_at, record.row.pk, record.row.id


def _parent(record: Record | None) -> int | None:
    """Return the key of a record's parent; ``None`` if it has none, or is being deleted."""
    return None if record is None else record.parent_pk


def _place(due: Due) -> tuple[float, int]:
    return due[:2]


class Table:
    """All workflows by key, with the indexes that reads need and a log to undo changes.

    Every change goes through :meth:`put`, so the indexes cannot disagree with the records.
    """

    def __init__(self) -> None:
        # Half deleted ones, without an id, included.
        self._records: dict[int, Record] = {}
        self._pks: dict[str, int] = {}
        # All keys, ascending. Not the order of the dictionary: undoing a removal appends there.
        self._order: list[int] = []
        # The waiting ones that have a time to wait for, the soonest first. An insertion moves
        # memory, some 20 µs at 100,000 workflows.
        self._due: list[Due] = []
        # By the key of the parent; of none that has no children.
        self._children: dict[int, set[int]] = {}
        self._last_pk = 0
        # Of pruned workflows, by id.
        self._remembered: dict[str, Remembered] = {}
        # What was changed since the last `settle`, by key or id, each with what was there before.
        self._undo: list[tuple[int, Record | None] | tuple[str, Remembered | None]] = []

    def copy(self) -> Table:
        """Return an independent table with the same settled records."""
        assert not self._undo, "a copy in mid-transaction would hold what may be taken back"
        copy = Table()
        copy._records = dict(self._records)
        copy._pks = dict(self._pks)
        copy._order = list(self._order)
        copy._due = list(self._due)
        copy._children = {pk: set(children) for pk, children in self._children.items()}
        copy._last_pk = self._last_pk
        copy._remembered = dict(self._remembered)
        return copy

    # -- changing ---------------------------------------------------------------------------

    def next_pk(self) -> int:
        """Take a new key. Undoing its first :meth:`put` gives it back: nobody has seen it."""
        self._last_pk += 1
        return self._last_pk

    def put(self, pk: int, record: Record | None) -> None:
        """Insert, replace or (with ``None``) remove a record, and remember the one before."""
        self._undo.append((pk, self._records.get(pk)))
        self._replace(pk, record)

    def mark(self) -> int:
        """Return a point to :meth:`unwind` to."""
        return len(self._undo)

    def unwind(self, mark: int) -> None:
        """Take back every change since ``mark``, the last one first."""
        while len(self._undo) > mark:
            match self._undo.pop():
                case int(pk), (Record() | None) as before:
                    self._replace(pk, before)
                    if before is None:
                        self._last_pk = pk - 1
                case id, (Remembered() | None) as remembered:
                    assert isinstance(id, str)
                    self._remember(id, remembered)
                case _:  # pragma: no cover - a record has a key, and what is remembered an id
                    raise AssertionError

    def settle(self) -> None:
        """Make every change so far final."""
        self._undo.clear()

    def remember(self, id: str, remembered: Remembered | None) -> None:
        """Remember a pruned workflow, or (with ``None``) forget one."""
        self._undo.append((id, self._remembered.get(id)))
        self._remember(id, remembered)

    def _remember(self, id: str, remembered: Remembered | None) -> None:
        if remembered is None:
            self._remembered.pop(id, None)
        else:
            self._remembered[id] = remembered

    def _replace(self, pk: int, record: Record | None) -> None:
        before = self._records.get(pk)
        if record is None:
            del self._records[pk]
            del self._order[bisect_left(self._order, pk)]
        else:
            self._records[pk] = record
            if before is None:
                insort(self._order, pk)
        self._index_id(pk, before, record)
        self._index_due(_due(before), _due(record))
        self._index_parent(pk, _parent(before), _parent(record))

    def _index_id(self, pk: int, before: Record | None, after: Record | None) -> None:
        old = None if before is None else before.row.id
        new = None if after is None else after.row.id
        if old is not None and new is None:
            del self._pks[old]
        if new is not None:
            self._pks[new] = pk

    def _index_due(self, old: Due | None, new: Due | None) -> None:
        if old == new:
            return
        if old is not None:
            del self._due[bisect_left(self._due, old)]
        if new is not None:
            insort(self._due, new)

    def _index_parent(self, pk: int, old: int | None, new: int | None) -> None:
        if old == new:
            return
        if old is not None:
            siblings = self._children[old]
            siblings.remove(pk)
            if not siblings:
                del self._children[old]
        if new is not None:
            self._children.setdefault(new, set()).add(pk)

    # -- reading ----------------------------------------------------------------------------

    def has(self, id: str) -> bool:
        """Tell whether a workflow has this id."""
        return id in self._pks

    def find(self, id: str) -> Record:
        """Return the record with this id.

        Raises:
            NotFoundError: there is none.
        """
        if id not in self._pks:
            remembered = self._remembered.get(id)
            raise NotFoundError(
                "workflow", id, None if remembered is None else remembered.pruned_at
            )
        return self._records[self._pks[id]]

    def remembered(self, id: str) -> Remembered | None:
        """Return what is left of a pruned workflow, if one had this id."""
        return self._remembered.get(id)

    def pruned_before(self, at: float) -> list[Remembered]:
        """Return what was pruned before a time, the first one first."""
        found = [one for one in self._remembered.values() if one.pruned_at < at]
        return sorted(found, key=lambda one: one.pruned_at)

    def bound_family(self, root: Record) -> list[Record]:
        """Return a record and all below it that are bound to it, parents before children."""
        family = [root]
        for record in family:
            row = record.row
            family += [
                child
                for child in self.children(row.pk)
                if is_bound(child.row.on_close, child.row.parent_op, row.run_key)
            ]
        return family

    def is_bound(self, record: Record) -> bool:
        """Tell whether a record is bound to a parent."""
        pk = record.parent_pk
        parent = None if pk is None else self.get_visible(pk)
        run_key = None if parent is None else parent.row.run_key
        return is_bound(record.row.on_close, record.row.parent_op, run_key)

    def get(self, pk: int) -> Record | None:
        """Return the record with this key, half deleted or not."""
        return self._records.get(pk)

    def get_visible(self, pk: int) -> Record | None:
        """Return the record with this key, unless it is half deleted."""
        record = self._records.get(pk)
        return None if record is None or record.row.id is None else record

    def row(self, record: Record) -> WorkflowRow:
        """Return a record's row as it is read: a parent that was deleted is none."""
        if record.parent_pk is None or self.get_visible(record.parent_pk) is not None:
            return record.row
        return attrs.evolve(record.row, parent=None)

    def children(self, pk: int) -> list[Record]:
        """Return the children of a workflow that are not being deleted, oldest first."""
        return [self._records[child] for child in sorted(self._children.get(pk, ()))]

    def family(self, root: Record) -> Iterator[Record]:
        """Yield a record and all below it that were not abandoned, parents before children."""
        found = deque([root])
        while found:
            record = found.popleft()
            yield record
            found.extend(
                child for child in self.children(record.row.pk) if child.row.on_close != ABANDON
            )

    def newest_first(self, before_pk: int | None) -> Iterator[Record]:
        """Yield every visible record, the largest key first, only those below ``before_pk``."""
        end = len(self._order) if before_pk is None else bisect_left(self._order, before_pk)
        for position in range(end - 1, -1, -1):
            record = self._records[self._order[position]]
            if record.row.id is not None:
                yield record

    def oldest_first(self, after_pk: int) -> Iterator[Record]:
        """Yield every visible record, the smallest key first, only those above ``after_pk``."""
        for position in range(bisect_right(self._order, after_pk), len(self._order)):
            record = self._records[self._order[position]]
            if record.row.id is not None:
                yield record

    def due_after(self, after: tuple[float, int], limit: int) -> list[WakeTime]:
        """Return the next waiting workflows past a (``wake_at``, key), the soonest first."""
        start = bisect_right(self._due, after, key=_place)
        return [
            WakeTime(wake_at, pk, id, since=self._records[pk].journal.last.at)
            for wake_at, pk, id in self._due[start : start + limit]
        ]

    def half_deleted(self) -> tuple[int, ...]:
        """Return the keys of records whose deletion has begun, ascending."""
        return tuple(pk for pk in self._order if self._records[pk].row.id is None)
