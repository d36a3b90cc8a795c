"""``get_workflow``, ``read_rows``, ``read_tasks`` and ``load``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from ..._core.journal import EntryStatus
from ...errors import NotFoundError
from ...storage.operations import Advance, Advanced, Delete, Deleted
from ...storage.records import Loaded
from .case import case
from .driving import by_op, create, do, load_one, raised
from .samples import a_cancel, a_timer, a_void, an_end, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend


@case
def an_unknown_workflow_is_not_found(backend: Backend) -> None:
    """Reading what is not there raises, naming it."""
    create(backend)
    for read in (backend.get_workflow, backend.read_tasks):
        error = raised(NotFoundError, partial(read, "nobody"))
        assert (error.kind, error.id) == ("workflow", "nobody")


@case
def a_workflow_comes_with_its_start_and_end(backend: Backend) -> None:
    """The input is there from the beginning, the outcome once there is one."""
    pk = create(backend, "one", an_outcome())
    stored = backend.get_workflow("one")
    assert stored.start == load_one(backend, pk).entries[0]
    assert stored.end is None
    do(backend, Advance(pk, "one", 0, (an_end(b"7"),)), Advanced)
    assert backend.get_workflow("one").end == attrs.evolve(an_end(b"7"), n=2)


@case
def rows_come_as_they_are_asked_for(backend: Backend) -> None:
    """In that order, as they now are; one that is gone is left out, and no other."""
    for id in ("one", "two", "three", "four"):
        create(backend, id, an_outcome())
    do(backend, Delete("three"), Deleted)
    found = backend.read_rows(["two", "nobody", "three", "one"])
    assert found == [backend.get_workflow(id).row for id in ("two", "one")]
    assert backend.read_rows([]) == []


@case
def a_voided_end_is_none(backend: Backend) -> None:
    """What a void note took out is no end; a later end is."""
    failed = an_end(b"boom", status=EntryStatus.FAILED, after=1)
    pk = create(backend, "one", an_outcome(status=EntryStatus.FAILED), failed)
    do(backend, Advance(pk, "one", 0, (a_void(1),)), Advanced)
    assert backend.get_workflow("one").end is None
    do(backend, Advance(pk, "one", 0, (an_end(b"7"),)), Advanced)
    assert backend.get_workflow("one").end == attrs.evolve(an_end(b"7"), n=4)


@case
def an_end_that_was_not_voided_stays(backend: Backend) -> None:
    """A void note takes out only what was asked for after it; the last end that is left counts."""
    first, second = an_end(b"first", after=0), an_end(b"second", after=3)
    pk = create(backend, "one", an_outcome("a"), first, an_outcome("b"), second)
    assert backend.get_workflow("one").end == attrs.evolve(second, n=4)
    do(backend, Advance(pk, "one", 0, (a_void(3),)), Advanced)
    assert backend.get_workflow("one").end == attrs.evolve(first, n=2)


@case
def tasks_are_read_in_commit_order(backend: Backend) -> None:
    """Outcomes come in the order of their numbers; what is no task is left out."""
    entries = (
        an_outcome("z"),
        a_timer(),
        an_outcome("a", status=EntryStatus.FAILED),
        a_cancel(),
        an_outcome("m", status=EntryStatus.CANCELLED),
        an_end(),
    )
    pk = create(backend, "one", *entries)
    do(backend, Advance(pk, "one", 0, opened=(open_work("y"), open_work("b"))), Advanced)
    outcomes, work = backend.read_tasks("one")
    assert outcomes == [attrs.evolve(entries[n - 1], n=n) for n in (1, 3, 5)]
    assert by_op(work) == (open_work("b"), open_work("y"))


@case
def one_task_can_be_asked_for(backend: Backend) -> None:
    """With an op only that task is read; an unknown one is empty."""
    pk = create(backend, "one", an_outcome("a"), an_outcome("a#2"), a_timer("b"))
    do(backend, Advance(pk, "one", 0, opened=(open_work("c"), open_work("c#2"))), Advanced)
    assert backend.read_tasks("one", "a") == ([attrs.evolve(an_outcome("a"), n=1)], [])
    assert backend.read_tasks("one", "c#2") == ([], [open_work("c#2")])
    assert backend.read_tasks("one", "b") == ([], [])
    assert backend.read_tasks("one", "A") == ([], [])


@case
def voided_outcomes_are_left_out_of_tasks_and_kept_in_the_journal(backend: Backend) -> None:
    """Tasks show what counts, a load shows all that was written."""
    a, b, c = an_outcome("a"), an_outcome("b", after=1), an_outcome("c", after=2)
    pk = create(backend, "one", a, b, c, a_cancel(), a_void(2), an_outcome("b", after=1))
    outcomes, _ = backend.read_tasks("one")
    assert [(entry.n, entry.op) for entry in outcomes] == [(1, "a"), (6, "b")]
    assert backend.read_tasks("one", "c") == ([], [])
    assert [entry.n for entry in load_one(backend, pk).entries] == list(range(7))


@case
def loads_come_in_the_order_asked_for(backend: Backend) -> None:
    """Each has its own row, journal and open work; those that are gone are left out."""
    keys = [create(backend, id, an_outcome(f"of-{id}")) for id in ("a", "b", "c")]
    for pk, id in zip(keys, ("a", "b", "c"), strict=True):
        do(backend, Advance(pk, id, 0, opened=(open_work(f"open-{id}"),)), Advanced)
    do(backend, Delete("b"), Deleted)
    loaded = backend.load([keys[2], keys[1], keys[2] + 50, keys[0]])
    assert [
        (one.row.id, one.entries[1].op, one.open_tasks[0].op)
        for one in loaded
        if isinstance(one, Loaded)
    ] == [("c", "of-c", "open-c"), ("a", "of-a", "open-a")]


@case
def nobody_is_loaded_for_no_keys(backend: Backend) -> None:
    """A load of nothing is empty."""
    create(backend)
    assert backend.load([]) == []
