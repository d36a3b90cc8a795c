"""Reads beside commits: each sees one moment, none waits for the writer."""

from __future__ import annotations

import threading

import attrs
import pytest

from claw_actors._core.journal import EntryStatus
from claw_actors._core.lifecycle import Status
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import Advance, Create, SaveWorkflow
from claw_actors.storage.records import RowChange
from claw_actors.testing.conformance.samples import a_row, a_start, a_void, an_end, an_outcome


def test_a_read_does_not_wait_behind_a_commit(storage):
    """While a transaction is open on the writer, reads answer with what was committed before."""
    storage.commit([Create(a_row(), (a_start(),))])
    connection = storage._session.writer.connection
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE claw_workflow SET name = 'half done'")
    assert storage.get_workflow("one").row.name == "checkout"
    connection.execute("ROLLBACK")


def test_a_read_sees_one_moment(storage):
    """What is committed in the middle of a read belongs to the next one."""
    storage.commit([Create(a_row(), (a_start(),))])
    reader = storage._session.reader
    with storage._session.pool.snapshot() as connection:
        row = reader._find(connection, "one")
        storage.commit(
            [SaveWorkflow("one", 1, RowChange(status=Status.COMPLETED), (an_end(b'"late"'),))]
        )
        assert reader._with_payloads(connection, row).end is None
    assert storage.get_workflow("one").end is not None


def test_reads_in_many_threads_see_whole_commits(storage):
    """Two workflows that always change together are never seen apart."""
    storage.commit([Create(a_row(id), (a_start(),)) for id in ("one", "two")])
    torn: list[object] = []
    done = threading.Event()

    def watch():
        while not done.is_set():
            revisions = {
                item.row.revision for item in storage.list_workflows(WorkflowFilter()).items
            }
            if len(revisions) != 1:
                torn.append(revisions)

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    for revision in range(1, 60):
        change = RowChange(description=str(revision))
        storage.commit([SaveWorkflow(id, revision, change) for id in ("one", "two")])
    done.set()
    for watcher in watchers:
        watcher.join()
    assert torn == []
    assert storage.get_workflow("two").row.revision == 60


def test_readers_are_kept_and_used_again(storage):
    """One read after the other needs one connection."""
    pool = storage._session.pool
    with pool.snapshot() as first:
        pass
    with pool.snapshot() as second:
        pass
    assert first is second


def test_a_voided_end_is_not_the_end(storage):
    """After a retry the workflow has no result until it ends again."""
    storage.commit(
        [
            Create(a_row(), (a_start(),)),
            Advance(
                1,
                "one",
                0,
                (
                    an_outcome(status=EntryStatus.FAILED),
                    an_end(status=EntryStatus.FAILED, after=1),
                    a_void(1),
                ),
            ),
        ]
    )
    assert storage.get_workflow("one").end is None
    assert storage.read_tasks("one") == ([], [])
    storage.commit([Advance(1, "one", 0, (an_outcome(), an_end(b'"good"', after=4)))])
    assert storage.get_workflow("one").end.value == b'"good"'
    assert [entry.n for entry in storage.read_tasks("one", "charge")[0]] == [4]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("a_", ["a_1"]),
        ("a", ["aX1", "a_1", "a"]),
        ("A", []),
        ("", ["b", "aX1", "a_1", "a"]),
        ("a%", []),
        ("é", []),
        ("a" * 201, []),
    ],
)
def test_a_prefix_is_no_pattern(storage, prefix, found):
    """``_`` is a letter of ids, and what cannot begin an id begins none."""
    storage.commit([Create(a_row(id), (a_start(),)) for id in ("a", "a_1", "aX1", "b")])
    query = WorkflowFilter(id_prefix=prefix, include_total=True)
    listing = storage.list_workflows(query)
    assert [item.row.id for item in listing.items] == found
    assert listing.total == len(found)


def test_no_status_matches_no_workflow(storage):
    """An empty set of statuses is a condition like any other."""
    storage.commit([Create(a_row(), (a_start(),))])
    listing = storage.list_workflows(WorkflowFilter(status=[], include_total=True))
    assert (listing.items, listing.total, listing.more) == ((), 0, False)


def test_all_conditions_together_agree_with_the_total(storage):
    """Every condition is in the page and in the count."""
    row = attrs.evolve(
        a_row("w1", parent="w0", metadata={"a": "1", "b": "2"}),
        completed_at=50.0,
        status=Status.COMPLETED,
        created_at=10.0,
    )
    storage.commit([Create(a_row("w0"), (a_start(),)), Create(row, (a_start(),))])
    everything = WorkflowFilter(
        status=["completed", "failed"],
        name=["checkout", "other"],
        id_prefix="w",
        version=1,
        parent="w0",
        metadata={"a": "1", "b": "2"},
        created_after=10.0,
        created_before=11.0,
        completed_after=50.0,
        completed_before=51.0,
        include_total=True,
    )
    listing = storage.list_workflows(everything)
    assert ([item.row.id for item in listing.items], listing.total) == (["w1"], 1)
    for change in (
        {"status": ["failed"]},
        {"name": ["other"]},
        {"id_prefix": "x"},
        {"version": 2},
        {"parent": "w1"},
        {"metadata": {"a": "1", "b": "3"}},
        {"created_after": 10.5},
        {"created_before": 10.0},
        {"completed_after": 50.5},
        {"completed_before": 50.0},
    ):
        missed = storage.list_workflows(attrs.evolve(everything, **change))
        assert (missed.items, missed.total) == ((), 0), change
