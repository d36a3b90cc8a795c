"""Reads in other threads, beside commits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ...storage.model import WorkflowFilter
from ...storage.operations import Advance, Advanced, Create, Created
from ...storage.records import Loaded
from .case import case
from .driving import create, load_one
from .samples import a_row, a_start, an_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...storage.backend import Backend

READERS = 2
READS = 15
COMMITS = 15


def _write_while_reading(write: Callable[[], None], read: Callable[[], None]) -> None:
    """Call ``write`` in this thread and ``read`` in others, each often and beside the other.

    Neither side ends before the other has had its turns, however fast it is. The last read is
    made when nothing is written any more.
    """
    started = threading.Barrier(READERS + 1)
    ended = threading.Event()
    commits = 0

    def read_often() -> None:
        started.wait()
        reads = 0
        while not ended.is_set() and (reads < READS or commits < COMMITS):
            read()
            reads += 1

    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read_often) for _ in range(READERS)]
        started.wait()
        try:
            while not all(reader.done() for reader in readers):
                write()
                commits += 1
        finally:
            ended.set()  # a write that fails must not leave the readers waiting for it
    for reader in readers:
        reader.result()
    read()


@case
def one_load_sees_whole_commits(backend: Backend) -> None:
    """Two journals that grow in the same commits are equally long in every load."""
    one, two = create(backend, "one"), create(backend, "two")

    def write() -> None:
        entry = an_outcome()
        results = backend.commit(
            [Advance(one, "one", 0, (entry,)), Advance(two, "two", 0, (entry,))]
        )
        assert all(isinstance(result, Advanced) for result in results)

    def read() -> None:
        loaded = backend.load([one, two])
        lengths = [len(item.entries) for item in loaded if isinstance(item, Loaded)]
        assert len(lengths) == 2
        assert lengths[0] == lengths[1], lengths

    _write_while_reading(write, read)


@case
def one_list_sees_whole_commits(backend: Backend) -> None:
    """Workflows that are created in pairs are listed and counted in pairs."""
    pairs = 0

    def write() -> None:
        nonlocal pairs
        rows = [a_row(f"{pairs}-left"), a_row(f"{pairs}-right")]
        results = backend.commit([Create(row, (a_start(),)) for row in rows])
        assert all(isinstance(result, Created) for result in results)
        pairs += 1

    def read() -> None:
        listing = backend.list_workflows(WorkflowFilter(limit=2, include_total=True))
        assert listing.total is not None
        assert listing.total % 2 == 0
        expected = listing.total // 2 - 1
        ids = [item.row.id for item in listing.items]
        assert ids == ([f"{expected}-right", f"{expected}-left"] if listing.total else [])

    _write_while_reading(write, read)


@case
def a_read_sees_every_commit_that_returned_before_it(backend: Backend) -> None:
    """Once a commit has returned, no read that begins then misses it."""
    pk = create(backend)
    committed = 0

    def write() -> None:
        nonlocal committed
        backend.commit([Advance(pk, "one", 0, (an_outcome(),))])
        committed += 1

    def read() -> None:
        known = committed
        loaded = load_one(backend, pk)
        assert loaded.entries[-1].n >= known
        known = committed
        assert len(backend.read_tasks("one")[0]) >= known

    _write_while_reading(write, read)


@case
def commits_may_come_from_changing_threads(backend: Backend) -> None:
    """One at a time, each from another thread: a backend is bound to none."""
    pk = create(backend)
    for n in range(1, 5):
        with ThreadPoolExecutor(1) as pool:
            operation = Advance(pk, "one", 0, (an_outcome(f"t#{n}"),))
            assert pool.submit(backend.commit, [operation]).result() == [Advanced(n)]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(backend.close).result()
    assert backend.open().clean
