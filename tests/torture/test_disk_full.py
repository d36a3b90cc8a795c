"""No space left: what runs waits, what is new is refused, and nothing is lost."""

from __future__ import annotations

import errno
import logging
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

import attrs
import pytest
import trio

from claw_actors import Context, Runtime, RuntimeConfig, SQLiteStorage, open_runtime, task, workflow
from claw_actors.errors import OutcomeUnknownError, StorageUnavailableError
from claw_actors.storage.operations import Operation, Result

from .body import examine
from .ledger import Ledger, Plan
from .processes import Lives, seen_soon
from .witness import Pen, What, count_lines, effect, pen, read_notes

pytestmark = pytest.mark.slow

WALKERS = 5
STEPS = 30
LUGGAGE = "x" * 2_000
"""Each outcome takes space, so that a full disk is felt at once."""
GRACE_S = 0.3
HANG_S = 60.0
ENOUGH_TO_FAIL = WALKERS * 4
STORAGE_FAILED = 3

effects: ContextVar[list[str]] = ContextVar("effects")


@task
async def carry(index: int) -> str:
    """Take a moment, and return something heavy."""
    effects.get().append(f"{index}")
    await trio.sleep(0.002)
    return LUGGAGE


@workflow
async def walk(ctx: Context) -> int:
    """Do many steps."""
    return sum([len(await ctx.run(carry, index)) for index in range(STEPS)])


RESULT = STEPS * len(LUGGAGE)
CONFIG = RuntimeConfig(grace=GRACE_S)
FAIL_STOP = RuntimeConfig(max_storage_restarts=0)


# -- three ways to be full --------------------------------------------------------------------------


@attrs.define
class Disk:
    """A storage whose disk can be filled and freed.

    Attributes:
        storage: on this disk.
        path: its file.
        fill, free: what they say.
    """

    storage: SQLiteStorage
    path: Path
    fill: Callable[[], None]
    free: Callable[[], None]


class Unavailable(SQLiteStorage):
    """A storage that says it is unavailable, as any backend may."""

    full = False

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        if self.full:
            raise StorageUnavailableError(self.where, "there is no room")
        return super().commit(group)


class Limited(SQLiteStorage):
    """A storage whose SQLite may not grow the file: it rolls back as on a full disk."""

    full = False

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        connection = self._session.writer.connection
        ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
        connection.execute(f"PRAGMA max_page_count = {pages if self.full else 2**30}")
        return super().commit(group)


def switched(storage: Unavailable | Limited, path: Path) -> Disk:
    def turn(full: bool) -> None:
        storage.full = full

    return Disk(storage, path, lambda: turn(True), lambda: turn(False))


def small_disk(directory: Path, tell) -> Iterator[Disk]:
    """Mount a real, small file system, and fill it with a file."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "claw_actors", directory]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"cannot mount a small disk: {getattr(error, 'stderr', None) or error}".strip()
        tell(f"skipped: {reason}")
        pytest.skip(reason)
    ballast, path = directory / "ballast", directory / "torture.db"
    try:
        yield Disk(SQLiteStorage(path), path, lambda: fill_up(ballast), ballast.unlink)
    finally:
        subprocess.run(["umount", directory], check=True)


def fill_up(ballast: Path) -> None:
    """Write until there is no room, not even for a byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@pytest.fixture(params=["a small disk", "a limit of pages", "a backend that says so"])
def disk(request, place, tmp_path, tell) -> Iterator[Disk]:
    """Have a disk that can be full, in one of three ways."""
    match request.param:
        case "a small disk":
            yield from small_disk(tmp_path / "small", tell)
        case "a limit of pages":
            yield switched(Limited(place), place)
        case _:
            yield switched(Unavailable(place), place)


async def walk_into_it(runtime: Runtime, disk: Disk, seen: list[str]):
    """Start walkers, fill the disk under their feet, and wait until it is felt."""
    handles = [await runtime.start(walk, id=f"walker-{number}") for number in range(WALKERS)]
    await seen_soon(lambda: len(seen) >= ENOUGH_TO_FAIL)
    disk.fill()
    await seen_soon(lambda: runtime.statistics().storage.unavailable is not None)
    return handles


# -- what must hold ---------------------------------------------------------------------------------


async def test_running_workflows_wait_for_room_and_then_finish(disk, table):
    """While it is full nothing new is accepted, reads work; afterwards all goes on, and is right."""
    seen: list[str] = []
    effects.set(seen)
    with trio.fail_after(HANG_S):
        async with open_runtime(disk.storage, workflows=[walk], config=CONFIG) as runtime:
            handles = await walk_into_it(runtime, disk, seen)
            with pytest.raises(StorageUnavailableError):
                await runtime.start(walk, id="newcomer")
            with pytest.raises(StorageUnavailableError):
                await handles[0].cancel()
            before = len(seen)
            await trio.sleep(3 * GRACE_S)
            assert len(seen) <= before + WALKERS, "somebody went on without being recorded"
            assert {await handle.status() for handle in handles} == {"running"}
            assert {state.id for state in (await runtime.list()).items} == {
                handle.id for handle in handles
            }
            disk.free()
            for handle in handles:
                assert await handle.result() == RESULT
            newcomer = await runtime.start(walk, id="newcomer")
            assert await newcomer.result() == RESULT
            assert runtime.statistics().storage.unavailable is None
    left = examine(disk.path, table)
    assert left.damage == ()
    assert {row.status for row in left.workflows.values()} == {"completed"}
    tasks = Counter(record.workflow for record in left.records.values() if record.kind == "task")
    assert set(tasks.values()) == {STEPS}
    assert len(tasks) == WALKERS + 1
    # Nobody died, so nothing had to be repeated: what was waited for was kept.
    assert Counter(seen) == {str(index): WALKERS + 1 for index in range(STEPS)}


async def test_closing_a_full_disk_ends_and_loses_nothing(disk, table):
    """Patience ends with the grace; what was recorded is there when there is room again."""
    seen: list[str] = []
    effects.set(seen)
    with trio.fail_after(HANG_S):
        async with open_runtime(disk.storage, workflows=[walk], config=CONFIG) as runtime:
            await walk_into_it(runtime, disk, seen)
            before = {
                state.id: len(await runtime.storage.list_tasks(state.id))
                for state in (await runtime.list()).items
            }
            closing = trio.current_time()
        assert trio.current_time() - closing < 10 * GRACE_S
        disk.free()
        left = examine(disk.path, table)
        assert left.damage == ()
        after = Counter(
            record.workflow for record in left.records.values() if record.kind == "task"
        )
        assert after == before
        async with open_runtime(disk.storage, workflows=[walk], config=CONFIG) as runtime:
            for number in range(WALKERS):
                handle = await runtime.get(f"walker-{number}")
                assert await handle.result() == RESULT
    assert examine(disk.path, table).damage == ()


async def test_a_full_disk_cannot_be_opened_and_says_so(tmp_path, tell, table):
    """The error is typed, nothing is harmed, and with room it opens."""
    for disk in small_disk(tmp_path / "small", tell):
        effects.set([])
        with trio.fail_after(HANG_S):
            async with open_runtime(disk.storage, workflows=[walk], config=CONFIG) as runtime:
                await (await runtime.start(walk, id="walker")).result()
            disk.fill()
            with pytest.raises(StorageUnavailableError):
                async with open_runtime(disk.storage, workflows=[walk], config=CONFIG):
                    raise AssertionError("it was opened without room for its owner's row")
            disk.free()
            async with open_runtime(disk.storage, workflows=[walk], config=CONFIG) as runtime:
                assert await (await runtime.get("walker")).result() == RESULT
        assert examine(disk.path, table).damage == ()


# -- the limit that is an I/O error -----------------------------------------------------------------


@task
async def note_and_carry(index: int) -> str:
    """Take a moment, and return something heavy."""
    with effect():
        await trio.sleep(0.002)
    return LUGGAGE


@workflow
async def noted_walk(ctx: Context) -> int:
    """Do many steps, seen by the witness."""
    return sum([len(await ctx.run(note_and_carry, index)) for index in range(STEPS)])


async def live(path: str, witness: str, process: int, steps: int | None) -> None:
    """See the walkers to their end; after so many steps, forbid files to grow."""
    logging.basicConfig(level=logging.CRITICAL)
    own = Pen(witness, process)
    pen.set(own)

    async def see_through(id: str) -> None:
        handle = await runtime.start(noted_walk, id=id)
        own.note(What.ACCEPTED, id)
        own.note(What.FINISHED, id, text=str(await handle.result()))

    async def forbid() -> None:
        await seen_soon(lambda: count_lines(Path(witness)) >= 2 * steps)
        limit = (await trio.Path(f"{path}-wal").stat()).st_size + len(LUGGAGE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    try:
        async with (
            open_runtime(path, workflows=[noted_walk], config=FAIL_STOP) as runtime,
            trio.open_nursery() as nursery,
        ):
            if steps is not None:
                nursery.start_soon(forbid)
            for number in range(WALKERS):
                nursery.start_soon(see_through, f"walker-{number}")
    except OutcomeUnknownError as error:
        print(error)
        raise SystemExit(STORAGE_FAILED) from None


def test_a_file_that_may_not_grow_stops_the_runtime_and_loses_nothing(
    lives: Lives, place, witness, table, log
):
    """It is an I/O error, after which nobody knows: it stops; the next life reads what is there."""
    plan = Plan(
        ("note_and_carry", *(f"note_and_carry#{number}" for number in range(2, STEPS + 1))),
        str(RESULT),
    )
    ledger, offset = Ledger({f"walker-{number}": plan for number in range(WALKERS)}), 0
    for process, steps in enumerate([WALKERS * 3, WALKERS * 9, None]):
        one = lives.spawn(live, log, path=place, witness=witness, process=process, steps=steps)
        status = one.wait(HANG_S)
        assert status == (0 if steps is None else STORAGE_FAILED), one.said()
        notes, offset = read_notes(witness, offset)
        assert ledger.observe(notes, examine(place, table)) == []
    assert set(ledger.finished) == set(ledger.plans)
