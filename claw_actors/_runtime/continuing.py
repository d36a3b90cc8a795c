"""How a run ends by beginning the next one, in one commit.

The workflow's id, values, keys of messages and parent stay; its unread messages go along; its
journal begins anew, and what the run before has left is dropped later, in pieces. That commit is
also the end of the incarnation, as nothing of the old life may be written into the new run: so it is
fenced out, and its cell claims the next life by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import attrs

from .._core.lifecycle import Event, Status, apply
from ..errors import ClawError, ContextMisuseError, StaleWriteError
from ..storage.operations import Advance
from ..storage.records import RowChange
from ..storage.translation import start_entry
from .signatures import workflow_signature

if TYPE_CHECKING:
    from .._core.journal import Entry
    from ..definitions import Workflow
    from ..storage.codec import Codec
    from ..storage.records import WorkflowRow
    from .environment import Environment
    from .registry import Registry
    from .sequencer import Sequencer
    from .strand import Strand

__all__ = ["NextRun"]


class NextRun:
    """The run that would follow the one of this incarnation."""

    def __init__(
        self,
        row: WorkflowRow,
        start: Entry,
        sequencer: Sequencer,
        registry: Registry,
        codec: Codec,
        environment: Environment,
    ) -> None:
        # The workflow's row when the next run has begun; None before.
        self.row: WorkflowRow | None = None
        self._row = row
        self._start = start
        self._sequencer = sequencer
        self._registry = registry
        self._codec = codec
        self._environment = environment

    async def begin(self, strand: Strand, args: tuple[object, ...]) -> NoReturn:
        """Begin it, and end this one; see ``Context.continue_as_new``."""
        self._check(strand)
        workflow = self._registry.newest(self._row.name)
        signature = workflow_signature(workflow)
        value = signature.encode_arguments(self._codec, args, {})
        strand.inside = True
        try:
            while self.row is None:
                await self._prepare(strand)
                self.row = await self._try_to_begin(workflow, value)
        finally:
            strand.inside = False
        raise strand.sealed_error()

    def _check(self, strand: Strand) -> None:
        """Make sure that nothing of this run goes on beside the next one."""
        if strand.path or strand.nurseries:
            raise ContextMisuseError(
                f"the {strand} cannot continue as new while children run; only the workflow's own"
                " function can, outside of the blocks of its nurseries"
            )
        brood = self._sequencer.brood
        running = [*brood.running("wait"), *brood.running("cancel")]
        if running:
            raise ContextMisuseError(
                f"workflow {self._sequencer.id!r} cannot continue as new while its child"
                f" {running[0]!r} runs, whose end the next run would not be told of; await its"
                ' result before, or start it with on_parent_close="abandon"'
            )

    async def _prepare(self, strand: Strand) -> None:
        """Deliver what was committed meanwhile: a request to cancel, or a time-out, wins.

        Raises:
            trio.Cancelled: it has won.
            InstanceSealed: the instance leaves memory.
            ContextMisuseError: it has won, and the code is shielded from it.
        """
        await strand.enter()
        self._sequencer.drain()
        await strand.enter()
        if self._sequencer.cancel_requested:
            raise ContextMisuseError(
                f"workflow {self._sequencer.id!r} was asked to cancel itself, so it cannot"
                " continue as new; let it end"
            )

    async def _try_to_begin(
        self, workflow: Workflow[..., object], value: bytes
    ) -> WorkflowRow | None:
        """Commit it, and end this incarnation; ``None`` if something has arrived before."""
        sequencer = self._sequencer
        # Not along with it: if it is refused, they must not be.
        sequencer.writes.send_notes()
        write = self._write(workflow, value)
        assert write.change is not None
        try:
            await sequencer.storage.submit(write, patient=True)
        except ClawError as error:
            superseded = isinstance(error, StaleWriteError) and error.what == "journal"
            if not superseded or sequencer.committed_n == write.expect_n:
                sequencer.leaving.refused(error)
            return None
        sequencer.leaving.seal("it continues as a new run", at_once=True)
        return write.change.apply(self._row)

    def _write(self, workflow: Workflow[..., object], value: bytes) -> Advance:
        sequencer, environment = self._sequencer, self._environment
        start = start_entry(value, sequencer.time())
        # What an earlier life has made a dead letter of is no message any more.
        unread = [
            attrs.evolve(message, n=0)
            for message in sequencer.inbox.unread()
            if message.n not in sequencer.inbox.put_aside
        ]
        change = RowChange(
            status=apply(Status.RUNNING, Event.CONTINUE),
            version=workflow.version,
            run=self._row.run + 1,
            run_key=environment.new_run_key(),
            seed=environment.new_seed(),
            # Nothing that this life still writes belongs to the next run.
            life=self._row.life + 1,
            recoveries=0,
            wake_at=None,
        )
        return Advance(
            sequencer.pk,
            sequencer.id,
            sequencer.life,
            change=change,
            expect_n=sequencer.committed_n,
            # By its digest it is known to who starts the workflow again, as after a crash.
            continued=(
                attrs.evolve(start, name=self._start.name, digest=self._start.digest),
                *unread,
            ),
        )
