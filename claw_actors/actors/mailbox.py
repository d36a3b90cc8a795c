"""The mailbox of a cell: bounded, first in first out, and what to do when it is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs
import trio

from .._core.bounds import at_least
from .._core.supervision.policy import check_one_of
from .replies import Reply

__all__ = ["Envelope", "Mailbox", "MailboxSpec", "OnFull", "Verdict"]

OnFull: TypeAlias = Literal["block", "fail", "drop_oldest", "drop_newest"]
"""What happens to a message when the mailbox is full: its sender waits, its sender gets a
``MailboxFullError``, the oldest message becomes a dead letter for it, or it becomes one itself."""

Verdict: TypeAlias = Literal["taken", "full", "drop_oldest", "drop_newest"]


@attrs.frozen(kw_only=True)
class MailboxSpec:
    """How large a mailbox is, and what happens when it is full.

    Attributes:
        capacity: messages that it holds, at least 1.
        on_full: what happens to a message then.

    Raises:
        InvalidInputError: not such a number, or no such policy.
    """

    capacity: int = attrs.field(default=1_000, validator=at_least(1, whole=True))
    on_full: OnFull = "block"

    def __attrs_post_init__(self) -> None:
        check_one_of("on_full", self.on_full, OnFull)


@attrs.define(eq=False)
class Envelope:
    """A message on its way.

    Attributes:
        message: what was sent.
        reply: where its answer goes, if one is awaited.
        taken: called when it has got into the mailbox, if its sender waits for that.
        withdrawn: whether its sender has given up.
    """

    message: object
    reply: Reply | None = None
    taken: Callable[[], None] | None = None
    withdrawn: bool = False


class Mailbox:
    """Messages in order, with those waiting for room behind them.

    Invariant: nobody waits for room unless the mailbox is full. So what one sender sends stays in
    order, whichever way each message was sent.
    """

    __slots__ = ("_queue", "_signals", "_sleeper", "_spec", "_stash", "_waiting")

    def __init__(self, spec: MailboxSpec) -> None:
        self._spec = spec
        self._queue: deque[Envelope] = deque()
        self._waiting: dict[Envelope, None] | None = None
        # What comes before every message: made when there is one.
        self._signals: deque[Callable[[], object]] | None = None
        self._stash: list[Envelope] | None = None
        self._sleeper: trio.lowlevel.Task | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def capacity(self) -> int:
        """How many messages it holds."""
        return self._spec.capacity

    # -- for senders ------------------------------------------------------------------------------

    def put(self, envelope: Envelope) -> Verdict:
        """Take a message in, if there is room; else say what its policy is."""
        if len(self._queue) < self._spec.capacity:
            self._queue.append(envelope)
            self.wake()
            return "taken"
        match self._spec.on_full:
            case "block" | "fail":
                return "full"
            case on_full:
                return on_full

    @property
    def blocks(self) -> bool:
        """Whether its senders wait when it is full."""
        return self._spec.on_full == "block"

    def wait_for_room(self, envelope: Envelope) -> None:
        """Line up; ``envelope.taken`` is called when it has got in."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[envelope] = None

    def withdraw(self, envelope: Envelope) -> None:
        """Take a message back, and its room; whoever holds it already is not concerned."""
        envelope.withdrawn = True
        if self._waiting is not None and envelope in self._waiting:
            del self._waiting[envelope]
            return
        try:
            self._queue.remove(envelope)
        except ValueError:
            return  # in hand, or put aside
        self._let_in()

    def replace_oldest(self, envelope: Envelope) -> Envelope:
        """Take a message in and return the oldest one."""
        oldest = self._queue.popleft()
        self._queue.append(envelope)
        return oldest

    def signal(self, signal: Callable[[], object]) -> None:
        """Have something done before the next message, however full it is."""
        if self._signals is None:
            self._signals = deque()
        self._signals.append(signal)
        self.wake()

    # -- for the actor ----------------------------------------------------------------------------

    def take(self) -> Envelope | None:
        """Return the next message, if there is one."""
        while self._queue:
            envelope = self._queue.popleft()
            self._let_in()
            if not envelope.withdrawn:
                return envelope
        return None

    def drop_signals(self) -> None:
        """Forget what was to be done by an incarnation that is gone."""
        self._signals = None

    def take_signal(self) -> Callable[[], object] | None:
        """Return the next signal, if there is one."""
        return self._signals.popleft() if self._signals else None

    def _let_in(self) -> None:
        while self._waiting and len(self._queue) < self._spec.capacity:
            envelope = next(iter(self._waiting))
            del self._waiting[envelope]
            self._queue.append(envelope)
            if envelope.taken is not None:
                envelope.taken()

    async def wait(self) -> None:
        """Wait until there is something new."""

        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._sleeper = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """Wake the actor, if it waits."""
        sleeper = self._sleeper
        if sleeper is not None:
            self._sleeper = None
            trio.lowlevel.reschedule(sleeper)

    # -- putting aside ----------------------------------------------------------------------------

    def stash(self, envelope: Envelope) -> bool:
        """Put a message aside; ``False`` if as many are aside already as the mailbox holds."""
        if self._stash is None:
            self._stash = []
        if len(self._stash) >= self._spec.capacity:
            return False
        self._stash.append(envelope)
        return True

    def unstash(self) -> None:
        """Put what is aside back, before everything else, in its order."""
        if self._stash:
            self._queue.extendleft(reversed(self._stash))
            self._stash = None

    def clear(self) -> list[Envelope]:
        """Take everything out, those waiting for room last."""
        self.unstash()
        everything = [envelope for envelope in self._queue if not envelope.withdrawn]
        self._queue.clear()
        self._signals = None
        waiting, self._waiting = self._waiting or {}, None
        for envelope in waiting:
            if envelope.taken is not None:
                envelope.taken()
        return [*everything, *waiting]
