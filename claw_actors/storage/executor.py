"""Where a backend's calls run: in worker threads, or right here.

Under ``trio.testing.MockClock`` with autojump, virtual time leaps while a worker thread runs, so
tests under a mock clock run the backend inline; so does a backend that never blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

import trio

__all__ = ["Executor", "InlineExecutor", "ThreadExecutor"]

MAX_READERS = 4

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Executor(Protocol):
    """Runs a backend's synchronous calls."""

    async def write(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a call that changes something; one at a time. Not cancellable once begun."""
        ...

    async def read(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a call that only reads; never behind a write. Not cancellable once begun."""
        ...


class ThreadExecutor:
    """Runs calls in worker threads.

    Limiters of its own: Trio's shared default limiter can deadlock behind user code that fills
    it and waits on storage. A ``CapacityLimiter(1)`` does not pin a thread, so a backend must not
    mind changing threads.
    """

    def __init__(self) -> None:
        self._writers = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(MAX_READERS)

    async def write(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(fn, *args, limiter=self._writers)

    async def read(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(fn, *args, limiter=self._readers)


class InlineExecutor:
    """Runs calls in the caller's own Trio task, between two checkpoints."""

    async def write(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        # Others run before the call, as they would beside a thread: so groups form.
        await trio.lowlevel.cancel_shielded_checkpoint()
        return fn(*args)

    async def read(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint()
        return fn(*args)
