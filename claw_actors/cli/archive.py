"""Workflows as JSON lines: all that is stored of each, one record a line.

Each page is a read of its own, so that a long export holds up nobody: not the owner, nor the
checkpoints of its log. A workflow that runs meanwhile may have entries that are newer than its own
line.
"""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

import attrs

from .. import Client, DeadMessage, HistoryEntry, WorkflowFilter, WorkflowState
from ..errors import NotFoundError, SerializationError, StorageCorruptError

__all__ = ["FORMAT", "Archive", "find", "read_history"]

FORMAT: Final = 1
"""It grows when a reader of the older one would read the newer one wrongly."""

PAGE: Final = 20
"""Workflows with input and result at a time: each may be as large as a value may be."""

LETTERS: Final = 20

Line: TypeAlias = dict[str, object]


@attrs.define
class Archive:
    """Writes workflows, and counts them.

    Attributes:
        client: of their database.
        write: takes each line.
        workflows: how many were written.
        entries: how many entries of their journals.
        skipped: how many could not be read, or not wholly.
    """

    client: Client
    write: Callable[[Line], None]
    workflows: int = 0
    entries: int = 0
    skipped: int = 0

    async def export(
        self, database: str, found: AsyncIterator[WorkflowState], on_progress: Callable[[int], None]
    ) -> None:
        """Write a header, these workflows with all that is theirs, and an end.

        Args:
            database: what the header says of where they come from.
            found: the workflows.
            on_progress: told after each how many there were.
        """
        self.write(
            {
                "record": "export",
                "format": FORMAT,
                "claw_actors": importlib.metadata.version("claw_actors"),
                "database": database,
                "at": time.time(),
            }
        )
        async for state in found:
            await self._export(state)
            on_progress(self.workflows)
        self.write(
            {
                "record": "end",
                "workflows": self.workflows,
                "entries": self.entries,
                "skipped": self.skipped,
            }
        )

    async def _export(self, state: WorkflowState) -> None:
        self.workflows += 1
        self.write({"record": "workflow", **_fields(state)})
        try:
            await self._belongings(state)
        except (NotFoundError, StorageCorruptError, SerializationError) as error:
            # Deleted meanwhile, or damaged: that must not keep the others from being written.
            self.skipped += 1
            self.write({"record": "skipped", "workflow": state.id, "reason": str(error)})

    async def _belongings(self, state: WorkflowState) -> None:
        client, id = self.client, state.id
        async for entry in read_history(client, id):
            self.entries += 1
            self._write("entry", id, _fields(entry))
        if not state.status.is_terminal:
            for task in await client.tasks(id):
                if task.completed_at is None:  # the others are entries
                    self._write("task", id, _fields(task))
        for key, value in (await client.values(id)).items():
            self._write("value", id, {"key": key, "value": value})
        async for letter in _letters(client, id):
            self._write("dead_letter", id, _fields(letter))

    def _write(self, record: str, id: str, fields: Line) -> None:
        self.write({"record": record, "workflow": id, **fields})


@functools.cache
def _names(record: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(record))


def _fields(record: attrs.AttrsInstance) -> Line:
    # Not `plain`, which goes through every value: they are JSON already.
    return {name: getattr(record, name) for name in _names(type(record))}


# A generator that holds nothing: nobody has to close it.
async def find(client: Client, query: WorkflowFilter) -> AsyncIterator[WorkflowState]:  # noqa: ASYNC900
    """Yield all workflows that match, newest first, with input and result."""
    query = attrs.evolve(query, limit=PAGE, include_payloads=True)
    while True:
        page = await client.list(query)
        for state in page.items:
            yield state
        if page.next_after is None:
            return
        query = attrs.evolve(query, after=page.next_after)


# A generator that holds nothing: nobody has to close it.
async def read_history(client: Client, id: str) -> AsyncIterator[HistoryEntry]:  # noqa: ASYNC900
    """Yield the journal of a workflow, read page by page."""
    last: HistoryEntry | None = None
    while page := await client.history(id, after=last):
        for last in page:
            yield last


# A generator that holds nothing: nobody has to close it.
async def _letters(client: Client, id: str) -> AsyncIterator[DeadMessage]:  # noqa: ASYNC900
    after = 0
    while page := await client.dead_letters(id, after=after, limit=LETTERS):
        for letter in page:
            after = letter.number
            yield letter
