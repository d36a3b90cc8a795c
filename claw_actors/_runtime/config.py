"""What users set."""

from __future__ import annotations

from typing import Any

import attrs

from .._core.bounds import at_least, yes_or_no
from ..errors import InvalidInputError
from ..storage.codec import MAX_PAYLOAD_BYTES

__all__ = ["Retention", "RuntimeConfig"]


@attrs.frozen(kw_only=True)
class Retention:
    """What a runtime prunes of the workflows that have ended; by default nothing.

    With ``older_than``, those that ended so long ago; with ``keep``, all but the newest. With both,
    each of the two keeps what it keeps. See :meth:`Runtime.prune` for what goes with them.

    Attributes:
        older_than: seconds that an ended workflow stays; ``None`` says nothing about its age.
        keep: of each workflow name, this many ended ones stay, those that were started last;
            ``None`` says nothing about their number.
        failed: whether failed ones go, too. If not, they stay until they are pruned by hand.
        interval: seconds between two rounds; the first one is at the start.
        remember_ids: seconds for which the ids of pruned workflows are remembered, so that none is
            used again unawares; ``None`` means for ever.

    Raises:
        InvalidInputError: a number out of range.
    """

    older_than: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(at_least(0))
    )
    keep: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(at_least(0, whole=True))
    )
    failed: bool = attrs.field(default=True, validator=yes_or_no)
    interval: float = attrs.field(default=3_600.0, validator=at_least(1))
    remember_ids: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(at_least(0))
    )

    @property
    def is_off(self) -> bool:
        """Whether there is nothing to do."""
        return self.older_than is None and self.keep is None and self.remember_ids is None


def _is_retention(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Retention):
        raise InvalidInputError(attribute.name, value, "a Retention")


@attrs.frozen(kw_only=True)
class RuntimeConfig:
    """Limits and times of a runtime.

    Attributes:
        max_payload_bytes: the largest encoded argument list, result or message.
        max_journal_entries: how long one run's journal may grow; beyond it the instance is
            quarantined, and at 80 % a warning is logged.
        max_threads: worker threads for plain-function tasks.
        grace: seconds that running task bodies get at shutdown to end and be recorded.
        idle_after: seconds after which a workflow that only waits leaves memory. It is stored as
            waiting, its code is unwound, and it comes back by replay when it is due or when
            something arrives for it.
        max_active: how many workflows stay in memory. Beyond that, those that have only waited
            for longest leave at once; and those that are brought back wait for their turn. What
            is started runs in any case.
        max_recoveries: how often in a row an instance may be recovered after an unclean end of
            the process without making progress; then it is quarantined.
        healthy_after: seconds that an instance must run after a recovery to count as healthy,
            if it records nothing before.
        recovery_wave: how many instances are brought back in one step.
        max_storage_restarts: how often within a minute storage may be opened again after an I/O
            error; one more, and the runtime ends with the error. 0 makes the first one the end.
        max_crashes: how many crashes of all workflows together, within ``crash_window`` seconds,
            are taken for their own fault. With one more, respawns pause for ``crash_pause``
            seconds: something that all depend on has failed, and budgets should outlast that.
        crash_window, crash_pause: in seconds.
        control: whether other processes of the same user can act on workflows through a socket
            beside the database; see :func:`open_client`.
        retention: what is pruned of the workflows that have ended.

    Raises:
        InvalidInputError: a number out of range.
    """

    max_payload_bytes: int = attrs.field(
        default=MAX_PAYLOAD_BYTES, validator=at_least(64, whole=True)
    )
    max_journal_entries: int = attrs.field(default=50_000, validator=at_least(10, whole=True))
    max_threads: int = attrs.field(default=40, validator=at_least(1, whole=True))
    grace: float = attrs.field(default=5.0, validator=at_least(0))
    idle_after: float = attrs.field(default=10.0, validator=at_least(0))
    max_active: int = attrs.field(default=250, validator=at_least(1, whole=True))
    max_recoveries: int = attrs.field(default=3, validator=at_least(2, whole=True))
    healthy_after: float = attrs.field(default=1.0, validator=at_least(0))
    recovery_wave: int = attrs.field(default=500, validator=at_least(1, whole=True))
    max_storage_restarts: int = attrs.field(default=5, validator=at_least(0, whole=True))
    max_crashes: int = attrs.field(default=100, validator=at_least(1, whole=True))
    crash_window: float = attrs.field(default=10.0, validator=at_least(0))
    crash_pause: float = attrs.field(default=5.0, validator=at_least(0))
    control: bool = attrs.field(default=True, validator=yes_or_no)
    retention: Retention = attrs.field(factory=Retention, validator=_is_retention)
