"""Starting a workflow under an id, which something else may have, or have had, already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from .._core.identity import digest
from .._core.lifecycle import Status
from ..errors import (
    DuplicateKeyError,
    HistoryPrunedError,
    InvalidInputError,
    InvalidTransitionError,
    NotFoundError,
)
from ..storage.model import WorkflowState
from ..storage.operations import Create, Created
from ..storage.records import Loaded
from ..storage.translation import row_of, start_entry
from .signatures import workflow_signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .._core.lifecycle import OnExisting
    from ..definitions import Workflow
    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from .cells import Cells
    from .environment import Environment

__all__ = ["Starter"]


class Starter:
    """Creates workflows, and brings them to life."""

    def __init__(
        self,
        actor: StorageActor,
        cells: Cells,
        codec: Codec,
        environment: Environment,
        delete: Callable[[str], Awaitable[None]],
    ) -> None:
        """Start on this storage.

        Args:
            actor: what writes.
            cells: who is in memory, and comes to be.
            codec: what encodes arguments.
            environment: where ids, keys and times come from.
            delete: deletes one that is to be replaced.
        """
        self._actor = actor
        self._cells = cells
        self._codec = codec
        self._environment = environment
        self._delete = delete

    async def start(
        self,
        workflow: Workflow[..., Any],
        args: tuple[object, ...],
        *,
        id: str | None,
        metadata: Mapping[str, str] | None,
        description: str | None,
        on_existing: OnExisting,
    ) -> tuple[str, int]:
        """Start a workflow, or attach to the one that has its id; see ``Runtime.start``.

        Returns:
            Its id, and the key that storage gave it.
        """
        signature = workflow_signature(workflow)
        value = signature.encode_arguments(self._codec, args, {})
        now = self._environment.wall()
        state = WorkflowState(
            id=self._environment.new_id() if id is None else id,
            name=workflow.name,
            version=workflow.version,
            status=Status.RUNNING,
            description=description,
            metadata=dict(metadata or {}),
            started_at=now,
        )
        if on_existing not in ("attach", "raise", "replace_closed"):
            raise InvalidInputError("on_existing", on_existing, "attach, raise or replace_closed")
        again = on_existing == "replace_closed"
        while (pk := await self._create(state, value, now, again)) is None:
            if (pk := await self._meet_existing(state, value, on_existing)) is not None:
                break
        return state.id, pk

    async def _create(
        self, state: WorkflowState, value: bytes, now: float, again: bool
    ) -> int | None:
        """Create it, and bring it to life; ``None`` if the id is taken.

        Raises:
            HistoryPrunedError: it was taken once, and ``again`` is not said.
        """
        row = attrs.evolve(
            row_of(
                state,
                run_key=self._environment.new_run_key(),
                seed=self._environment.new_seed(),
                created_at=now,
            ),
            life=1,
        )
        start = start_entry(value, now)
        with self._cells.coming([state.id]):
            try:
                created = await self._actor.submit(Create(row, (start,), again))
            except HistoryPrunedError:
                raise
            except DuplicateKeyError:
                return None
            # No checkpoint from here: what is durable is also brought to life.
            assert isinstance(created, Created)
            row = attrs.evolve(row, pk=created.pk)
            self._cells.activate(row, Loaded(row=row, entries=(start,), open_tasks=()))
        self._cells.counts.started += 1
        return created.pk

    async def _meet_existing(
        self, state: WorkflowState, value: bytes, on_existing: OnExisting
    ) -> int | None:
        """Attach to the one that has the id, and return its key; ``None`` if the id is free now.

        Raises:
            DuplicateKeyError: it is another one.
        """
        try:
            stored = await self._actor.read(self._actor.backend.get_workflow, state.id)
            if on_existing == "replace_closed" and stored.row.status.is_terminal:
                await self._delete(state.id)
                return None
        except NotFoundError:
            return None  # deleted meanwhile
        except InvalidTransitionError as error:
            if error.id != state.id:
                raise  # a child of it still runs
            return None  # it runs again, or another one does: look again
        differs: list[str] = []
        if stored.row.name != state.name:
            differs.append("workflow")
        if stored.start is None or stored.start.digest != digest(value):
            differs.append("arguments")
        if differs or on_existing == "raise":
            raise DuplicateKeyError(state.id, differs)
        return stored.row.pk
