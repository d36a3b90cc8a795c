"""What the tests of the runtime share: a storage that outlives runtimes, and a wall clock to set."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from claw_actors import Restart, Status, workflow
from claw_actors._core.journal import EntryKind
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.errors import WorkflowClosedError
from claw_actors.storage.memory import MemoryStorage
from claw_actors.storage.memory.journal import Journal
from claw_actors.testing.clock import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from claw_actors._core.journal import Entry
    from claw_actors.storage.records import WorkflowRow


@attrs.define
class Wall:
    """A wall clock that follows virtual time, and can be set."""

    offset: float = EPOCH

    def __call__(self) -> float:
        return self.offset + trio.current_time()


@pytest.fixture
def wall(claw_environment) -> Wall:
    """A wall clock that can be set forward and back; use it with ``attrs.evolve``."""
    return Wall()


@pytest.fixture
def storage() -> MemoryStorage:
    """A storage that can be opened by one runtime after the other: a restart."""
    return MemoryStorage()


@pytest.fixture
def calls() -> list[object]:
    """Where task bodies note that they ran."""
    return []


@pytest.fixture
def result_of(open_claw_runtime, storage):
    """Run a function as a workflow, whose crash is final, and return its result."""

    async def run(fn, **options):
        definition = workflow(name="run", restart=Restart(max_restarts=0), **options)(fn)
        async with open_claw_runtime(storage, workflows=[definition]) as runtime:
            return await (await runtime.start(definition, id="a")).result()

    return run


@pytest.fixture
def journal_of() -> Callable[[MemoryStorage, str], tuple[Entry, ...]]:
    """Read a workflow's journal, start and voided entries included, past any runtime."""
    return lambda storage, id: storage._table.find(id).entries


@pytest.fixture
def row_of() -> Callable[[MemoryStorage, str], WorkflowRow]:
    """Read a workflow's row, past any runtime."""
    return lambda storage, id: storage._table.find(id).row


@pytest.fixture
def cut_after() -> Callable[[MemoryStorage, int], MemoryStorage]:
    """Make a storage as a crash after so many journal entries of workflow ``a`` leaves it."""
    return cut


@pytest.fixture
def resume_everywhere(open_claw_runtime, journal_of, monkeypatch):
    """Run a workflow live, then resume it from each prefix of its journal, and compare.

    What the code does up to the last entry that is left must be what it did the first time, and
    no task that is left may run again. Somebody outside sends ``messages``, triples of a pause, a
    topic and a payload; those that are left are not sent again. ``end_of(runtime)`` waits for the
    end, and returns what is to be compared.
    """

    async def result_of(runtime):
        return await runtime.result("a")

    async def run(
        definition, *arguments, trace, same_result=True, messages=(), end_of=result_of, config=None
    ):
        traced.append(trace)

        async def send(runtime, left):
            for pause, topic, payload in left:
                await trio.sleep(pause)
                with contextlib.suppress(WorkflowClosedError):
                    await runtime.send("a", topic, payload)

        async def live(storage, start):
            trace.clear()
            delivered.clear()
            async with (
                open_claw_runtime(storage, workflows=[definition], config=config) as runtime,
                trio.open_nursery() as nursery,
            ):
                if start:
                    await runtime.start(definition, *arguments, id="a")
                kinds = [entry.kind for entry in journal_of(storage, "a")]
                nursery.start_soon(send, runtime, messages[kinds.count(EntryKind.MESSAGE) :])
                result = await end_of(runtime)
                nursery.cancel_scope.cancel()
                return result, list(trace), runtime.statistics().attempts
            raise AssertionError("the result was returned")

        storage = MemoryStorage()
        expected, first, _ = await live(storage, True)
        marks, entries = list(delivered), journal_of(storage, "a")
        for kept in range(1, len(entries)):
            result, again, anew = await live(cut(storage, kept), False)
            upto = min((length for n, length in marks if n >= kept), default=len(first))
            assert again[:upto] == first[:upto], f"resumed from {kept} of {len(entries)} entries"
            if same_result:
                assert result == expected
        assert (result, again, anew) == (expected, first, 0), "nothing was left to do"
        return expected

    traced: list[list[object]] = []
    delivered: list[tuple[int, int]] = []
    consume = Sequencer._consume

    def noted(self, entry):
        delivered.append((entry.n, len(traced[-1])))
        consume(self, entry)

    monkeypatch.setattr(Sequencer, "_consume", noted)
    return run


def cut(storage: MemoryStorage, kept: int) -> MemoryStorage:
    """Make a storage as a crash after so many journal entries would have left it."""
    crashed = storage.snapshot()
    record = crashed._table.find("a")
    row = attrs.evolve(record.row, status=Status.RUNNING, completed_at=None)
    crashed._table._records[record.row.pk] = attrs.evolve(
        record, row=row, journal=Journal.of(record.journal.entries()[:kept])
    )
    return crashed
