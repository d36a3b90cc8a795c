"""A supervisor of children that come and go: each is watched, restarted or given up by policy.

What happens after an exit is decided by the child's own ``on_exit``; this module only carries it
out. Its rules, each learnt from a supervisor that broke it:

- Only an ``Exception`` is an exit to decide about. ``Cancelled``, ``KeyboardInterrupt`` and
  ``SystemExit`` propagate.
- An incarnation never starts before the last one's code has returned.
- Waiting before a restart blocks nobody else, and ends at once when the child is stopped.
- Children run under the supervisor's own cancel scope and context variables, never under those
  of whoever happened to start them.
- Stopping is asked for first, and enforced by cancellation when the grace is over.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import attrs
import trio

from .nursery import open_service_nursery

__all__ = [
    "ChildSpec",
    "Decision",
    "Exit",
    "GiveUp",
    "RestartAfter",
    "Supervisor",
    "open_supervisor",
]


@attrs.frozen
class Exit:
    """How an incarnation ended.

    Attributes:
        incarnation: which one, from 1.
        error: what it raised, or ``None`` if it returned.
    """

    incarnation: int
    error: Exception | None


@attrs.frozen
class RestartAfter:
    """Start the next incarnation in that many seconds."""

    seconds: float


@attrs.frozen
class GiveUp:
    """There is no next incarnation."""


Decision: TypeAlias = RestartAfter | GiveUp


@attrs.frozen(kw_only=True)
class ChildSpec:
    """What a supervisor needs to know of a child.

    Attributes:
        id: unique among the children.
        run: one incarnation; called with its number.
        on_exit: decides what follows an exit. An error out of it ends the supervisor.
        on_stop: asks the running incarnation to end by itself; called with the reason. Must
            neither block nor raise.
        on_gone: told that the child is no more: its id may be used again. Must neither block nor
            raise.
    """

    id: str
    run: Callable[[int], Awaitable[None]]
    on_exit: Callable[[Exit], Awaitable[Decision]]
    on_stop: Callable[[str], None]
    on_gone: Callable[[], None]


@attrs.define(eq=False)
class _Child:
    spec: ChildSpec
    stopping: trio.Event = attrs.field(factory=trio.Event)
    gone: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def ask_to_stop(self, reason: str) -> None:
        if not self.stopping.is_set():
            self.stopping.set()
            self.spec.on_stop(reason)


class Supervisor:
    """Starts, watches, restarts and stops children. Made by :func:`open_supervisor`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._context = contextvars.copy_context()
        # Invariant: a child is here from its start until its last incarnation has returned.
        self._children: dict[str, _Child] = {}
        self._stopped = False

    def __len__(self) -> int:
        return len(self._children)

    def start_child(self, spec: ChildSpec) -> bool:
        """Start a child; it runs from the next scheduler tick on.

        Returns:
            Whether it was started: not if the supervisor is stopping, or has a child of this id.
        """
        if self._stopped or spec.id in self._children:
            return False
        child = self._children[spec.id] = _Child(spec)
        self._context.copy().run(self._nursery.start_soon, self._supervise, child)
        return True

    async def _supervise(self, child: _Child) -> None:
        incarnation = 0
        try:
            while not child.stopping.is_set():
                incarnation += 1
                error: Exception | None = None
                child.scope = trio.CancelScope()
                with child.scope:
                    try:
                        await child.spec.run(incarnation)
                    except Exception as raised:
                        error = raised
                if child.scope.cancelled_caught:
                    return
                decision = await child.spec.on_exit(Exit(incarnation, error))
                if isinstance(decision, GiveUp):
                    return
                with trio.move_on_after(decision.seconds):
                    await child.stopping.wait()
        finally:
            del self._children[child.spec.id]
            child.spec.on_gone()
            child.gone.set()

    async def stop_child(self, id: str, reason: str, grace: float = 0.0) -> None:
        """Stop a child and wait until it is gone; nothing happens if there is none of this id.

        Args:
            id: the child.
            reason: why, for its ``on_stop``.
            grace: seconds it gets to end by itself before it is cancelled.

        Cancelled, the stop goes on without the caller.
        """
        child = self._children.get(id)
        if child is not None:
            child.ask_to_stop(reason)
            await self._wait_gone([child], reason, grace)

    async def stop(self, reason: str, grace: float) -> None:
        """Stop all children at once under one deadline; no more are started."""
        self._stopped = True
        children = list(self._children.values())
        for child in children:
            child.ask_to_stop(reason)
        await self._wait_gone(children, reason, grace)

    async def _wait_gone(self, children: list[_Child], reason: str, grace: float) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not children:
            return  # perhaps there is not even a nursery any more
        # The deadline belongs to the supervisor: a caller that is cancelled must not lift it.
        self._nursery.start_soon(_enforce, children, reason, trio.current_time() + grace)
        for child in children:
            await child.gone.wait()


async def _enforce(children: list[_Child], reason: str, deadline: float) -> None:
    """Cancel those that are not gone by the deadline, in Trio's time."""
    with trio.move_on_at(deadline):
        for child in children:
            await child.gone.wait()
        return
    for child in children:
        child.scope.cancel(reason=reason)


@asynccontextmanager
async def open_supervisor() -> AsyncGenerator[Supervisor]:
    """Open a supervisor whose children live at most as long as the block.

    The block has to stop the children (:meth:`Supervisor.stop`) before it ends. What cancels the
    block does not reach them, so that they can be stopped in order.

    Raises:
        BaseExceptionGroup: what an ``on_exit`` raised, or what no supervisor may swallow.
    """
    async with open_service_nursery() as nursery:
        yield Supervisor(nursery)
