"""The one writing connection: groups of operations, each group one durable transaction.

A group is tried as a whole. If one operation's own values stop it, everything is rolled back
and done again with each operation in a savepoint of its own, so that only the culprit is
refused. What ends a whole group (a full disk, an I/O error) is raised.

SQLite may roll a transaction back by itself, silently, savepoints included (a full disk does).
A loop that goes on then writes in autocommit. So after every error ``in_transaction`` decides.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import attrs

from ...errors import ClawError, OutcomeUnknownError, StorageLockedError, StorageUnavailableError
from ..operations import Advance, Advanced, Operation, Result, RolledBack, Transact, Transacted
from . import statements
from .facade import Thrown, call
from .faults import CULPRITS, commit_failed, primary_code, refused
from .files import Place
from .transaction import Transaction
from .watermark import Watermark

__all__ = ["Writer"]

_log = logging.getLogger("claw_actors.storage")
T = TypeVar("T")

# SQLite checkpoints by itself at 4 MB; a larger log is one that a reader held back.
MAX_WAL_BYTES: Final = 8 << 20
MAX_PAGES_TO_FREE: Final = 500


class Writer:
    """Commits groups, as long as it is the owner and nothing has failed."""

    def __init__(
        self, connection: sqlite3.Connection, place: Place, owner: str, watermark: Watermark
    ) -> None:
        """Write on this connection.

        Args:
            connection: nobody else's.
            place: where the files are.
            owner: what stands in the owner's row.
            watermark: raised after each commit.
        """
        self.connection = connection
        self._place = place
        self._owner = owner
        self._watermark = watermark
        self._transaction = Transaction(connection, place.path)
        # Why nothing may be written any more.
        self._failure: str | None = None

    @property
    def failed(self) -> bool:
        """Whether an error has made an end of writing."""
        return self._failure is not None

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        """Do a group; see :meth:`claw_actors.storage.backend.Backend.commit`."""
        return self._guard(lambda: self._commit(group))

    def tidy(self) -> None:
        """Free a bounded number of pages, and cut the log if it has grown."""
        try:
            self._guard(self._free_pages)
            self._guard(self._cut_log)
        except StorageUnavailableError as error:
            _log.debug("no space was given back: %s", error)

    def end(self, *, clean: bool) -> None:
        """Note whether the end was clean, and move the log into the database.

        Raises:
            ClawError: it could not be noted; the next open is an unclean one.
        """
        if clean:
            self._guard(lambda: self._transact(lambda: None, counting=statements.END_CLEANLY))
        self._guard(self._checkpoint)

    # -- one transaction ------------------------------------------------------------------------

    def _commit(self, group: Sequence[Operation]) -> list[Result]:
        if group and isinstance(group[0], Transact):
            assert len(group) == 1, "it comes alone"
            return [self._commit_alone(group[0])]
        try:
            return self._transact(lambda: self._do_together(group))
        except CULPRITS as error:
            _log.debug("a group is done again one by one: %r", error)
            return self._transact(lambda: self._do_one_by_one(group))

    def _do_together(self, group: Sequence[Operation]) -> list[Result]:
        answer = self._transaction.answer
        results = [answer(operation) for operation in group]
        self._transaction.flush()
        return results

    def _do_one_by_one(self, group: Sequence[Operation]) -> list[Result]:
        results: list[Result] = []
        for operation in group:
            try:
                results.append(self._transaction.answer_alone(operation))
            except CULPRITS as error:
                results.append(refused(operation, error))
        return results

    def _commit_alone(self, operation: Transact) -> Result:
        """Do what an author's function does, and record its outcome: both, or neither."""
        try:
            return self._transact(lambda: self._do_transact(operation))
        except Thrown as thrown:
            return RolledBack(thrown.error)
        except CULPRITS as error:
            return refused(operation, error)

    def _do_transact(self, operation: Transact) -> Result:
        advance = operation.advance
        # All but the entry, and first: an old incarnation must not even begin.
        admitted = self._transaction.answer(attrs.evolve(advance, entries=()))
        if isinstance(admitted, ClawError):
            return admitted
        [entry] = advance.entries
        entry = attrs.evolve(entry, value=call(self.connection, operation))
        end = Advance(advance.pk, advance.id, advance.life, (entry,))
        recorded = self._transaction.answer(end)
        self._transaction.flush()
        assert isinstance(recorded, Advanced), recorded
        return Transacted(attrs.evolve(entry, n=recorded.n))

    def _transact(self, do: Callable[[], T], counting: str = statements.COUNT_COMMIT) -> T:
        """Run one transaction under the owner's fence, and raise the high-water mark."""
        connection = self.connection
        connection.execute(statements.BEGIN_WRITE)
        try:
            # First: an old owner must not even begin.
            counted = connection.execute(counting, (self._owner,)).fetchall()
            if not counted:
                raise self._lost_ownership()
            result = do()
        except BaseException:
            self._roll_back()
            raise
        try:
            connection.execute(statements.COMMIT)
        except sqlite3.Error as error:
            self._roll_back()
            if primary_code(error) == sqlite3.SQLITE_CONSTRAINT:
                # A deferred one of an author's own tables: that comes before anything is written.
                raise Thrown(error) from error
            raise self._fail(commit_failed(error, self._place.path, committing=True)) from error
        except BaseException:
            self._roll_back()
            raise
        self._watermark.write(counted[0][0])
        return result

    def _roll_back(self) -> None:
        self._transaction.reset()
        if self.connection.in_transaction:
            try:
                self.connection.execute(statements.ROLLBACK)
            except sqlite3.Error as error:
                # The error that led here is raised; this one only makes it final.
                self._failure = f"a rollback failed: {error}"

    def _lost_ownership(self) -> ClawError:
        found = self.connection.execute(statements.SELECT_OWNER).fetchone()
        holder = found[0] if found is not None else None
        return StorageLockedError(self._place.path, holder or "another owner")

    # -- errors ---------------------------------------------------------------------------------

    def _guard(self, do: Callable[[], T]) -> T:
        """Map SQLite's errors, and write nothing after one that makes an end."""
        if self._failure is not None:
            raise OutcomeUnknownError(
                self._place.path, f"it has failed before and must be opened again: {self._failure}"
            )
        try:
            return do()
        except sqlite3.Error as error:
            raise self._fail(commit_failed(error, self._place.path, committing=False)) from error
        except StorageLockedError as error:
            self._failure = str(error)
            raise

    def _fail(self, error: ClawError) -> ClawError:
        if self._failure is not None:
            return OutcomeUnknownError(self._place.path, f"{error}; {self._failure}")
        if not isinstance(error, StorageUnavailableError):
            self._failure = str(error)
        return error

    # -- space ----------------------------------------------------------------------------------

    def _free_pages(self) -> None:
        (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
        if free:
            self._transact(lambda: self._vacuum(min(free, MAX_PAGES_TO_FREE)))

    def _vacuum(self, pages: int) -> None:
        # The statement has a step per page and no columns, and Python steps it only once.
        for _ in range(pages):
            self.connection.execute("PRAGMA incremental_vacuum(1)")

    def _cut_log(self) -> None:
        try:
            size_bytes = Path(self._place.wal).stat().st_size
        except OSError:  # nothing was written yet
            return
        if size_bytes > MAX_WAL_BYTES or (size_bytes and self._is_to_shrink()):
            self._checkpoint()

    def _is_to_shrink(self) -> bool:
        """Tell whether the file is longer than it has to be: pages were freed in the log only."""
        (pages,) = self.connection.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = self.connection.execute("PRAGMA page_size").fetchone()
        return bool(Path(self._place.path).stat().st_size > pages * page_bytes)

    def _checkpoint(self) -> None:
        # Whoever reads may go on: without the busy handler nobody is waited for.
        (timeout_ms,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {timeout_ms}")
