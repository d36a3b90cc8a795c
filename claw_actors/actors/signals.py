"""Signals: the first asks for a stop with a deadline, the second skips the grace."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import attrs
import trio

from .nursery import open_service_nursery

__all__ = ["SignalStop", "Stoppable", "stop_on_signals"]

_log = logging.getLogger("claw_actors.actors")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """What can be asked to stop, as a :class:`Supervisor` can."""

    def request_stop(self, reason: str, grace: float | None) -> None:
        """Begin to stop, to be done in ``grace`` seconds (``None``: its own default)."""
        ...

    async def wait_stopped(self) -> None:
        """Wait until it has stopped; the block of :func:`stop_on_signals` need not end for that."""
        ...


@attrs.define(eq=False)
class SignalStop:
    """Which signals have come.

    Attributes:
        received: in order.
    """

    received: list[signal.Signals] = attrs.field(factory=list[signal.Signals])

    @property
    def exit_code(self) -> int:
        """The exit code by which a shell knows that a signal ended a program; 0 without one."""
        return 128 + self.received[0] if self.received else 0


@asynccontextmanager
async def stop_on_signals(
    target: Stoppable,
    *,
    grace: float | None = None,
    signals: Sequence[signal.Signals] = SIGNALS,
) -> AsyncGenerator[SignalStop]:
    """Turn signals into a stop of ``target``, for the length of a block.

    The first one asks it to stop within ``grace`` seconds; the second skips what is left of that.
    After a signal the block does not end before the target has stopped. The library itself never
    touches signals; this is for a program's ``main``.

    Args:
        target: what is stopped.
        grace: seconds, or ``None`` for the target's own.
        signals: which signals.

    Yields:
        Which signals have come, for the exit code.

    Raises:
        RuntimeError: not in the main thread, where alone Python delivers signals.
    """
    stop = SignalStop()
    with trio.open_signal_receiver(*signals) as received:

        async def watch() -> None:
            async for number in received:
                stop.received.append(signal.Signals(number))
                name = stop.received[-1].name
                if len(stop.received) == 1:
                    _log.warning("%s: stopping; once more to stop at once", name)
                    target.request_stop(f"{name} was received", grace)
                else:
                    _log.warning("%s: stopping at once", name)
                    target.request_stop(f"{name} was received again", 0)

        # The stop cancels the block; a second signal has to be heard until it is done.
        async with open_service_nursery() as nursery:
            nursery.start_soon(watch)
            try:
                yield stop
            finally:
                try:
                    if stop.received:
                        with trio.CancelScope(shield=True):
                            await target.wait_stopped()
                finally:
                    nursery.cancel_scope.cancel(reason="the block has ended")
