"""Opening a supervisor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Never

from .._core.supervision.policy import AutoShutdown, Breaker, Strategy
from .keeper import running_keeper
from .reports import DeadLetter, Instrument
from .specs import ChildSpec, SupervisorSpec
from .supervisor import Supervisor
from .watching import Watchers

__all__ = ["open_supervisor"]


@asynccontextmanager
async def open_supervisor(
    *children: ChildSpec[Never, object],
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    within: float = 5.0,
    auto_shutdown: AutoShutdown = "never",
    grace: float = 30.0,
    stop_together: bool = False,
    breaker: Breaker | None = None,
    instruments: Sequence[Instrument] = (),
    on_dead_letter: Callable[[DeadLetter], None] | None = None,
) -> AsyncGenerator[Supervisor]:
    """Run a supervisor for the length of a block.

    When the block begins, all children have started. At its end they are stopped, last one first.
    The block is cancelled, and ends without an error, when the supervisor stops by itself
    (``auto_shutdown``, :meth:`Supervisor.request_stop`).

    Args:
        children: started in this order, each acknowledged before the next.
        strategy: who is restarted with a crashed child: ``"one_for_one"``: nobody;
            ``"one_for_all"``: all; ``"rest_for_one"``: those after it.
        max_restarts: restarts within the window that are forgiven; one more, and the supervisor
            gives up.
        within: the window, in seconds.
        auto_shutdown: whether it ends by itself once a significant child, or all of them, ended.
        grace: seconds that stopping all children takes at most; each gets its own grace, or what
            is left of this.
        stop_together: stop all children at once; for many that do not depend on each other.
        breaker: holds respawns back while children crash by the dozen.
        instruments: see what happens in the whole tree.
        on_dead_letter: called, synchronously, with every message that nobody deals with.

    Raises:
        InvalidInputError: a value that is not possible; two children of one id.
        ChildStartError: a child did not start; those before it are stopped again.
        RestartLimitExceededError: it gave up; the block is cancelled then.

    Cancelled from outside, the block is left in the same order: children are asked to stop, and
    cancelled when their grace is over.
    """
    spec = SupervisorSpec(
        children=children,
        strategy=strategy,
        max_restarts=max_restarts,
        within=within,
        auto_shutdown=auto_shutdown,
        grace=grace,
        stop_together=stop_together,
        breaker=breaker,
    )
    watchers = Watchers(instruments, on_dead_letter)
    async with running_keeper(spec, "", watchers) as keeper:
        with keeper.body:
            yield keeper.supervisor
