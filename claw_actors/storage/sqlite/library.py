"""What is known to be wrong with versions of SQLite, as far as it concerns a database like ours.

A table, and nothing else: SQLite's own release notes say which versions, and each entry says
whether its defect can reach us. We have one connection that writes and checkpoints; all others,
in this process and in others, are read-only and cannot checkpoint. What needs SQL that we do not
use is left out: an ``UPSERT`` with two ``ON CONFLICT`` clauses for one index (before 3.45.2),
triggers, views, full-text search, JSON.

A distributor may have mended an older version: the number does not tell.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

__all__ = ["BUGS", "SQLiteBug", "Version", "find_bugs", "loses_spilled_commits"]

Version: TypeAlias = tuple[int, int, int]
"""As ``sqlite3.sqlite_version_info`` has it."""

SPILL: Final = "spilled_savepoint"


@attrs.frozen(kw_only=True)
class SQLiteBug:
    """A defect of some versions of SQLite.

    Attributes:
        name: what it is called here; it does not change.
        ranges: the versions that have it: from the first of each pair on, and before the second.
        what: what happens.
        reach: ``"never"``, ``"others"`` if only another program can bring it about, or
            ``"possible"``.
        advice: why it does not matter, or what to do.
        source: where SQLite's authors say so.
    """

    name: str
    ranges: tuple[tuple[Version, Version], ...]
    what: str
    reach: Literal["never", "others", "possible"]
    advice: str
    source: str


BUGS: Final = (
    SQLiteBug(
        name="wal_reset",
        # https://sqlite.org/wal.html#walresetbug; mended in two older branches, too.
        ranges=(((3, 7, 0), (3, 44, 6)), ((3, 45, 0), (3, 50, 7)), ((3, 51, 0), (3, 51, 3))),
        what="two connections that write or checkpoint at the same moment can damage the database",
        reach="others",
        advice="claw_actors has only one such connection. Let no other program write to the"
        " database or checkpoint it, such as Litestream or `sqlite3` without -readonly; or take"
        " SQLite 3.51.3",
        source="https://sqlite.org/wal.html#walresetbug",
    ),
    SQLiteBug(
        name=SPILL,
        # What it cuts short came with 3.11.0: transactions that are larger than the cache.
        ranges=(((3, 11, 0), (3, 50, 2)),),
        what="after a savepoint is rolled back in a transaction larger than the cache, commits are"
        " lost by a crash",
        reach="never",
        advice="claw_actors lets no transaction leave the cache before it is committed",
        source="https://sqlite.org/releaselog/3_50_2.html",
    ),
    SQLiteBug(
        name="memory_savepoint",
        ranges=(((3, 35, 0), (3, 37, 2)),),
        what="where SQLite was built to keep temporary files in memory, rolling back a savepoint"
        " can damage the database",
        reach="possible",
        advice="take SQLite 3.37.2",
        source="https://sqlite.org/releaselog/3_37_2.html",
    ),
    SQLiteBug(
        name="exists_join",
        ranges=(((3, 51, 0), (3, 51, 2)),),
        what="some queries with EXISTS give wrong answers, and lists by label have one",
        reach="possible",
        advice="take SQLite 3.51.3",
        source="https://sqlite.org/releaselog/3_51_2.html",
    ),
    SQLiteBug(
        name="lock_check_deadlock",
        ranges=(((3, 51, 0), (3, 51, 2)),),
        what="the check for locks that were dropped can wait for itself, for ever",
        reach="possible",
        advice="take SQLite 3.51.3",
        source="https://sqlite.org/releaselog/3_51_2.html",
    ),
)
"""All that is known, the worst first."""


def find_bugs(version: Version) -> tuple[SQLiteBug, ...]:
    """Return what is wrong with a version of SQLite, the worst first."""
    return tuple(
        bug for bug in BUGS if any(first <= version < fixed for first, fixed in bug.ranges)
    )


def loses_spilled_commits(version: Version) -> bool:
    """Tell whether what leaves the cache before its commit endangers that commit.

    A page that is written to the log a second time by one transaction makes SQLite leave the
    checksums of all later frames for the commit to fill in. Before 3.50.2 the rollback of a
    savepoint, or of a single statement, made it forget which ones. The log is then readable up to
    there only, which nobody notices before it is read again after a crash: that commit, and all
    that follow, are gone.
    """
    return any(bug.name == SPILL for bug in find_bugs(version))
