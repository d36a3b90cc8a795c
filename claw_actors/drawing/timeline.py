"""What was done when, as bars.

A journal says when things ended. When they began follows from it: a task's entry says when its
first attempt did; a sleep began when the code had been told of the entry before it; a child lives
from the entry of its start to the one of its end. Attempts in between left no entry, only their
number.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, assert_never

import attrs

from .._core.journal import EntryKind, EntryStatus, outlives
from .wording import instant, one_line, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..storage.history import HistoryEntry
    from ..storage.model import TaskState, WorkflowState

__all__ = ["Bar", "BarKind", "BarState", "NewLife", "Timeline", "timeline_of", "voided_in"]


class BarKind(enum.StrEnum):
    """What a bar stands for."""

    TASK = "task"
    SLEEP = "sleep"
    LIMIT = "limit"
    """A time limit that has passed."""
    CHILD = "child"
    """Another workflow that was started, up to its end."""
    WAIT = "wait"
    """What it does now: it waits, or is paused."""
    MARK = "mark"
    """Something without length: a message, a request."""


class BarState(enum.StrEnum):
    """How what a bar stands for went."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OPEN = "open"
    """It has not ended."""
    VOID = "void"
    """It counts no more: a retry has repeated it."""


@attrs.frozen(kw_only=True)
class Bar:
    """One thing that a workflow did, or that happened to it.

    Attributes:
        path: the parts of its operation's path; of what no code asked for, a word for it.
        kind, state: what it is, and how it went.
        begin: in POSIX seconds.
        end: in POSIX seconds; ``None`` if it has not ended.
        attempts: of a task, how many have ended.
        note: what more there is to say, on one line; ``""`` if nothing.
    """

    path: tuple[str, ...]
    kind: BarKind
    state: BarState
    begin: float
    end: float | None
    attempts: int = 0
    note: str = ""


@attrs.frozen
class NewLife:
    """A new incarnation: after a crash, a restart, or a rest outside memory.

    Attributes:
        number: which one.
        after, before: it began between these two instants, in POSIX seconds.
    """

    number: int
    after: float
    before: float


@attrs.frozen(kw_only=True)
class Timeline:
    """All that a journal tells of when things were done.

    Attributes:
        title: whose it is, and how that stands, on one line.
        begin: when its run was started, or what is older than that, in POSIX seconds.
        end: when it ended, or until when it was looked at, or what is later, in POSIX seconds.
        bars: in the order in which they began.
        lives: incarnations after the first one, as far as each has written something.
    """

    title: str
    begin: float
    end: float
    bars: tuple[Bar, ...]
    lives: tuple[NewLife, ...]

    @property
    def span(self) -> float:
        """How long it is, in seconds; never 0."""
        return max(self.end - self.begin, 1e-3)


def timeline_of(
    state: WorkflowState,
    history: Sequence[HistoryEntry],
    tasks: Iterable[TaskState] = (),
    *,
    now: float,
) -> Timeline:
    """Make the timeline of a workflow.

    Args:
        state: the workflow.
        history: the entries of its present run, in order.
        tasks: its tasks; of these, those that have not ended are looked at.
        now: until when what has not ended is drawn, in POSIX seconds.
    """
    bars = [*_recorded(history), *(_open(one, now) for one in tasks if one.completed_at is None)]
    if all(bar.end is not None for bar in bars):
        bars += _now(state, history, now)
    bars.sort(key=lambda bar: bar.begin)
    created = now if state.created_at is None else state.created_at
    recorded = [entry.at for entry in history]
    began = [bar.begin for bar in bars]
    ended = [bar.begin if bar.end is None else bar.end for bar in bars]
    end = now if state.completed_at is None else state.completed_at
    return Timeline(
        title=_title(state),
        # A later run began later; clocks are set back; a fork has another workflow's past.
        begin=min([*(recorded or [created]), *began]),
        end=max([end, *recorded, *ended]),
        bars=tuple(bars),
        lives=_lives(history),
    )


def voided_in(history: Iterable[HistoryEntry]) -> frozenset[int]:
    """Return the numbers of the entries that count no more."""
    gone: set[int] = set()
    seen: list[HistoryEntry] = []
    for entry in history:
        if entry.kind is EntryKind.NOTE and entry.status is EntryStatus.VOID:
            first = 0 if entry.ref is None else entry.ref
            gone.update(one.n for one in seen if not outlives(one, first))
        seen.append(entry)
    return frozenset(gone)


def _title(state: WorkflowState) -> str:
    text = f"{state.id}  {state.name}@{state.version}  {state.status}"
    return one_line(text if state.reason is None else f"{text}: {state.reason}")


# -- bars -------------------------------------------------------------------------------------------

_STATES: Final = {
    EntryStatus.OK: BarState.OK,
    EntryStatus.FAILED: BarState.FAILED,
    EntryStatus.CANCELLED: BarState.CANCELLED,
    EntryStatus.VOID: BarState.OK,
}

_WORDS: Final = {
    "/retry": "retry",
    "/crash": "begun again after a crash",
    "/dead-letter": "dead letter",
    "/reply": "reply",
}
"""What notes are about, by their op."""


def _recorded(history: Sequence[HistoryEntry]) -> Iterable[Bar]:
    """Yield a bar for each entry, but for the start, the end, and ends of children and pauses."""
    times = {entry.n: entry.at for entry in history}
    voided = voided_in(history)
    ends = _ends(history)
    for entry in history:
        bar = _bar(entry, times, ends.get(entry.n))
        if bar is not None:
            yield attrs.evolve(bar, state=BarState.VOID) if entry.n in voided else bar


def _bar(entry: HistoryEntry, times: dict[int, float], other: HistoryEntry | None) -> Bar | None:
    """Make the bar of an entry; ``None`` if it has none, or is the end of another one's."""
    asked = entry.at if entry.after is None else times.get(entry.after, entry.at)
    match entry.kind:
        case EntryKind.START | EntryKind.END | EntryKind.RESUME:
            return None
        case EntryKind.TASK:
            begin = asked if entry.started_at is None else entry.started_at
            return _made(entry, parts_of(entry.op), BarKind.TASK, begin)
        case EntryKind.TIMER:
            return _made(entry, parts_of(entry.op), BarKind.SLEEP, asked)
        case EntryKind.TIMEOUT:
            return _made(entry, parts_of(entry.op), BarKind.LIMIT, asked)
        case EntryKind.CHILD:
            return _child(entry, other)
        case EntryKind.CHILD_END:
            return None if other is not None else _mark(entry, f"child ended {entry.name}")
        case EntryKind.SEND:
            return _mark(entry, *parts_of(entry.op))
        case EntryKind.MESSAGE:
            return _mark(entry, f"message {entry.name}")
        case EntryKind.CANCEL:
            return _mark(entry, "cancel", note="" if entry.value is None else f"{entry.value}")
        case EntryKind.PAUSE:
            paused = _made(entry, ("paused",), BarKind.WAIT, entry.at)
            return _until(paused, None if other is None else other.at)
        case EntryKind.NOTE:
            return _mark(entry, _WORDS.get(entry.op, "note"))
        case _:
            assert_never(entry.kind)


def _made(
    entry: HistoryEntry, path: tuple[str, ...], kind: BarKind, begin: float, note: str = ""
) -> Bar:
    """Make a bar that ends with its entry."""
    return Bar(
        path=tuple(map(one_line, path)),
        kind=kind,
        state=_STATES[entry.status],
        begin=min(begin, entry.at),
        end=entry.at,
        attempts=entry.attempt,
        note=one_line(" ".join(filter(None, [note, _error_in(entry)]))),
    )


def _mark(entry: HistoryEntry, *path: str, note: str = "") -> Bar:
    return _made(entry, path, BarKind.MARK, entry.at, note)


def _until(bar: Bar, end: float | None) -> Bar:
    """Have a bar end at another time, or not at all."""
    if end is None:
        return attrs.evolve(bar, end=None, state=BarState.OPEN)
    return attrs.evolve(bar, end=max(bar.begin, end))


def _child(entry: HistoryEntry, end: HistoryEntry | None) -> Bar:
    """Make the bar of a child, from its start to its end."""
    bar = _made(entry, parts_of(entry.op), BarKind.CHILD, entry.at, _child_of(entry))
    if bar.state is not BarState.OK:
        return bar  # it could not be started
    if end is None:
        return _until(bar, None)
    ended = attrs.evolve(
        bar, state=_STATES[end.status], note=f"{bar.note} {_error_in(end)}".strip()
    )
    return _until(ended, end.at)


def _error_in(entry: HistoryEntry) -> str:
    """Name what an entry failed with, without its module."""
    if entry.error is None:
        return ""
    return one_line(entry.error.types[0].rpartition(".")[2]) if entry.error.types else "failed"


def _child_of(entry: HistoryEntry) -> str:
    """Return the id of a child that was started; its entry says it first."""
    value = entry.value
    return str(value[0]) if isinstance(value, list) and value else ""


def _ends(history: Sequence[HistoryEntry]) -> dict[int, HistoryEntry]:
    """Match the starts of children with their first ends, and pauses with what ended them.

    Returns:
        By the numbers of both: the other one.
    """
    matched: dict[int, HistoryEntry] = {}
    children: dict[str, HistoryEntry] = {}
    pause: HistoryEntry | None = None
    for entry in history:
        if entry.kind is EntryKind.CHILD and entry.status is EntryStatus.OK:
            children[_child_of(entry)] = entry
        elif entry.kind is EntryKind.CHILD_END and entry.name in children:
            start = children.pop(entry.name)
            matched[start.n], matched[entry.n] = entry, start
        elif entry.kind is EntryKind.PAUSE:
            pause = entry
        elif entry.kind in (EntryKind.RESUME, EntryKind.END) and pause is not None:
            matched[pause.n], pause = entry, None
    return matched


def _open(task: TaskState, now: float) -> Bar:
    """Make the bar of a task that has not ended."""
    notes = [str(task.status)]
    if task.due_at is not None:
        notes.append(f"due {instant(task.due_at)}")
    if task.error is not None and task.error.types:
        notes.append(task.error.types[0].rpartition(".")[2])
    return Bar(
        path=parts_of(task.id),
        kind=BarKind.TASK,
        state=BarState.OPEN,
        begin=now if task.started_at is None else min(task.started_at, now),
        end=None,
        attempts=task.attempt,
        note=one_line("  ".join(notes)),
    )


def _now(state: WorkflowState, history: Sequence[HistoryEntry], now: float) -> Iterable[Bar]:
    """Make the bar of what a workflow does now, or waits for; its journal does not say what."""
    if str(state.status) in ("running", "waiting") and history:
        yield Bar(
            path=(str(state.status),),
            kind=BarKind.WAIT,
            state=BarState.OPEN,
            begin=min(history[-1].at, now),
            end=None,
            note="" if state.wake_at is None else f"due {instant(state.wake_at)}",
        )


def _lives(history: Sequence[HistoryEntry]) -> tuple[NewLife, ...]:
    """Find the first sign of each incarnation, and the last one of those before it."""
    lives: list[NewLife] = []
    life, last = 0, history[0].at if history else 0.0
    for entry in history:
        if entry.life > life:
            if life:
                began = entry.at
                if entry.started_at is not None and entry.started_at > last:
                    began = entry.started_at
                lives.append(NewLife(entry.life, min(last, began), began))
            life = entry.life
        last = max(last, entry.at)
    return tuple(lives)
