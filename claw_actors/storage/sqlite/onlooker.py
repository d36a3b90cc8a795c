"""Reading somebody else's database: no lock, no owner's row, and nothing that could change it.

Each read opens a connection of its own and closes it. So whoever looks on for hours holds nothing
in between: no descriptor, no part of the log, and no file that was replaced meanwhile. Whoever reads
thousands of times in a row may keep the connection, which holds no part of the log between two
reads, either (:meth:`Onlooker.keeping`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial

from ..._core.journal import Entry, OpenTask
from ...errors import StorageCorruptError, StorageUnavailableError
from ..model import WorkflowCounts, WorkflowFilter
from ..pruning import EndedPage
from ..records import (
    DeadLetter,
    JournalPage,
    Listing,
    Loaded,
    StoredValue,
    StoredWorkflow,
    Unfinished,
)
from .connection import open_reading, refuse_old_sqlite
from .faults import mapped
from .files import Place, checked_path, locate, refuse_missing
from .inspection import find_version, refuse_others
from .lock import find_holder
from .pool import ReaderPool
from .reader import Reader

__all__ = ["Onlooker"]

_CLEAN = "SELECT clean FROM claw_meta WHERE one = 1"


class Onlooker:
    """The reads of a backend, beside its owner or without one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name a database; nothing touches the disk before the first read.

        Raises:
            InvalidInputError: this is no path.
        """
        self._path = checked_path(path)
        self._kept: ReaderPool | None = None

    def __repr__(self) -> str:
        return f"<Onlooker {self._path!r}>"

    @property
    def socket_path(self) -> str:
        """Where its owner can be met."""
        return locate(self._path).socket

    def check(self) -> None:
        """Make sure that there is something to read.

        Raises:
            StorageUnavailableError: there is no such file, nothing in it, or it is none of ours.
            StorageVersionError: another version of claw_actors has made it.
            StorageCorruptError: it is damaged.
        """
        with self._pool() as pool, pool.snapshot():
            pass

    def get_workflow(self, id: str) -> StoredWorkflow:
        """Read one workflow with its start and end."""
        with self._reader() as reader:
            return reader.get_workflow(id)

    def list_workflows(self, query: WorkflowFilter) -> Listing:
        """Read one page, newest first; damaged workflows are logged and left out."""
        with self._reader() as reader:
            return reader.list_workflows(query)

    def count_workflows(self) -> WorkflowCounts:
        """Count workflows by status."""
        with self._reader() as reader:
            return reader.count_workflows()

    def read_tasks(
        self, workflow_id: str, op: str | None = None
    ) -> tuple[list[Entry], list[OpenTask]]:
        """Read a workflow's tasks."""
        with self._reader() as reader:
            return reader.read_tasks(workflow_id, op)

    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        """Read the next entries of a workflow's present run."""
        with self._reader() as reader:
            return reader.read_journal(workflow_id, after, limit)

    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        """Read one of a workflow's values."""
        with self._reader() as reader:
            return reader.get_value(workflow_id, key)

    def list_values(self, workflow_id: str) -> list[StoredValue]:
        """Read all values of a workflow."""
        with self._reader() as reader:
            return reader.list_values(workflow_id)

    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        """Read the next dead letters of a workflow."""
        with self._reader() as reader:
            return reader.list_dead_letters(workflow_id, after, limit)

    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        """Read a page of what has ended."""
        with self._reader() as reader:
            return reader.list_ended(before_pk, limit)

    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        """Read a page of what recovery would bring back."""
        with self._reader() as reader:
            return reader.list_unfinished(after_pk, due_by, limit)

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        """Read all that these need to run."""
        with self._reader() as reader:
            return reader.load(pks)

    def find_owner(self) -> str | None:
        """Find out who has it open, as they named themselves; ``None`` if nobody does.

        Raises:
            StorageUnavailableError: nobody can look.
        """
        with mapped(self._path):
            return find_holder(locate(self._path).lock)

    def ended_cleanly(self) -> bool:
        """Tell whether its last owner has closed it; ``False`` while somebody has it open."""
        with self._pool() as pool, pool.snapshot() as connection:
            found = connection.execute(_CLEAN).fetchone()
        return found is not None and bool(found[0])

    @contextmanager
    def keeping(self) -> Generator[None, None, None]:
        """Keep the connection, for the length of the block.

        Raises:
            StorageUnavailableError: there is no such file.
        """
        with self._pool() as pool:
            self._kept = pool
            try:
                yield
            finally:
                self._kept = None

    @contextmanager
    def _pool(self) -> Generator[ReaderPool, None, None]:
        if self._kept is not None:
            yield self._kept
            return
        place = locate(self._path)
        try:
            refuse_old_sqlite(self._path)
            refuse_missing(place)
        except OSError as error:
            raise StorageUnavailableError(self._path, str(error)) from error
        pool = ReaderPool(partial(_connect, place), place.path, max_readers=1)
        try:
            yield pool
        finally:
            pool.close()

    @contextmanager
    def _reader(self) -> Generator[Reader, None, None]:
        with self._pool() as pool:
            yield Reader(pool, self._path)


def _connect(place: Place) -> sqlite3.Connection:
    connection = open_reading(place)
    try:
        # Each time: an owner may have brought it up to date since.
        refuse_others(find_version(connection, place), place)
    except BaseException:
        connection.close()
        raise
    return connection
