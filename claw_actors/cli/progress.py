"""How far something is that takes its time, told beside what is printed."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

import attrs

__all__ = ["Progress", "telling_progress"]


@attrs.define
class Progress:
    """Tells how far it is: a person on one line, that changes; a log on a line each time.

    A person wants to be told always, a log now and then: that is for the teller to know.
    """

    stream: TextIO
    _is_on_line: bool = False

    @property
    def is_watched(self) -> bool:
        """Whether it is a person who is told."""
        return self.stream.isatty()

    def tell(self, text: str) -> None:
        """Say it, in place of what was said before if somebody watches."""
        self._is_on_line = self.is_watched
        self.stream.write(f"\r{text}" if self._is_on_line else f"{text}\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the line, so that what comes next does not stand behind it."""
        if self._is_on_line:
            self.stream.write("\n")
            self._is_on_line = False


@contextmanager
def telling_progress() -> Generator[Progress]:
    """Tell on stderr how far it is, for the length of a block."""
    progress = Progress(sys.stderr)
    try:
        yield progress
    finally:
        progress.end()
