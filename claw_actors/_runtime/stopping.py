"""What a stop has interrupted, and what it has cut off: for whoever asked for it, and for the log.

Nothing of it is stored. What goes on at the next start follows from the journals; this only says it
while it can be seen: who was in memory when the stop began, and how each of them has left since.

A failure of storage stops everything, too. If storage is opened again, all that was only for a
moment, and the book is closed; if not, that was the beginning of the end.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from .cell import Cell

__all__ = ["CutOffTask", "StopReport", "Stops"]

T = TypeVar("T")

_log = logging.getLogger("claw_actors.stopping")

MOST_NAMED: Final = 20
"""Of more, the log says how many."""


@attrs.frozen(kw_only=True)
class CutOffTask:
    """A task that was cut off in the middle of an attempt; it runs again, as the same attempt.

    Attributes:
        workflow_id, task_id: which.
        attempt: which attempt, from 1.
        seconds: for how long that had run.
    """

    workflow_id: str
    task_id: str
    attempt: int
    seconds: float


@attrs.frozen(kw_only=True)
class StopReport:
    """What a runtime has left behind when it was closed.

    Workflows that were not in memory, because they only wait, are not touched by a stop.

    Attributes:
        reason: why it stopped.
        seconds: how long it took, from the request until storage was closed.
        interrupted: ids of workflows that were at work, or about to be, and have not ended. They go
            on at the next start. In the order of their creation, as the others.
        waiting: ids of those that only waited, in memory.
        cut_off: tasks that were in the middle of an attempt when the grace was over.
    """

    reason: str
    seconds: float
    interrupted: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    cut_off: tuple[CutOffTask, ...] = ()


@attrs.define
class _Book:
    """A report in the making.

    Attributes:
        began: when, in seconds of Trio's clock.
        idle: ids of those that only waited then.
        for_good: whether it was asked for; a failure of storage may pass.
        interrupted, waiting, cut_off: each with the workflow's key. They leave memory in any order,
            and are told in that of their creation.
    """

    reason: str
    began: float
    idle: frozenset[str]
    for_good: bool
    interrupted: dict[int, str] = attrs.field(factory=dict[int, str])
    waiting: dict[int, str] = attrs.field(factory=dict[int, str])
    cut_off: dict[int, tuple[CutOffTask, ...]] = attrs.field(
        factory=dict[int, tuple[CutOffTask, ...]]
    )

    def close(self) -> StopReport:
        return StopReport(
            reason=self.reason,
            seconds=trio.current_time() - self.began,
            interrupted=_in_order(self.interrupted),
            waiting=_in_order(self.waiting),
            cut_off=tuple(chain.from_iterable(_in_order(self.cut_off))),
        )


def _in_order(by_key: Mapping[int, T]) -> tuple[T, ...]:
    return tuple(by_key[key] for key in sorted(by_key))


class Stops:
    """Takes note of who leaves memory, from the moment when everything is asked to stop."""

    def __init__(self) -> None:
        # Of the last stop, once it is over.
        self.report: StopReport | None = None
        self._book: _Book | None = None

    def begin(self, reason: str, idle: Iterable[str], *, for_good: bool) -> None:
        """Everything is asked to stop. Said again, it can only be for good.

        Args:
            reason: why.
            idle: ids of those in memory that only wait.
            for_good: whether nothing can come to life again.
        """
        if self._book is None:
            self._book = _Book(reason, trio.current_time(), frozenset(idle), for_good)
        self._book.for_good = self._book.for_good or for_good

    def resumed(self) -> None:
        """Storage is open again, and everything unfinished comes back."""
        if self._book is not None and not self._book.for_good:
            self._book = None

    def left(self, cell: Cell) -> None:
        """An instance has left memory."""
        book = self._book
        if book is None or cell.is_over:
            return
        book.cut_off[cell.pk] = cell.cut_off
        if not cell.paused:
            is_waiting = cell.left is not None or cell.id in book.idle
            (book.waiting if is_waiting else book.interrupted)[cell.pk] = cell.id

    def came_too_late(self, pk: int, id: str) -> None:
        """An instance was to come to life, and cannot any more."""
        if self._book is not None:
            self._book.interrupted[pk] = id

    @contextmanager
    def told(self) -> Generator[None]:
        """Report at the end of the block, when storage is closed, if a stop has begun."""
        try:
            yield
        finally:
            if (book := self._book) is not None:
                self.report = report = book.close()
                if report.interrupted or report.waiting or report.cut_off:
                    _tell(report)


def _tell(report: StopReport) -> None:
    _log.info(
        "the stop took %.3f s (%s): %d workflows interrupted%s, %d waiting, %d tasks cut off",
        report.seconds,
        report.reason,
        len(report.interrupted),
        _named(report.interrupted),
        len(report.waiting),
        len(report.cut_off),
    )
    for one in report.cut_off[:MOST_NAMED]:
        _log.warning(
            "workflow %s: task %s was cut off in attempt %d, after %.1f s, and runs again",
            one.workflow_id,
            one.task_id,
            one.attempt,
            one.seconds,
            extra={
                "workflow_id": one.workflow_id,
                "task_id": one.task_id,
                "attempt": one.attempt,
            },
        )
    if len(report.cut_off) > MOST_NAMED:
        _log.warning("%d more tasks were cut off", len(report.cut_off) - MOST_NAMED)


def _named(ids: Sequence[str]) -> str:
    if not ids:
        return ""
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return f" ({', '.join(ids[:MOST_NAMED])}{more})"
