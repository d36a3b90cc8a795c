"""How children come to life: created in their parent's commit, run as soon as it is answered."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import attrs

from .._core.identity import parent_op
from .._core.lifecycle import Status
from ..storage.model import WorkflowState
from ..storage.operations import Create
from ..storage.records import Loaded, WorkflowRow
from ..storage.translation import row_of, start_entry
from .signatures import Signature, workflow_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from .._core.offspring import OnParentClose
    from ..definitions import Workflow
    from ..storage.codec import Codec
    from ..storage.operations import Created
    from .environment import Environment
    from .registry import Registry

__all__ = ["Birth", "Births", "ChildCall"]


@attrs.frozen
class ChildCall:
    """A workflow with the arguments that a child of it is started with; they fit.

    Attributes:
        workflow: the workflow.
        signature: of its function.
        data: the encoded arguments.
        metadata, description: its labels.
        on_close: what the parent's end does to it.
    """

    workflow: Workflow[..., object]
    signature: Signature
    data: bytes
    metadata: Mapping[str, str]
    description: str | None
    on_close: OnParentClose


class Births:
    """What starting a child needs of a runtime."""

    def __init__(
        self,
        registry: Registry,
        codec: Codec,
        environment: Environment,
        coming: Callable[[Iterable[str]], AbstractContextManager[None]],
        activate: Callable[[WorkflowRow, Loaded], object],
    ) -> None:
        """Make it.

        Args:
            registry: the workflows that may be started.
            codec: what encodes arguments.
            environment: where keys and seeds come from.
            coming: holds ids while their instances are created; see ``Cells``.
            activate: brings one to life.
        """
        self.codec = codec
        self.coming = coming
        self.activate = activate
        self._registry = registry
        self._environment = environment

    def prepare(
        self,
        workflow: object,
        args: tuple[object, ...],
        *,
        metadata: Mapping[str, str] | None,
        description: str | None,
        on_close: OnParentClose,
    ) -> ChildCall:
        """Check and encode a call.

        Raises:
            DefinitionError, UnknownWorkflowError: this is no workflow, or it is not registered.
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit.
        """
        self._registry.check(workflow)
        definition = cast("Workflow[..., Any]", workflow)
        signature = workflow_signature(definition)
        data = signature.encode_arguments(self.codec, args, {})
        return ChildCall(definition, signature, data, dict(metadata or {}), description, on_close)

    def conceive(self, call: ChildCall, id: str, parent: str, run_key: str, op: str) -> Birth:
        """Make all that a child begins with, but for the time.

        Args:
            call: what it runs.
            id: its id.
            parent, run_key, op: who starts it, in which run, by which operation.

        Raises:
            InvalidInputError: id, metadata or description are not possible.
        """
        state = WorkflowState(
            id=id,
            name=call.workflow.name,
            version=call.workflow.version,
            status=Status.RUNNING,
            description=call.description,
            metadata=call.metadata,
            parent=parent,
        )
        row = row_of(
            state,
            run_key=self._environment.new_run_key(),
            seed=self._environment.new_seed(),
            created_at=0.0,
        )
        row = attrs.evolve(row, life=1, parent_op=parent_op(run_key, op), on_close=call.on_close)
        return Birth(self, call, id, row)


class Birth:
    """One child on its way to life.

    Attributes:
        call: what it runs.
        id: its id.
    """

    def __init__(self, births: Births, call: ChildCall, id: str, row: WorkflowRow) -> None:
        self.call = call
        self.id = id
        self._births = births
        self._row = row
        self._held = ExitStack()

    def begin(self, at: float) -> Create:
        """Make the write; until :meth:`end` nobody else brings the child to life.

        Args:
            at: when it is started, in POSIX seconds.
        """
        self._held.enter_context(self._births.coming([self.id]))
        self._row = attrs.evolve(self._row, created_at=at, started_at=at)
        return Create(self._row, (start_entry(self.call.data, at),))

    def live(self, created: Created) -> None:
        """It was created: bring it to life, in this very moment."""
        if not created.existed:
            row = attrs.evolve(self._row, pk=created.pk)
            start = start_entry(self.call.data, row.created_at)
            self._births.activate(row, Loaded(row=row, entries=(start,), open_tasks=()))

    def end(self) -> None:
        """It lives, or will never do."""
        self._held.close()
