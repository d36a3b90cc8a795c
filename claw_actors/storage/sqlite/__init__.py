"""The backend on SQLite: the standard library's ``sqlite3`` in WAL mode, one owner per file.

- ``backend``: the class, and what it promises.
- ``session``: what is held between open and close, and the order of opening.
- ``files``, ``lock``, ``watermark``: the files around the database.
- ``inspection``: what is refused before anything is changed.
- ``connection``, ``schema``, ``statements``: SQLite's settings, the tables, the SQL. ``library``:
  what is wrong with some of its versions.
- ``rows``: records as rows, with their checksums.
- ``writer``, ``transaction``: one group, one commit. What it does to which tables: ``workflows``,
  ``journal``, ``family`` (children), ``belongings`` (values and dead letters), ``deletion``,
  ``pruning`` (and ``remembered``: the ids of what is gone). ``many``: of many workflows at once.
- ``facade``: the connection that an author's own function gets, within a commit.
- ``pool``, ``reader``, ``listing``, ``counting``, ``ended``: reads, each of one moment.
  ``onlooker``: those of somebody who is not the owner.
- ``backup``: a copy in one moment, and the way back. ``examination``: every row, looked at.
  ``diagnosis``: how a database is, seen from outside; ``orphans``: rows that belong to nothing,
  ``stuck``: workflows that cannot go on.
- ``faults``: what SQLite's errors mean here.
"""

from .backend import SQLiteStorage as SQLiteStorage

__all__ = ["SQLiteStorage"]
