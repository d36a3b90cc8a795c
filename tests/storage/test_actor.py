"""The storage actor's contract, sentence by sentence, on a backend that does as it is told."""

from __future__ import annotations

import itertools
import logging
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors._core.journal import Entry, EntryKind, EntryStatus
from claw_actors._core.lifecycle import Event, Status
from claw_actors.errors import (
    ClawError,
    DuplicateKeyError,
    NotFoundError,
    OutcomeUnknownError,
    StaleWriteError,
    StorageCorruptError,
    StorageUnavailableError,
)
from claw_actors.storage.actor import StorageActor, StorageLimits, StorageStatistics
from claw_actors.storage.backend import Backend, OpenReport
from claw_actors.storage.executor import InlineExecutor, ThreadExecutor
from claw_actors.storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Claim,
    Claimed,
    Create,
    Created,
    Reported,
    Send,
    Sent,
    Steer,
    Steered,
)
from claw_actors.storage.records import WorkflowRow
from claw_actors.storage.write_queue import fresh

FULL = StorageUnavailableError("the fake", "disk full")


class FakeBackend(Backend):
    """Answers whatever it is told to, and writes down what it was asked.

    Attributes:
        groups: the groups that were committed, and those that were tried in vain.
        troubles: raised by the next commits, one each; ``None`` lets one through.
        refusals: errors for operations, by the operation.
        tidied: how often it was asked to give back space.
        tidy_error: raised then.
    """

    blocking = False

    def __init__(self):
        self.groups, self.tried = [], []
        self.troubles, self.refusals = [], {}
        self.tidied, self.tidy_error = 0, None
        self._last_n = 0

    where = "the fake"

    def open(self):
        return OpenReport(clean=True, epoch=1, created=True)

    def commit(self, group):
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            self.tried.append(list(group))
            raise trouble
        self.groups.append(list(group))
        return [self.refusals.get(id(operation)) or self._answer(operation) for operation in group]

    def _answer(self, operation):
        match operation:
            case Advance():
                self._last_n += len(operation.entries)
                return Advanced(self._last_n)
            case Send():
                self._last_n += 1
                return Sent(int(operation.id.partition("-")[2]), self._last_n)
            case Claim():
                return Claimed(tuple(row(pk, life + 1) for pk, life in operation.lives))
            case Create():
                return Created(operation.row.pk, 0)
            case Atomic():
                return tuple(self._answer(part) for part in operation.operations)

    def tidy(self):
        self.tidied += 1
        if self.tidy_error is not None:
            raise self.tidy_error

    def get_workflow(self, id):
        return f"read {id}"

    close = abandon = list_workflows = count_workflows = read_tasks = load = None
    read_rows = list_unfinished = list_wake_times = list_ended = None
    read_journal = get_value = list_values = list_dead_letters = None


class GatedExecutor(InlineExecutor):
    """Lets a write through only while its gate is open.

    Attributes:
        hops: how many writes have begun.
    """

    def __init__(self):
        self.hops = 0
        self._gate = trio.Event()
        self._gate.set()

    def shut(self):
        self._gate = trio.Event()

    def open(self):
        self._gate.set()

    async def write(self, fn, *args):
        self.hops += 1
        await self._gate.wait()
        return await super().write(fn, *args)


class Recorder:
    """A listener, and a place for everything that happens, in order."""

    def __init__(self, log=None, name="listener"):
        self.log = [] if log is None else log
        self.name = name

    def committed(self, entry):
        self.log.append((self.name, "committed", entry.op, entry.n))

    def pump(self):
        self.log.append((self.name, "pump"))


@attrs.define
class World:
    """An actor on its fake, and callers of it."""

    actor: StorageActor
    backend: FakeBackend
    executor: GatedExecutor
    nursery: trio.Nursery
    answers: dict[str, object] = attrs.field(factory=dict)

    async def call(self, name, operation, *, patient=False, scope=None):
        """Submit in a Trio task of its own, and keep what comes of it."""

        async def run():
            with scope or trio.CancelScope() as used:
                try:
                    self.answers[name] = await self.actor.submit(operation, patient=patient)
                except ClawError as error:
                    self.answers[name] = error
            if used.cancelled_caught:
                self.answers[name] = "cancelled"

        self.nursery.start_soon(run, name=name)
        await wait_all_tasks_blocked()

    async def hold_one(self):
        """Have one write in flight, so that others queue up behind it."""
        self.executor.shut()
        await self.call("held", entry("held"))

    async def release(self):
        """Let everything through."""
        self.executor.open()
        await wait_all_tasks_blocked()

    @property
    def groups(self):
        """The committed groups, by the ops of their entries."""
        return [[name_of(operation) for operation in group] for group in self.backend.groups]


def entry(op, pk=1, life=1):
    one = Entry(op, "t", EntryKind.TASK, EntryStatus.OK, 0.0)
    return Advance(pk, f"w-{pk}", life, (one,))


def message(op, pk=1):
    return Send(f"w-{pk}", Entry(op, "cancel", EntryKind.CANCEL, EntryStatus.OK, 0.0))


def row(pk, life):
    return WorkflowRow(
        pk=pk,
        id=f"w-{pk}",
        name="n",
        version=1,
        status=Status.RUNNING,
        run_key="k",
        seed=1,
        created_at=0.0,
        life=life,
    )


def name_of(operation):
    match operation:
        case Advance():
            return operation.entries[0].op
        case Send():
            return operation.entry.op
    return type(operation).__name__


@asynccontextmanager
async def open_world(**limits):
    backend, executor = FakeBackend(), GatedExecutor()
    actor = StorageActor(backend, executor, StorageLimits(**limits))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        await wait_all_tasks_blocked()
        try:
            yield World(actor, backend, executor, nursery)
        finally:
            executor.open()
            actor.close()


@pytest.fixture
def log(caplog):
    """What the storage actor says, as text."""
    caplog.set_level(logging.DEBUG, "claw_actors.storage")
    return lambda: [record.getMessage() for record in caplog.records]


# -- groups ---------------------------------------------------------------------------------------


async def test_an_answer_means_committed():
    """It is what the backend said."""
    async with open_world() as world:
        assert await world.actor.submit(entry("a")) == Advanced(1)
        assert world.groups == [["a"]]


async def test_while_one_commit_is_in_flight_the_next_group_forms():
    """All of it goes in one hop, in the order it came."""
    async with open_world() as world:
        await world.hold_one()
        for name in "abc":
            await world.call(name, entry(name))
        assert world.actor.statistics().queued == 3
        await world.release()
        assert world.groups == [["held"], ["a", "b", "c"]]
        assert world.executor.hops == 2
        assert [world.answers[name] for name in "abc"] == [Advanced(n) for n in (2, 3, 4)]


async def test_an_idle_actor_commits_at_once(autojump_clock):
    """No timer, no delay to wait for company."""
    async with open_world() as world:
        await world.actor.submit(entry("a"))
        await world.actor.submit(entry("b"))
        assert trio.current_time() == 0
        assert world.groups == [["a"], ["b"]]


async def test_a_group_is_bounded():
    """What does not fit goes with the next one."""
    async with open_world(max_group=2) as world:
        await world.hold_one()
        for name in "abcde":
            await world.call(name, entry(name))
        await world.release()
        assert world.groups == [["held"], ["a", "b"], ["c", "d"], ["e"]]


async def test_one_refused_operation_fails_alone():
    """Its neighbours commit."""
    async with open_world() as world:
        await world.hold_one()
        bad = message("b")
        world.backend.refusals[id(bad)] = NotFoundError("workflow", "w-1")
        for name, operation in (("a", entry("a")), ("b", bad), ("c", entry("c"))):
            await world.call(name, operation)
        await world.release()
        assert isinstance(world.answers["b"], NotFoundError)
        assert (world.answers["a"], world.answers["c"]) == (Advanced(2), Advanced(3))


async def test_answers_are_given_in_commit_order():
    """Synchronously, after the commit."""
    async with open_world() as world:
        order = []
        world.executor.shut()
        for name in "abc":
            world.actor.post(entry(name), lambda result, name=name: order.append(name))
        await wait_all_tasks_blocked()
        assert order == []
        await world.release()
        assert order == ["a", "b", "c"]


async def test_what_was_done_is_counted():
    """Commits, operations, the largest group, refusals."""
    async with open_world() as world:
        await world.hold_one()
        bad = message("b")
        world.backend.refusals[id(bad)] = NotFoundError("workflow", "w-1")
        await world.call("a", entry("a"))
        await world.call("b", bad)
        await world.release()
        assert world.actor.statistics() == StorageStatistics(
            commits=2,
            operations=3,
            largest_group=2,
            refused=1,
            queued=0,
            last_commit_seconds=world.actor.statistics().last_commit_seconds,
            unavailable=None,
        )


async def test_how_long_the_last_commit_took_is_known():
    """From its beginning to its end, in the thread; before the first one, nothing is."""
    async with open_world() as world:
        assert world.actor.statistics().last_commit_seconds is None
        await world.hold_one()
        began = trio.current_time()
        await trio.sleep(0.05)
        await world.release()
        took = world.actor.statistics().last_commit_seconds
        assert 0.05 <= took <= trio.current_time() - began + 1


# -- backpressure -----------------------------------------------------------------------------------


async def test_a_full_queue_makes_callers_wait():
    """They queue as soon as there is room, and all are answered."""
    async with open_world(max_queue=2) as world:
        await world.hold_one()
        for name in "abcd":
            await world.call(name, entry(name))
        assert world.actor.statistics().queued == 2
        await world.release()
        assert world.groups == [["held"], ["a", "b"], ["c", "d"]]
        assert set(world.answers) == {"held", *"abcd"}


async def test_whoever_waits_longest_comes_first():
    """Also before one who comes when there is room again, and before those let in are awake."""
    async with open_world(max_queue=1) as world:
        await world.hold_one()
        first = world.actor.post(entry("a"), lambda result: None)
        for name in "bcd":
            await world.call(name, entry(name))
        assert world.actor.withdraw(first)
        # Room was made, and taken at once.
        world.nursery.start_soon(world.actor.submit, entry("e"))
        await wait_all_tasks_blocked()
        await world.release()
        assert world.groups == [["held"], ["b"], ["c"], ["d"], ["e"]]


async def test_a_withdrawn_write_makes_room():
    """For exactly one."""
    async with open_world(max_queue=1) as world:
        await world.hold_one()
        scope = trio.CancelScope()
        await world.call("a", entry("a"), scope=scope)
        await world.call("b", entry("b"))
        await world.call("c", entry("c"))
        scope.cancel()
        await wait_all_tasks_blocked()
        assert world.actor.statistics().queued == 1
        await world.release()
        assert world.groups == [["held"], ["b"], ["c"]]


async def test_one_who_waits_for_room_can_be_cancelled():
    """And takes nobody's place."""
    async with open_world(max_queue=1) as world:
        await world.hold_one()
        scope = trio.CancelScope()
        await world.call("a", entry("a"))
        await world.call("b", entry("b"), scope=scope)
        await world.call("c", entry("c"))
        scope.cancel()
        await world.release()
        assert world.answers["b"] == "cancelled"
        assert world.groups == [["held"], ["a"], ["c"]]


async def test_posts_are_not_bounded():
    """Running workflows wait for what they posted before they post more."""
    async with open_world(max_queue=1) as world:
        world.executor.shut()
        for name in "abc":
            world.actor.post(entry(name), lambda result: None)
        assert world.actor.statistics().queued == 3
        await world.release()
        assert world.groups == [["a", "b", "c"]]


async def test_an_outage_changes_nobodys_turn(autojump_clock):
    """What goes back into the queue stands before what waited for room."""
    async with open_world(max_queue=2) as world:
        world.backend.troubles = [FULL] * 5
        world.executor.shut()
        for name in "abcdef":
            await world.call(name, entry(name), patient=True)
        world.executor.open()
        await trio.sleep(10)
        assert [name for group in world.groups for name in group] == list("abcdef")


async def test_a_fence_reaches_those_who_wait_for_room():
    """Else an old write would come in behind it."""
    async with open_world(max_queue=1) as world:
        await world.call("first", entry("first"))
        world.executor.shut()
        for name in ("in flight", "queued"):
            await world.call(name, message(name))
        await world.call("old", entry("old", life=1))
        await world.actor.fence(1, 2)
        await world.release()
        assert isinstance(world.answers["old"], StaleWriteError)
        assert world.groups == [["first"], ["in flight"], ["queued"]]


# -- cancellation -----------------------------------------------------------------------------------


async def test_cancelled_while_queued_means_not_applied():
    """The write is withdrawn."""
    async with open_world() as world:
        await world.hold_one()
        scope = trio.CancelScope()
        await world.call("a", entry("a"), scope=scope)
        scope.cancel()
        await world.release()
        assert world.answers["a"] == "cancelled"
        assert world.groups == [["held"]]


async def test_cancelled_before_it_is_queued_means_not_applied():
    """Nothing is even queued."""
    async with open_world() as world:
        scope = trio.CancelScope()
        scope.cancel()
        await world.call("a", entry("a"), scope=scope)
        assert world.answers["a"] == "cancelled"
        assert world.groups == []


async def test_cancelled_in_flight_means_applied_and_answered():
    """It is waited for, and returns normally."""
    async with open_world() as world:
        scope = trio.CancelScope()
        world.executor.shut()
        await world.call("a", entry("a"), scope=scope)
        scope.cancel()
        await wait_all_tasks_blocked()
        assert "a" not in world.answers
        await world.release()
        assert world.answers["a"] == Advanced(1)


async def test_a_withdrawn_write_is_not_answered():
    """And can be withdrawn just once, and not in flight."""
    async with open_world() as world:
        await world.hold_one()
        write = world.actor.post(entry("a"), lambda result: pytest.fail("answered"))
        assert world.actor.withdraw(write)
        assert not world.actor.withdraw(write)
        await world.release()
        world.executor.shut()
        late = world.actor.post(entry("b"), lambda result: None)
        await wait_all_tasks_blocked()
        assert not world.actor.withdraw(late)


# -- incarnations ------------------------------------------------------------------------------------


async def test_after_a_refusal_later_writes_of_that_incarnation_are_refused():
    """They were based on the one that failed; other lives and workflows go on."""
    async with open_world() as world:
        world.executor.shut()
        bad = entry("bad")
        refusal = world.backend.refusals[id(bad)] = StaleWriteError("w-1", "life", 3, 4)
        await world.call("bad", bad)
        await world.call("follower", entry("follower"))
        await world.call("next life", entry("next", life=2))
        await world.call("neighbour", entry("neighbour", pk=2))
        await world.call("message", message("message"))
        await world.release()
        assert world.groups == [["bad"], ["next", "neighbour", "message"]]
        answer = world.answers["follower"]
        assert isinstance(answer, StaleWriteError)
        assert answer is not refusal
        assert str(answer) == str(refusal)


async def test_a_write_that_asked_for_the_end_of_the_journal_is_refused_alone():
    """Its author has reckoned with that: later writes do not build on it."""
    async with open_world() as world:
        world.executor.shut()
        conditional = entry("conditional")
        world.backend.refusals[id(conditional)] = StaleWriteError("w-1", "journal", 3, 4)
        await world.call("conditional", conditional)
        await world.call("later", entry("later"))
        await world.release()
        assert isinstance(world.answers["conditional"], StaleWriteError)
        assert world.groups == [["conditional"], ["later"]]
        assert world.answers["later"] == Advanced(1)


async def test_a_refused_message_refuses_nobody_else():
    """Whoever sent it is no incarnation."""
    async with open_world() as world:
        world.executor.shut()
        bad = message("bad")
        world.backend.refusals[id(bad)] = NotFoundError("workflow", "w-1")
        await world.call("bad", bad)
        await world.call("a", entry("a"))
        await world.release()
        assert world.groups == [["bad"], ["a"]]


async def test_a_fence_drops_queued_writes_of_older_lives():
    """Of that workflow only; each is answered with the reason."""
    async with open_world() as world:
        await world.call("first", entry("first", life=1))
        world.executor.shut()
        await world.call("other", message("other"))
        await world.call("old", entry("old", life=1))
        await world.call("same", entry("same", life=2))
        await world.call("neighbour", entry("neighbour", pk=2, life=1))
        await world.call("message", message("message"))
        await world.actor.fence(1, 2)
        await wait_all_tasks_blocked()
        assert isinstance(world.answers["old"], StaleWriteError)
        assert (world.answers["old"].what, world.answers["old"].found) == ("life", 2)
        await world.release()
        assert world.groups == [["first"], ["other"], ["same", "neighbour", "message"]]


async def fence(world, done):
    await world.actor.fence(1, 2)
    done.append(list(world.groups))


async def test_a_fence_waits_for_an_older_write_in_flight():
    """After it, what is stored does not change under the reader."""
    async with open_world() as world:
        world.executor.shut()
        await world.call("old", entry("old", life=1))
        done = []
        world.nursery.start_soon(fence, world, done)
        await wait_all_tasks_blocked()
        assert done == []
        await world.release()
        assert done == [[["old"]]]


async def test_a_fence_drops_an_older_write_that_comes_back_into_the_queue(autojump_clock):
    """Storage was unavailable; the write must not be tried again behind the fence."""
    async with open_world() as world:
        world.backend.troubles = [FULL]
        world.executor.shut()
        await world.call("old", entry("old", life=1), patient=True)
        done = []
        world.nursery.start_soon(fence, world, done)
        await wait_all_tasks_blocked()
        await world.release()
        assert done == [[]]
        assert isinstance(world.answers["old"], StaleWriteError)
        await trio.sleep(1)
        assert world.groups == []


# -- outages ----------------------------------------------------------------------------------------


async def test_while_unavailable_the_impatient_are_refused(autojump_clock, log):
    """Each with an error of its own; the backend's stays the cause."""
    async with open_world() as world:
        await world.hold_one()
        world.backend.troubles = [None, FULL]
        await world.call("a", entry("a"))
        await world.call("b", message("b"))
        await world.release()
        first, second = world.answers["a"], world.answers["b"]
        assert first is not second
        assert first.__cause__ is second.__cause__ is FULL
        assert (type(first), first.reason) == (StorageUnavailableError, "disk full")
        assert world.actor.statistics().unavailable == "disk full"


async def test_while_unavailable_the_patient_keep_their_order(autojump_clock):
    """In front of what came later."""
    async with open_world() as world:
        world.backend.troubles = [FULL, FULL]
        world.executor.shut()
        await world.call("a", entry("a"), patient=True)
        await world.call("b", entry("b"), patient=True)
        await world.call("x", entry("x"))
        await world.call("c", entry("c"), patient=True)
        world.executor.open()
        await trio.sleep(5)
        assert [group for group in world.groups if group] == [["a", "b", "c"]]
        assert isinstance(world.answers["x"], StorageUnavailableError)
        assert world.actor.statistics().unavailable is None


async def test_pauses_double_up_to_the_longest(autojump_clock, monkeypatch):
    """And begin anew after the next success."""
    async with open_world(first_pause_s=1, longest_pause_s=5, idle_s=1_000) as world:
        tried, commit = [], world.backend.commit

        def note(group):
            tried.append(trio.current_time())
            return commit(group)

        monkeypatch.setattr(world.backend, "commit", note)
        world.backend.troubles = [FULL] * 5
        await world.actor.submit(entry("a"), patient=True)
        world.backend.troubles = [FULL]
        await world.actor.submit(entry("b"), patient=True)
        pauses = [after - before for before, after in itertools.pairwise(tried)]
        assert pauses == [1, 2, 4, 5, 5, 0, 1]


async def test_an_outage_is_logged_once_and_so_is_its_end(autojump_clock, log):
    """Not once for each attempt."""
    async with open_world() as world:
        world.backend.troubles = [FULL] * 4
        await world.actor.submit(entry("a"), patient=True)
        assert log() == [
            "storage the fake is unavailable: disk full; running workflows wait for it",
            "storage the fake is available again",
        ]


async def test_whoever_waits_out_an_outage_can_be_cancelled(autojump_clock):
    """Between two attempts the write is queued."""
    async with open_world() as world:
        world.backend.troubles = [FULL] * 3
        with trio.move_on_after(0.06) as scope:
            await world.actor.submit(entry("a"), patient=True)
        assert scope.cancelled_caught
        await trio.sleep(5)
        assert world.groups == []


async def test_closing_during_an_outage_refuses_the_patient_too(autojump_clock):
    """Nobody may wait for ever at the end."""
    async with open_world() as world:
        world.backend.troubles = [FULL] * 100
        await world.call("a", entry("a"), patient=True)
        world.actor.close()
        await trio.sleep(5)
        assert isinstance(world.answers["a"], StorageUnavailableError)


async def test_in_a_hurry_nobody_is_patient(autojump_clock):
    """What is queued, and what comes, is refused while storage is unavailable."""
    async with open_world() as world:
        world.backend.troubles = [FULL] * 3
        await world.call("a", entry("a"), patient=True)
        assert "a" not in world.answers
        world.actor.hurry()
        await trio.sleep(5)
        await world.call("b", entry("b"), patient=True)
        assert {type(world.answers[name]) for name in "ab"} == {StorageUnavailableError}
        await world.call("c", entry("c"), patient=True)
        assert world.answers["c"] == Advanced(1)


# -- failure ----------------------------------------------------------------------------------------


TROUBLES = [
    OutcomeUnknownError("the fake", "EIO"),
    StorageCorruptError("the fake", "bad page", "Restore a backup"),
    ZeroDivisionError("a bug"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda error: type(error).__name__)
async def test_when_storage_fails_everything_taken_is_answered(trouble, log):
    """In flight: with the failure. Queued, waiting for room, later: with a refusal."""
    async with open_world(max_queue=1) as world:
        told = []
        world.actor.on_failure += [lambda: told.append("first"), lambda: told.append("second")]
        world.backend.troubles = [trouble]
        await world.hold_one()
        for name in ("queued", "waiting", "waiting too"):
            await world.call(name, entry(name))
        await world.release()
        expected = type(trouble) if isinstance(trouble, ClawError) else OutcomeUnknownError
        assert type(world.answers["held"]) is expected
        for name in ("queued", "waiting", "waiting too"):
            assert type(world.answers[name]) is StorageUnavailableError
            assert "it has failed" in world.answers[name].reason
        with pytest.raises(StorageUnavailableError, match="it has failed"):
            await world.actor.submit(entry("later"))
        assert told == ["first", "second"]
        assert type(world.actor.failure) is expected
        assert log() == [f"storage failed: {world.actor.failure}"]


async def test_what_outsiders_have_queued_is_refused_only_when_it_is_not_opened_again():
    """What incarnations have queued ends with their lives; a request may wait for a reopening."""
    async with open_world() as world:
        world.backend.troubles = [OutcomeUnknownError("the fake", "EIO")]
        await world.hold_one()
        await world.call("own", entry("own"))
        await world.call("request", Send("w-1", entry("request").entries[0]))
        seen = []
        world.actor.on_failure.append(lambda: seen.append(world.actor.statistics().queued))
        await world.release()
        assert seen == [1]
        assert type(world.answers["own"]) is StorageUnavailableError
        assert type(world.answers["request"]) is StorageUnavailableError


async def test_a_defect_of_the_backend_leaves_the_outcome_unknown():
    """It says nothing about what was stored; the defect stays the cause."""
    async with open_world() as world:
        world.backend.troubles = [ZeroDivisionError("a bug")]
        with pytest.raises(OutcomeUnknownError, match="a bug") as caught:
            await world.actor.submit(entry("a"))
        assert caught.value.__cause__ is world.actor.failure
        assert isinstance(world.actor.failure.__cause__, ZeroDivisionError)


async def test_an_interrupt_in_a_commit_answers_everyone_and_goes_on_up():
    """Whoever waits for a write in flight refuses to be cancelled."""
    with pytest.RaisesGroup(KeyboardInterrupt):
        async with open_world() as world:
            world.backend.troubles = [KeyboardInterrupt()]
            await world.hold_one()
            await world.call("a", entry("a"))
            world.executor.open()
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
    assert type(world.answers["held"]) is OutcomeUnknownError
    assert type(world.answers["a"]) is StorageUnavailableError


async def test_after_a_failure_nothing_is_read():
    """What is stored may be something else by then."""
    async with open_world() as world:
        world.backend.troubles = [OutcomeUnknownError("the fake", "EIO")]
        await world.call("a", entry("a"))
        with pytest.raises(StorageUnavailableError, match="it has failed"):
            await world.actor.read(world.backend.get_workflow, "w-1")


async def test_a_failure_in_flight_lets_a_fence_pass():
    """Nothing of an older life will be committed any more."""
    async with open_world() as world:
        world.executor.shut()
        world.backend.troubles = [OutcomeUnknownError("the fake", "EIO")]
        await world.call("old", entry("old", life=1))
        done = []
        world.nursery.start_soon(fence, world, done)
        await world.release()
        assert done == [[]]


def test_a_copy_of_an_error_is_for_one_more_receiver():
    """A raised exception must not be shared; where it came from is kept."""
    error = StaleWriteError("w-1", "life", 1, 2)
    twin = fresh(error)
    assert (twin is not error, twin.__cause__ is error) == (True, True)
    assert (type(twin), str(twin), twin.found) == (StaleWriteError, str(error), 2)


# -- closing ----------------------------------------------------------------------------------------


async def test_closing_commits_what_is_queued():
    """What was taken before is done."""
    async with open_world() as world:
        await world.hold_one()
        await world.call("a", entry("a"))
        world.actor.close()
        await world.release()
        assert world.groups == [["held"], ["a"]]


async def test_closing_commits_what_waits_for_room():
    """It came before the end."""
    async with open_world(max_queue=1) as world:
        await world.hold_one()
        for name in "abc":
            await world.call(name, entry(name))
        world.actor.close()
        await world.release()
        assert world.groups == [["held"], ["a"], ["b"], ["c"]]


async def test_a_call_after_the_end_is_refused():
    """Even if nobody could make room for it any more."""
    async with open_world(max_queue=1) as world:
        await world.hold_one()
        await world.call("a", entry("a"))
        world.actor.close()
        with pytest.raises(StorageUnavailableError, match="it is closed"):
            await world.actor.submit(entry("b"))
        with pytest.raises(StorageUnavailableError, match="it is closed"):
            await world.actor.read(world.backend.get_workflow, "w-1")


async def test_a_post_after_the_end_is_answered_but_not_from_within_the_call():
    """Callers hold invariants there."""
    async with open_world() as world:
        world.actor.close()
        answers = []
        write = world.actor.post(entry("a"), answers.append)
        assert answers == []
        assert not world.actor.withdraw(write)
        await wait_all_tasks_blocked()
        assert [type(answer) for answer in answers] == [StorageUnavailableError]
        assert world.actor.statistics().refused == 1


async def test_a_refused_call_cannot_be_cancelled_into_silence():
    """Its answer is on the way."""
    async with open_world() as world:
        world.actor.close()
        with trio.CancelScope() as scope:
            # Before the answer, which comes the same way.
            trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
            with pytest.raises(StorageUnavailableError):
                await world.actor.submit(entry("a"))
        assert not scope.cancelled_caught


async def test_a_cancellation_does_not_stop_the_actor():
    """It is stopped by ``close``, after those who still need it."""
    backend = FakeBackend()
    actor = StorageActor(backend, InlineExecutor(), StorageLimits())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            scope.cancel()
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
                assert await actor.submit(entry("a")) == Advanced(1)
            actor.close()


# -- listeners --------------------------------------------------------------------------------------


async def test_a_listener_is_told_of_each_entry_with_its_number():
    """Own ones and messages from outside, in commit order."""
    async with open_world() as world:
        listener = Recorder()
        world.actor.listen(1, listener)
        first, second = entry("a"), entry("b")
        both = attrs.evolve(first, entries=first.entries + second.entries)
        await world.actor.submit(both)
        await world.actor.submit(message("m"))
        assert listener.log == [
            ("listener", "committed", "a", 1),
            ("listener", "committed", "b", 2),
            ("listener", "pump"),
            ("listener", "committed", "m", 3),
            ("listener", "pump"),
        ]


async def test_a_listener_goes_on_once_per_group_after_all_answers():
    """However many entries it got."""
    async with open_world() as world:
        log = []
        world.actor.listen(1, Recorder(log, "one"))
        world.actor.listen(2, Recorder(log, "two"))
        world.executor.shut()
        for name, pk in (("a", 1), ("b", 2), ("c", 1)):
            world.actor.post(entry(name, pk), lambda result, name=name: log.append((name, "done")))
        await world.release()
        assert log == [
            ("a", "done"),
            ("one", "committed", "a", 1),
            ("b", "done"),
            ("two", "committed", "b", 2),
            ("c", "done"),
            ("one", "committed", "c", 3),
            ("one", "pump"),
            ("two", "pump"),
        ]


async def test_a_write_without_entries_still_pumps():
    """Whoever waited for its answer may go on."""
    async with open_world() as world:
        listener = Recorder()
        world.actor.listen(1, listener)
        await world.actor.submit(Advance(1, "w-1", 1))
        assert listener.log == [("listener", "pump")]


async def test_nobody_is_told_of_a_refused_write():
    """It is not there."""
    async with open_world() as world:
        listener = Recorder()
        world.actor.listen(1, listener)
        bad = message("m")
        world.backend.refusals[id(bad)] = NotFoundError("workflow", "w-1")
        await world.call("bad", bad)
        assert listener.log == []


async def test_a_message_that_nobody_hears_is_reported():
    """Once per workflow and group: it may have to be woken."""
    async with open_world() as world:
        unheard = []
        world.actor.on_unheard = lambda pk, id: unheard.append((pk, id))
        await world.hold_one()
        for name, pk in (("a", 7), ("b", 7), ("c", 8)):
            await world.call(name, message(name, pk))
        await world.release()
        assert unheard == [(7, "w-7"), (8, "w-8")]


async def test_an_unheard_write_of_an_incarnation_is_not_reported():
    """Who wrote it knows of it."""
    async with open_world() as world:
        world.actor.on_unheard = lambda pk, id: pytest.fail("reported")
        await world.actor.submit(entry("a"))
        await world.actor.submit(Claim(((1, 0),), 0.0, counted=False))


@pytest.mark.parametrize(
    "beginning",
    [Claim(((1, 0), (2, 5)), 0.0, counted=False), Create(row(1, life=1), ())],
    ids=lambda operation: type(operation).__name__,
)
async def test_what_comes_between_claim_and_listening_is_kept(beginning):
    """The journal is read in between: what is committed after that would reach nobody."""
    async with open_world() as world:
        world.actor.on_unheard = lambda pk, id: pytest.fail("reported")
        await world.actor.submit(beginning)
        await world.actor.submit(message("a", 1))
        await world.actor.submit(message("b", 1))
        listener = Recorder()
        world.actor.listen(1, listener)
        assert listener.log == [
            ("listener", "committed", "a", 1),
            ("listener", "committed", "b", 2),
        ]


async def test_what_was_kept_is_told_once():
    """The next listener of the same workflow begins with its own claim."""
    async with open_world() as world:
        unheard = []
        world.actor.on_unheard = lambda pk, id: unheard.append(pk)
        await world.actor.submit(Claim(((1, 0),), 0.0, counted=False))
        await world.actor.submit(message("a", 1))
        first, second = Recorder(), Recorder()
        world.actor.listen(1, first)
        world.actor.unlisten(1, first)
        await world.actor.submit(message("b", 1))
        assert unheard == [1]
        world.actor.listen(1, second)
        assert second.log == []


@pytest.mark.parametrize(
    "beginning",
    [Claim(((1, 0),), 0.0, counted=False), Create(row(1, life=1), ())],
    ids=lambda operation: type(operation).__name__,
)
async def test_what_was_kept_for_somebody_who_never_came_is_reported(beginning):
    """Once, as what nobody hears; and whoever sends from then on has it woken."""
    async with open_world() as world:
        unheard, late = [], Recorder()
        world.actor.on_unheard = lambda pk, id: unheard.append((pk, id))
        await world.actor.submit(beginning)
        await world.actor.submit(message("a", 1))
        await world.actor.submit(message("b", 1))
        assert unheard == []
        world.actor.expect_nobody(1)
        world.actor.expect_nobody(1)
        assert unheard == [(1, "w-1")]
        await world.actor.submit(message("c", 1))
        assert unheard == [(1, "w-1"), (1, "w-1")]
        world.actor.listen(1, late)
        assert late.log == []


async def test_if_nothing_was_kept_nobody_is_woken_for_it():
    """Not to listen after all is no message."""
    async with open_world() as world:
        world.actor.on_unheard = lambda pk, id: pytest.fail("reported")
        await world.actor.submit(Claim(((1, 0),), 0.0, counted=False))
        world.actor.expect_nobody(1)
        world.actor.expect_nobody(7)


async def test_a_workflow_that_is_created_to_run_later_keeps_nothing():
    """Whoever sends to it has it woken."""
    async with open_world() as world:
        unheard = []
        world.actor.on_unheard = lambda pk, id: unheard.append(pk)
        await world.actor.submit(Create(row(1, life=0), ()))
        await world.actor.submit(message("a", 1))
        assert unheard == [1]


async def test_by_default_an_unheard_message_is_just_stored():
    """Storage alone wakes nobody."""
    async with open_world() as world:
        assert await world.actor.submit(message("a", 7)) == Sent(7, 1)


async def test_messages_of_a_transaction_are_announced_one_by_one():
    """Heard or unheard."""
    async with open_world() as world:
        unheard, listener = [], Recorder()
        world.actor.on_unheard = lambda pk, id: unheard.append(pk)
        world.actor.listen(1, listener)
        both = Atomic((message("a", 1), message("b", 2)))
        assert await world.actor.submit(both) == (Sent(1, 1), Sent(2, 2))
        assert listener.log == [("listener", "committed", "a", 1), ("listener", "pump")]
        assert unheard == [2]


def sending(*sends, pk=1):
    entries = tuple(
        Entry(f"send#{n}", "send", EntryKind.SEND, EntryStatus.OK, 0.0) for n in range(len(sends))
    )
    return Advance(pk, f"w-{pk}", 1, entries, sends=sends)


async def test_what_an_advance_sends_is_announced_like_a_message_of_its_own():
    """To a listener, to one that is awaited, or to whoever wakes; a duplicate to nobody."""
    async with open_world() as world:
        log, unheard = [], []
        sender, heard, late = (Recorder(log, name) for name in ("sender", "heard", "late"))
        world.actor.on_unheard = lambda pk, id: unheard.append((pk, id))
        world.actor.listen(1, sender)
        world.actor.listen(2, heard)
        await world.actor.submit(Claim(((3, 0),), 0.0, counted=False))
        operation = sending(*(message(f"m{pk}", pk) for pk in (2, 3, 4, 5)))
        sent = (Sent(2, 7), Sent(3, 8), Sent(4, 9), Sent(5, 0, duplicate=True))
        world.backend.refusals[id(operation)] = Advanced(4, sent)
        await world.actor.submit(operation)
        assert log == [
            *(("sender", "committed", f"send#{n}", n + 1) for n in range(4)),
            ("heard", "committed", "m2", 7),
            ("sender", "pump"),
            ("heard", "pump"),
        ]
        assert unheard == [(4, "w-4")]
        world.actor.listen(3, late)
        assert log[-1] == ("late", "committed", "m3", 8)


async def test_a_listener_is_told_of_a_refused_message_as_it_is_stored():
    """What the sender goes on with is what a replay will read."""
    async with open_world() as world:
        told = []
        listener = Recorder()
        listener.committed = told.append
        world.actor.listen(1, listener)
        operation = sending(message("a", 2), message("b", 3))
        refusal = NotFoundError("workflow", "w-3")
        world.backend.refusals[id(operation)] = Advanced(2, (Sent(2, 7), refusal))
        await world.actor.submit(operation)
        stored = operation.recorded((None, refusal))
        assert told == [attrs.evolve(entry, n=n) for n, entry in enumerate(stored, start=1)]
        assert [entry.status.value for entry in told] == ["ok", "failed"]


async def test_a_sender_that_nobody_listens_to_still_has_others_woken():
    """Its own entries are told to nobody, what it sends is."""
    async with open_world() as world:
        unheard = []
        world.actor.on_unheard = lambda pk, id: unheard.append(pk)
        operation = sending(message("a", 2))
        world.backend.refusals[id(operation)] = Advanced(1, (Sent(2, 7),))
        await world.actor.submit(operation)
        assert unheard == [2]


async def test_what_arrives_for_a_new_child_is_kept_until_it_listens():
    """As for one that was created to run; one that existed already is a workflow like others."""
    async with open_world() as world:
        unheard, late = [], Recorder()
        world.actor.on_unheard = lambda pk, id: unheard.append((pk, id))
        children = tuple(Create(row(pk, life=1), ()) for pk in (2, 3, 4))
        entries = tuple(
            Entry(f"c#{n}", "child", EntryKind.CHILD, EntryStatus.OK, 0.0) for n in range(3)
        )
        operation = Advance(1, "w-1", 1, entries, children=children)
        answers = (Created(2, 0), Created(3, 0, existed=True), DuplicateKeyError("w-4"))
        world.backend.refusals[id(operation)] = Advanced(3, children=answers)
        told = []
        parent = Recorder()
        parent.committed = told.append
        world.actor.listen(1, parent)
        await world.actor.submit(operation)
        assert [entry.status.value for entry in told] == ["ok", "ok", "failed"]
        for pk in (2, 3):
            await world.actor.submit(message("a", pk))
        assert unheard == [(3, "w-3")]
        world.actor.listen(2, late)
        assert [entry[2] for entry in late.log] == ["a"]


async def test_the_end_of_a_child_is_announced_to_its_parent():
    """To the parent that listens; of one that does not, to whoever wakes."""
    async with open_world() as world:
        unheard, listener = [], Recorder()
        world.actor.on_unheard = lambda pk, id: unheard.append((pk, id))
        world.actor.listen(7, listener)
        for pk in (7, 8):
            operation = entry("end")
            told = Entry("/child", "w-1", EntryKind.CHILD_END, EntryStatus.OK, 0.0, n=5)
            reported = Reported(pk, f"w-{pk}", told)
            world.backend.refusals[id(operation)] = Advanced(1, reported=reported)
            await world.actor.submit(operation)
        assert listener.log == [("listener", "committed", "/child", 5), ("listener", "pump")]
        steer = Steer("w-1", Event.TERMINATE, told)
        world.backend.refusals[id(steer)] = Steered((), (Reported(8, "w-8", told),))
        await world.actor.submit(steer)
        assert unheard == [(8, "w-8")] * 2


async def test_a_duplicate_is_told_to_nobody():
    """Nothing was written: no listener is told, none that is awaited, and nobody is woken."""
    async with open_world() as world:
        listener, late = Recorder(), Recorder()
        world.actor.on_unheard = lambda pk, id: pytest.fail("woken")
        world.actor.listen(1, listener)
        await world.actor.submit(Claim(((2, 0),), 0.0, counted=False))
        for pk in (1, 2, 3):
            again = attrs.evolve(message("a", pk), key="k")
            duplicate = Sent(pk, 0, duplicate=True)
            world.backend.refusals[id(again)] = duplicate
            assert await world.actor.submit(again) == duplicate
        world.actor.listen(2, late)
        assert (listener.log, late.log) == ([], [])


async def test_who_stopped_listening_is_not_told():
    """Unless another has taken the place: that one stays."""
    async with open_world() as world:
        old, new = Recorder(), Recorder()
        world.actor.listen(1, old)
        world.actor.listen(1, new)
        world.actor.unlisten(1, old)
        await world.actor.submit(entry("a"))
        assert (len(old.log), len(new.log)) == (0, 2)
        world.actor.unlisten(1, new)
        await world.actor.submit(entry("b"))
        assert len(new.log) == 2


# -- idle -------------------------------------------------------------------------------------------


async def test_space_is_given_back_once_when_nothing_comes(autojump_clock):
    """Again only after something was written."""
    async with open_world(idle_s=2) as world:
        await world.actor.submit(entry("a"))
        await trio.sleep(1.9)
        assert world.backend.tidied == 0
        await trio.sleep(10)
        assert world.backend.tidied == 1
        await world.actor.submit(entry("b"))
        await trio.sleep(10)
        assert world.backend.tidied == 2


async def test_a_busy_actor_does_not_stop_to_give_back_space(autojump_clock):
    """Each write begins the idle time anew."""
    async with open_world(idle_s=2) as world:
        for _ in range(5):
            await world.actor.submit(entry("a"))
            await trio.sleep(1.5)
        assert world.backend.tidied == 0


async def test_before_the_first_commit_there_is_nothing_to_give_back(autojump_clock):
    """Opening has just looked."""
    async with open_world(idle_s=2) as world:
        await trio.sleep(10)
        assert world.backend.tidied == 0


async def test_a_withdrawn_write_does_not_end_the_idle_time(autojump_clock):
    """Neither early nor without giving back space."""
    async with open_world(idle_s=2) as world:
        await world.actor.submit(entry("a"))
        await trio.sleep(1)
        world.actor.withdraw(world.actor.post(entry("b"), lambda result: None))
        await trio.sleep(0.5)
        assert world.backend.tidied == 0
        await trio.sleep(10)
        assert world.backend.tidied == 1


async def test_space_that_cannot_be_given_back_is_logged(autojump_clock, log):
    """The next commit tells whether anything is really wrong."""
    async with open_world(idle_s=2) as world:
        world.backend.tidy_error = OutcomeUnknownError("the fake", "EIO")
        await world.actor.submit(entry("a"))
        await trio.sleep(10)
        assert log() == [f"could not give back space: {world.backend.tidy_error}"]
        assert await world.actor.submit(entry("b")) == Advanced(2)


async def test_a_defect_while_giving_back_space_answers_everyone(autojump_clock):
    """Who came meanwhile would wait for ever."""
    async with open_world(idle_s=2) as world:
        world.backend.tidy_error = ZeroDivisionError("a bug")
        await world.actor.submit(entry("a"))
        world.executor.shut()
        await trio.sleep(10)
        await world.call("b", entry("b"))
        await world.release()
        assert isinstance(world.answers["b"], StorageUnavailableError)
        assert isinstance(world.actor.failure, OutcomeUnknownError)


# -- reads, executors ------------------------------------------------------------------------------


async def test_a_read_never_waits_behind_a_write():
    """It does not pass through the queue."""
    async with open_world() as world:
        await world.hold_one()
        assert await world.actor.read(world.backend.get_workflow, "w-1") == "read w-1"
        assert "held" not in world.answers


async def test_threads_write_one_at_a_time_and_read_beside_it():
    """With limiters of their own, so that a full default limiter blocks nothing."""
    executor, log = ThreadExecutor(), []
    default = trio.to_thread.current_default_thread_limiter()
    before, default.total_tokens = default.total_tokens, 1
    await default.acquire()
    try:
        barrier = trio.Event()

        def write(name):
            log.append(f"{name} begins")
            trio.from_thread.run(barrier.wait)
            log.append(f"{name} ends")
            return name

        async with trio.open_nursery() as nursery:
            nursery.start_soon(executor.write, write, "one")
            nursery.start_soon(executor.write, write, "two")
            assert await executor.read(lambda: "read") == "read"
            barrier.set()
    finally:
        default.release()
        default.total_tokens = before
    first, second = log[0].split()[0], log[2].split()[0]
    assert log == [f"{one} {what}" for one in (first, second) for what in ("begins", "ends")]


async def test_a_call_that_raises_in_a_thread_raises_here():
    """Writes and reads alike."""
    executor = ThreadExecutor()
    for run in (executor.write, executor.read):
        with pytest.raises(NotFoundError):
            await run(lambda: (_ for _ in ()).throw(NotFoundError("task", "a")))


async def test_an_inline_write_is_not_cancelled_and_an_inline_read_is():
    """A write that was begun is done."""
    executor = InlineExecutor()
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await executor.write(lambda: "written") == "written"
        await executor.read(lambda: pytest.fail("read"))
    assert scope.cancelled_caught
    assert await executor.read(lambda: "read") == "read"
