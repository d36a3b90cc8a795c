"""Attempts of transactional tasks: the body runs in storage, and is committed with its outcome.

What an ordinary attempt does in two steps, running the body and recording how it ended, is one here.
So the context waits for both at once: for the entry, which comes in its turn like any other, and for
the answer that there will be none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._core.journal import Entry
from ..storage.operations import Advance, RolledBack, Transact, Transacted
from .endings import Cancelled, Delivered, Raised

if TYPE_CHECKING:
    from .._core.transacting import Connection
    from ..storage.operations import Result
    from .endings import Ending
    from .strand import Strand

__all__ = ["transact"]


async def transact(
    strand: Strand,
    entry: Entry,
    run: Callable[[Connection], bytes],
    *,
    closed: tuple[str, ...],
    limit_s: float | None,
) -> Ending:
    """Make one attempt.

    Args:
        strand: whose.
        entry: the outcome if it succeeds, but for its value.
        run: calls the body, and encodes what it returns.
        closed: ops of open work that ends with it.
        limit_s: seconds that it may take.

    Cancelled while it is queued, nothing has run. What is being committed is waited for.
    """
    sequencer = strand.sequencer
    writes = sequencer.writes

    def done(result: Result) -> None:
        writes.settle(result)
        if isinstance(result, Transacted) and sequencer.leaving.sealed is None:
            writes.note_healthy()
            return  # the entry wakes it, with the turn
        strand.answer(result)

    advance = Advance(sequencer.pk, sequencer.id, sequencer.life, (entry,), closed=closed)
    write = writes.post(Transact(advance, run, limit_s), done)
    answer = await strand.wait_for_answer(lambda: writes.withdraw(write))
    if sequencer.turns.holder is strand:
        return Delivered(answer if isinstance(answer, Entry) else None)
    if not isinstance(answer, RolledBack):
        return Cancelled()  # the instance leaves memory; what was committed is found again
    if not isinstance(answer.error, Exception):
        raise answer.error
    return Raised(answer.error)
