"""What nobody waits for: it goes with the instance's next write, or when it is quiescent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._core.journal import OpenTask

__all__ = ["Outbox"]


class Outbox:
    """Notes about tasks, and values that the workflow shows of itself.

    Each in the order in which they were made; one for each task, and one for each key: the last.
    """

    def __init__(self) -> None:
        self._notes: dict[str, OpenTask] = {}
        self._values: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self._notes or self._values)

    def put(self, note: OpenTask) -> None:
        """Add a note; it takes the place of an older one about the same task."""
        self._notes.pop(note.op, None)
        self._notes[note.op] = note

    def withdraw(self, op: str) -> bool:
        """Take back the note about a task; ``False`` if it is on its way already, or never was."""
        return self._notes.pop(op, None) is not None

    def show(self, key: str, value: bytes) -> None:
        """Set a value; it takes the place of an older one with the same key."""
        self._values.pop(key, None)
        self._values[key] = value

    def take(self) -> tuple[tuple[OpenTask, ...], tuple[tuple[str, bytes], ...]]:
        """Take everything out, to be written: the notes, and the values with their keys."""
        notes, self._notes = tuple(self._notes.values()), {}
        values, self._values = self.values, {}
        return notes, values

    @property
    def values(self) -> tuple[tuple[str, bytes], ...]:
        """The values with their keys; they stay in here."""
        return tuple(self._values.items())
