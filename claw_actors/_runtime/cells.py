"""Cells: which instances are in memory, just coming, or on their way out.

The cell of an instance is a supervised actor (``cell``). Between its incarnations (``lives``) it
stores the crash, asks the policy (``crashes``), and claims the next life.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from ..actors import ChildSpec, Supervisor
from ..errors import SupervisorStoppedError, UnknownChildError
from .births import Births
from .cell import Cell, CellCounts, Instance
from .changes import Changes
from .crashes import Crashes
from .idling import Idling
from .lives import Lives
from .subjects import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from ..storage.records import Loaded, WorkflowRow
    from .config import RuntimeConfig
    from .environment import Environment
    from .registry import Registry
    from .rest import Left
    from .stopping import Stops
    from .timers import Timers

__all__ = ["WORKFLOWS", "Cells"]

WORKFLOWS = "workflows"
"""The supervisor of all instances, as a child of the runtime's."""

ROOM_PATIENCE_S = 1.0
"""How long who is to be brought back waits for busy ones to leave."""


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
        stops: Stops,
    ) -> None:
        self.counts: CellCounts = CellCounts()
        self.stops = stops
        self._supervisor = supervisor
        self._storage = storage
        self._registry = registry
        self._config = config
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
        self._cells: dict[str, Cell] = {}
        self._coming: Counter[str] = Counter()
        # Those that somebody wanted to bring back while they were coming.
        self._asked_for: set[str] = set()
        # Who waits for an end, and who waits for what a workflow shows of itself.
        self._ends: Changes = Changes()
        self._values: Changes = Changes()
        self._crashes = Crashes(storage, environment, self.counts, self.changed)
        self.lives: Lives = Lives(
            storage,
            timers,
            registry,
            codec,
            config,
            environment,
            idling=self._idling,
            births=Births(registry, codec, environment, self.coming, self.bear),
            counts=self.counts,
            on_values=self._values.tell,
        )

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

    @property
    def idle(self) -> int:
        """How many of them only wait."""
        return len(self._idling)

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
        cell = Cell(
            *(row.pk, row.id, row.life, subject_of(row), workflow, loaded, row.restarts),
            due_by=due_by,
        )
        if (there := self._cells.get(row.id)) is not None:
            if there.pk != row.pk:  # a namesake, which was deleted and has yet to leave
                there.look_again = True
                self._storage.expect_nobody(row.pk)
            return None
        spec = ChildSpec(
            row.id,
            lambda: Instance(self.lives.run, cell),
            restart="temporary",
            grace=self._config.grace,
            on_exit=lambda exit: self._crashes.decide(cell, exit),
        )
        try:
            ref = self._supervisor.nested(WORKFLOWS).start_child_soon(spec)
        except (SupervisorStoppedError, UnknownChildError):
            # It is found again by the next recovery: after a reopening, or an opening.
            self._storage.expect_nobody(row.pk)
            self.stops.came_too_late(row.pk, row.id)
            return None
        ref.cell.when_down(lambda: self._forget(cell))
        self._cells[row.id] = cell
        self._idling.make_room()
        return cell.sign_of_life

    def bear(self, row: WorkflowRow, loaded: Loaded) -> None:
        """Bring a new instance to life, and count it."""
        self.activate(row, loaded)
        self.counts.started += 1

    def _forget(self, cell: Cell) -> None:
        del self._cells[cell.id]
        self.stops.left(cell)
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

    # -- being dropped ----------------------------------------------------------------------------

    def seal_all(self, reason: str) -> None:
        """Storage has failed: nothing that any instance does counts any more."""
        self.begin_stop(reason, for_good=False)
        for cell in self._cells.values():
            if cell.sequencer is not None:
                cell.sequencer.leaving.seal(reason, at_once=True)

    def begin_stop(self, reason: str, *, for_good: bool = True) -> None:
        """All of them are about to be stopped: take note of who only waits."""
        self.stops.begin(
            reason,
            (
                id
                for id, cell in self._cells.items()
                if cell.sequencer is not None and cell.sequencer.is_idle
            ),
            for_good=for_good,
        )

    async def stop(self, id: str, reason: str) -> None:
        """Drop an instance from memory, at once, and wait until it is gone.

        If it is unfinished nevertheless, it comes back: somebody may have let it go on since it was
        looked at, or started another one under its id.
        """
        with contextlib.suppress(UnknownChildError):
            if (cell := self._cells.get(id)) is not None:
                cell.look_again = cell.is_over = True
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
