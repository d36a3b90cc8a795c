"""Lives: how one incarnation after the other comes to life in a cell.

Each begins with a claim: the next life is taken, and writes of the last one are fenced out, before
what it starts from is read. A supervisor restarts a cell after a crash; a run that continues as a
new one is followed by that one at once, in the same cell.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, cast

import trio

from .._core.lifecycle import Status
from .._core.replay import read_past
from ..errors import ClawError
from ..log_context import speaking_of
from ..storage.operations import Claim, Claimed, Result, Trim, Trimmed
from ..storage.records import Loaded
from .attempts import Attempts
from .bodies import TaskCounts
from .continuing import NextRun
from .inbox import MessageCounts
from .incarnation import Incarnation
from .long_running import LongRunning
from .sequencer import Sequencer
from .subjects import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from ..storage.records import WorkflowRow
    from .births import Births
    from .cell import Cell, CellCounts
    from .config import RuntimeConfig
    from .environment import Environment
    from .idling import Idling
    from .registry import Registry
    from .timers import Timers

__all__ = ["Lives"]

_log = logging.getLogger("claw_actors.workflows")


class Lives:
    """What the incarnations of all instances are made of."""

    def __init__(
        self,
        storage: StorageActor,
        timers: Timers,
        registry: Registry,
        codec: Codec,
        config: RuntimeConfig,
        environment: Environment,
        *,
        idling: Idling,
        births: Births,
        counts: CellCounts,
        on_values: Callable[[str], None],
    ) -> None:
        self.task_counts: TaskCounts = TaskCounts()
        self.message_counts: MessageCounts = MessageCounts()
        self._storage = storage
        self._timers = timers
        self._registry = registry
        self._codec = codec
        self._config = config
        self._environment = environment
        self._idling = idling
        self._births = births
        self._counts = counts
        # Told of who has set a value, by id.
        self._on_values = on_values
        self._long_running = LongRunning(timers)
        self._threads = trio.CapacityLimiter(config.max_threads)

    async def run(self, cell: Cell) -> None:
        """One incarnation after the other, as long as each continues as a new run."""
        loaded, cell.activation = cell.activation, None
        while loaded := loaded or await self._claim(cell):
            cell.subject = subject_of(loaded.row)
            with speaking_of(cell.subject):
                continued = await self._live(cell, loaded)
            if continued is None or cell.stopping:
                return
            cell.life, loaded = continued.life, None
            cell.workflow = self._registry.find(continued.name, continued.version)
            # It has done something, and has nothing to do with what it was brought back for.
            cell.due_by = -math.inf
            cell.sign_of_life.set()

    async def _live(self, cell: Cell, loaded: Loaded) -> WorkflowRow | None:
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
            leaving, cell.sequencer = sequencer.leaving, None
            cell.paused, cell.cut_off = leaving.paused, leaving.cut_off
            cell.look_again = cell.look_again or leaving.paused or sequencer.rest.was_stirred
            if cell.healthy is not None:
                cell.healthy.cancel()
        if status is not None:
            self._counts.ended += 1
            cell.is_over = True
            _log.info("workflow %s: %s", cell.id, status)
        return next_run.row

    def _trim(self, pk: int) -> None:
        """Drop what earlier runs have left, one piece after the other; nobody waits for it."""

        def answered(result: Result) -> None:
            if isinstance(result, Trimmed) and not result.done:
                self._trim(pk)

        self._storage.post(Trim(pk), answered)

    async def _claim(self, cell: Cell) -> Loaded | None:
        """Take the next life, and read what it starts from."""
        about = cell.subject.extra
        try:
            await self._storage.fence(cell.pk, cell.life + 1)
            claim = Claim(((cell.pk, cell.life),), self._environment.wall(), counted=False)
            answer = cast("Claimed", await self._storage.submit(claim, patient=True))
            if not answer.rows:
                return None  # deleted, or taken on by somebody else
            found = await self._storage.read(self._storage.backend.load, [cell.pk])
        except ClawError as error:
            _log.error("workflow %s: cannot be brought back now: %s", cell.id, error, extra=about)
            return None
        for loaded in found:
            if isinstance(loaded, Loaded):
                return loaded
            _log.error(
                "workflow %s: cannot be read, and is left as it is: %s",
                cell.id,
                loaded,
                extra=about,
            )
        return None

    def _prepare(self, cell: Cell, loaded: Loaded) -> tuple[Incarnation, NextRun]:
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
            on_values=lambda: self._on_values(cell.id),
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
