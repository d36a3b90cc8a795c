"""Reads all that is unfinished and sorts it: for a recovery, and for who only asks what it would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from .._core.triage import RecoveryVerdict, Triage
from ..errors import StorageCorruptError
from ..storage.reading import ReadSource
from ..storage.records import WorkflowRow

__all__ = ["Survey", "survey"]

IsKnown: TypeAlias = Callable[[str, int], bool]
"""Tells whether the code has a workflow of this name and version."""


@attrs.frozen
class Survey:
    """What is unfinished.

    Attributes:
        sorted: each instance with what becomes of it, in the order of their creation.
        damaged: the rows that cannot be read.
    """

    sorted: tuple[tuple[WorkflowRow, RecoveryVerdict], ...]
    damaged: tuple[StorageCorruptError, ...]


async def survey(
    source: ReadSource,
    triage: Triage,
    is_known: IsKnown,
    page_size: int,
    passes_over: Callable[[WorkflowRow], bool] = lambda row: False,
) -> Survey:
    """Read what is unfinished, page by page, and sort it.

    Args:
        source: where from.
        triage: sorts them.
        is_known: tells whose code is there.
        page_size: how many rows are read at a time.
        passes_over: tells which ones are none of its business.
    """
    found: list[tuple[WorkflowRow, RecoveryVerdict]] = []
    damaged: list[StorageCorruptError] = []
    after, more = 0, True
    while more:
        page = await source.read(source.backend.list_unfinished, after, triage.now, page_size)
        after, more = page.last_pk, page.more
        damaged += page.damaged
        for row in page.rows:
            if not passes_over(row):
                verdict = triage.judge(
                    status=row.status,
                    wake_at=row.wake_at,
                    recoveries=row.recoveries,
                    known=is_known(row.name, row.version),
                )
                found.append((row, verdict))
    return Survey(tuple(found), tuple(damaged))
