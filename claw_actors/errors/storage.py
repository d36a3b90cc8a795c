"""Errors of storage: what it does not have, refuses, or cannot do any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .family import ClawError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DuplicateKeyError",
    "HistoryPrunedError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PayloadTooLargeError",
    "SerializationError",
    "StaleWriteError",
    "StorageCorruptError",
    "StorageLockedError",
    "StorageUnavailableError",
    "StorageVersionError",
]


_YEAR_9999 = 253_370_764_800


class NotFoundError(ClawError):
    """No workflow, task or value has this id. Nothing was changed.

    Attributes:
        kind: ``"workflow"``, ``"task"`` or ``"value"``.
        id: the id that was asked for.
        pruned_at: of a workflow that has ended and whose history was pruned, when that was, in
            POSIX seconds; else ``None``.
    """

    def __init__(self, kind: str, id: str, pruned_at: float | None = None) -> None:
        gone = (
            "" if pruned_at is None else f" any more: its history was pruned at {_utc(pruned_at)}"
        )
        super().__init__(f"no {kind} has the id {id!r}{gone}")
        self.kind = kind
        self.id = id
        self.pruned_at = pruned_at


class DuplicateKeyError(ClawError):
    """The id is taken, by something that differs from what was asked. Nothing was changed.

    Attributes:
        id: the id that is taken.
        differs: what differs from the stored one (``"workflow"``, ``"arguments"``); empty where
            only the id was compared.
    """

    def __init__(self, id: str, differs: Sequence[str] = ()) -> None:
        what = f", but not with the same {' and '.join(differs)}" if differs else ""
        super().__init__(f"a workflow with the id {id!r} exists{what}; use another id")
        self.id = id
        self.differs: tuple[str, ...] = tuple(differs)


class HistoryPrunedError(DuplicateKeyError):
    """A workflow had this id and has ended, and its history was pruned. Nothing was changed.

    So what it did was done once, and its result cannot be had any more. To do it again, use another
    id, or ``on_existing="replace_closed"``.

    Attributes:
        id, differs: as of ``DuplicateKeyError``; where nothing differs, this very work was done.
        status: how it ended.
        ended_at, pruned_at: POSIX seconds.
    """

    def __init__(
        self,
        id: str,
        status: str,
        ended_at: float,
        pruned_at: float,
        differs: Sequence[str] = (),
    ) -> None:
        what = f", but not with the same {' and '.join(differs)}" if differs else ""
        # Not its base's: the id is free of any workflow, which that one would say exists.
        ClawError.__init__(
            self,
            f"a workflow with the id {id!r} ended at {_utc(ended_at)} ({status}){what}, and its"
            f" history was pruned at {_utc(pruned_at)}; use another id, or"
            " on_existing='replace_closed' to run it again",
        )
        self.id = id
        self.differs: tuple[str, ...] = tuple(differs)
        self.status: str = str(status)
        self.ended_at = ended_at
        self.pruned_at = pruned_at


class StaleWriteError(ClawError):
    """The write was based on something that has changed since. Nothing was changed.

    Read again and decide anew. Inside the runtime this is the fence that keeps an old
    incarnation, or an old owner, from writing.

    Attributes:
        id: the workflow.
        what: what was compared: ``"revision"``, ``"life"``, ``"journal"`` or ``"task"``.
        expected: the value the writer had; of a task, the status it was to get.
        found: the value that is stored; of a task, how it ended.
        differs: of a task whose outcome was saved again, what differs from the recorded one.
    """

    def __init__(
        self, id: str, what: str, expected: object, found: object, differs: Sequence[str] = ()
    ) -> None:
        if what == "task":
            other = f", with another {' and another '.join(differs)}" if differs else ""
            message = (
                f"a task of workflow {id!r} has ended already: {found!r} is recorded{other};"
                " what is recorded is never changed"
            )
        else:
            message = (
                f"workflow {id!r} has changed: {what} {expected!r} was expected, {found!r} is"
                " stored; read it again"
            )
        super().__init__(message)
        self.id = id
        self.what = what
        self.expected = expected
        self.found = found
        self.differs: tuple[str, ...] = tuple(differs)


class SerializationError(ClawError):
    """A value cannot be written as strict JSON, or a stored one does not fit its type.

    Attributes:
        what: what was being encoded or decoded, such as ``"argument 'order' of charge_card"``.
        type_name: the type that was declared or found.
        reason: what is wrong with it.
    """

    def __init__(self, what: str, type_name: str, reason: str) -> None:
        super().__init__(f"{what} ({type_name}): {reason}")
        self.what = what
        self.type_name = type_name
        self.reason = reason


class PayloadTooLargeError(ClawError):
    """An encoded value is over the limit. Nothing was changed.

    Store large data elsewhere (a file, an object store) and pass its name.

    Attributes:
        what: which value.
        size_bytes: its encoded size.
        limit_bytes: the limit in force.
    """

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{what} is {size_bytes:,} bytes encoded, over the limit of {limit_bytes:,};"
            " store large data elsewhere and pass its name"
        )
        self.what = what
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class StorageUnavailableError(ClawError):
    """Storage cannot take the call now (disk full, missing directory, busy, closed). Not applied.

    Attributes:
        where: the path, or the name of the backend.
        reason: what the system said.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"storage {where} is unavailable: {reason}")
        self.where = where
        self.reason = reason


class StorageLockedError(ClawError):
    """Another runtime owns this database. There is never a second writer.

    Attributes:
        path: the database file.
        holder: who holds it, as it named itself.
        passing: whether it may be free in a moment: its holder only visits it
            (:func:`open_client`), or has taken it just now and not said who it is.
    """

    def __init__(self, path: str, holder: str, *, passing: bool = False) -> None:
        super().__init__(f"{path} is owned by {holder}; one file has one owner at a time")
        self.path = path
        self.holder = holder
        self.passing = passing


class StorageCorruptError(ClawError):
    """Stored bytes are not what was written. Nothing was changed.

    Attributes:
        where: the file, or the record in it.
        reason: how it was noticed.
        advice: what to do next.
    """

    def __init__(self, where: str, reason: str, advice: str) -> None:
        super().__init__(f"{where} is damaged: {reason}. {advice}")
        self.where = where
        self.reason = reason
        self.advice = advice


class StorageVersionError(ClawError):
    """The database was written by another version of claw_actors. Nothing was changed.

    If it was a newer one, upgrade to open it. An older one's is brought up to date by the next
    runtime that opens it; a visitor (:func:`open_client`) leaves that to the runtime.

    Attributes:
        path: the database file.
        found: its schema version.
        supported: the newest version that this installation reads.
    """

    def __init__(self, path: str, found: int, supported: int) -> None:
        advice = (
            "upgrade claw_actors to open it"
            if found > supported
            else "open it with a runtime first, which brings it up to date"
        )
        super().__init__(
            f"{path} has schema version {found}, this claw_actors reads up to {supported}; {advice}"
        )
        self.path = path
        self.found = found
        self.supported = supported


class OutcomeUnknownError(ClawError):
    """An I/O error struck during a commit: it may or may not be on disk.

    Whoever gets this must stop, and recover from what is stored.

    Attributes:
        where: the path, or the name of the backend.
        reason: what the system said.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"a commit to {where} ended in an I/O error, so it may or may not be stored: {reason}."
            " Close and reopen; recovery reads what is there"
        )
        self.where = where
        self.reason = reason


def _utc(seconds: float) -> str:
    """Return a time as people read it. Computed, as nothing here may ask for a clock."""
    if not 0 <= seconds < _YEAR_9999:
        return f"{seconds:g}"
    days, rest = divmod(int(seconds), 86_400)
    # Years that begin in March end with the day that some of them lack. An era has 400 of them.
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 400 * era + (month >= 10)
    hour, minute, second = rest // 3_600, rest // 60 % 60, rest % 60
    month = month + 3 if month < 10 else month - 9
    return f"{year:04}-{month:02}-{day + 1:02}T{hour:02}:{minute:02}:{second:02}Z"
