"""Who waits for something about an instance to change: told by what changes it, no polling."""

from __future__ import annotations

import weakref

import trio

__all__ = ["Changes"]


class Changes:
    """An event for each instance that somebody waits for; when nobody does, it is gone."""

    def __init__(self) -> None:
        self._events: weakref.WeakValueDictionary[str, trio.Event] = weakref.WeakValueDictionary()

    def of(self, id: str) -> trio.Event:
        """Return an event that is set at the instance's next change.

        Get it before looking at what is stored: then nothing can be missed.
        """
        event = self._events.get(id)
        if event is None:
            event = self._events[id] = trio.Event()
        return event

    def tell(self, id: str) -> None:
        """Wake those who wait: there may be something new about an instance."""
        event = self._events.pop(id, None)
        if event is not None:
            event.set()

    def tell_all(self) -> None:
        """Wake everyone who waits."""
        for event in list(self._events.values()):
            event.set()
