"""What binds a child to its parent in storage; for backends, so that they agree.

A child is started in a commit of its parent's, and tells it of its end in a commit of its own. In
between they are two workflows like any others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .._core.identity import run_key_of
from .._core.journal import CHILD_END_OP, Entry, EntryKind
from .._core.lifecycle import TERMINAL, Status
from .steering import ABANDON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .operations import Create
    from .records import WorkflowRow

__all__ = [
    "differences",
    "end_of_child",
    "hears",
    "is_stuck",
    "is_told_of_quarantine",
    "reason_of_parent",
]

DEAF = TERMINAL - {Status.FAILED}
"""A failed parent may be retried, and waits for its children again then."""


def differences(create: Create, row: WorkflowRow, start: Entry, is_sibling: bool) -> list[str]:
    """Tell how a workflow that has the id differs from the child that is to be started.

    Args:
        create: the child.
        row, start: the workflow that has its id.
        is_sibling: whether that is a child of the same parent.
    """
    ours = create.row
    assert ours.parent_op is not None
    found: list[str] = []
    if row.name != ours.name:
        found.append("workflow")
    if start.digest != create.entries[0].digest:
        found.append("arguments")
    run = None if row.parent_op is None else run_key_of(row.parent_op)
    if not is_sibling or run != run_key_of(ours.parent_op):
        found.append("parent")
    return found


def end_of_child(row: WorkflowRow, entries: Sequence[Entry]) -> Entry | None:
    """Make what a parent is told of the end of its child.

    Args:
        row: the child's, as it is from now on.
        entries: what is written with it.

    Returns:
        The entry for the parent's journal; ``None`` if this is no end, or nobody is to be told.
    """
    if row.parent_op is None or row.id is None or row.status not in TERMINAL:
        return None
    for entry in reversed(entries):
        if entry.kind is EntryKind.END:
            break
    else:
        return None
    value = entry.value
    if row.status is Status.CANCELLED:
        value = json.dumps(row.reason, ensure_ascii=False).encode()
    return Entry(CHILD_END_OP, row.id, EntryKind.CHILD_END, entry.status, entry.at, value=value)


def hears(parent: WorkflowRow, child: WorkflowRow) -> bool:
    """Tell whether a parent is told of the end of this child of its."""
    assert child.parent_op is not None
    return parent.status not in DEAF and parent.run_key == run_key_of(child.parent_op)


def is_stuck(child: WorkflowRow) -> bool:
    """Tell whether a child keeps its parent waiting, until somebody has mended it."""
    return (
        child.status is Status.QUARANTINED
        and child.parent_op is not None
        and child.on_close != ABANDON
    )


def is_told_of_quarantine(before: WorkflowRow, after: WorkflowRow) -> bool:
    """Tell whether a change of a child is one that its parent's ``reason`` has to say."""
    return is_stuck(before) != is_stuck(after)


def reason_of_parent(parent: WorkflowRow, stuck: WorkflowRow | None) -> str | None:
    """Say why a parent does not go on.

    Args:
        parent: whose reason it is.
        stuck: the first of its children that is quarantined, if there is one.

    Returns:
        The reason; the one it has if it neither runs nor waits, as that is about itself.
    """
    if parent.status not in (Status.RUNNING, Status.WAITING):
        return parent.reason
    return None if stuck is None else f"child {stuck.id!r} is quarantined: {stuck.reason}"
