"""What the end of a workflow's function means for its children.

Those to be waited for are waited for, as a nursery's are; if the function has failed, or the workflow
was cancelled, they are cancelled before. The request is sent before the end is recorded, and once
more by the next life if this one is cut off: each child takes it once. Those to be cancelled with the
end are sent the request in the commit of the end itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.journal import CANCEL_OP, Entry, EntryKind, EntryStatus
from .._core.offspring import close_key
from ..storage.operations import Send

if TYPE_CHECKING:
    from .sequencer import Sequencer
    from .strand import Strand

__all__ = ["Closing"]

CLOSE_OP = "/close"
REASON = b'"its parent has ended"'


class Closing:
    """The children of an instance whose function has ended."""

    def __init__(self, sequencer: Sequencer, strand: Strand, run_key: str) -> None:
        """Make it.

        Args:
            sequencer: of the instance.
            strand: the root's, which has the turn.
            run_key: of its run.
        """
        self._sequencer = sequencer
        self._strand = strand
        self._key = close_key(sequencer.id, run_key)

    async def wait(self, *, completing: bool) -> Entry | None:
        """Wait for the children that are to be waited for.

        Args:
            completing: the function has returned: stop waiting if the workflow is to be cancelled, or
                a child has failed that nobody has asked for. Otherwise they are cancelled first.

        Returns:
            The end of such a child, if that is what ended the waiting.
        """
        brood, sequencer = self._sequencer.brood, self._sequencer
        if not completing:
            self._cancel(brood.running("wait"))

        def is_over() -> bool:
            if not brood.running("wait"):
                return True
            if not completing:
                return False
            return sequencer.cancel_requested or brood.unseen_failure() is not None

        if brood.running("wait"):
            await self._strand.wait_until(is_over)
        return brood.unseen_failure() if completing else None

    def _cancel(self, ids: list[str]) -> None:
        """Ask children to cancel themselves."""
        for id in ids:
            # Whatever becomes of it: if the child has ended, that is on its way; if storage fails,
            # this life is over.
            self._sequencer.storage.post(self._request(id), lambda _: None)

    def _request(self, id: str) -> Send:
        sequencer = self._sequencer
        at = sequencer.time()
        entry = Entry(CANCEL_OP, "cancel", EntryKind.CANCEL, EntryStatus.OK, at, value=REASON)
        return Send(id, entry, self._key)

    def at_the_end(self) -> tuple[tuple[Send, ...], tuple[Entry, ...]]:
        """Return the requests that go with the end, and the entries that stand for them."""
        sequencer = self._sequencer
        sends = tuple(map(self._request, sequencer.brood.running("cancel")))
        # Behind the end, and as if asked for after it: so a retry voids them with it.
        end = sequencer.committed_n + 1
        entries = tuple(
            Entry(
                f"{CLOSE_OP}#{n}",
                "close",
                EntryKind.SEND,
                EntryStatus.OK,
                send.entry.at,
                end,
                sequencer.life,
            )
            for n, send in enumerate(sends, start=1)
        )
        return sends, entries
