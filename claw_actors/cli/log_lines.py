"""The log of ``claw run`` on stderr: as text for people, or one JSON object a line for programs.

Who reads it must be able to trust it. A record begins at the beginning of a line, and whatever else
it has (more lines of its message, a traceback) is indented below: so nothing that a workflow was
given can look like a record. What a terminal would obey is escaped.

A module that sets up logging when it is imported has decided how its program logs. Its handlers
stay, unless ``--log-json`` asks for ours instead.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from .. import WorkflowLogFilter
from .output import printable

__all__ = ["DEFAULT_LEVEL", "JSONLines", "TextLines", "logging_to_stderr"]

DEFAULT_LEVEL: Final = "INFO"

INDENT: Final = "    "

SUBJECT: Final = {"workflow": "workflow_id", "run": "run", "task": "task_id", "attempt": "attempt"}
"""What a record is about: as it is called in a line, and which attribute it is."""


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message_of(record: logging.LogRecord) -> str:
    """Return what a record says, also if its arguments do not fit: no record is lost for that."""
    try:
        return record.getMessage()
    except Exception as error:  # of somebody's __str__, too
        return f"{record.msg!r}, which cannot be formatted: {error!r}"


def _subject_of(record: logging.LogRecord) -> dict[str, str | int]:
    """Return what a record is about, in order, without what does not apply."""
    found = {name: getattr(record, attribute, "") for name, attribute in SUBJECT.items()}
    # What is given as `extra` may be anything.
    return {
        name: value if isinstance(value, int) else str(value)
        for name, value in found.items()
        if value not in ("", None)
    }


class _Lines(logging.Formatter):
    """What both forms share."""

    def trace_of(self, record: logging.LogRecord) -> str:
        """Return the traceback of a record, and the stack that was asked for; or nothing."""
        trace = record.exc_text or ""
        if record.exc_info:
            trace = self.formatException(record.exc_info)
        return "\n".join(part for part in (trace, record.stack_info) if part)


class TextLines(_Lines):
    """Records as text: time, level, logger, what it is about, and the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line, and more lines below it that are indented."""
        subject = " ".join(f"{name}={value}" for name, value in _subject_of(record).items())
        about = f" [{subject}]" if subject else ""
        head = f"{_time_of(record)} {record.levelname} {record.name}{about}"
        said = f"{_message_of(record)}\n{self.trace_of(record)}".rstrip("\n")
        lines = map(printable, said.split("\n"))
        return f"{printable(head)}: " + f"\n{INDENT}".join(lines)


class JSONLines(_Lines):
    """Records as JSON, each on one line, and each with the same names."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of ASCII."""
        subject = _subject_of(record)
        said = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message_of(record),
            **{name: subject.get(name) for name in SUBJECT},
            "exception": self.trace_of(record) or None,
        }
        return json.dumps(said)


@contextmanager
def logging_to_stderr(level: str | None, *, as_json: bool) -> Generator[Callable[[], None]]:
    """Log to stderr for the length of a block, unless the program does it in its own way.

    Args:
        level: from which level on; ``None`` for the usual one, or the program's own.
        as_json: as JSON lines, whatever the program has set up.

    Yields:
        What is to be called when the program's modules are imported.
    """
    root = logging.getLogger()
    before, level_before = list(root.handlers), root.level
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WorkflowLogFilter())
    handler.setFormatter(JSONLines() if as_json else TextLines())

    def set_up() -> None:
        is_ours = as_json or root.handlers == before
        if is_ours:
            root.handlers[:] = [*before, handler]
        if is_ours or level is not None:
            root.setLevel(level or DEFAULT_LEVEL)

    if as_json:
        set_up()  # or what is logged while they are imported would come in another form
    try:
        yield set_up
    finally:
        root.handlers[:] = before
        root.setLevel(level_before)
