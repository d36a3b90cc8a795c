"""How cases drive a backend: one operation, its answer, and all that can be read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import attrs

from ...errors import ClawError
from ...storage.model import WorkflowFilter
from ...storage.operations import Create, Created, Delete, Deleted
from ...storage.records import (
    DeadLetter,
    Loaded,
    StoredValue,
    StoredWorkflow,
    WakeTime,
    WorkflowRow,
)
from .samples import a_row, a_start

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._core.journal import Entry, OpenTask
    from ...storage.backend import Backend
    from ...storage.operations import Answer, Atomic, Operation

__all__ = [
    "EARLIEST",
    "Image",
    "by_op",
    "create",
    "delete_all",
    "do",
    "do_all",
    "image",
    "load_one",
    "raised",
    "refused",
]

EARLIEST = (-sys.float_info.max, 0)
"""Before every time to wake at."""

A = TypeVar("A")
E = TypeVar("E", bound=ClawError)


def do(backend: Backend, operation: Operation, answer: type[A]) -> A:
    """Commit one operation alone and return its answer, which must be of this type."""
    [result] = backend.commit([operation])
    assert isinstance(result, answer), result
    return result


def do_all(backend: Backend, operation: Atomic) -> tuple[Answer, ...]:
    """Commit an ``Atomic`` that must be done, and return its answers."""
    [result] = backend.commit([operation])
    assert isinstance(result, tuple), result
    return result


def refused(backend: Backend, operation: Operation, error: type[E]) -> E:
    """Commit one operation that must be refused with this error, and leave no trace."""
    before = image(backend)
    [result] = backend.commit([operation])
    assert isinstance(result, error), result
    assert image(backend) == before
    return result


def raised(error: type[E], call: Callable[[], object]) -> E:
    """Call what must raise this error, and return it."""
    try:
        call()
    except error as caught:
        return caught
    raise AssertionError(f"{error.__name__} was not raised")


def create(backend: Backend, row: WorkflowRow | str = "one", *entries: Entry) -> int:
    """Create a workflow with a start and these entries, and return its key."""
    row = a_row(row) if isinstance(row, str) else row
    return do(backend, Create(row, (a_start(), *entries)), Created).pk


def delete_all(backend: Backend, id: str, *, limit: int) -> int:
    """Delete a workflow in pieces, and return how many it took."""
    answer = do(backend, Delete(id, limit=limit), Deleted)
    steps = 1
    while not answer.done:
        assert steps < 100, "deleting does not end"
        answer = do(backend, Delete(id, pk=answer.pk, limit=limit), Deleted)
        steps += 1
    return steps


def load_one(backend: Backend, pk: int) -> Loaded:
    """Load one workflow that must be there and sound."""
    [loaded] = backend.load([pk])
    assert isinstance(loaded, Loaded), loaded
    return loaded


@attrs.frozen
class Image:
    """All that can be read of a small storage, to compare."""

    listed: tuple[StoredWorkflow, ...]
    loaded: tuple[Loaded, ...]
    tasks: tuple[tuple[tuple[Entry, ...], tuple[OpenTask, ...]], ...]
    values: tuple[tuple[StoredValue, ...], ...]
    dead_letters: tuple[tuple[DeadLetter, ...], ...]
    unfinished: tuple[WorkflowRow, ...]
    wake_times: tuple[WakeTime, ...]


def by_op(tasks: list[OpenTask] | tuple[OpenTask, ...]) -> tuple[OpenTask, ...]:
    """Return open work in the order of its ops: backends need not keep one."""
    return tuple(sorted(tasks, key=lambda task: task.op))


def _dead_letters(backend: Backend, id: str) -> tuple[DeadLetter, ...]:
    """Read all dead letters; only the order of their numbers means anything."""
    letters = backend.list_dead_letters(id, 0, 1_000)
    numbers = [letter.seq for letter in letters]
    assert numbers == sorted(set(numbers))
    return tuple(attrs.evolve(letter, seq=0) for letter in letters)


def image(backend: Backend) -> Image:
    """Read everything there is; up to 1,000 workflows."""
    query = WorkflowFilter(limit=1_000, include_total=True, include_payloads=True)
    listing = backend.list_workflows(query)
    assert not listing.more
    assert listing.total == len(listing.items)
    ids = [item.row.id for item in listing.items]
    for id, item in zip(ids, listing.items, strict=True):
        assert id is not None
        assert backend.get_workflow(id) == item
    tasks = [backend.read_tasks(id) for id in ids if id is not None]
    return Image(
        listed=listing.items,
        loaded=tuple(
            attrs.evolve(loaded, open_tasks=by_op(loaded.open_tasks))
            for loaded in (load_one(backend, item.row.pk) for item in listing.items)
        ),
        tasks=tuple((tuple(outcomes), by_op(work)) for outcomes, work in tasks),
        values=tuple(tuple(backend.list_values(id)) for id in ids if id is not None),
        dead_letters=tuple(_dead_letters(backend, id) for id in ids if id is not None),
        unfinished=backend.list_unfinished(0, sys.float_info.max, 1_000).rows,
        wake_times=tuple(backend.list_wake_times(EARLIEST, 1_000)),
    )
