"""What users write by hand: rows of workflows, and tasks, as they have them."""

from __future__ import annotations

import attrs

from .._core.journal import Entry, OpenTask
from ..errors import StaleWriteError
from .records import RowChange, WorkflowRow

__all__ = ["SaveTask", "SaveWorkflow", "Saved"]


@attrs.frozen
class SaveWorkflow:
    """Change a row, compare-and-swap on its revision; append its result if it has one.

    Attributes:
        id: the workflow. ``NotFoundError`` if it is gone.
        expect_revision: ``StaleWriteError("revision")`` unless it is the stored one.
        change: columns to set.
        entries: to append.
    """

    id: str
    expect_revision: int
    change: RowChange
    entries: tuple[Entry, ...] = ()

    def check(self, row: WorkflowRow) -> None:
        """Make sure that the row is still as it was read; for backends.

        Raises:
            StaleWriteError: it is not.
        """
        if row.revision != self.expect_revision:
            raise StaleWriteError(self.id, "revision", self.expect_revision, row.revision)


@attrs.frozen
class SaveTask:
    """Insert or replace open work, or record an outcome; exactly one of the two is given.

    A task whose outcome is recorded (and not voided) is never changed: recording the same
    outcome again (equal but for ``n`` and ``at``) does nothing, anything else is
    ``StaleWriteError("task")``. Recording an outcome deletes the task's open work. The row is
    not touched. ``NotFoundError`` if the workflow is gone.
    """

    workflow_id: str
    opened: OpenTask | None = None
    entry: Entry | None = None

    @property
    def op(self) -> str:
        """Which task it is; for backends."""
        assert (self.entry is None) != (self.opened is None), "exactly one of the two is given"
        task = self.opened if self.entry is None else self.entry
        assert task is not None
        return task.op

    def check_repeats(self, recorded: Entry) -> None:
        """Make sure that this says no more than what is recorded of the task; for backends.

        Raises:
            StaleWriteError: it says something else.
        """
        if self.entry is None:
            assert self.opened is not None
            raise StaleWriteError(
                self.workflow_id, "task", str(self.opened.status), str(recorded.status)
            )
        # The number and the time are storage's and the clock's, not the caller's.
        entry = attrs.evolve(self.entry, n=recorded.n, at=recorded.at)
        differs = [
            "result" if field.name == "value" else field.name
            for field in attrs.fields(Entry)
            if getattr(entry, field.name) != getattr(recorded, field.name)
        ]
        if differs:
            raise StaleWriteError(
                self.workflow_id, "task", str(entry.status), str(recorded.status), differs
            )


@attrs.frozen
class Saved:
    """Answer to :class:`SaveWorkflow` and :class:`SaveTask`: the row's revision."""

    revision: int
