"""What a transactional task is given: as much of a database connection as it may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

__all__ = ["Connection", "Cursor", "Parameters", "SQLValue"]

SQLValue: TypeAlias = int | float | str | bytes | None
"""What a column of a row can be."""

Parameters: TypeAlias = Sequence[SQLValue] | Mapping[str, SQLValue]
"""The values of a statement's ``?`` or ``:name``."""


class Cursor(Protocol):
    """The rows that a statement has found; it ends with the transaction."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed; -1 for a query."""
        ...

    @property
    def lastrowid(self) -> int | None:
        """The key of the last row that was inserted."""
        ...

    def __iter__(self) -> Iterator[tuple[SQLValue, ...]]:
        """Go through the rows that are left."""
        ...

    def fetchone(self) -> tuple[SQLValue, ...] | None:
        """Return the next row; ``None`` if there is none."""
        ...

    def fetchall(self) -> list[tuple[SQLValue, ...]]:
        """Return all rows that are left."""
        ...


class Connection(Protocol):
    """What a ``@task(transactional=True)`` gets as its first argument.

    Statements take effect together with the task's outcome, or not at all. Transaction control,
    ``PRAGMA``, ``ATTACH``, temporary and virtual tables, and the tables of claw_actors are denied
    with :exc:`TransactionDeniedError`; what is wrong with a statement is raised as the database's
    own error. It ends with the task's function, and belongs to its thread.

    A plain ``sqlite3.Connection`` is one, too: that is enough for a unit test of the function.
    """

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Run one statement.

        Raises:
            TransactionDeniedError: it is not allowed here.
            ContextMisuseError: the task's function has ended, or this is another thread.
        """
        ...

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run one statement for each set of parameters; see :meth:`execute`."""
        ...
