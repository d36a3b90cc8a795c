"""An ``Advance`` that begins the next run, and ``Trim``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...errors import StaleWriteError
from ...storage.operations import (
    Advance,
    Advanced,
    Claim,
    Claimed,
    Delete,
    Deleted,
    Send,
    Sent,
    Trim,
    Trimmed,
)
from ...storage.records import DeadLetter, Loaded, RowChange
from .case import case
from .driving import create, do, load_one, refused
from .samples import a_message, a_row, a_start, an_end, an_outcome, open_work

if TYPE_CHECKING:
    from ..._core.journal import Entry
    from ...storage.backend import Backend


def a_next_run(
    pk: int, *carried: Entry, run: int = 2, life: int = 1, expect_n: int | None = None
) -> Advance:
    """Make the operation that ends the run before, of a workflow called "one"."""
    change = RowChange(
        status=Status.PENDING, version=2, run=run, run_key=f"k-{run}", seed=run, life=life + 1
    )
    entries = (a_start(b"[2]"), *carried)
    return Advance(pk, "one", life, change=change, expect_n=expect_n, continued=entries)


def trim(backend: Backend, pk: int, limit: int = 5_000) -> int:
    """Drop what earlier runs have left, and return how many steps it took."""
    steps = 1
    while not do(backend, Trim(pk, limit), Trimmed).done:
        assert steps < 100, "trimming does not end"
        steps += 1
    return steps


@case
def a_next_run_begins_with_what_it_is_given(backend: Backend) -> None:
    """Its journal is numbered from 0; the row is of that run; of the one before nothing is read."""
    row = a_row(status=Status.RUNNING, life=1, metadata={"a": "1"})
    pk = create(backend, row, an_outcome("a"), an_outcome("b"))
    do(backend, Advance(pk, "one", 1, opened=(open_work("c"),)), Advanced)
    assert do(backend, a_next_run(pk, a_message(), expect_n=2), Advanced).n == 1
    expected = attrs.evolve(
        row,
        pk=pk,
        status=Status.PENDING,
        version=2,
        run=2,
        run_key="k-2",
        seed=2,
        life=2,
        revision=2,
    )
    entries = (a_start(b"[2]"), attrs.evolve(a_message(), n=1))
    for _ in range(2):
        assert load_one(backend, pk) == Loaded(row=expected, entries=entries, open_tasks=())
        stored = backend.get_workflow("one")
        assert (stored.row, stored.start, stored.end) == (expected, a_start(b"[2]"), None)
        assert backend.read_tasks("one") == ([], [])
        trim(backend, pk)


@case
def what_belongs_to_the_workflow_outlives_its_runs(backend: Backend) -> None:
    """Keys of messages, values, dead letters, labels and the parent."""
    create(backend, "parent")
    pk = create(backend, a_row(status=Status.RUNNING, life=1, parent="parent"))
    letter = DeadLetter("t", 1.0, "why", b"1")
    shown = Advance(pk, "one", 1, values=(("k", b"1"),), dead_letters=(letter,))
    do(backend, shown, Advanced)
    do(backend, Send("one", a_message(), "key"), Sent)
    late = attrs.evolve(a_next_run(pk), values=(("l", b"2"),))
    do(backend, late, Advanced)
    trim(backend, pk)
    assert do(backend, Send("one", a_message(), "key"), Sent).duplicate
    assert backend.get_workflow("one").row.parent == "parent"
    assert (backend.get_value("one", "k"), backend.get_value("one", "l")) == (b"1", b"2")
    assert len(backend.list_dead_letters("one", 0, 9)) == 1


@case
def a_next_run_goes_on_like_any_other(backend: Backend) -> None:
    """Claims, outcomes and messages; one whose op the run before had, too; and its end."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1), an_outcome("a"))
    do(backend, a_next_run(pk), Advanced)
    do(backend, Claim(((pk, 2),), 5.0, counted=False), Claimed)
    results = backend.commit(
        [
            Advance(pk, "one", 3, (an_outcome("a", value=b"2"),), expect_n=0),
            Send("one", a_message()),
            Trim(pk),
            Advance(pk, "one", 3, (an_end(),)),
        ]
    )
    assert results == [Advanced(1), Sent(pk, 2), Trimmed(done=True), Advanced(3)]
    [outcome], _ = backend.read_tasks("one")
    assert outcome.value == b"2"
    assert backend.get_workflow("one").end == attrs.evolve(an_end(), n=3)


@case
def nothing_of_the_old_life_comes_into_the_next_run(backend: Backend) -> None:
    """What it still writes is refused, in the same commit, too."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1))
    late = Advance(pk, "one", 1, (an_outcome(),))
    results = backend.commit([a_next_run(pk), late])
    assert [type(result) for result in results] == [Advanced, StaleWriteError]
    assert refused(backend, late, StaleWriteError).what == "life"


@case
def a_run_to_which_something_was_added_does_not_end(backend: Backend) -> None:
    """A message that came meanwhile is not lost."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1))
    do(backend, Send("one", a_message()), Sent)
    assert refused(backend, a_next_run(pk, expect_n=0), StaleWriteError).what == "journal"
    do(backend, a_next_run(pk, expect_n=1), Advanced)


@case
def trimming_goes_in_bounded_pieces_and_can_be_repeated(backend: Backend) -> None:
    """Over several runs; of a workflow that is gone there is nothing to drop."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1), *map(an_outcome, "abcdefg"))
    for run in (2, 3):
        do(backend, a_next_run(pk, a_message(), run=run, life=run - 1), Advanced)
    before = load_one(backend, pk)
    trim(backend, pk, limit=2)
    assert trim(backend, pk) == 1
    assert load_one(backend, pk) == before
    do(backend, Delete("one"), Deleted)
    assert trim(backend, pk) == 1


@case
def a_workflow_with_untrimmed_runs_is_deleted_with_them(backend: Backend) -> None:
    """Also in pieces; its id is free then."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1), *map(an_outcome, "abcdefg"))
    do(backend, a_next_run(pk), Advanced)
    answer = do(backend, Delete("one", limit=2), Deleted)
    while not answer.done:
        assert trim(backend, pk) == 1
        answer = do(backend, Delete("one", pk, limit=2), Deleted)
    create(backend)
