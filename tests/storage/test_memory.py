"""What is the memory backend's own: ownership of an object, snapshots, taking back."""

from __future__ import annotations

import threading

import attrs
import pytest

from claw_actors._core.lifecycle import Status
from claw_actors.errors import NotFoundError, StorageLockedError, StorageUnavailableError
from claw_actors.storage.memory import MemoryStorage
from claw_actors.storage.memory.journal import Journal
from claw_actors.storage.memory.keys import Keys
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Create,
    Delete,
    Deleted,
    SaveTask,
)
from claw_actors.storage.records import RowChange, WakeTime
from claw_actors.testing.conformance.driving import EARLIEST, create, do, image, load_one
from claw_actors.testing.conformance.samples import (
    BEGUN,
    a_row,
    a_start,
    an_outcome,
    open_work,
)


@pytest.fixture
def storage():
    storage = MemoryStorage()
    storage.open()
    return storage


# -- ownership ----------------------------------------------------------------------------------


def test_it_never_blocks(storage):
    """Its calls need no worker thread."""
    assert not storage.blocking
    assert storage.where == "memory"


def test_a_second_open_is_refused(storage):
    """One object has one owner; the refused one is told which place it was."""
    with pytest.raises(StorageLockedError) as caught:
        storage.open()
    assert caught.value.path == "memory"


def test_two_objects_share_nothing(storage):
    """Each object is a place of its own."""
    create(storage, "one")
    other = MemoryStorage()
    assert other.open().created
    assert image(other).listed == ()


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_what_is_not_open_cannot_be_used(storage, end):
    """After the end of its owner it answers no read and takes no write."""
    pk = create(storage, "one")
    getattr(storage, end)()
    for use in (
        lambda: storage.commit([]),
        lambda: storage.get_workflow("one"),
        lambda: storage.list_workflows(WorkflowFilter()),
        storage.count_workflows,
        lambda: storage.read_tasks("one"),
        lambda: storage.load([pk]),
        lambda: storage.read_rows(["one"]),
        lambda: storage.list_unfinished(0, 0.0, 1),
        lambda: storage.list_wake_times(EARLIEST, 1),
    ):
        with pytest.raises(StorageUnavailableError) as caught:
            use()
        assert (caught.value.where, caught.value.reason) == ("memory", "it is not open")


def test_its_repr_tells_whether_it_is_open(storage):
    """A failing test shows which life of the storage it saw."""
    assert repr(storage) == "<MemoryStorage open, epoch 1>"
    storage.close()
    assert repr(storage) == "<MemoryStorage closed, epoch 1>"


# -- snapshots ----------------------------------------------------------------------------------


def test_a_snapshot_is_what_a_crash_leaves(storage):
    """It holds all that was committed, and its next owner finds an unclean end."""
    create(storage, a_row("one", status=Status.WAITING, wake_at=5.0), an_outcome())
    create(storage, a_row("two", parent="one"))
    create(storage, "half", an_outcome())
    assert not do(storage, Delete("half", limit=1), Deleted).done
    before = image(storage)
    copy = storage.snapshot()
    report = copy.open()
    assert (report.clean, report.epoch, report.created) == (False, 2, False)
    assert report.unfinished_deletes == (3,)
    assert image(copy) == before


def test_a_snapshot_of_a_closed_one_is_clean(storage):
    """A crash after a clean end is none."""
    storage.close()
    assert storage.snapshot().open().clean


def test_a_snapshot_of_an_unused_one_is_new():
    """A crash before the first open leaves nothing."""
    report = MemoryStorage().snapshot().open()
    assert (report.clean, report.epoch, report.created) == (True, 1, True)


def test_a_snapshot_is_independent_of_its_source(storage):
    """What either does later, the other does not see."""
    pk = create(storage, a_row("one", status=Status.WAITING, wake_at=5.0))
    copy = storage.snapshot()
    copy.open()
    before = image(copy)
    do(storage, Advance(pk, "one", 0, (an_outcome("a"),), (open_work("b"),)), Advanced)
    create(storage, "two")
    do(storage, Delete("one"), Deleted)
    assert image(copy) == before
    before = image(storage)
    do(copy, Advance(pk, "one", 0, change=RowChange(wake_at=9.0)), Advanced)
    create(copy, "three")
    assert image(storage) == before
    assert image(copy).wake_times == (WakeTime(9.0, pk, "one", since=BEGUN),)


def test_a_snapshot_counts_on_from_its_source(storage):
    """Keys given before it was taken are not given again by it."""
    create(storage, "one")
    last = create(storage, "two")
    do(storage, Delete("two"), Deleted)
    copy = storage.snapshot()
    copy.open()
    assert create(copy, "three") == last + 1


def test_a_snapshot_copies_no_workflow(storage):
    """It is cheap: records are shared, since nobody changes them."""
    pk = create(storage, "one", an_outcome())
    copy = storage.snapshot()
    copy.open()
    assert load_one(copy, pk).entries is load_one(storage, pk).entries


# -- journals -----------------------------------------------------------------------------------


def test_appending_costs_the_same_however_long_the_journal():
    """Nothing but its last piece is copied, and what was there before stays as it was."""
    journal = Journal.of((a_start(),))
    shared = attrs.evolve(journal)
    for n in range(1, 2_001):
        before, journal = journal, journal.append((an_outcome(f"t#{n}"),))
        assert len(journal._rest) <= 256
        assert len(journal._full) <= n // 256 + 1
        assert (before.last.n, journal.last.n) == (n - 1, n)
        assert all(a is b for a, b in zip(before._full, journal._full, strict=False))
    assert [entry.n for entry in journal.entries()] == list(range(2_001))
    assert shared.entries() == (a_start(),)
    assert [entry.n for entry in shared.append((an_outcome(),) * 3).entries()] == [0, 1, 2, 3]


def test_adding_a_key_copies_few_however_many_there_are():
    """Each key is copied as often as their number doubles, and the set before stays as it was."""
    keys, copied = Keys(), 0
    for n in range(1_024):
        before, keys = keys, keys.add(f"k{n}")
        copied += sum(len(part) for part in set(keys._parts) - set(before._parts))
        assert f"k{n}" in keys
        assert f"k{n}" not in before
    assert copied <= 1_024 * 11
    assert all(f"k{n}" in keys for n in range(1_024))
    assert len(keys._parts) <= 10


def test_appending_nothing_changes_nothing():
    """Also where a piece is full, or the last entry would be none."""
    journal = Journal.of((a_start(),))
    for _ in range(255):
        journal = journal.append((an_outcome(),))
    assert journal.append(()) == journal
    assert journal.append(()).last.n == 255


# -- taking back --------------------------------------------------------------------------------


def test_a_bug_in_one_operation_takes_the_whole_group_back(storage):
    """An exception that is no refusal leaves nothing of its group, and the storage usable."""
    create(storage, a_row("one", status=Status.WAITING, wake_at=5.0), an_outcome())
    before = image(storage)
    malformed = Create(attrs.evolve(a_row(), id=None), (a_start(),))
    with pytest.raises(AssertionError):
        storage.commit([Create(a_row("two"), (a_start(),)), Delete("one"), malformed])
    assert image(storage) == before
    assert create(storage, "three") == 2


def test_a_deletion_is_continued_only_by_what_its_first_step_answered(storage):
    """A living workflow cannot be destroyed by its key alone."""
    pk = create(storage, "one")
    with pytest.raises(AssertionError):
        storage.commit([Delete("one", pk=pk)])
    assert load_one(storage, pk).row.id == "one"


def test_a_task_is_saved_as_work_or_as_an_outcome(storage):
    """Neither, or both, is a bug of the caller."""
    create(storage, "one")
    for operation in (
        SaveTask("one"),
        SaveTask("one", opened=open_work("a"), entry=an_outcome("a")),
    ):
        with pytest.raises(AssertionError):
            storage.commit([operation])


def test_a_refusal_keeps_no_frames_alive(storage):
    """An error that is returned has no traceback: it would hold the whole transaction."""
    create(storage, "one")
    [error, nested] = storage.commit([Delete("nobody"), Atomic((Delete("nobody"),))])
    assert isinstance(error, NotFoundError)
    assert isinstance(nested, NotFoundError)
    assert error.__traceback__ is None
    assert nested.__traceback__ is None


def test_order_survives_a_deletion_that_was_taken_back(storage):
    """Lists and pages stay in order of creation though a record was removed and put back."""
    for id in ("a", "b", "c"):
        create(storage, id)
    storage.commit([Atomic((Delete("a"), Delete("nobody")))])
    assert [item.row.id for item in image(storage).listed] == ["c", "b", "a"]
    assert [row.id for row in image(storage).unfinished] == ["a", "b", "c"]


# -- threads ------------------------------------------------------------------------------------


def test_commits_from_many_threads_are_all_kept(storage):
    """The contract asks for one writer at a time; even without one, no commit is lost."""
    pk = create(storage, "one")
    everyone = threading.Barrier(4)

    def write(name: str) -> None:
        everyone.wait()
        for number in range(50):
            storage.commit([Advance(pk, "one", 0, (an_outcome(f"{name}#{number}"),))])

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = load_one(storage, pk).entries
    assert [entry.n for entry in entries] == list(range(201))
    assert len({entry.op for entry in entries}) == 201


def test_of_many_threads_one_becomes_the_owner():
    """Opening is atomic: of several at once exactly one succeeds."""
    storage = MemoryStorage()
    everyone = threading.Barrier(4)
    outcomes: list[object] = []

    def take() -> None:
        everyone.wait()
        try:
            outcomes.append(storage.open().epoch)
        except StorageLockedError:
            outcomes.append(None)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(outcomes, key=str) == [1, None, None, None]


# -- size ---------------------------------------------------------------------------------------


def test_a_full_last_page_of_recovery_is_the_last(storage):
    """A page that ends with the last row to bring back needs no empty one after it."""
    for id in ("a", "b", "c"):
        create(storage, id)
    pages = [storage.list_unfinished(0, 0.0, limit) for limit in (2, 3, 4)]
    assert [page.more for page in pages] == [True, False, False]


class CountingDict(dict):
    """A dictionary that counts how often something is looked up in it."""

    lookups = 0

    def __getitem__(self, key):
        self.lookups += 1
        return super().__getitem__(key)


def test_paging_through_all_looks_at_each_workflow_a_few_times(storage):
    """Each page starts where the last one ended, so that recovery of many is not quadratic."""
    count, page_size = 2_000, 10
    rows = [
        a_row(f"w-{number}", status=Status.WAITING, wake_at=float(count - number))
        for number in range(count)
    ]
    storage.commit([Create(row, (a_start(),)) for row in rows])
    records = storage._table._records = CountingDict(storage._table._records)

    after_pk, recovered, more = 0, 0, True
    while more:
        page = storage.list_unfinished(after_pk, float(count), page_size)
        recovered += len(page.rows)
        after_pk, more = page.last_pk, page.more
    woken: list[WakeTime] = []
    while times := storage.list_wake_times(woken[-1].place if woken else EARLIEST, page_size):
        woken += times
    listed, after = 0, None
    while items := storage.list_workflows(WorkflowFilter(limit=page_size, after=after)).items:
        listed += len(items)
        after = items[-1].row.pk

    assert recovered == len(woken) == listed == count
    assert woken == sorted(woken, key=lambda one: one.place)
    assert count < records.lookups < 4 * count
