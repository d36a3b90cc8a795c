"""What a log record about an instance says that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..log_context import Subject

if TYPE_CHECKING:
    from ..storage.records import WorkflowRow

__all__ = ["subject_of"]


def subject_of(row: WorkflowRow) -> Subject:
    """Name the instance of a row."""
    assert row.id is not None
    return Subject(row.id, row.name, row.run)
