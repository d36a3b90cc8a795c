"""What a recovery would do, found out without doing it.

It reads what a recovery reads, and sorts it by the same rules: only the code of the workflows does not
run. So what it cannot foresee is code that asks for something else than its journal says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .._core.lifecycle import Status
from .._core.triage import RecoveryVerdict, Triage, quarantine_reason
from ..errors import StorageCorruptError
from .recovery_report import RecoveryReport
from .survey import survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..storage.opening import Sight
    from ..storage.records import Loaded, WorkflowRow
    from .config import RuntimeConfig
    from .registry import Registry

__all__ = ["PlannedRecovery", "RecoveryPlan", "plan_recovery"]

_RUN = frozenset({RecoveryVerdict.TOGETHER, RecoveryVerdict.ALONE})


@attrs.frozen(kw_only=True)
class PlannedRecovery:
    """What would become of one unfinished workflow.

    Attributes:
        id: the workflow; ``None`` if not even that can be read.
        name, version: its code; ``None`` if that cannot be read.
        status: what it is doing, as stored.
        verdict: what becomes of it.
        reason: why, if it does not simply come back.
        where: for ``DAMAGED``, what cannot be read.
        recoveries: how often it was recovered after an unclean end without progress since.
        due_at: for ``LATER``, when its respawn is due, in POSIX seconds.
        entries: how many steps its journal has, which do not run again; ``None`` where its journal
            would not be read.
        open_tasks: ids of the tasks that are noted as begun and not ended: those between two
            attempts, and long ones. Short ones may be under way without a note.
    """

    id: str | None
    name: str | None = None
    version: int | None = None
    status: Status | None = None
    verdict: RecoveryVerdict
    reason: str | None = None
    where: str | None = None
    recoveries: int = 0
    due_at: float | None = None
    entries: int | None = None
    open_tasks: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RecoveryPlan:
    """What the next opening of a database would recover.

    Attributes:
        at: when it was found out, in POSIX seconds.
        owner: who has the database open, as it named itself; the plan is then for its being killed
            now. ``None`` if nobody does.
        clean: whether the last owner closed it. If not, this recovery counts for each workflow.
        workflows: all that is unfinished and does more than wait, in the order of their creation;
            before them those of which not even the row can be read.
        waiting: how many wait for a time or a message, and stay where they are.
    """

    at: float
    owner: str | None
    clean: bool
    workflows: tuple[PlannedRecovery, ...]
    waiting: int

    def of(self, *verdicts: RecoveryVerdict) -> tuple[PlannedRecovery, ...]:
        """Pick those with one of these verdicts."""
        return tuple(one for one in self.workflows if one.verdict in verdicts)

    @property
    def left(self) -> tuple[PlannedRecovery, ...]:
        """Those that would not come back."""
        return tuple(one for one in self.workflows if not one.verdict.comes_back)

    @property
    def report(self) -> RecoveryReport:
        """What the recovery would say of itself."""

        def ids(*verdicts: RecoveryVerdict) -> tuple[str, ...]:
            return tuple(one.id for one in self.of(*verdicts) if one.id is not None)

        return RecoveryReport(
            # In the order in which they come back.
            recovered=ids(RecoveryVerdict.ALONE) + ids(RecoveryVerdict.TOGETHER),
            delayed=ids(RecoveryVerdict.LATER),
            quarantined=ids(RecoveryVerdict.QUARANTINE),
            unknown=ids(RecoveryVerdict.UNKNOWN),
            damaged=tuple(one.where for one in self.workflows if one.where is not None),
        )


async def plan_recovery(
    sight: Sight, registry: Registry | None, config: RuntimeConfig, now: float
) -> RecoveryPlan:
    """Find out what the next opening would recover.

    Args:
        sight: the database.
        registry: the code that there will be; ``None`` if none is to be called unknown.
        config: of the runtime that will open it.
        now: POSIX seconds.

    Raises:
        StorageUnavailableError, StorageVersionError, StorageCorruptError: it cannot be read at all.
    """
    # In this order: an owner that closes it meanwhile has closed it.
    owner = await sight.read(sight.backend.find_owner)
    clean = await sight.read(sight.backend.ended_cleanly)
    triage = Triage(counted=not clean, limit=config.max_recoveries, now=now, room=config.max_active)
    is_known = _everything if registry is None else registry.knows
    found = await survey(sight, triage, is_known, config.recovery_wave)
    planned = [_of_damaged_row(damage) for damage in found.damaged]
    for first in range(0, len(found.sorted), config.recovery_wave):
        wave = found.sorted[first : first + config.recovery_wave]
        run = [row.pk for row, verdict in wave if verdict in _RUN]
        loaded = await _load(sight, run)
        planned += [
            _plan(row, verdict, loaded.get(row.pk), registry)
            for row, verdict in wave
            if row.pk in loaded or verdict not in _RUN
        ]
    counts = await sight.read(sight.backend.count_workflows)
    fell_due = sum(one.status is Status.WAITING for one in planned)
    return RecoveryPlan(
        at=now,
        owner=owner,
        clean=clean,
        workflows=tuple(planned),
        waiting=max(0, counts.by_status[Status.WAITING] - fell_due),
    )


def _everything(name: str, version: int) -> bool:  # noqa: ARG001 -- as a registry is asked
    return True


async def _load(sight: Sight, pks: Sequence[int]) -> dict[int, Loaded | StorageCorruptError]:
    """Read what these would run from, as a recovery does; what is gone meanwhile is left out."""
    found = await sight.read(sight.backend.load, pks)
    loaded: dict[int, Loaded | StorageCorruptError] = {
        one.row.pk: one for one in found if not isinstance(one, StorageCorruptError)
    }
    if len(loaded) < len(found):  # an error does not say whose it is
        for pk in pks:
            if pk not in loaded:
                for one in await sight.read(sight.backend.load, [pk]):
                    loaded[pk] = one
    return loaded


def _plan(
    row: WorkflowRow,
    verdict: RecoveryVerdict,
    loaded: Loaded | StorageCorruptError | None,
    registry: Registry | None,
) -> PlannedRecovery:
    planned = PlannedRecovery(
        id=row.id,
        name=row.name,
        version=row.version,
        status=row.status,
        verdict=verdict,
        recoveries=row.recoveries,
    )
    match verdict:
        case RecoveryVerdict.LATER:
            return attrs.evolve(planned, due_at=row.wake_at, reason="it has crashed")
        case RecoveryVerdict.IN_TURN:
            return attrs.evolve(planned, reason="when there is room in memory")
        case RecoveryVerdict.QUARANTINE:
            return attrs.evolve(planned, reason=quarantine_reason(row.recoveries))
        case RecoveryVerdict.UNKNOWN:
            assert registry is not None
            return attrs.evolve(planned, reason=str(registry.unknown(row.name, row.version)))
        case RecoveryVerdict.ALONE:
            planned = attrs.evolve(planned, reason=quarantine_reason(row.recoveries))
        case _:
            assert verdict is RecoveryVerdict.TOGETHER, verdict
    match loaded:
        case StorageCorruptError():
            return attrs.evolve(
                planned,
                verdict=RecoveryVerdict.DAMAGED,
                reason=loaded.reason,
                where=loaded.where,
            )
        case _:
            assert loaded is not None
            open_tasks = tuple(task.op for task in loaded.open_tasks)
            return attrs.evolve(planned, entries=len(loaded.entries) - 1, open_tasks=open_tasks)


def _of_damaged_row(damage: StorageCorruptError) -> PlannedRecovery:
    return PlannedRecovery(
        id=None, verdict=RecoveryVerdict.DAMAGED, reason=damage.reason, where=damage.where
    )
