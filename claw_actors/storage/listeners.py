"""Who is told of what was committed, and what is kept for those who are about to listen.

Everything here runs in the storage actor, after a commit, and is synchronous. An instance that is
in memory listens to its own journal: it delivers nothing that was not announced to it. An instance
that nobody listens to may have to be woken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, cast

import attrs

from .._core.journal import Entry
from .._core.lifecycle import Event
from .operations import (
    Advance,
    Advanced,
    Answer,
    Atomic,
    Claimed,
    Create,
    Created,
    Operation,
    Send,
    Sent,
    Steer,
    Steered,
    Transact,
    Transacted,
)
from .records import WorkflowRow

__all__ = ["Listener", "Listeners"]


class Listener(Protocol):
    """Who is told of entries committed to one workflow, own or from outside."""

    def committed(self, entry: Entry) -> None:
        """Take note of an entry, its number set. Must not raise, must not block."""
        ...

    def pump(self) -> None:
        """Go on, after all entries of the group were announced. Must not raise, must not block."""
        ...


@attrs.define
class _Ahead:
    """What outsiders wrote to a workflow that is about to listen."""

    id: str
    entries: list[Entry] = attrs.field(factory=list[Entry])


def _parts(
    operation: Operation, answer: Answer | tuple[Answer, ...]
) -> Iterator[tuple[Operation, Answer]]:
    """Take an answered operation apart into what was done, each with its answer."""
    if isinstance(operation, Atomic):
        assert isinstance(answer, tuple)
        yield from zip(operation.operations, answer, strict=True)
    else:
        yield operation, cast("Answer", answer)


class Listeners:
    """The listeners of all workflows: at most one of each."""

    def __init__(self, on_unheard: Callable[[int, str], None]) -> None:
        """Make it without listeners.

        Args:
            on_unheard: told of each workflow, by key and id, that was written to from outside
                while nobody listened.
        """
        self._on_unheard = on_unheard
        self._listeners: dict[int, Listener] = {}
        # Invariant: nobody listens to a workflow that is in here.
        self._ahead: dict[int, _Ahead] = {}
        # Of the group that is being announced.
        self._touched: dict[int, Listener] = {}
        self._unheard: dict[int, str] = {}

    def listen(self, pk: int, listener: Listener) -> None:
        """Tell ``listener`` of every entry committed to this workflow from now on.

        And of what outsiders wrote since it was claimed, or created to run: some of that may be
        in the journal that the listener was made from, too.
        """
        self._listeners[pk] = listener
        if (ahead := self._ahead.pop(pk, None)) is not None:
            for entry in ahead.entries:
                listener.committed(entry)

    def unlisten(self, pk: int, listener: Listener) -> None:
        """Stop telling ``listener``, unless another has taken its place."""
        if self._listeners.get(pk) is listener:
            del self._listeners[pk]

    def expect_nobody(self, pk: int) -> None:
        """Nobody will listen to this workflow after all, though it was claimed or created to run.

        If something was kept for it, it was written to while nobody listened.
        """
        ahead = self._ahead.pop(pk, None)
        if ahead is not None and ahead.entries:
            self._on_unheard(pk, ahead.id)

    def announce(self, operation: Operation, answer: Answer | tuple[Answer, ...]) -> None:
        """Tell of what an operation has done; :meth:`finish` the group afterwards."""
        for part, part_answer in _parts(operation, answer):
            self._announce(part, part_answer)

    def finish(self) -> None:
        """All of a group was announced: let those who were told something go on."""
        touched, self._touched = self._touched, {}
        unheard, self._unheard = self._unheard, {}
        for listener in touched.values():
            listener.pump()
        for pk, id in unheard.items():
            self._on_unheard(pk, id)

    def _announce(self, operation: Operation, answer: Answer) -> None:
        if isinstance(operation, Send) and isinstance(answer, Sent):
            self._announce_sent(operation, answer)
        elif isinstance(operation, Advance) and isinstance(answer, Advanced):
            self._announce_advanced(operation, answer)
        elif isinstance(operation, Transact) and isinstance(answer, Transacted):
            self._tell(operation.advance.pk, (answer.entry,), answer.entry.n)
        elif isinstance(operation, Steer) and isinstance(answer, Steered):
            for row, n in answer.changed:
                self._announce_steered(operation, row, n)
            for reported in answer.reported:
                self._announce_outside(reported.pk, reported.id, reported.entry)
        else:
            self._expect(operation, answer)

    def _announce_advanced(self, advance: Advance, answer: Advanced) -> None:
        """Tell of progress, and of what it has done to others."""
        entries = advance.entries
        if advance.sends or advance.children:
            entries = advance.recorded(answer.refusals, answer.refused_children)
        self._tell(advance.pk, entries, answer.n)
        for send, sent in zip(advance.sends, answer.sent, strict=True):
            if isinstance(sent, Sent):
                self._announce_sent(send, sent)
        for create, created in zip(advance.children, answer.children, strict=True):
            if isinstance(created, Created) and not created.existed:
                self._expect(create, created)
        if (reported := answer.reported) is not None:
            self._announce_outside(reported.pk, reported.id, reported.entry)

    def _announce_sent(self, send: Send, sent: Sent) -> None:
        if not sent.duplicate:  # then nothing was written
            self._announce_outside(sent.pk, send.id, attrs.evolve(send.entry, n=sent.n))

    def _announce_outside(self, pk: int, id: str, entry: Entry) -> None:
        """Tell of what came from outside; if nobody listens, keep it, or have somebody woken."""
        if self._tell(pk, (entry,), entry.n):
            return
        if pk in self._ahead:
            self._ahead[pk].entries.append(entry)
        else:
            self._unheard[pk] = id

    def _announce_steered(self, steer: Steer, row: WorkflowRow, n: int) -> None:
        """Tell of what an operator has done; somebody has to bring back what was resumed."""
        assert row.id is not None
        if not self._tell(row.pk, (steer.entry,), n) and row.pk in self._ahead:
            self._ahead[row.pk].entries.append(attrs.evolve(steer.entry, n=n))
        if steer.event is Event.RESUME:
            # Also if an incarnation listens: it is about to leave, and comes back no other way.
            self._unheard[row.pk] = row.id

    def _tell(self, pk: int, entries: tuple[Entry, ...], last_n: int) -> bool:
        """Tell the listener of a workflow, if it has one, of entries up to this number."""
        listener = self._listeners.get(pk)
        if listener is None:
            return False
        first = last_n - len(entries) + 1
        for index, entry in enumerate(entries):
            listener.committed(attrs.evolve(entry, n=first + index))
        self._touched[pk] = listener
        return True

    def _expect(self, operation: Operation, answer: Answer) -> None:
        """Keep what outsiders write to an instance from its claim to the moment when it listens.

        Its journal is read in between, and what is committed after that would reach nobody.
        """
        if isinstance(operation, Create) and isinstance(answer, Created) and operation.row.life:
            assert operation.row.id is not None
            self._ahead[answer.pk] = _Ahead(operation.row.id)
        elif isinstance(answer, Claimed):
            for row in answer.rows:
                assert row.id is not None
                self._ahead[row.pk] = _Ahead(row.id)
