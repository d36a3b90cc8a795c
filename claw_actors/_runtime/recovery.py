"""What comes back at start: everything unfinished, in bounded waves, each counted before it runs.

Suspects first: an instance that was recovered before without making progress since may be what
killed the process, so it comes back alone, claimed by a commit of its own, and nothing else
recovers until it has shown a sign of life. Only that claim raises its count further, so a
bystander of a poisonous instance never reaches the limit. Then the others, a wave at a time, each
wave claimed in one commit before any of it runs.

Those that only wait are not loaded before they are due.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, assert_never, cast

import attrs
import trio

from .._core.lifecycle import UNFINISHED, Event, apply
from .._core.triage import RecoveryVerdict, Triage, quarantine_reason
from ..errors import ClawError, NotFoundError, StorageCorruptError, UnknownWorkflowError
from ..storage.operations import Advance, Claim, Claimed
from ..storage.records import Loaded, RowChange, WakeTime, WorkflowRow
from .recovery_report import RecoveryReport, Tally
from .subjects import subject_of
from .survey import survey
from .wakes import Wakes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..storage.actor import StorageActor
    from .cells import Cells
    from .config import RuntimeConfig
    from .environment import Environment
    from .registry import Registry
    from .rest import Left
    from .timers import Timers

__all__ = ["Recovery"]

_log = logging.getLogger("claw_actors.recovery")

HEALTHY_PATIENCE_S = 5.0
"""How long the note that a suspect is healthy may take to be stored."""

RETRY_PAUSE_S = 1.0
"""After storage could not be read."""

NOTHING_DUE: Mapping[str, float] = MappingProxyType({})
"""What is brought back because it is unfinished, not because a time has come."""


class Recovery:
    """Brings instances back: at start, and when those that wait fall due."""

    def __init__(
        self,
        storage: StorageActor,
        cells: Cells,
        timers: Timers,
        registry: Registry,
        config: RuntimeConfig,
        environment: Environment,
    ) -> None:
        # What the last one that was made by itself has found and done.
        self.report: RecoveryReport = RecoveryReport()
        self._storage = storage
        self._cells = cells
        self._timers = timers
        self._registry = registry
        self._config = config
        self._environment = environment
        # Recoveries count only after an unclean end, and only for what that end has cut off.
        assert storage.report is not None, "it is open"
        self._counted = not storage.report.clean
        # After storage was opened again nobody is there to be told of a full disk.
        self._patient = False
        # What a recovery has left aside, to be reported and given a timer only once.
        self._set_aside: set[int] = set()
        self._damaged: set[str] = set()
        self._wakes = Wakes(timers, self.request, self._look_further)
        self._window_over = False
        # Ids to bring back, each with the deadline that has fallen due.
        self._requested: dict[str, float] = {}
        self._more = trio.Event()

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Bring back everything unfinished; then what is requested, until cancelled.

        Run once more after storage was opened again, when nothing is in memory.
        """
        self._cells.stops.resumed()
        self._set_aside.clear()
        self._wakes.reset()
        self._window_over = False
        self.report = await self.run()
        self._storage.ends_clean = True
        self._patient = True
        task_status.started()
        await self._serve()

    async def run(self) -> RecoveryReport:
        """Bring back everything unfinished that is not in memory; does nothing the second time.

        One instance that cannot come back stops nothing.
        """
        counted, self._counted = self._counted, False
        started = trio.current_time()
        tally = Tally()
        suspects, others = await self._find(tally, counted)
        if suspects or others:
            _log.info(
                "recovering %d unfinished workflows%s",
                len(suspects) + len(others),
                f", {len(suspects)} of them alone" if suspects else "",
            )
        for row in suspects:
            await self._revive_alone(row, tally)
        wave = self._config.recovery_wave
        for first in range(0, len(others), wave):
            await self._revive(others[first : first + wave], counted, tally, patient=self._patient)
        await self._watch_waits()
        report = tally.report()
        if report != RecoveryReport():
            _log.info(
                "recovery took %.3f s: %d running again, %d due later, %d quarantined,"
                " %d of unknown workflows, %d damaged",
                trio.current_time() - started,
                *(len(part) for part in attrs.astuple(report, recurse=False)),
            )
        return report

    # -- finding --------------------------------------------------------------------------------------

    async def _find(
        self, tally: Tally, counted: bool
    ) -> tuple[list[WorkflowRow], list[WorkflowRow]]:
        """Sort what is unfinished into suspects and others; deal with the rest."""
        suspects: list[WorkflowRow] = []
        others: list[WorkflowRow] = []
        triage = Triage(
            counted=counted,
            limit=self._config.max_recoveries,
            now=self._environment.wall(),
            room=self._config.max_active - len(self._cells),
        )
        found = await survey(
            self._storage, triage, self._registry.knows, self._config.recovery_wave, self._is_ours
        )
        for damage in found.damaged:
            self._note_damage(damage, tally)
        for row, verdict in found.sorted:
            match verdict:
                case RecoveryVerdict.TOGETHER:
                    others.append(row)
                case RecoveryVerdict.ALONE:
                    suspects.append(row)
                case RecoveryVerdict.QUARANTINE:
                    await self._quarantine(row, tally)
                case RecoveryVerdict.LATER:
                    self._delay(row, tally)
                case RecoveryVerdict.UNKNOWN:
                    self._leave(row, tally)
                case RecoveryVerdict.IN_TURN | RecoveryVerdict.DAMAGED:
                    # The first fell due meanwhile: a timer brings it back, when it is its turn. Of
                    # the second there is no row.
                    continue
                case _:
                    assert_never(verdict)
        return suspects, others

    def _is_ours(self, row: WorkflowRow) -> bool:
        """Tell whether an instance is in memory, or was dealt with before."""
        assert row.id is not None
        return row.id in self._cells or row.pk in self._set_aside

    def _note_damage(self, damage: StorageCorruptError, tally: Tally) -> None:
        if damage.where not in self._damaged:
            self._damaged.add(damage.where)
            _log.error("left as it is: %s", damage)
            tally.damaged.append(damage.where)

    def _leave(self, row: WorkflowRow, tally: Tally) -> None:
        assert row.id is not None
        error = self._registry.unknown(row.name, row.version)
        _log.error("workflow %s: left as it is: %s", row.id, error, extra=subject_of(row).extra)
        tally.unknown.append(row.id)
        self._set_aside.add(row.pk)

    def _delay(self, row: WorkflowRow, tally: Tally) -> None:
        assert row.id is not None
        assert row.wake_at is not None
        workflow = self._registry.find(row.name, row.version)
        respawn = functools.partial(self.request, row.id)
        self._timers.at(row.wake_at, respawn, length=workflow.restart.maximum)
        _log.info(
            "workflow %s: its respawn is due in %.1f s",
            row.id,
            row.wake_at - self._environment.wall(),
            extra=subject_of(row).extra,
        )
        tally.delayed.append(row.id)
        self._set_aside.add(row.pk)

    async def _quarantine(self, row: WorkflowRow, tally: Tally) -> None:
        assert row.id is not None
        reason = quarantine_reason(row.recoveries)
        change = RowChange(status=apply(row.status, Event.QUARANTINE), reason=reason, wake_at=None)
        await self._storage.submit(Advance(row.pk, row.id, row.life, change=change))
        _log.error("workflow %s: quarantined: %s", row.id, reason, extra=subject_of(row).extra)
        tally.quarantined.append(row.id)

    # -- reviving -------------------------------------------------------------------------------------

    async def _revive_alone(self, row: WorkflowRow, tally: Tally) -> None:
        for sign_of_life in await self._revive([row], True, tally):
            # A healthy while is a sign of life, too, once that is stored.
            with trio.move_on_after(self._config.healthy_after + HEALTHY_PATIENCE_S):
                await sign_of_life.wait()

    async def _revive(
        self,
        rows: Sequence[WorkflowRow],
        counted: bool,
        tally: Tally,
        *,
        patient: bool = False,
        due_by: Mapping[str, float] = NOTHING_DUE,
    ) -> list[trio.Event]:
        """Claim these in one commit, read them, and let them run."""
        rows = [row for row in rows if row.id is not None and not self._cells.look_again(row.id)]
        with self._cells.coming([row.id for row in rows if row.id is not None]):
            lives = tuple((row.pk, row.life) for row in rows)
            claim = Claim(lives, self._environment.wall(), counted)
            claimed = cast("Claimed", await self._storage.submit(claim, patient=patient)).rows
            return await self._load_and_activate(rows, claimed, tally, due_by)

    async def _load_and_activate(
        self,
        rows: Sequence[WorkflowRow],
        claimed: Sequence[WorkflowRow],
        tally: Tally,
        due_by: Mapping[str, float],
    ) -> list[trio.Event]:
        """Read what was claimed and let it run; what cannot be read gets its old row back."""
        signs: list[trio.Event] = []
        missing = {row.pk: row.life for row in claimed}
        for loaded in await self._storage.read(self._storage.backend.load, list(missing)):
            if isinstance(loaded, ClawError):
                _log.error("left as it is: %s", loaded)
                tally.damaged.append(loaded.where)
                continue
            del missing[loaded.row.pk]
            id = loaded.row.id
            assert id is not None
            if (sign := self._activate(loaded, due_by.get(id, -math.inf))) is not None:
                tally.recovered.append(id)
                signs.append(sign)
        for row in rows:
            if row.pk in missing:
                await self._put_back(row, missing[row.pk])
        return signs

    async def _put_back(self, row: WorkflowRow, life: int) -> None:
        """Let the row of an instance that cannot be read say what it said before it was claimed."""
        assert row.id is not None
        self._set_aside.add(row.pk)
        self._storage.expect_nobody(row.pk)
        change = RowChange(
            status=row.status,
            reason=row.reason,
            recoveries=row.recoveries,
            wake_at=row.wake_at,
            started_at=row.started_at,
        )
        with contextlib.suppress(NotFoundError):  # deleted meanwhile
            await self._storage.submit(Advance(row.pk, row.id, life, change=change))

    def _activate(self, loaded: Loaded, due_by: float) -> trio.Event | None:
        row = loaded.row
        _log.info(
            "workflow %s (%s@%d): recovered, %d entries in its journal, life %d",
            row.id,
            row.name,
            row.version,
            len(loaded.entries) - 1,
            row.life,
            extra=subject_of(row).extra,
        )
        return self._cells.activate(row, loaded, due_by=due_by)

    # -- later ----------------------------------------------------------------------------------------

    def request(self, id: str, due_by: float = -math.inf) -> None:
        """Have an instance brought back soon, if it is unfinished and not in memory.

        Args:
            id: the workflow.
            due_by: up to which deadline its sleeps are over, in POSIX seconds. Its own clock
                cannot tell: it may have been set back since.
        """
        self._requested[id] = max(due_by, self._requested.get(id, -math.inf))
        self._more.set()

    async def _serve(self) -> None:
        while True:
            while not self._requested and not self._window_over:
                self._more = trio.Event()
                await self._more.wait()
            due_by, self._requested = self._requested, {}
            try:
                await self._bring_back(due_by)
                # Not before those are back: so never more than a window of them is held here.
                if self._window_over:
                    await self._watch_waits()
                    self._window_over = False
            except ClawError as error:
                _log.error("cannot bring back what is due: %s; trying again", error)
                for id, deadline in due_by.items():
                    self.request(id, deadline)
                await trio.sleep(RETRY_PAUSE_S)

    async def _bring_back(self, due_by: Mapping[str, float]) -> None:
        """Bring these back, as far as there is room, the others when there is; in their order."""
        ids = [id for id in due_by if not self._cells.look_again(id)]
        due_by = {id: max(due_by[id], self._wakes.discard(id)) for id in ids}
        wave = self._config.recovery_wave
        for first in range(0, len(ids), wave):
            rows = await self._read_rows(ids[first : first + wave])
            while rows:
                room = await self._cells.wait_for_room(len(rows))
                part, rows = rows[:room], rows[room:]
                signs = await self._revive(part, False, Tally(), patient=True, due_by=due_by)
                self._cells.counts.activated += len(signs)

    async def _read_rows(self, ids: Sequence[str]) -> list[WorkflowRow]:
        """Read those of these that are unfinished and can run."""
        rows: list[WorkflowRow] = []
        for row in await self._storage.read(self._storage.backend.read_rows, ids):
            if isinstance(row, ClawError):
                _log.error("left as it is: %s", row)
            elif row.status in UNFINISHED and self._is_known(row):
                rows.append(row)
        return rows

    def _is_known(self, row: WorkflowRow) -> bool:
        try:
            self._cells.check_code(row)
        except UnknownWorkflowError as error:
            _log.error("workflow %s: left as it is: %s", row.id, error, extra=subject_of(row).extra)
            return False
        return True

    async def _watch_waits(self) -> None:
        """Set timers for the next instances that wait."""
        backend = self._storage.backend

        async def read(after: tuple[float, int], limit: int) -> list[WakeTime]:
            return await self._storage.read(backend.list_wake_times, after, limit)

        await self._wakes.look_further(read, self._cells.__contains__)

    def left(self, pk: int, id: str, left: Left) -> None:
        """An instance has left memory, because it only waits."""
        if left.wake_at < math.inf:
            self._wakes.add(left.wake_at, pk, id, left.length)

    def _look_further(self) -> None:
        self._window_over = True
        self._more.set()
