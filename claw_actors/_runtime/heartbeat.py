"""Heartbeats: what a long task body tells of its progress, and until when it may be silent.

A body beats as often as it likes, from its Trio task or from its thread, and a beat never waits.
The last one is stored with the instance's next write, or after ``STORE_S`` at the latest: so it
costs at most one commit in that time, and a crash loses at most that much of it.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import trio

from .._core.heartbeat import Heartbeat
from ..task_context import Heart

if TYPE_CHECKING:
    from ..storage.codec import Codec
    from .open_work import OpenWork
    from .sequencer import Sequencer
    from .timers import Timer

__all__ = ["STORE_S", "AttemptHeart"]

STORE_S = 1.0
"""Seconds after which a heartbeat is stored, if nothing of its instance was written before."""


class AttemptHeart(Heart):
    """The heart of one attempt; made in Trio's thread."""

    def __init__(
        self, sequencer: Sequencer, work: OpenWork, codec: Codec, silence_s: float | None
    ) -> None:
        """Make the heart of an attempt that begins now.

        Args:
            sequencer: of its incarnation.
            work: where the last beat is kept.
            codec: encodes details.
            silence_s: how long the body may be silent, in seconds; ``None`` for ever.
        """
        self._sequencer = sequencer
        self._work = work
        self._codec = codec
        self._silence_s = silence_s
        # What attempts before this one have told last.
        self._last = None if work.details is None else Heartbeat.from_text(work.details).details
        self._told: bytes = b"null"
        self._token = trio.lowlevel.current_trio_token()
        self._scope: trio.CancelScope | None = None
        self._timer: Timer | None = None
        self._ended = False

    # -- for the body -------------------------------------------------------------------------------

    def beat(self, details: object) -> None:
        self._told = self._codec.encode_sent(details, f"details of task {self._work.id!r}")
        if self._is_in_trio():
            self._arrived()
        else:
            # A thread that was abandoned may outlive the runtime, and nobody listens to it.
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._arrived, idempotent=True)

    def _is_in_trio(self) -> bool:
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False  # a worker thread

    def details(self, declared: object) -> object:
        if self._last is None:
            return None
        return self._codec.decode(self._last, declared, f"details of task {self._work.id!r}")

    # -- for who runs it ----------------------------------------------------------------------------

    def limit(self) -> contextlib.AbstractContextManager[trio.CancelScope | None]:
        """Cancel the block when the body has been silent for too long."""
        if self._silence_s is None:
            return contextlib.nullcontext()
        self._scope = trio.move_on_after(self._silence_s)  # noqa: ASYNC122 - it is entered at once
        return self._scope

    def end(self) -> None:
        """The attempt is over: what its thread may still tell is not heard."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _arrived(self) -> None:
        """A beat has come; in Trio's thread."""
        if self._ended:
            return
        if self._scope is not None and self._silence_s is not None:
            self._scope.deadline = trio.current_time() + self._silence_s
        self._work.keep(Heartbeat(self._sequencer.wall(), self._told))
        if self._timer is None:
            # By length alone: a wall clock that jumps changes nothing.
            self._timer = self._sequencer.timers.at(math.inf, self._store, length=STORE_S)

    def _store(self) -> None:
        self._timer = None
        self._sequencer.send_notes()
