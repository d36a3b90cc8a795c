"""What a log record is about: which workflow, which task of it, which attempt.

Whose code runs is a context variable, as :mod:`.task_context` has it. The engine's own records about
a workflow that are written elsewhere, by recovery or by the storage actor, say it by themselves, in
``extra``. Nothing is paid for it where no filter is installed.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from .task_context import TaskInfo, place

__all__ = ["Subject", "WorkflowLogFilter", "speaking_of"]


@attrs.frozen
class Subject:
    """A workflow as log records name it.

    Attributes:
        workflow_id: its id.
        workflow_name: its name.
        run: which of its runs, from 1.
    """

    workflow_id: str
    workflow_name: str
    run: int

    @property
    def extra(self) -> dict[str, object]:
        """For the ``extra`` of a record that is written outside of the workflow."""
        return attrs.asdict(self)


_subject: ContextVar[Subject | None] = ContextVar("claw_actors.subject", default=None)


@contextmanager
def speaking_of(subject: Subject) -> Generator[None]:
    """Let what is logged in the block, and by what it starts, be about a workflow."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


class WorkflowLogFilter(logging.Filter):
    """Puts on each log record which workflow and which task it comes from; lets all of them through.

    A record gets the attributes ``workflow_id``, ``workflow_name``, ``run``, ``task_id`` and
    ``attempt``, for a format such as ``"%(workflow_id)s %(task_id)s %(message)s"``. It works in
    workflow code, in task bodies, in worker threads and Trio tasks that those start, and for what
    the engine says about a workflow. What does not apply is the empty string: in workflow code
    ``task_id`` and ``attempt``, elsewhere all of them; so format them with ``%s``.

    What a record has already is left as it is, such as what was given as ``extra``.

    Add it to handlers: the filters of a logger do not see what the loggers below it say. A
    handler that passes records on to another thread needs it itself, not the one behind it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the attributes on a record; return ``True``."""
        found = record.__dict__
        subject, info = _subject.get(), place.get()
        known: dict[str, object] = {} if subject is None else attrs.asdict(subject)
        if isinstance(info, TaskInfo):
            # A body that a unit test has called by itself: only this knows whose it is.
            known.setdefault("workflow_id", info.workflow_id)
            known |= {"task_id": info.task_id, "attempt": info.attempt}
        if found.get("workflow_id", known.get("workflow_id")) != known.get("workflow_id"):
            known = {}  # it is about another workflow than the one whose code runs
        for name in ("workflow_id", "workflow_name", "run", "task_id", "attempt"):
            found.setdefault(name, known.get(name, ""))
        return True
