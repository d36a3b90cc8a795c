"""Deleting from SQLite in bounded pieces, with crashes between them."""

from __future__ import annotations

import attrs
import pytest

from claw_actors._core.lifecycle import Status
from claw_actors.errors import NotFoundError
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import (
    Advance,
    Create,
    Created,
    Delete,
    Deleted,
    Send,
)
from claw_actors.storage.records import DeadLetter, WakeTime
from claw_actors.testing.conformance.samples import (
    a_message,
    a_row,
    a_start,
    an_outcome,
    open_work,
)

TABLES = (
    "claw_workflow",
    "claw_journal",
    "claw_task",
    "claw_key",
    "claw_value",
    "claw_dead_letter",
    "claw_tag",
)


@pytest.fixture
def full(storage):
    """Store a workflow with something in every table, and a neighbour that has as much."""
    for pk, id in enumerate(("one", "two"), start=1):
        row = attrs.evolve(
            a_row(id, metadata={"a": "1", "b": "2"}), status=Status.WAITING, wake_at=5.0
        )
        storage.commit(
            [
                Create(row, (a_start(), *(an_outcome(f"t#{n}") for n in range(6)))),
                Advance(
                    pk,
                    id,
                    0,
                    opened=(open_work("x"), open_work("y"), open_work("z")),
                    values=tuple((f"k{n}", b"1") for n in range(3)),
                    dead_letters=(DeadLetter("t", 1.0, "r", b"1"),) * 3,
                ),
                *(Send(id, a_message(at=5.0), f"k{n}") for n in range(3)),
            ]
        )
    return storage


def sizes(raw, pk):
    return {
        table: raw(
            f"SELECT count(*) FROM {table} WHERE {'pk' if table == 'claw_workflow' else 'wf'} = ?",
            pk,
        )[0][0]
        for table in TABLES
    }


def test_all_that_hangs_on_a_workflow_goes_and_nothing_else(full, raw):
    """Every table is emptied of it; the neighbour keeps everything."""
    before = sizes(raw, 2)
    assert full.commit([Delete("one")]) == [Deleted(1, done=True)]
    assert set(sizes(raw, 1).values()) == {0}
    assert sizes(raw, 2) == before
    assert min(before.values()) > 0


def test_each_piece_is_bounded_and_the_row_goes_last(full, raw):
    """No step deletes more than its limit from any table; while it lasts, nobody sees it."""
    answer = full.commit([Delete("one", limit=2)])[0]
    steps = 1
    while not answer.done:
        before = sizes(raw, 1)
        assert before["claw_workflow"] == 1
        answer = full.commit([Delete("", answer.pk, limit=2)])[0]
        after = sizes(raw, 1)
        assert all(before[table] - after[table] <= 2 for table in TABLES[1:])
        steps += 1
    assert set(sizes(raw, 1).values()) == {0}
    assert steps > 4


def test_a_workflow_half_deleted_is_gone_for_every_reader(full):
    """From the first step on, no list, no timer, no label and no recovery finds it."""
    full.commit([Delete("one", limit=1)])
    with pytest.raises(NotFoundError):
        full.get_workflow("one")
    listing = full.list_workflows(WorkflowFilter(include_total=True, metadata={"a": "1"}))
    assert ([item.row.id for item in listing.items], listing.total) == (["two"], 1)
    assert full.list_workflows(WorkflowFilter(include_total=True)).total == 1
    assert full.list_workflows(WorkflowFilter(include_total=True, status="waiting")).total == 1
    assert [row.id for row in full.list_unfinished(0, 9.0, 9).rows] == ["two"]
    assert full.list_wake_times((0.0, 0), 9) == [WakeTime(5.0, 2, "two", since=5.0)]
    assert full.load([1]) == []
    assert isinstance(full.commit([Advance(1, "one", 0)])[0], NotFoundError)


def test_a_crash_between_two_pieces_is_finished_by_the_next_owner(full, raw):
    """The report names what is half deleted; finishing it twice does no harm."""
    full.commit([Delete("one", limit=2)])
    full.abandon()
    report = full.open()
    assert report.unfinished_deletes == (1,)
    assert full.commit([Delete("", 1), Delete("", 1)]) == [Deleted(1, done=True)] * 2
    full.close()
    assert full.open().unfinished_deletes == ()
    assert set(sizes(raw, 1).values()) == {0}


def test_the_id_is_free_at_once(full):
    """A new workflow may take it while the old one is still being deleted."""
    results = full.commit([Delete("one", limit=1), Create(a_row("one"), (a_start(),))])
    assert results == [Deleted(1, done=False), Created(3, 0)]


def test_a_damaged_workflow_can_be_deleted_whole(full, raw):
    """Deleting reads nothing that has to be right; its labels go, too."""
    full.close()
    raw("UPDATE claw_workflow SET metadata = 'nonsense' WHERE pk = 1")
    full.open()
    assert full.commit([Delete("one")]) == [Deleted(1, done=True)]
    assert set(sizes(raw, 1).values()) == {0}


def test_a_child_outlives_its_parent(storage):
    """It reads as having none, also when the parent's id is taken again, and can be changed."""
    storage.commit(
        [
            Create(a_row("parent"), (a_start(),)),
            Create(a_row("child", parent="parent"), (a_start(),)),
            Delete("parent"),
            Create(a_row("parent"), (a_start(),)),
        ]
    )
    assert storage.get_workflow("child").row.parent is None
    assert storage.list_workflows(WorkflowFilter(parent="parent")).items == ()
