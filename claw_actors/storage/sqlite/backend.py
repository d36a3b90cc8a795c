"""The SQLite backend: one file, one owner, one writer, and readers that never wait for it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Final, get_args

from ..._core.journal import Entry, OpenTask
from ...errors import (
    InvalidInputError,
    StorageCorruptError,
    StorageLockedError,
    StorageUnavailableError,
)
from ..backend import Backend, OpenReport
from ..model import WorkflowCounts, WorkflowFilter
from ..operations import Operation, Result
from ..pruning import EndedPage
from ..records import (
    DeadLetter,
    JournalPage,
    Listing,
    Loaded,
    StoredValue,
    StoredWorkflow,
    Unfinished,
    WakeTime,
    WorkflowRow,
)
from .connection import Durability
from .faults import read_failed
from .files import checked_path
from .lock import Role
from .session import Session, open_session

__all__ = ["SQLiteStorage"]

_VISITORS_CHECK_S: Final = 0.5
"""A starting owner waits for a visitor, so it looks for damage for a shorter time."""


class SQLiteStorage(Backend):
    """Workflows in one SQLite file, which survive ``kill -9`` and, by default, a loss of power.

    Beside the file lie its log (``-wal``, ``-shm``), its lock (``.lock``) and its high-water
    mark (``.mark``). They belong together; only the database and its ``-wal`` hold workflows.
    All are readable by their owner alone, and so is the directory, if it is created.
    """

    transactional = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power_loss",
        accept_loss: bool = False,
        quick_check_seconds: float = 2.0,
    ) -> None:
        """Name a database; nothing touches the disk before :meth:`open`.

        Args:
            path: the file. It is created if it is missing, and its directory, too, if the
                directory's parent exists. Local disks only.
            durability: what an acknowledged commit survives. ``"process"`` is faster, and may
                lose the last commits when the power fails; a crash of the process loses none.
            accept_loss: open the file even if acknowledged commits are missing from it.
            quick_check_seconds: how long to look for damage at opening after an unclean end.

        Raises:
            InvalidInputError: one of these is not acceptable.
        """
        self._path = checked_path(path)
        if durability not in get_args(Durability):
            raise InvalidInputError("durability", durability, "'power_loss' or 'process'")
        if not quick_check_seconds >= 0:
            raise InvalidInputError("quick_check_seconds", quick_check_seconds, "0 or more")
        self._durability: Durability = durability
        self._accept_loss = accept_loss
        self._quick_check_seconds = quick_check_seconds
        self._session: Session | None = None
        self._role: Role = "owner"

    @classmethod
    def visiting(cls, path: str | os.PathLike[str]) -> SQLiteStorage:
        """Name a database that is opened for a moment only, by somebody who is not its owner.

        Opening it creates and migrates nothing, and what an unclean end has cut off is left to
        the next owner.

        Args:
            path: the file, which must be there.

        Raises:
            InvalidInputError: this is no path.
        """
        visitor = cls(path, quick_check_seconds=_VISITORS_CHECK_S)
        visitor._role = "visitor"
        return visitor

    def __repr__(self) -> str:
        state = "closed" if self._session is None else f"epoch {self._session.report.epoch}"
        return f"<SQLiteStorage {self._path!r}, {self._durability}, {state}>"

    @property
    def where(self) -> str:
        return self._path

    @property
    def socket_path(self) -> str | None:
        """Where other processes meet the owner, beside the real file; ``None`` if it is closed."""
        session = self._session
        return None if session is None else session.place.socket

    # -- lifetime -------------------------------------------------------------------------------

    def open(self) -> OpenReport:
        if self._session is not None:
            raise StorageLockedError(self._path, "this very object, which is open")
        try:
            self._session = open_session(
                self._path,
                self._durability,
                accept_loss=self._accept_loss,
                quick_check_seconds=self._quick_check_seconds,
                role=self._role,
            )
        except OSError as error:
            raise StorageUnavailableError(self._path, str(error)) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise read_failed(error, self._path) from error
        return self._session.report

    def close(self, *, clean: bool = True) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close(clean=clean)

    def abandon(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.abandon()

    def _opened(self) -> Session:
        # Read once: another thread may close it meanwhile.
        session = self._session
        if session is None:
            raise StorageUnavailableError(self._path, "it is not open")
        return session

    # -- writing --------------------------------------------------------------------------------

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        """Do all of these in one durable transaction, in order, and answer each.

        Raises:
            StorageLockedError: somebody else has taken the file; nothing was applied, and
                nothing more can be written.
            StorageUnavailableError, OutcomeUnknownError, StorageCorruptError: as
                :meth:`Backend.commit`.
        """
        return self._opened().writer.commit(group)

    def tidy(self) -> None:
        self._opened().writer.tidy()

    # -- reading --------------------------------------------------------------------------------

    def get_workflow(self, id: str) -> StoredWorkflow:
        return self._opened().reader.get_workflow(id)

    def list_workflows(self, query: WorkflowFilter) -> Listing:
        """Read one page, newest first; damaged workflows are logged and left out."""
        return self._opened().reader.list_workflows(query)

    def count_workflows(self) -> WorkflowCounts:
        return self._opened().reader.count_workflows()

    def read_tasks(
        self, workflow_id: str, op: str | None = None
    ) -> tuple[list[Entry], list[OpenTask]]:
        return self._opened().reader.read_tasks(workflow_id, op)

    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        return self._opened().reader.read_journal(workflow_id, after, limit)

    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        return self._opened().reader.get_value(workflow_id, key)

    def list_values(self, workflow_id: str) -> list[StoredValue]:
        return self._opened().reader.list_values(workflow_id)

    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        return self._opened().reader.list_dead_letters(workflow_id, after, limit)

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        return self._opened().reader.load(pks)

    def read_rows(self, ids: Sequence[str]) -> list[WorkflowRow | StorageCorruptError]:
        return self._opened().reader.read_rows(ids)

    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        return self._opened().reader.list_unfinished(after_pk, due_by, limit)

    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        return self._opened().reader.list_ended(before_pk, limit)

    def list_wake_times(self, after: tuple[float, int], limit: int) -> list[WakeTime]:
        return self._opened().reader.list_wake_times(after, limit)
