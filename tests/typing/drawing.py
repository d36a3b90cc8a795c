"""What is drawn of what was read, as type checkers see it. Checked, never run."""

from __future__ import annotations

from typing import assert_type

from claw_actors import Client, EntryKind, EntryStatus, HistoryEntry, WorkflowHandle, drawing
from claw_actors.storage import JSON


async def draws(client: Client, handle: WorkflowHandle[int]) -> None:
    """From a journal to pictures of it."""
    history = await client.history("a", after=None, limit=10)
    assert_type(history, tuple[HistoryEntry, ...])
    assert_type(await handle.history(after=history[-1]), tuple[HistoryEntry, ...])
    assert_type(history[0].kind, EntryKind)
    assert_type(history[0].status, EntryStatus)
    assert_type(history[0].value, JSON)
    state, tasks = await client.get("a"), await client.tasks("a")
    timeline = drawing.timeline_of(state, history, tasks, now=0)
    assert_type(timeline, drawing.Timeline)
    assert_type(timeline.bars[0].end, float | None)
    assert_type(drawing.timeline_as_text(timeline, width=80), str)
    assert_type(drawing.timeline_as_svg(timeline), str)
    assert_type(drawing.dag_as_mermaid(state, history, tasks), str)
    assert_type(drawing.tree_as_mermaid([state]), str)
    drawing.timeline_of(state, history, tasks)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
