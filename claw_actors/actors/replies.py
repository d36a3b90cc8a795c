"""Where the answer to a request goes."""

from __future__ import annotations

from collections.abc import Callable

import outcome
import trio

__all__ = ["Reply"]


class Reply:
    """The answer that somebody waits for; given once.

    Get it by ``self.defer()`` in ``receive``, to answer later. If the actor ends before, whoever
    asked gets ``ActorStoppedError`` or ``ActorCrashedError``: an ``ask`` always ends.
    """

    __slots__ = ("_on_end", "_task")

    def __init__(self, task: trio.lowlevel.Task, on_end: Callable[[Reply, bool], None]) -> None:
        self._task: trio.lowlevel.Task | None = task
        self._on_end = on_end

    @property
    def is_awaited(self) -> bool:
        """Whether somebody still waits for it."""
        return self._task is not None

    def send(self, value: object) -> None:
        """Answer. A second answer, or one that comes too late, is dropped and counted."""
        self._end(outcome.Value(value))

    def fail(self, error: Exception) -> None:
        """Answer with an exception, which is raised where it was asked."""
        self._end(outcome.Error(error))

    def give_up(self) -> None:
        """Nobody waits any more: the caller was cancelled."""
        self._task = None

    def _end(self, result: outcome.Outcome[object]) -> None:
        task, self._task = self._task, None
        self._on_end(self, task is None)
        if task is not None:
            trio.lowlevel.reschedule(task, result)
