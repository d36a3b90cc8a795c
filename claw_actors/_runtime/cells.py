"""Cells: what survives an incarnation's death, and how the next one comes to life.

A cell is the supervised actor of one instance. Its supervisor runs one incarnation after the
other; between them the cell stores the crash, asks the policy, and claims the next life.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never, cast

import attrs
import trio

from .._core.failures import describe
from .._core.lifecycle import Event, Status, apply
from .._core.replay import read_past
from .._core.restart import Quarantine, decide_restart
from .._core.supervision.policy import ExitDecision
from ..actors import (
    Behaviour,
    ChildSpec,
    Exit,
    GiveUp,
    Life,
    RestartAfter,
    Supervisor,
)
from ..errors import ClawError, SupervisorStoppedError, UnknownChildError
from ..storage.operations import Advance, Claim, Claimed, Result, Trim, Trimmed
from ..storage.records import Loaded, RowChange, WorkflowRow
from .attempts import Attempts, TaskCounts
from .births import Births
from .changes import Changes
from .continuing import NextRun
from .idling import Idling
from .inbox import MessageCounts
from .incarnation import Incarnation, InstanceFailed
from .long_running import LongRunning
from .sequencer import Sequencer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable

    from ..definitions import Workflow
    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from .config import RuntimeConfig
    from .environment import Environment
    from .registry import Registry
    from .rest import Left, Rest
    from .timers import Timer, Timers

__all__ = ["WORKFLOWS", "CellCounts", "Cells"]

WORKFLOWS = "workflows"
"""The supervisor of all instances, as a child of the runtime's."""

_log = logging.getLogger("claw_actors.workflows")

MAX_REASON_CHARS = 1_000

ROOM_PATIENCE_S = 1.0
"""How long who is to be brought back waits for busy ones to leave."""


@attrs.define
class CellCounts:
    """What became of instances, for ``statistics()``."""

    started: int = 0
    crashes: int = 0
    quarantined: int = 0
    ended: int = 0
    passivated: int = 0
    activated: int = 0


@attrs.define(eq=False)
class _Cell:
    """One instance in memory.

    Attributes:
        pk, id, life: the instance, and the life it was last known to have.
        workflow: its code.
        activation: what the next incarnation starts from, if that is loaded already.
        due_by: the deadline that it was brought back for, in POSIX seconds: it has fallen due,
            though the wall clock, set back, may say otherwise.
        restarts: the crashes in its window, as stored.
        sign_of_life: set when it has recorded something, parked, crashed or ended.
        sequencer: of the incarnation that runs.
        healthy: the timer after which it counts as healthy.
        rest: of the last incarnation that ran.
        stopping: its supervisor has asked it to stop.
        look_again: something was asked for that its present incarnation will not do: when it has
            left memory, look whether it has to come back.
    """

    pk: int
    id: str
    life: int
    workflow: Workflow[..., object]
    activation: Loaded | None
    restarts: tuple[float, ...]
    sign_of_life: trio.Event = attrs.field(factory=trio.Event)
    due_by: float = -math.inf
    sequencer: Sequencer | None = None
    healthy: Timer | None = None
    stopping: bool = False
    look_again: bool = False
    rest: Rest | None = None

    @property
    def left(self) -> Left | None:
        """How it has left memory, if it only waits."""
        return None if self.rest is None else self.rest.left


class _Instance(Behaviour[Never, None]):
    """One incarnation of an instance, as its supervisor sees it."""

    def __init__(self, run: Callable[[_Cell], Awaitable[None]], cell: _Cell) -> None:
        self._run = run
        self._cell = cell

    async def run(self, life: Life) -> None:
        life.started()
        await self._run(self._cell)

    def request_stop(self, life: Life, reason: str, deadline: float) -> None:  # noqa: ARG002
        """Seal it: task bodies that end within the grace are still recorded."""
        self._cell.stopping = True
        if self._cell.sequencer is not None:
            self._cell.sequencer.leaving.seal(reason)
        else:  # it is only about to come to life
            life.cancel(reason)


def _brief(reason: str) -> str:
    reason = reason.replace("\0", "")
    return reason if len(reason) <= MAX_REASON_CHARS else reason[: MAX_REASON_CHARS - 1] + "…"


class Cells:
    """All instances in memory, under one supervisor: a new one after each failure of storage."""

    def __init__(
        self,
        supervisor: Supervisor,
        storage: StorageActor,
        timers: Timers,
        registry: Registry,
        codec: Codec,
        config: RuntimeConfig,
        environment: Environment,
    ) -> None:
        self.counts: CellCounts = CellCounts()
        self.task_counts: TaskCounts = TaskCounts()
        self.message_counts: MessageCounts = MessageCounts()
        self._supervisor = supervisor
        self._storage = storage
        self._timers = timers
        self._registry = registry
        self._codec = codec
        self._config = config
        self._environment = environment
        self._long_running = LongRunning(timers)
        self._threads = trio.CapacityLimiter(config.max_threads)
        self._births = Births(registry, codec, environment, self.coming, self.bear)
        # Told of who has to be brought back after all, by id.
        self.on_wanted: Callable[[str], None] = lambda id: None
        # Told of who has left memory because it only waits: by key and id, and how.
        self.on_left: Callable[[int, str, Left], None] = lambda pk, id, left: None
        self._idling = Idling(
            timers,
            lambda: len(self._cells),
            idle_after=config.idle_after,
            max_active=config.max_active,
        )
        # Set when an instance has left memory.
        self._gone = trio.Event()
        self._cells: dict[str, _Cell] = {}
        self._coming: Counter[str] = Counter()
        # Those that somebody wanted to bring back while they were coming.
        self._asked_for: set[str] = set()
        # Who waits for an end, and who waits for what a workflow shows of itself.
        self._ends: Changes = Changes()
        self._values: Changes = Changes()

    def __contains__(self, id: str) -> bool:
        """Tell whether an instance is in memory, or just coming."""
        return id in self._cells or id in self._coming

    @contextmanager
    def coming(self, ids: Iterable[str]) -> Generator[None]:
        """Hold these ids while their instances are created, claimed or retried.

        Between the commit that gives an instance its life and the moment when it is in memory,
        whoever looks for unfinished instances that nobody runs must not find it.
        """
        held = tuple(ids)
        self._coming.update(held)
        try:
            yield
        finally:
            self._coming.subtract(held)
            self._coming = +self._coming  # without those at zero
            for id in self._asked_for.intersection(held):
                if id not in self._coming:
                    self._asked_for.discard(id)
                    if id not in self._cells:  # it has not come: perhaps it was there already
                        self.on_wanted(id)

    def __len__(self) -> int:
        return len(self._cells)

    async def wait_for_room(self, wanted: int) -> int:
        """Wait until instances may come into memory.

        Those that are idle leave for them. If nobody does, because all are busy, one may come in
        nevertheless, after a while: those who wait may be what the busy ones wait for.

        Args:
            wanted: how many want to come.

        Returns:
            How many may come, at least 1.
        """
        limit = self._config.max_active
        self._idling.make_room(min(wanted, limit))
        with trio.move_on_after(ROOM_PATIENCE_S):
            while len(self) >= limit:
                self._gone = trio.Event()
                await self._gone.wait()
        return max(1, limit - len(self))

    def check_code(self, row: WorkflowRow) -> None:
        """Make sure that a workflow's code is here.

        Raises:
            UnknownWorkflowError: it is not registered.
        """
        self._registry.find(row.name, row.version)

    # -- coming to life -----------------------------------------------------------------------------

    def activate(
        self, row: WorkflowRow, loaded: Loaded | None = None, *, due_by: float = -math.inf
    ) -> trio.Event | None:
        """Bring an instance to life, unless it is in memory already.

        Args:
            row: its row. If nothing is loaded, the instance claims its next life by itself.
            loaded: what it starts from, if it has been claimed.
            due_by: up to which deadline its sleeps are over, whatever the wall clock says.

        Returns:
            An event that is set at its first sign of life; ``None`` if it was not started.

        Raises:
            UnknownWorkflowError: its code is not registered.
        """
        assert row.id is not None
        workflow = self._registry.find(row.name, row.version)
        cell = _Cell(row.pk, row.id, row.life, workflow, loaded, row.restarts, due_by=due_by)
        if (there := self._cells.get(row.id)) is not None:
            if there.pk != row.pk:  # a namesake, which was deleted and has yet to leave
                there.look_again = True
                self._storage.expect_nobody(row.pk)
            return None
        spec = ChildSpec(
            row.id,
            lambda: _Instance(self.run, cell),
            restart="temporary",
            grace=self._config.grace,
            on_exit=lambda exit: self._decide(cell, exit),
        )
        try:
            ref = self._supervisor.nested(WORKFLOWS).start_child_soon(spec)
        except (SupervisorStoppedError, UnknownChildError):
            # It is found again by the next recovery: after a reopening, or an opening.
            self._storage.expect_nobody(row.pk)
            return None
        ref.cell.when_down(lambda: self._forget(cell))
        self._cells[row.id] = cell
        self._idling.make_room()
        return cell.sign_of_life

    def bear(self, row: WorkflowRow, loaded: Loaded) -> None:
        """Bring a new instance to life, and count it."""
        self.activate(row, loaded)
        self.counts.started += 1

    def _forget(self, cell: _Cell) -> None:
        del self._cells[cell.id]
        # If it never came to listen: what was written to it meanwhile may have to wake it.
        self._storage.expect_nobody(cell.pk)
        cell.sign_of_life.set()
        if cell.rest is not None:
            self._idling.discard(cell.rest)
        if cell.left is None:
            self.changed(cell.id)
        else:
            self.counts.passivated += 1
            self.on_left(cell.pk, cell.id, cell.left)
        if cell.look_again:
            self._storage.on_unheard(cell.pk, cell.id)
        self._gone.set()

    async def run(self, cell: _Cell) -> None:
        """One incarnation after the other, as long as each continues as a new run."""
        loaded, cell.activation = cell.activation, None
        while loaded := loaded or await self._claim(cell):
            continued = await self._live(cell, loaded)
            if continued is None or cell.stopping:
                return
            cell.life, loaded = continued.life, None
            cell.workflow = self._registry.find(continued.name, continued.version)
            # It has done something, and has nothing to do with what it was brought back for.
            cell.due_by = -math.inf
            cell.sign_of_life.set()

    async def _live(self, cell: _Cell, loaded: Loaded) -> WorkflowRow | None:
        """One incarnation; return the row if it has continued as a new run."""
        if loaded.row.status is not Status.RUNNING:  # paused or ended since it was claimed
            cell.look_again = True
            return None
        cell.life, cell.restarts = loaded.row.life, loaded.row.restarts
        if loaded.row.run > 1:
            self._trim(cell.pk)
        incarnation, next_run = self._prepare(cell, loaded)
        cell.sequencer = sequencer = incarnation.sequencer
        cell.rest = sequencer.rest
        try:
            status = await incarnation.run()
        finally:
            cell.sequencer = None
            cell.look_again = (
                cell.look_again or sequencer.leaving.paused or sequencer.rest.was_stirred
            )
            if cell.healthy is not None:
                cell.healthy.cancel()
        if status is not None:
            self.counts.ended += 1
            _log.info("workflow %s: %s", cell.id, status)
        return next_run.row

    def _trim(self, pk: int) -> None:
        """Drop what earlier runs have left, one piece after the other; nobody waits for it."""

        def answered(result: Result) -> None:
            if isinstance(result, Trimmed) and not result.done:
                self._trim(pk)

        self._storage.post(Trim(pk), answered)

    async def _claim(self, cell: _Cell) -> Loaded | None:
        """Take the next life, and read what it starts from."""
        try:
            await self._storage.fence(cell.pk, cell.life + 1)
            claim = Claim(((cell.pk, cell.life),), self._environment.wall(), counted=False)
            answer = cast("Claimed", await self._storage.submit(claim, patient=True))
            if not answer.rows:
                return None  # deleted, or taken on by somebody else
            found = await self._storage.read(self._storage.backend.load, [cell.pk])
        except ClawError as error:
            _log.error("workflow %s: cannot be brought back now: %s", cell.id, error)
            return None
        for loaded in found:
            if isinstance(loaded, Loaded):
                return loaded
            _log.error("workflow %s: cannot be read, and is left as it is: %s", cell.id, loaded)
        return None

    def _prepare(self, cell: _Cell, loaded: Loaded) -> tuple[Incarnation, NextRun]:
        row, past = loaded.row, read_past(loaded.entries)
        sequencer = Sequencer(
            row,
            past,
            storage=self._storage,
            timers=self._timers,
            wall=self._environment.wall,
            idling=self._idling,
            max_journal_entries=self._config.max_journal_entries,
            due_by=cell.due_by,
            on_progress=cell.sign_of_life.set,
            on_values=lambda: self._values.tell(cell.id),
        )
        if row.recoveries:
            cell.healthy = self._timers.at(
                self._environment.wall() + self._config.healthy_after, sequencer.note_healthy
            )
        attempts = Attempts(
            sequencer,
            row,
            loaded.open_tasks,
            codec=self._codec,
            environment=self._environment,
            threads=self._threads,
            long_running=self._long_running,
            counts=self.task_counts,
        )
        next_run = NextRun(
            row, past.start, sequencer, self._registry, self._codec, self._environment
        )
        incarnation = Incarnation(
            cell.workflow,
            sequencer,
            attempts,
            row,
            past,
            self._codec,
            next_run,
            self.message_counts,
            self._births,
        )
        return incarnation, next_run

    # -- coming to an end ---------------------------------------------------------------------------

    async def _decide(self, cell: _Cell, exit: Exit) -> ExitDecision:
        """Store a crash, and tell the supervisor what follows."""
        if exit.error is None:
            return GiveUp()
        now = self._environment.wall()
        failed_for_good = isinstance(exit.error, InstanceFailed)
        error = exit.error.__cause__ if failed_for_good else exit.error
        assert error is not None
        self.counts.crashes += 1
        verdict = decide_restart(cell.workflow.restart, cell.restarts, now)
        reason = _brief(str(describe(error)))
        if failed_for_good or isinstance(verdict, Quarantine):
            event, due_at = Event.QUARANTINE, None
            self.counts.quarantined += 1
            _log.error("workflow %s: quarantined: %s", cell.id, reason, exc_info=error)
        else:
            event, due_at = Event.CRASH, verdict.due_at
            _log.warning("workflow %s: crashed, will be respawned", cell.id, exc_info=error)
        change = RowChange(
            status=apply(Status.RUNNING, event),
            reason=reason,
            restarts=verdict.restarts,
            wake_at=due_at,
            recoveries=0,
        )
        try:
            write = Advance(cell.pk, cell.id, cell.life, change=change)
            await self._storage.submit(write, patient=True)
        except ClawError as refusal:
            _log.error("workflow %s: its crash could not be stored: %s", cell.id, refusal)
            return GiveUp()
        cell.restarts = verdict.restarts
        cell.sign_of_life.set()
        self.changed(cell.id)
        return GiveUp() if due_at is None else RestartAfter(max(0.0, due_at - now))

    def seal_all(self, reason: str) -> None:
        """Storage has failed: nothing that any instance does counts any more."""
        for cell in self._cells.values():
            if cell.sequencer is not None:
                cell.sequencer.leaving.seal(reason, at_once=True)

    async def stop(self, id: str, reason: str) -> None:
        """Drop an instance from memory, at once, and wait until it is gone.

        If it is unfinished nevertheless, it comes back: somebody may have let it go on since it was
        looked at, or started another one under its id.
        """
        with contextlib.suppress(UnknownChildError):
            if (cell := self._cells.get(id)) is not None:
                cell.look_again = True
            await self._supervisor.nested(WORKFLOWS).stop_child(id, reason=reason, grace=0.0)

    async def rest(self, id: str, reason: str) -> None:
        """Drop a paused instance from memory, unless an incarnation runs: that leaves by itself."""
        cell = self._cells.get(id)
        if cell is not None and cell.sequencer is None:
            await self.stop(id, reason)

    def look_again(self, id: str) -> bool:
        """Have somebody look whether an instance has to come back, once it has left memory.

        Returns:
            ``False`` if it is not in memory, and not just coming either.
        """
        if (cell := self._cells.get(id)) is not None:
            cell.look_again = True
        elif id in self._coming:
            self._asked_for.add(id)
        return id in self

    def hasten(self, reason: str, grace: float) -> None:
        """Have all of them end within ``grace`` seconds; they are being stopped."""
        with contextlib.suppress(UnknownChildError):
            self._supervisor.nested(WORKFLOWS).request_stop(reason, grace)

    # -- those who wait -----------------------------------------------------------------------------

    def change_of(self, id: str) -> trio.Event:
        """Return an event that is set when the instance ends, is quarantined or deleted.

        Get it before looking at what is stored: then nothing can be missed.
        """
        return self._ends.of(id)

    def value_change_of(self, id: str) -> trio.Event:
        """Return an event that is set, also, when the instance has set a value."""
        return self._values.of(id)

    def changed(self, id: str) -> None:
        """Tell those who wait that there may be something new about an instance."""
        self._ends.tell(id)
        self._values.tell(id)

    def changed_all(self) -> None:
        """Tell everyone who waits: the runtime closes."""
        self._ends.tell_all()
        self._values.tell_all()
