"""``map`` and ``race``: a nursery, and who of its children decides."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import attrs

from .._core.failures import consists_of
from ..errors import TaskFailedError

if TYPE_CHECKING:
    from .children import Children
    from .context import Context
    from .strand import Strand
    from .undertaking import Call

__all__ = ["Lane", "map_calls", "race_lanes"]

R = TypeVar("R")

Lane: TypeAlias = "Callable[[Context], Awaitable[R]]"
"""One of those who race: an async function of a context of its own."""


@attrs.define
class _Results(Generic[R]):
    """What a map has so far.

    Attributes:
        found: by the place of the item.
        running: how many tasks were started and have not ended.
    """

    found: dict[int, R | TaskFailedError] = attrs.field(factory=dict[int, R | TaskFailedError])
    running: int = 0

    async def settle(self, place: int, collect: bool, task: Coroutine[Any, Any, R]) -> None:
        """Await a task, and put its result, or its failure, where it belongs."""
        try:
            self.found[place] = await task
        except TaskFailedError as error:
            if not collect:
                raise
            self.found[place] = error
        self.running -= 1


async def map_calls(
    strand: Strand,
    opening: AbstractAsyncContextManager[Children],
    calls: Sequence[Call[R]],
    limit: int | None,
    collect: bool,
) -> list[R | TaskFailedError]:
    """Run these, at most ``limit`` at a time, and return their results in order.

    Args:
        strand: whose.
        opening: the nursery that they run in.
        calls: the tasks with their arguments.
        limit: how many may run at a time; ``None`` for all.
        collect: return failures among the results, instead of raising the first.
    """
    results = _Results[R]()
    async with opening as children:
        for place, call in enumerate(calls):
            if limit is not None and results.running >= limit:
                await strand.wait_until(lambda: results.running < limit)
            results.running += 1
            children.start_call(call, functools.partial(results.settle, place, collect))
    return [results.found[place] for place in range(len(calls))]


@attrs.define
class _Race(Generic[R]):
    """Where a race stands.

    Attributes:
        failures: classes of exceptions with which a lane has failed; others are mistakes.
        first_success: whether a failure decides nothing.
        won: the result of the one that decided, in a tuple of one.
        is_decided: whether one has decided, by its result or by its failure.
        failed: by the place of the lane.
    """

    failures: tuple[type[Exception], ...]
    first_success: bool
    won: tuple[R] | None = None
    is_decided: bool = False
    failed: dict[int, Exception] = attrs.field(factory=dict[int, Exception])

    async def settle(self, place: int, children: Children, lane: Coroutine[Any, Any, R]) -> None:
        """Await a lane, and decide the race by how it ends, if it is the first."""
        try:
            result = await lane
        except Exception as error:
            if not consists_of(error, self.failures):
                raise
            self.failed[place] = error
            if not self.first_success:
                self.is_decided = True
                raise
            return
        if not self.is_decided:
            self.is_decided, self.won = True, (result,)
            children.cancel_scope.cancel(reason="another lane has won the race")


async def race_lanes(
    opening: AbstractAsyncContextManager[Children],
    lanes: Sequence[Lane[R]],
    failures: tuple[type[Exception], ...],
    first_success: bool,
) -> R:
    """Run these until one of them decides; the others are cancelled.

    Args:
        opening: the nursery that they run in.
        lanes: who races.
        failures: classes of exceptions with which a lane has failed; others are mistakes.
        first_success: whether to go on after a failure, as long as there are lanes.
    """
    race = _Race[R](failures, first_success)
    try:
        async with opening as children:
            for place, lane in enumerate(lanes):
                children.start_child(
                    lane,
                    (),
                    None,
                    functools.partial(race.settle, place, children),
                )
    except BaseExceptionGroup as group:
        # A loser that fails while it is cancelled does not change who has won. But nothing else
        # may get lost.
        if race.won is None or not consists_of(group, failures):
            raise
    if race.won is None:
        failed = [error for _, error in sorted(race.failed.items())]
        raise ExceptionGroup("every lane of the race failed", failed)
    return race.won[0]
