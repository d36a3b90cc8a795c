"""How storage is opened, and how each of its ends goes."""

from __future__ import annotations

import pathlib

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import MemoryStorage, SQLiteStorage, open_storage
from claw_actors._core.journal import Entry, EntryKind, EntryStatus
from claw_actors._core.lifecycle import Status
from claw_actors._core.supervision.policy import ChildCrash
from claw_actors.errors import (
    ChildStartError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    RestartLimitExceededError,
    StorageLockedError,
    StorageUnavailableError,
)
from claw_actors.storage import Storage, WorkflowState
from claw_actors.storage.actor import StorageLimits
from claw_actors.storage.codec import Codec
from claw_actors.storage.executor import InlineExecutor
from claw_actors.storage.opening import as_backend, open_storage_actor
from claw_actors.storage.operations import Create, Delete
from claw_actors.storage.records import WorkflowRow

ORDER = WorkflowState(id="order-1", name="checkout")
ROW = WorkflowRow(
    id="order-1",
    name="checkout",
    version=1,
    status=Status.PENDING,
    run_key="k",
    seed=1,
    created_at=0.0,
)
START = Entry("", "start", EntryKind.START, EntryStatus.OK, 0.0)


class Watched(MemoryStorage):
    """A backend in memory that says what is done to it, and fails where it is told to.

    Attributes:
        log: opened, committed, closed, abandoned.
        trouble: raised by the next commit.
    """

    def __init__(self):
        super().__init__()
        self.log = []
        self.trouble = None

    def open(self):
        self.log.append("open")
        return super().open()

    def commit(self, group):
        if self.trouble is not None:
            raise self.trouble
        self.log.append(f"commit {len(group)}")
        return super().commit(group)

    def close(self, *, clean: bool = True):
        self.log.append("close")
        super().close(clean=clean)

    def abandon(self):
        self.log.append("abandon")
        super().abandon()


@pytest.fixture
def backend():
    return Watched()


# -- places -----------------------------------------------------------------------------------------


def test_a_path_means_sqlite(tmp_path):
    """As text, or as a path."""
    for place in (str(tmp_path / "a.db"), tmp_path / "a.db"):
        backend = as_backend(place)
        assert isinstance(backend, SQLiteStorage)
        assert pathlib.Path(backend.where).name == "a.db"


def test_a_backend_is_taken_as_it_is():
    """Whoever wrote it."""
    backend = MemoryStorage()
    assert as_backend(backend) is backend


@pytest.mark.parametrize("place", [None, 5, b"a.db", MemoryStorage, object()])
def test_anything_else_is_refused_with_what_would_do(place):
    """Also the class where an object is meant."""
    with pytest.raises(InvalidInputError, match="a path, SQLiteStorage") as caught:
        as_backend(place)
    assert caught.value.field == "storage"


async def test_a_path_is_all_it_takes(tmp_path):
    """Directories included."""
    async with open_storage(tmp_path / "new" / "w.db") as storage:
        await storage.create_workflow(ORDER)
    async with open_storage(str(tmp_path / "new" / "w.db")) as storage:
        assert (await storage.get_workflow("order-1")).name == "checkout"


# -- opening ----------------------------------------------------------------------------------------


async def test_an_opening_that_fails_says_why(backend):
    """As it is: no group around it, and nothing to close."""
    backend.open()
    with pytest.raises(StorageLockedError):
        async with open_storage(backend):
            pytest.fail("opened")
    assert backend.log == ["open", "open"]


async def test_an_opening_that_is_cancelled_leaves_nothing_locked(backend):
    """Half an opening is finished, and closed again; or nothing was begun."""
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_storage(backend):
            await trio.lowlevel.checkpoint()
    assert backend.log in ([], ["open", "close"])
    async with open_storage(backend):
        pass


async def test_it_tells_what_was_found(backend):
    """To whoever has to recover from it."""
    async with open_storage_actor(backend) as (_, report):
        assert (report.created, report.clean, report.epoch) == (True, True, 1)
    async with open_storage_actor(backend) as (_, report):
        assert (report.created, report.clean, report.epoch) == (False, True, 2)


@pytest.mark.parametrize(("sizes", "pieces"), [((3,), 1), ((12_000,), 3), ((3, 12_000), 4)])
async def test_deletes_that_a_crash_interrupted_are_finished(backend, sizes, pieces):
    """Before anybody sees the storage."""
    backend.open()
    for n, size in enumerate(sizes):
        row = attrs.evolve(ROW, id=f"w-{n}")
        backend.commit([Create(row, (START,) * size), Delete(f"w-{n}", limit=1)])
    backend.abandon()
    async with open_storage_actor(backend) as (actor, report):
        assert report.unfinished_deletes == tuple(range(1, len(sizes) + 1))
        assert actor.statistics().operations == pieces
    assert backend.open().unfinished_deletes == ()


async def test_an_interrupted_delete_waits_for_storage_to_be_available(backend, autojump_clock):
    """A full disk does not keep the storage from being opened when there is space again."""
    backend.open()
    backend.commit([Create(ROW, (START,) * 3), Delete("order-1", limit=1)])
    backend.abandon()
    backend.trouble = StorageUnavailableError("memory", "disk full")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def make_space() -> None:
            await trio.sleep(30)
            backend.trouble = None

        async with open_storage_actor(backend) as (actor, _):
            assert trio.current_time() == pytest.approx(30, abs=1.1)
            assert actor.statistics().operations == 1
    assert backend.open().unfinished_deletes == ()


async def test_an_interrupted_delete_that_cannot_be_finished_is_an_error(backend):
    """What keeps it from being finished keeps the storage from being opened."""
    backend.open()
    backend.commit([Create(ROW, (START,) * 3), Delete("order-1", limit=1)])
    backend.abandon()
    backend.trouble = OutcomeUnknownError("memory", "EIO")
    with pytest.raises(OutcomeUnknownError):
        async with open_storage(backend):
            pytest.fail("opened")
    assert backend.log[-1] == "abandon"


async def test_a_limit_and_an_executor_can_be_given(backend):
    """Tests under a mock clock need that."""

    class Counting(InlineExecutor):
        hops = 0

        async def write(self, fn, *args):
            self.hops += 1
            return await super().write(fn, *args)

    executor = Counting()
    limits = StorageLimits(max_group=1)
    async with open_storage_actor(backend, executor=executor, limits=limits) as (actor, _):
        storage = Storage(actor, Codec())
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(storage.create_workflow, attrs.evolve(ORDER, id=f"w-{n}"))
        assert actor.statistics().largest_group == 1
    assert executor.hops == 5  # open, three commits, close


# -- ends -------------------------------------------------------------------------------------------


async def test_a_clean_end_closes_the_backend(backend):
    """After everything was committed."""
    async with open_storage(backend) as storage:
        await storage.create_workflow(ORDER)
    assert backend.log == ["open", "commit 1", "close"]
    assert backend.open().clean


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("mine"), NotFoundError("workflow", "x"), SystemExit(3), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
async def test_an_exception_of_the_body_passes_as_it_is(backend, error):
    """Not in a group: ``sys.exit(3)`` in the body ends the program with 3."""
    with pytest.raises(type(error)) as caught:
        async with open_storage(backend):
            raise error
    assert caught.value is error
    assert backend.log == ["open", "close"]


@pytest.mark.parametrize(
    "error",
    [
        ChildStartError("worker", "it was mine"),
        RestartLimitExceededError("", [ChildCrash("worker", 1, None, 0.0)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_supervisor_of_the_body_raises_is_not_taken_for_storage(backend, error):
    """Storage has a supervisor, too, and says something else when that gives up."""
    with pytest.raises(type(error)) as caught:
        async with open_storage(backend):
            raise error
    assert caught.value is error
    assert backend.log == ["open", "close"]


async def test_a_group_of_the_body_passes_as_it_is(backend):
    """With nothing around it."""
    group = ExceptionGroup("mine", [ValueError(), KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with open_storage(backend):
            raise group
    assert caught.value is group


async def test_a_cancelled_body_still_commits_what_was_accepted(backend):
    """A write in flight is waited for, and what runs shielded is served."""
    with trio.CancelScope() as scope:
        async with open_storage(backend) as storage:
            scope.cancel()
            with trio.CancelScope(shield=True):
                await storage.create_workflow(ORDER)
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert backend.log == ["open", "commit 1", "close"]


async def test_an_exception_while_being_cancelled_passes_with_its_group(backend):
    """The part that is no cancellation is not lost."""
    scope = trio.CancelScope()
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True), scope:
        async with open_storage(backend), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await wait_all_tasks_blocked()
            scope.cancel()
            raise ZeroDivisionError
    assert backend.log == ["open", "close"]


async def test_when_storage_fails_the_body_is_cancelled_and_told(backend):
    """By the failure itself; and the backend is not touched any more."""
    with pytest.raises(OutcomeUnknownError, match="EIO") as caught:
        async with open_storage(backend) as storage:
            backend.trouble = OutcomeUnknownError("memory", "EIO")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                with pytest.raises(OutcomeUnknownError):
                    await storage.create_workflow(ORDER)
                await trio.sleep_forever()
    assert caught.value is not backend.trouble
    assert caught.value.__cause__ is backend.trouble
    assert backend.log == ["open", "abandon"]
    backend.trouble = None
    assert not backend.open().clean


async def test_a_body_that_lets_the_failure_out_ends_with_it(backend):
    """Once, and without a group."""
    backend.trouble = OutcomeUnknownError("memory", "EIO")
    with pytest.raises(OutcomeUnknownError) as caught:
        async with open_storage(backend) as storage:
            await storage.create_workflow(ORDER)
    assert caught.value.__cause__ is backend.trouble


async def test_a_body_that_ends_in_spite_of_the_failure_is_told(backend):
    """Nobody may take a failed storage for a good one."""
    backend.trouble = ZeroDivisionError("a bug")
    with pytest.raises(OutcomeUnknownError, match="a bug"):
        async with open_storage(backend) as storage:
            with pytest.raises(OutcomeUnknownError):
                await storage.create_workflow(ORDER)


async def test_a_defect_of_the_body_after_a_failure_is_what_is_raised(backend):
    """Its own exception says more; the failure was logged."""
    backend.trouble = OutcomeUnknownError("memory", "EIO")
    with pytest.raises(ZeroDivisionError):
        async with open_storage(backend) as storage:
            with pytest.raises(OutcomeUnknownError):
                await storage.create_workflow(ORDER)
            raise ZeroDivisionError
    assert backend.log == ["open", "abandon"]


async def test_an_outage_is_no_failure(backend):
    """The body goes on, and the end is clean."""
    async with open_storage(backend) as storage:
        backend.trouble = StorageUnavailableError("memory", "disk full")
        with pytest.raises(StorageUnavailableError, match="disk full"):
            await storage.create_workflow(ORDER)
        backend.trouble = None
        await storage.create_workflow(ORDER)
    assert backend.log == ["open", "commit 1", "close"]
