"""What a recovery found and did."""

from __future__ import annotations

import attrs

__all__ = ["RecoveryReport", "Tally"]


@attrs.frozen(kw_only=True)
class RecoveryReport:
    """What a recovery found and did.

    Attributes:
        recovered: ids that run again.
        delayed: ids whose respawn is due later, after a crash.
        quarantined: ids parked because they were recovered too often without progress.
        unknown: ids whose workflow or version is not registered; left as they are.
        damaged: what could not be read; left as it is.
    """

    recovered: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


@attrs.define
class Tally:
    """A report in the making."""

    recovered: list[str] = attrs.field(factory=list[str])
    delayed: list[str] = attrs.field(factory=list[str])
    quarantined: list[str] = attrs.field(factory=list[str])
    unknown: list[str] = attrs.field(factory=list[str])
    damaged: list[str] = attrs.field(factory=list[str])

    def report(self) -> RecoveryReport:
        return RecoveryReport(
            recovered=tuple(self.recovered),
            delayed=tuple(self.delayed),
            quarantined=tuple(self.quarantined),
            unknown=tuple(self.unknown),
            damaged=tuple(self.damaged),
        )
