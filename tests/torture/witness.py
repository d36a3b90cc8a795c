"""The witness: what lives note about themselves, outside of the storage under test.

A line is one ``write`` to a file opened with ``O_APPEND``, so it is whole, in order, and outlives
the process from the moment it is written. Lines are about effects that began and ended, and about
acknowledgements: what a caller was told.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import attrs

from claw_actors import task_info


class What(enum.StrEnum):
    """What a note says."""

    OPENED = "opened"
    """The runtime is open: recovery is over."""
    ACCEPTED = "accepted"
    """``start`` returned."""
    STARTED = "started"
    """A task body began. By that, whatever its workflow did before was acknowledged."""
    ENDED = "ended"
    """A task body is about to return, or to raise."""
    FINISHED = "finished"
    """``result`` returned, or raised, with this text."""


@attrs.frozen
class Note:
    """One line."""

    process: int
    what: What
    workflow: str = ""
    op: str = ""
    attempt: int = 0
    text: str = ""

    def line(self) -> str:
        """Return it as it is written."""
        return "\t".join(str(part) for part in attrs.astuple(self, recurse=False)) + "\n"


def read_notes(path: Path, offset: int = 0) -> tuple[list[Note], int]:
    """Read what was noted since that offset; return the next one, too."""
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    # A line that is just being written may be seen in part.
    data = data[: data.rfind(b"\n") + 1]
    notes = []
    for line in data.decode().splitlines():
        process, what, workflow, op, attempt, text = line.split("\t")
        notes.append(Note(int(process), What(what), workflow, op, int(attempt), text))
    return notes, offset + len(data)


def count_lines(path: Path) -> int:
    """Return how many notes there are."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


class Pen:
    """What a life writes with. ``process`` numbers the lives of one test, from 0."""

    def __init__(self, path: str, process: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.process = process

    def note(self, what: What, workflow: str = "", op: str = "", attempt: int = 0, text: str = ""):
        """Write a line."""
        line = Note(self.process, what, workflow, op, attempt, text).line()
        os.write(self._descriptor, line.encode())


pen: ContextVar[Pen] = ContextVar("pen")
"""The running life's own; task bodies find it here, in worker threads as well."""


@contextmanager
def effect() -> Generator[None]:
    """Note that the body of the running task began, and that it is about to end."""
    info = task_info()
    pen.get().note(What.STARTED, info.workflow_id, info.task_id, info.attempt)
    yield
    pen.get().note(What.ENDED, info.workflow_id, info.task_id, info.attempt)
