"""The client's calls on both backends, as a user makes them."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import MemoryStorage, SQLiteStorage, open_storage
from claw_actors._core.failures import ErrorRecord
from claw_actors._core.journal import Entry, EntryKind, EntryStatus
from claw_actors._core.lifecycle import Status, TaskStatus
from claw_actors.errors import (
    DuplicateKeyError,
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    SerializationError,
    StaleWriteError,
    StorageUnavailableError,
)
from claw_actors.storage import TaskState, WorkflowFilter, WorkflowPage, WorkflowState
from claw_actors.storage.actor import StorageActor, StorageLimits
from claw_actors.storage.client import Storage
from claw_actors.storage.codec import Codec
from claw_actors.storage.executor import InlineExecutor
from claw_actors.storage.opening import open_storage_actor
from claw_actors.storage.operations import Advance

OUT_OF_STOCK = ErrorRecord(("app.OutOfStock", "Exception"), "no lamps", "Traceback …")
NOW = 1_700_000_000.0
ORDER = WorkflowState(
    id="order-1",
    name="checkout",
    version=3,
    status=Status.WAITING,
    reason="until paid",
    description="Two lamps\nfor Ada",
    metadata={"tenant": "a", "empty": ""},
    input={"items": ["lamp", 2, 2.5, None, True]},
    created_at=NOW,
    started_at=NOW + 1,
    wake_at=NOW + 60,
)
CHARGE = TaskState(
    id="pay/charge#2",
    name="charge",
    status=TaskStatus.COMPLETED,
    attempt=2,
    started_at=NOW,
    completed_at=NOW + 1,
    result={"paid": 5},
)


@pytest.fixture(params=["memory", "sqlite"])
def place(request, tmp_path):
    return MemoryStorage() if request.param == "memory" else SQLiteStorage(tmp_path / "w.db")


@pytest.fixture
async def storage(place):
    async with open_storage(place, max_payload_bytes=1_000) as storage:
        yield storage


@pytest.fixture
async def actor():
    """The storage actor of a backend in memory, for what the client alone cannot do."""
    async with open_storage_actor(MemoryStorage()) as (actor, _):
        yield actor


def client(actor):
    return Storage(actor, Codec(), wall=lambda: NOW)


async def grow(actor, count):
    """Create a workflow with a journal of that many entries."""
    await client(actor).create_workflow(ORDER)
    one = Entry("t", "t", EntryKind.TIMER, EntryStatus.OK, NOW, after=0)
    await actor.submit(Advance(1, ORDER.id, 0, (one,) * count))


# -- workflows ------------------------------------------------------------------------------------


async def test_what_is_created_comes_back(storage):
    """Every field, and the same from a page that asks for payloads."""
    created = await storage.create_workflow(ORDER)
    assert created == attrs.evolve(ORDER, revision=1)
    assert await storage.get_workflow("order-1") == created
    page = await storage.list_workflows(WorkflowFilter(include_payloads=True, include_total=True))
    assert page == WorkflowPage(items=(created,), total=1, next_after=None)


async def test_an_id_and_a_name_are_enough(storage):
    """Storage knows what time it is."""
    created = await storage.create_workflow(WorkflowState(id="a", name="b"))
    assert created.created_at > NOW
    assert (created.status, created.input, created.revision) == (Status.PENDING, None, 1)
    assert await storage.get_workflow("a") == created


async def test_what_it_was_forked_from_comes_back_with_its_input(storage):
    """A list tells it where it tells payloads."""
    created = await storage.create_workflow(attrs.evolve(ORDER, forked_from="start"))
    assert created.forked_from == "start"
    assert await storage.get_workflow("order-1") == created
    for include in (True, False):
        [item] = (await storage.list_workflows(WorkflowFilter(include_payloads=include))).items
        assert item.forked_from == ("start" if include else None)


async def test_what_is_created_is_answered_as_it_is_stored(storage):
    """Counters of what it was copied from do not count for it."""
    copied = attrs.evolve(ORDER, revision=9, life=4, recoveries=2)
    created = await storage.create_workflow(copied)
    assert (created.revision, created.life, created.recoveries) == (1, 0, 0)
    assert await storage.get_workflow("order-1") == created


async def test_an_id_is_taken_once(storage):
    """The first one stays as it is."""
    await storage.create_workflow(ORDER)
    with pytest.raises(DuplicateKeyError) as caught:
        await storage.create_workflow(attrs.evolve(ORDER, name="other"))
    assert caught.value.id == "order-1"
    assert (await storage.get_workflow("order-1")).name == "checkout"


async def test_a_parent_must_be_there(storage):
    """And is told by its id."""
    await storage.create_workflow(ORDER)
    child = attrs.evolve(ORDER, id="child", parent="order-1")
    assert (await storage.create_workflow(child)).parent == "order-1"
    with pytest.raises(NotFoundError) as caught:
        await storage.create_workflow(attrs.evolve(ORDER, id="orphan", parent="nobody"))
    assert (caught.value.kind, caught.value.id) == ("workflow", "nobody")


async def test_what_is_not_there_is_named(storage):
    """By every call that takes an id."""
    task = attrs.evolve(CHARGE)
    calls = {
        "get": lambda: storage.get_workflow("nobody"),
        "save": lambda: storage.save_workflow(WorkflowState(id="nobody", name="x", revision=1)),
        "delete": lambda: storage.delete_workflow("nobody"),
        "save task": lambda: storage.save_task("nobody", task),
        "get task": lambda: storage.get_task("nobody", "t"),
        "list tasks": lambda: storage.list_tasks("nobody"),
    }
    for call in calls.values():
        with pytest.raises(NotFoundError) as caught:
            await call()
        assert (caught.value.kind, caught.value.id) == ("workflow", "nobody")


async def test_a_change_is_stored_and_counted(storage):
    """Lifecycle and labels are set; identity, input and counters stay."""
    created = await storage.create_workflow(ORDER)
    wanted = attrs.evolve(
        created,
        name="checkout2",
        version=4,
        status=Status.PAUSED,
        reason=None,
        description=None,
        metadata={"tenant": "b"},
        started_at=None,
        wake_at=None,
    )
    saved = await storage.save_workflow(wanted)
    assert saved == attrs.evolve(wanted, revision=2)
    assert await storage.get_workflow("order-1") == saved
    again = attrs.evolve(saved, input="other", run=7, life=5, created_at=1.0, parent="x")
    await storage.save_workflow(again)
    assert await storage.get_workflow("order-1") == attrs.evolve(saved, revision=3)


async def test_a_change_of_something_that_has_changed_is_refused(storage):
    """Read it again."""
    created = await storage.create_workflow(ORDER)
    await storage.save_workflow(created)
    with pytest.raises(StaleWriteError) as caught:
        await storage.save_workflow(attrs.evolve(created, reason="mine"))
    error = caught.value
    assert (error.what, error.expected, error.found) == ("revision", 1, 2)
    assert (await storage.get_workflow("order-1")).reason == "until paid"


@pytest.mark.parametrize(
    "end",
    [
        {"status": Status.COMPLETED, "result": {"total": [1, 2.5]}},
        {"status": Status.COMPLETED, "result": 0},
        {"status": Status.FAILED, "error": OUT_OF_STOCK},
        {"status": Status.CANCELLED, "error": OUT_OF_STOCK, "reason": "customer"},
        {"status": Status.COMPLETED},
    ],
    ids=str,
)
async def test_an_end_comes_back(storage, end):
    """By a change, and by creation."""
    created = await storage.create_workflow(ORDER)
    ended = attrs.evolve(created, wake_at=None, completed_at=NOW + 9, **end)
    saved = await storage.save_workflow(ended)
    assert await storage.get_workflow("order-1") == saved
    imported = await storage.create_workflow(attrs.evolve(ended, id="imported"))
    assert await storage.get_workflow("imported") == imported


@pytest.mark.parametrize("end", [{"result": 5}, {"error": OUT_OF_STOCK}], ids=str)
async def test_only_an_end_has_a_result(storage, end):
    """One that goes on has none yet."""
    created = await storage.create_workflow(ORDER)
    with pytest.raises(InvalidInputError, match="only an ended workflow has a result"):
        await storage.save_workflow(attrs.evolve(created, **end))
    with pytest.raises(InvalidInputError):
        await storage.create_workflow(attrs.evolve(ORDER, id="other", **end))


async def test_a_page_has_no_payloads_unless_asked(storage):
    """They may be large."""
    await storage.create_workflow(ORDER)
    [listed] = (await storage.list_workflows()).items
    assert listed == attrs.evolve(ORDER, input=None, revision=1)


async def test_pages_are_newest_first_and_lead_to_the_next(storage):
    """Until there is none."""
    for n in range(5):
        await storage.create_workflow(attrs.evolve(ORDER, id=f"w-{n}"))
    found, after = [], None
    while True:
        page = await storage.list_workflows(WorkflowFilter(limit=2, after=after))
        found.append([item.id for item in page.items])
        after = page.next_after
        if after is None:
            break
    assert found == [["w-4", "w-3"], ["w-2", "w-1"], ["w-0"]]
    assert page.total is None


async def test_a_list_is_filtered(storage):
    """By what the filter says."""
    await storage.create_workflow(ORDER)
    await storage.create_workflow(attrs.evolve(ORDER, id="b", status=Status.PENDING))
    page = await storage.list_workflows(WorkflowFilter(status="pending", include_total=True))
    assert ([item.id for item in page.items], page.total) == (["b"], 1)


# -- deleting ---------------------------------------------------------------------------------------


async def test_what_is_deleted_is_gone_and_its_id_is_free(storage):
    """With its tasks."""
    await storage.create_workflow(ORDER)
    await storage.save_task("order-1", CHARGE)
    await storage.delete_workflow("order-1")
    with pytest.raises(NotFoundError):
        await storage.get_workflow("order-1")
    await storage.create_workflow(ORDER)
    assert await storage.list_tasks("order-1") == ()


async def test_a_long_journal_is_deleted_in_pieces(actor):
    """So that others are not kept waiting."""
    await grow(actor, 12_000)
    before = actor.statistics().operations
    await client(actor).delete_workflow("order-1")
    assert actor.statistics().operations - before == 3
    assert actor.backend.load([1]) == []


async def test_a_delete_that_has_begun_is_finished_although_it_is_cancelled(actor):
    """It is gone for everyone, and a cancellation must not pretend otherwise."""
    await grow(actor, 12_000)
    real = actor.backend.commit
    with trio.CancelScope() as scope:

        def commit(group):
            scope.cancel()
            return real(group)

        actor.backend.commit = commit
        await client(actor).delete_workflow("order-1")
    assert not scope.cancelled_caught
    assert actor.backend.load([1]) == []


async def test_a_delete_cancelled_before_it_began_is_none(storage):
    """Cancelled means not deleted."""
    await storage.create_workflow(ORDER)
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.delete_workflow("order-1")
    assert scope.cancelled_caught
    assert (await storage.get_workflow("order-1")).id == "order-1"


# -- tasks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        CHARGE,
        TaskState(
            id="a", name="a", status="failed", attempt=5, completed_at=NOW, error=OUT_OF_STOCK
        ),
        TaskState(id="a", name="a", status="cancelled", completed_at=NOW),
        TaskState(id="a", name="a", status="cancelled", completed_at=NOW, error=OUT_OF_STOCK),
        TaskState(id="a", name="a", status="completed", completed_at=NOW, result=None),
        TaskState(id="a", name="a", depends_on=["b", "c#2"]),
        TaskState(id="a", name="a", status="running", attempt=1, started_at=NOW),
        TaskState(id="a", name="a", status="running", heartbeat_at=NOW, details={"done": [1, 2]}),
        TaskState(id="a", name="a", status="running", heartbeat_at=NOW),
        TaskState(id="a", name="a", status="retrying", attempt=2, due_at=NOW, error=OUT_OF_STOCK),
    ],
    ids=lambda task: task.status,
)
async def test_a_saved_task_comes_back(storage, task):
    """Ended or not."""
    await storage.create_workflow(ORDER)
    await storage.save_task("order-1", task)
    assert await storage.get_task("order-1", task.id) == task
    assert await storage.list_tasks("order-1") == (task,)


async def test_an_outcome_without_a_time_gets_one(storage):
    """Now."""
    await storage.create_workflow(ORDER)
    await storage.save_task("order-1", attrs.evolve(CHARGE, completed_at=None))
    assert (await storage.get_task("order-1", CHARGE.id)).completed_at > NOW


async def test_tasks_come_in_the_order_they_ended_then_the_others(storage):
    """Each once: an outcome takes the place of the open work."""
    await storage.create_workflow(ORDER)
    for id in ("z", "y", "x"):
        await storage.save_task("order-1", TaskState(id=id, name=id, status="running"))
    for id in ("y", "z"):
        await storage.save_task("order-1", attrs.evolve(CHARGE, id=id))
    tasks = await storage.list_tasks("order-1")
    assert [(task.id, task.status.value) for task in tasks] == [
        ("y", "completed"),
        ("z", "completed"),
        ("x", "running"),
    ]


async def test_an_outcome_is_recorded_once(storage):
    """The same again does nothing, anything else is refused."""
    await storage.create_workflow(ORDER)
    await storage.save_task("order-1", CHARGE)
    await storage.save_task("order-1", attrs.evolve(CHARGE, completed_at=None))
    with pytest.raises(StaleWriteError) as caught:
        await storage.save_task("order-1", attrs.evolve(CHARGE, result="other"))
    assert caught.value.what == "task"
    assert await storage.list_tasks("order-1") == (CHARGE,)


async def test_an_unknown_task_is_named(storage):
    """It is the task that is missing, not the workflow."""
    await storage.create_workflow(ORDER)
    with pytest.raises(NotFoundError) as caught:
        await storage.get_task("order-1", "nothing")
    assert (caught.value.kind, caught.value.id) == ("task", "nothing")


# -- values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [{1}, {1: 2}, float("nan"), "\ud800", object()],
    ids=["set", "int key", "nan", "surrogate", "object"],
)
async def test_a_value_that_is_no_json_is_refused_before_anything_is_written(storage, bad):
    """Input, result of a workflow, result of a task: each is named."""
    created = await storage.create_workflow(ORDER)
    done = attrs.evolve(created, status="completed", result=bad)
    calls = {
        "input of workflow 'b'": lambda: storage.create_workflow(
            attrs.evolve(ORDER, id="b", input=bad)
        ),
        "result of workflow 'order-1'": lambda: storage.save_workflow(done),
        "result of task 'pay/charge#2'": lambda: storage.save_task(
            "order-1", attrs.evolve(CHARGE, result=bad)
        ),
    }
    for what, call in calls.items():
        with pytest.raises(SerializationError) as caught:
            await call()
        assert caught.value.what == what
    assert await storage.get_workflow("order-1") == created
    assert (await storage.list_workflows(WorkflowFilter(include_total=True))).total == 1


async def test_a_value_over_the_limit_is_refused(storage):
    """The limit that storage was opened with."""
    with pytest.raises(PayloadTooLargeError) as caught:
        await storage.create_workflow(attrs.evolve(ORDER, input="x" * 999))
    assert caught.value.limit_bytes == 1_000
    await storage.create_workflow(attrs.evolve(ORDER, input="x" * 998))


async def test_what_was_given_may_be_changed_afterwards(storage):
    """Storage keeps no reference to it."""
    labels, value = {"tenant": "a"}, {"items": [1]}
    created = await storage.create_workflow(attrs.evolve(ORDER, metadata=labels, input=value))
    labels["tenant"] = "b"
    value["items"].append(2)
    found = await storage.get_workflow("order-1")
    assert (found.metadata, found.input) == ({"tenant": "a"}, {"items": [1]})
    found.metadata["tenant"] = "c"
    found.input["items"].clear()
    again = await storage.get_workflow("order-1")
    assert (again.metadata, again.input) == ({"tenant": "a"}, {"items": [1]})
    await storage.save_workflow(attrs.evolve(created, metadata=labels))
    labels["tenant"] = "d"
    assert (await storage.get_workflow("order-1")).metadata == {"tenant": "b"}


@pytest.mark.parametrize("reason", ["a\0b", "\ud800", "x" * 10_001, 5], ids=ascii)
async def test_a_reason_is_text_that_every_backend_takes(storage, reason):
    """Refused by both alike, before it is queued."""
    created = await storage.create_workflow(ORDER)
    with pytest.raises(InvalidInputError, match="reason"):
        await storage.create_workflow(attrs.evolve(ORDER, id="b", reason=reason))
    with pytest.raises(InvalidInputError, match="reason"):
        await storage.save_workflow(attrs.evolve(created, reason=reason))


async def test_a_long_reason_can_be_stored(storage):
    """Up to its limit, and empty."""
    for id, reason in (("a", "x" * 10_000), ("b", "")):
        await storage.create_workflow(attrs.evolve(ORDER, id=id, reason=reason))
        assert (await storage.get_workflow(id)).reason == reason


# -- transactions -----------------------------------------------------------------------------------


async def test_a_transaction_does_all_of_it(storage):
    """In order, in one commit."""
    await storage.create_workflow(attrs.evolve(ORDER, id="old"))
    created = await storage.create_workflow(ORDER)
    before = storage.statistics()
    async with storage.transaction() as transaction:
        transaction.create_workflow(attrs.evolve(ORDER, id="new"))
        transaction.save_workflow(attrs.evolve(created, reason="other"))
        transaction.save_task("new", CHARGE)
        transaction.save_task("new", TaskState(id="open", name="open"))
        transaction.delete_workflow("old")
        assert len(transaction.operations) == 5
    assert storage.statistics().commits == before.commits + 1
    page = await storage.list_workflows()
    assert [item.id for item in page.items] == ["new", "order-1"]
    assert page.items[1].reason == "other"
    assert [task.id for task in await storage.list_tasks("new")] == ["pay/charge#2", "open"]


async def test_a_transaction_does_nothing_if_one_part_is_refused(storage):
    """Its refusal is what the block ends with."""
    await storage.create_workflow(ORDER)
    with pytest.raises(DuplicateKeyError):
        async with storage.transaction() as transaction:
            transaction.create_workflow(attrs.evolve(ORDER, id="new"))
            transaction.delete_workflow("order-1")
            transaction.create_workflow(attrs.evolve(ORDER, id="new"))
    assert [item.id for item in (await storage.list_workflows()).items] == ["order-1"]


async def test_an_exception_in_the_block_discards_it(storage):
    """Nothing is submitted."""
    with pytest.raises(ZeroDivisionError):
        async with storage.transaction() as transaction:
            transaction.create_workflow(ORDER)
            raise ZeroDivisionError
    assert (await storage.list_workflows()).items == ()


async def test_a_cancellation_in_the_block_discards_it(storage):
    """Cancelled means not applied."""
    with trio.CancelScope() as scope:
        async with storage.transaction() as transaction:
            transaction.create_workflow(ORDER)
            scope.cancel()
    assert scope.cancelled_caught
    assert (await storage.list_workflows()).items == ()


async def test_what_cannot_be_encoded_is_refused_at_its_line(storage):
    """Not at the end of the block."""
    async with storage.transaction() as transaction:
        with pytest.raises(SerializationError):
            transaction.create_workflow(attrs.evolve(ORDER, input={1}))
        transaction.create_workflow(ORDER)
    assert (await storage.get_workflow("order-1")).revision == 1


async def test_an_empty_transaction_commits_nothing(storage):
    """There is nothing to commit."""
    before = storage.statistics()
    async with storage.transaction():
        pass
    assert storage.statistics() == before


async def test_a_transaction_deletes_even_a_long_journal_in_one_piece(actor):
    """All or nothing has no pieces."""
    await grow(actor, 12_000)
    async with client(actor).transaction() as transaction:
        transaction.delete_workflow("order-1")
    assert actor.backend.load([1]) == []


# -- the rest ---------------------------------------------------------------------------------------


async def test_statistics_tell_what_was_done(storage):
    """As the storage actor counts."""
    await storage.create_workflow(ORDER)
    with pytest.raises(DuplicateKeyError):
        await storage.create_workflow(ORDER)
    found = storage.statistics()
    assert (found.commits, found.operations, found.refused, found.queued) == (2, 2, 1, 0)
    assert found.unavailable is None


async def test_many_callers_share_a_commit():
    """That is what the actor is for."""
    actor = StorageActor(backend := MemoryStorage(), InlineExecutor(), StorageLimits())
    backend.open()
    storage = client(actor)
    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(storage.create_workflow, attrs.evolve(ORDER, id=f"w-{n}"))
        await wait_all_tasks_blocked()
        nursery.start_soon(actor.run)
        await wait_all_tasks_blocked()
        actor.close()
    assert (actor.statistics().commits, actor.statistics().largest_group) == (1, 20)


async def test_after_the_block_nothing_works(place):
    """Each call says that storage is closed."""
    async with open_storage(place) as storage:
        await storage.create_workflow(ORDER)
    for call in (
        lambda: storage.get_workflow("order-1"),
        lambda: storage.create_workflow(ORDER),
        storage.list_workflows,
    ):
        with pytest.raises(StorageUnavailableError, match="it is closed"):
            await call()


async def test_what_was_written_is_there_the_next_time(place):
    """That is what storage is for."""
    async with open_storage(place) as storage:
        created = await storage.create_workflow(ORDER)
        await storage.save_task("order-1", CHARGE)
    async with open_storage(place) as storage:
        assert await storage.get_workflow("order-1") == created
        assert await storage.list_tasks("order-1") == (CHARGE,)
