"""A visitor takes a file for a moment: it makes nothing, migrates nothing, and hides nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from claw_actors import errors
from claw_actors.storage.actor import StorageActor, StorageLimits
from claw_actors.storage.executor import InlineExecutor
from claw_actors.storage.memory import MemoryStorage
from claw_actors.storage.opening import open_visit
from claw_actors.storage.operations import Create, Delete
from claw_actors.storage.sqlite import SQLiteStorage, lock
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome

VISITOR = """
import sys
from claw_actors.storage.sqlite import SQLiteStorage
SQLiteStorage.visiting(sys.argv[1]).open()
print("open", flush=True)
sys.stdin.read()
"""


def make(path: Path, *, clean: bool = True) -> None:
    """Leave a database with one workflow behind."""
    storage = SQLiteStorage(path)
    storage.open()
    storage.commit([Create(a_row(), (a_start(),))])
    if clean:
        storage.close()
    else:
        storage.abandon()


def listed(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


# -- what a visitor does not do -----------------------------------------------------------------


def test_a_visitor_makes_no_file_and_no_directory(path):
    """What is not there has no owner, and nothing to act on."""
    with pytest.raises(errors.StorageUnavailableError, match="no such file"):
        SQLiteStorage.visiting(path).open()
    assert not path.parent.exists()


def test_a_visitor_makes_no_tables(path):
    """An empty file waits for its owner."""
    path.parent.mkdir()
    path.touch(0o600)
    with pytest.raises(errors.StorageUnavailableError, match="nothing was stored in it yet"):
        SQLiteStorage.visiting(path).open()
    assert path.stat().st_size == 0


@pytest.mark.parametrize(("found", "advice"), [(0, "open it with a runtime"), (3, "upgrade")])
def test_a_visitor_migrates_nothing(path, raw, found, advice):
    """A schema of another version is refused, older or newer, and stays as it is."""
    make(path)
    raw(f"PRAGMA user_version = {found}")
    with pytest.raises(errors.StorageVersionError, match=advice) as caught:
        SQLiteStorage.visiting(path).open()
    assert (caught.value.found, caught.value.supported) == (found, 2)
    assert raw("PRAGMA user_version") == [(found,)]


def test_a_visitor_accepts_no_hard_link(path):
    """Another name would have another lock."""
    make(path)
    os.link(path, path.with_name("other.db"))
    with pytest.raises(errors.StorageUnavailableError, match="hard links"):
        SQLiteStorage.visiting(path.with_name("other.db")).open()


@pytest.mark.parametrize("clean", [True, False])
async def test_a_visitor_passes_on_how_the_last_owner_ended(path, raw, clean):
    """The next owner learns of an unclean end, and of no other."""
    make(path, clean=clean)
    async with open_visit(path) as actor:
        [(role, name)] = raw("SELECT role, owner_name FROM claw_meta")
        assert (role, name) == ("visitor", lock.owner_name("visitor"))
        await actor.submit(Create(a_row("two"), (a_start(),)))
    storage = SQLiteStorage(path)
    assert storage.open().clean is clean
    assert raw("SELECT role FROM claw_meta") == [("owner",)]
    assert storage.get_workflow("two").row.id == "two"
    storage.close()


def test_a_visitor_leaves_what_was_half_deleted_to_the_owner(path):
    """It is short; to finish is recovery."""
    storage = SQLiteStorage(path)
    storage.open()
    storage.commit([Create(a_row(), (a_start(), an_outcome("t"), an_outcome("u")))])
    storage.commit([Delete("one", limit=1)])
    storage.abandon()
    visitor = SQLiteStorage.visiting(path)
    assert visitor.open().unfinished_deletes == ()
    visitor.close(clean=False)
    owner = SQLiteStorage(path)
    assert owner.open().unfinished_deletes == (1,)
    owner.close()


# -- who waits for whom -------------------------------------------------------------------------


def test_a_visitor_is_refused_while_an_owner_lives(storage, path):
    """By name, and for good: an owner stays."""
    with pytest.raises(errors.StorageLockedError) as caught:
        SQLiteStorage.visiting(path).open()
    assert caught.value.holder.startswith(f"pid {os.getpid()} on ")
    assert not caught.value.passing


def test_who_is_refused_because_of_a_visitor_may_wait(path):
    """The note says what the holder is."""
    make(path)
    visitor = SQLiteStorage.visiting(path)
    visitor.open()
    with pytest.raises(errors.StorageLockedError, match="owned by a visitor, pid") as caught:
        SQLiteStorage(path).open()
    visitor.close()
    assert caught.value.passing


@pytest.fixture
def dead_pid() -> int:
    """Return the id of a process that has just ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_a_note_of_the_last_holder_says_nothing_of_this_one(path, dead_pid):
    """Between lock and note there is a moment; whoever was refused then looks again."""
    path.parent.mkdir()
    name = str(path) + ".lock"
    held = lock.OwnerLock(name, str(path))
    notes = {
        "": True,
        "nonsense": True,
        f"pid {dead_pid} on here since then": True,
        f"a visitor, pid {os.getpid()} on here since then": True,
        f"pid {os.getpid()} on here since then": False,
        f"pid {10**30} on here since then": False,
    }
    found = {}
    for note in notes:
        Path(name).write_text(note)
        with pytest.raises(errors.StorageLockedError) as caught:
            lock.OwnerLock(name, str(path))
        found[note] = caught.value.passing
    held.release()
    assert found == notes


def test_a_lock_that_is_let_go_has_no_note(path):
    """So nobody is taken for the holder who is not."""
    path.parent.mkdir()
    name = Path(str(path) + ".lock")
    held = lock.OwnerLock(str(name), str(path))
    assert name.read_text() != ""
    held.release()
    assert name.read_text() == ""


def test_a_note_that_cannot_be_emptied_keeps_nobody_out(path, monkeypatch):
    """The lock is let go all the same."""

    def fail(*_):
        raise OSError("read-only")

    path.parent.mkdir()
    name = str(path) + ".lock"
    held = lock.OwnerLock(name, str(path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", fail)
        held.release()
    lock.OwnerLock(name, str(path)).release()


class Visited(MemoryStorage):
    """A backend that somebody holds for so many attempts to open it."""

    def __init__(self, attempts: float, *, passing: bool = True):
        super().__init__()
        self.attempts, self.passing, self.tried = attempts, passing, 0

    def open(self):
        self.tried += 1
        if self.tried <= self.attempts:
            raise errors.StorageLockedError("here", "somebody", passing=self.passing)
        return super().open()


def actor_on(backend) -> StorageActor:
    return StorageActor(backend, InlineExecutor(), StorageLimits())


async def test_an_opening_waits_for_a_visitor(autojump_clock):
    """A moment later it is open."""
    actor = actor_on(Visited(10))
    await actor.live(actor.close)
    assert actor.backend.tried == 11
    assert 0.1 < trio.current_time() < 1


async def test_an_opening_waits_no_longer_than_five_seconds(autojump_clock):
    """A visitor who stays is told of like an owner."""
    actor = actor_on(Visited(float("inf")))
    began = trio.current_time()
    with pytest.raises(errors.StorageLockedError):
        await actor.live(actor.close)
    assert 5 <= trio.current_time() - began < 5.1


async def test_an_owner_is_not_waited_for(autojump_clock):
    """It will not leave soon: whoever comes is told at once."""
    actor = actor_on(Visited(1, passing=False))
    with pytest.raises(errors.StorageLockedError):
        await actor.live(actor.close)
    assert actor.backend.tried == 1


async def test_who_is_asked_to_stop_waits_no_longer(autojump_clock):
    """An opening that is given up ends within a moment."""
    actor = actor_on(Visited(float("inf")))

    async def stop():
        await trio.sleep(1)
        actor.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        with pytest.raises(errors.StorageLockedError):
            await actor.live(lambda: None)
    assert trio.current_time() < 1.1


@pytest.fixture
def visitor(path):
    """Another process that visits the file until it is killed."""
    make(path)
    process = subprocess.Popen(
        [sys.executable, "-c", VISITOR, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == b"open\n"
    yield process
    process.kill()
    process.communicate()


async def test_a_starting_owner_waits_for_a_visitor_in_another_process(path, visitor):
    """It opens as soon as the visitor is gone."""
    opened = []
    actor = actor_on(SQLiteStorage(path))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.live, lambda: opened.append(actor.close()))
        await trio.sleep(0.1)
        assert opened == []
        visitor.kill()
    assert opened
