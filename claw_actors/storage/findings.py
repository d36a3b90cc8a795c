"""What an examination has found, besides damage: in one shape, for people and for programs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

__all__ = ["Finding", "Kind"]

Kind: TypeAlias = Literal[
    "damage",
    "lost_commits",
    "orphans",
    "stuck",
    "orphaned_child",
    "late",
    "suspect",
    "large_log",
    "sqlite_bug",
    "quarantined",
]
"""What a finding is about; these names do not change."""


@attrs.frozen(kw_only=True)
class Finding:
    """Something that somebody should know.

    Attributes:
        kind: what it is about.
        serious: whether something is wrong. Otherwise it is a note: worth knowing, and no reason
            to be woken up.
        what: what was found, in words.
        advice: what to do about it; or why there is nothing to be done.
        table: where its rows are, of orphans.
        count: how many rows or workflows there are of it.
        example: the id of one of these workflows; of rows whose workflow is gone its key, as
            ``pk 17``; of a defect of SQLite its name.
    """

    kind: Kind
    serious: bool
    what: str
    advice: str
    table: str | None = None
    count: int = 1
    example: str | None = None
