"""What must come back as it was given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs

from ..._core.journal import Entry, EntryKind, EntryStatus, OpenTask
from ..._core.lifecycle import Status, TaskStatus
from ...storage.model import WorkflowFilter
from ...storage.operations import Advance, Advanced, Saved, SaveTask
from .case import case
from .driving import EARLIEST, create, do, load_one
from .samples import a_row, a_start, an_end, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend

# Combining marks, right to left, beyond the basic plane, quotes, line ends.
TEXTS = ("Ünïcødé", "e\u0301", "שלום", "🦞🧑‍🤝‍🧑", "'\"`;--", "a\nb\r\n\tc", "\u2028\ufeff", " ")
NUMBERS = (0.0, 5e-324, 0.1, 1e-7, 1_763_920_000.123456, 2.0**53 + 2, sys.float_info.max)


@case
def every_field_of_an_entry_is_kept(backend: Backend) -> None:
    """Entries come back as they were written, but for their numbers."""
    entry = Entry(
        op="nursery/pack#2/weigh",
        name="weigh",
        kind=EntryKind.TASK,
        status=EntryStatus.FAILED,
        at=12.25,
        after=0,
        life=3,
        attempt=4,
        started_at=11.5,
        digest=bytes(range(16)),
        ref=2,
        value=b"\x00\xff",
    )
    kinds = [
        attrs.evolve(entry, kind=kind, status=status, ref=1_000)
        for kind in EntryKind
        for status in EntryStatus
    ]
    pk = create(backend, "one", entry, *kinds)
    expected = [attrs.evolve(one, n=n) for n, one in enumerate((a_start(), entry, *kinds))]
    assert load_one(backend, pk).entries == tuple(expected)


@case
def every_field_of_open_work_is_kept(backend: Backend) -> None:
    """Open work comes back as it was written, full or bare."""
    full = OpenTask(
        "a#2", "a", TaskStatus.RETRYING, 3, 1.5, 2.5, ("b", "c#2"), b"\x00{}", '[1.5,{"ä":"🦞"}]'
    )
    bare = OpenTask("b", "b", TaskStatus.PENDING, 0)
    create(backend)
    for task in (full, bare):
        do(backend, SaveTask("one", opened=task), Saved)
    assert backend.read_tasks("one", "a#2") == ([], [full])
    assert backend.read_tasks("one", "b") == ([], [bare])


@case
def text_of_any_language_is_kept(backend: Backend) -> None:
    """Names, reasons, descriptions, labels, ops: no character is lost, folded or normalised."""
    for number, text in enumerate(TEXTS):
        id = f"w-{number}"
        row = attrs.evolve(
            a_row(id, name=text, metadata={text: text}),
            reason=text,
            description=text,
            parent_op=text,
        )
        pk = create(backend, row, an_outcome(text))
        task = attrs.evolve(open_work(text + "#2"), depends_on=(text,))
        do(backend, Advance(pk, id, 0, opened=(task,)), Advanced)
        loaded = load_one(backend, pk)
        assert loaded.row == attrs.evolve(row, pk=pk)
        assert loaded.entries[1].op == text
        assert loaded.open_tasks == (task,)
        assert backend.read_tasks(id, text)[0][0].op == text
        for query in (WorkflowFilter(name=text), WorkflowFilter(metadata={text: text})):
            assert [item.row.id for item in backend.list_workflows(query).items] == [id]


@case
def empty_is_not_nothing(backend: Backend) -> None:
    """Empty text, bytes and tuples stay apart from ``None``."""
    empty = attrs.evolve(a_row("empty", metadata={"k": ""}), reason="", description="")
    pk = create(backend, empty, an_outcome("a", value=b""), an_outcome("b", value=None))
    work = attrs.evolve(open_work("c"), error=b"", due_at=None)
    do(backend, Advance(pk, "empty", 0, opened=(work,)), Advanced)
    loaded = load_one(backend, pk)
    assert loaded.row == attrs.evolve(empty, pk=pk)
    assert [entry.value for entry in loaded.entries[1:]] == [b"", None]
    assert loaded.open_tasks == (work,)
    nothing = create(backend, "nothing", attrs.evolve(an_outcome(), digest=b""))
    loaded = load_one(backend, nothing)
    assert (loaded.row.reason, loaded.row.description) == (None, None)
    assert loaded.entries[1].digest == b""


@case
def large_values_are_kept(backend: Backend) -> None:
    """A payload of 1 MiB, of every byte there is, comes back whole from every read."""
    value = bytes(range(256)) * 4_096
    pk = create(backend, "one", an_outcome(value=value), an_end(value))
    do(backend, SaveTask("one", opened=attrs.evolve(open_work("b"), error=value)), Saved)
    loaded = load_one(backend, pk)
    assert all(entry.value == value for entry in loaded.entries[1:])
    assert loaded.open_tasks[0].error == value
    stored = backend.get_workflow("one")
    assert stored.end is not None
    assert stored.end.value == value


@case
def rows_at_their_limits_are_kept(backend: Backend) -> None:
    """The longest texts and the most labels that are accepted."""
    row = attrs.evolve(
        a_row(
            "i" * 200,
            name="n" * 1_000,
            metadata={f"{number:02}" + "k" * 62: "🦞" * 256 for number in range(32)},
        ),
        description="d" * 1_000,
        reason="r" * 10_000,
        restarts=tuple(float(number) for number in range(1_000)),
    )
    pk = create(backend, row)
    assert backend.get_workflow("i" * 200).row == attrs.evolve(row, pk=pk)


@case
def extreme_numbers_are_kept(backend: Backend) -> None:
    """Times come back to the last bit, whole numbers in the full range of 64 bits."""
    for number, time in enumerate((*NUMBERS, *(-time for time in NUMBERS))):
        row = attrs.evolve(
            a_row(f"f-{number}", created_at=time, completed_at=time),
            started_at=time,
            restarts=(time, time),
        )
        pk = create(backend, row, an_outcome(at=time))
        loaded = load_one(backend, pk)
        assert loaded.row == attrs.evolve(row, pk=pk)
        assert loaded.entries[1].at == time
    for number, seed in enumerate((0, 1, 2**63 - 1, -(2**63))):
        row = attrs.evolve(
            a_row(f"i-{number}", version=2**31 - 1, life=2**40), seed=seed, run=2**31 - 1
        )
        pk = create(backend, row)
        assert backend.get_workflow(f"i-{number}").row == attrs.evolve(row, pk=pk)


@case
def extreme_times_to_wake_are_in_order(backend: Backend) -> None:
    """Times to wake are compared as numbers, however large or small."""
    times = (-1e300, -0.5, 0.0, 5e-324, 9.5, 10.0, 2e9, 1e300)
    for number, wake_at in enumerate(reversed(times)):
        create(backend, a_row(f"w-{number}", status=Status.WAITING, wake_at=wake_at))
    listed = backend.list_wake_times(EARLIEST, 100)
    assert tuple(one.wake_at for one in listed) == times


@case
def a_long_journal_is_kept_in_order(backend: Backend) -> None:
    """3,000 entries, written in several pieces, are numbered and read without a gap."""
    pk = create(backend)
    for piece in range(3):
        entries = tuple(an_outcome(f"t#{piece * 1_000 + number}") for number in range(1_000))
        answer = do(backend, Advance(pk, "one", 0, entries), Advanced)
        assert answer.n == (piece + 1) * 1_000
    loaded = load_one(backend, pk)
    assert [entry.n for entry in loaded.entries] == list(range(3_001))
    assert [entry.op for entry in loaded.entries[1:]] == [f"t#{number}" for number in range(3_000)]
    assert len(backend.read_tasks("one")[0]) == 3_000
