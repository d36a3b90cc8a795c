"""What users of storage read and write: workflows, tasks, filters and pages.

Values (input, result, arguments) are JSON here: ``None``, ``bool``, ``int``, ``float``, ``str``,
lists, and dicts with string keys. The runtime turns them into an author's own types.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias, Union

import attrs

from .._core.failures import ErrorRecord
from .._core.lifecycle import Status, TaskStatus
from ..errors import InvalidInputError
from .validation import (
    MAX_DESCRIPTION_CHARS,
    check_count,
    check_free_text,
    check_id,
    check_metadata,
    check_text,
    check_time,
)

__all__ = ["JSON", "TaskState", "WorkflowCounts", "WorkflowFilter", "WorkflowPage", "WorkflowState"]

JSON: TypeAlias = Union[None, bool, int, float, str, "list[JSON]", "dict[str, JSON]"]
"""A value as strict JSON knows it."""

MAX_PAGE = 1_000


def _status(value: Status | str) -> Status:
    if type(value) is Status:
        return value
    try:
        return Status(value)
    except ValueError:
        raise InvalidInputError("status", value, f"one of {', '.join(Status)}") from None


def _task_status(value: TaskStatus | str) -> TaskStatus:
    if type(value) is TaskStatus:
        return value
    try:
        return TaskStatus(value)
    except ValueError:
        raise InvalidInputError("status", value, f"one of {', '.join(TaskStatus)}") from None


def _statuses(value: Status | str | Collection[Status | str] | None) -> frozenset[Status] | None:
    if value is None:
        return None
    return frozenset(map(_status, [value] if isinstance(value, str) else value))


def _names(value: str | Collection[str] | None) -> frozenset[str] | None:
    if value is None:
        return None
    return frozenset({value} if isinstance(value, str) else value)


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    # One text is also a collection of texts, and never meant as one.
    return (value,) if isinstance(value, str) else tuple(value)


def _check_description(instance: object, attribute: object, value: Any) -> None:
    check_free_text("description", value, MAX_DESCRIPTION_CHARS)


def _check_limit(instance: object, attribute: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PAGE:
        raise InvalidInputError("limit", value, f"a whole number from 1 to {MAX_PAGE}")


@attrs.frozen(kw_only=True)
class WorkflowState:
    """One workflow, as storage knows it.

    Times are POSIX seconds. To create one, ``id`` and ``name`` are enough; storage sets
    ``revision``, and ``created_at`` where it is ``None``.

    Attributes:
        id: 1 to 200 characters of ``A-Z a-z 0-9 . _ : -``.
        name, version: which code it runs.
        status, reason: where it stands, and why (for cancelled, paused, quarantined; for one that
            runs or waits, which of its children is quarantined).
        run: the generation, from 1.
        description: free text, at most 1,000 characters.
        metadata: labels to search by; at most 32, keys of 64 and values of 256 characters.
        input, result: JSON; loaded with one workflow, and with a list only on request. The
            input never changes once it is created.
        error: what it failed with.
        parent: the id of the workflow that started it.
        forked_from: the id of the workflow that it is a fork of; loaded like ``input``.
        created_at, started_at, completed_at: when it was accepted, first ran, ended.
        wake_at: when it is next due, if it is pending or waiting.
        revision: counts changes of this record; ``save_workflow`` compares it.
        life: counts incarnations.
        recoveries: how often in a row it was recovered after an unclean end without progress.
    """

    id: str = attrs.field(validator=check_id)
    name: str = attrs.field(validator=check_text)
    version: int = attrs.field(default=1, validator=check_count(1))
    status: Status = attrs.field(default=Status.PENDING, converter=_status)
    reason: str | None = None
    run: int = attrs.field(default=1, validator=check_count(1))
    description: str | None = attrs.field(default=None, validator=_check_description)
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str], validator=check_metadata)
    input: JSON = None
    result: JSON = None
    error: ErrorRecord | None = None
    parent: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_id))
    forked_from: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_id)
    )
    created_at: float | None = attrs.field(default=None, validator=check_time)
    started_at: float | None = attrs.field(default=None, validator=check_time)
    completed_at: float | None = attrs.field(default=None, validator=check_time)
    wake_at: float | None = attrs.field(default=None, validator=check_time)
    revision: int = attrs.field(default=0, validator=check_count(0))
    life: int = attrs.field(default=0, validator=check_count(0))
    recoveries: int = attrs.field(default=0, validator=check_count(0))


@attrs.frozen(kw_only=True)
class TaskState:
    """One task of a workflow: a view over its journal and its open work.

    Attributes:
        id: its path within the workflow, such as ``charge_card#2``.
        name: the task's name.
        kind: ``"task"``; sleeps and requests are not tasks.
        status: pending, running, retrying, or how it ended.
        attempt: how many attempts have ended.
        depends_on: ids of tasks that must end first.
        started_at, completed_at, due_at: POSIX seconds.
        result: JSON, if it completed.
        error: what it, or its last attempt, failed with.
        heartbeat_at: when its body told of its progress last, in POSIX seconds.
        details: what it told then, JSON.
    """

    id: str = attrs.field(validator=check_text)
    name: str = attrs.field(validator=check_text)
    kind: str = "task"
    status: TaskStatus = attrs.field(default=TaskStatus.PENDING, converter=_task_status)
    attempt: int = attrs.field(default=0, validator=check_count(0))
    depends_on: tuple[str, ...] = attrs.field(
        default=(), converter=_texts, validator=attrs.validators.deep_iterable(check_text)
    )
    started_at: float | None = attrs.field(default=None, validator=check_time)
    completed_at: float | None = attrs.field(default=None, validator=check_time)
    due_at: float | None = attrs.field(default=None, validator=check_time)
    result: JSON = None
    error: ErrorRecord | None = None
    heartbeat_at: float | None = attrs.field(default=None, validator=check_time)
    details: JSON = None


@attrs.frozen(kw_only=True)
class WorkflowFilter:
    """Which workflows to list, and which page of them. Every condition given must hold.

    Attributes:
        status: one status, or several.
        name: one workflow name, or several.
        id_prefix: how the id begins.
        version: the exact version.
        parent: the id of the workflow that started them.
        metadata: labels that must all be there, with these values.
        created_after, created_before, completed_after, completed_before: POSIX seconds;
            *after* includes the instant, *before* does not.
        limit: page size, 1 to 1,000.
        offset: how many to skip; fine for the first pages. For long lists use ``after``.
        after: the ``next_after`` of the page before; pages then neither repeat nor miss a
            workflow, whatever is created or deleted meanwhile.
        include_total: count all that match, too.
        include_payloads: load input, result and error of each.
    """

    status: frozenset[Status] | None = attrs.field(default=None, converter=_statuses)
    name: frozenset[str] | None = attrs.field(default=None, converter=_names)
    id_prefix: str | None = None
    version: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_count(0))
    )
    parent: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str], validator=check_metadata)
    created_after: float | None = attrs.field(default=None, validator=check_time)
    created_before: float | None = attrs.field(default=None, validator=check_time)
    completed_after: float | None = attrs.field(default=None, validator=check_time)
    completed_before: float | None = attrs.field(default=None, validator=check_time)
    limit: int = attrs.field(default=100, validator=_check_limit)
    offset: int = attrs.field(default=0, validator=check_count(0))
    after: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_count(0))
    )
    include_total: bool = False
    include_payloads: bool = False


@attrs.frozen(kw_only=True)
class WorkflowPage:
    """One page of a list, newest first.

    Attributes:
        items: the workflows.
        total: how many match in all, if ``include_total`` was set.
        next_after: give it as ``after`` to get the next page; ``None`` on the last one.
    """

    items: tuple[WorkflowState, ...]
    total: int | None
    next_after: int | None


@attrs.frozen(kw_only=True)
class WorkflowCounts:
    """How many workflows there are, and where they stand.

    Attributes:
        by_status: how many are in each status; 0 where there are none.
        oldest: of each status that is not final and has some, when the one that was created first
            was created, in POSIX seconds.
        next_due: when the first of those is due that are pending or waiting for a time, in POSIX
            seconds; ``None`` if none is.
    """

    by_status: Mapping[Status, int]
    oldest: Mapping[Status, float]
    next_due: float | None

    @property
    def total(self) -> int:
        """How many there are in all."""
        return sum(self.by_status.values())
