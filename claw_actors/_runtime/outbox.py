"""Notes that nobody waits for: they go with the instance's next write, or when it is quiescent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core.journal import OpenTask

__all__ = ["Outbox"]


class Outbox:
    """The notes of one incarnation, in the order in which they were made; one for each task."""

    def __init__(self) -> None:
        self._notes: dict[str, OpenTask] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self._notes)

    def put(self, note: OpenTask) -> None:
        """Add a note; it takes the place of an older one about the same task."""
        self._notes.pop(note.op, None)
        self._notes[note.op] = note

    def withdraw(self, op: str) -> bool:
        """Take back the note about a task; ``False`` if it is on its way already, or never was."""
        return self._notes.pop(op, None) is not None

    def take(self) -> tuple[OpenTask, ...]:
        """Take everything out, to be written."""
        notes, self._notes = self._notes, {}
        return tuple(notes.values())
