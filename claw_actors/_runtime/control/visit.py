"""The same operations where nobody owns the database: done on storage, in one short visit.

A visitor has no code, and nobody is in its memory. So it checks no registry: what it lets go on is
looked up by the next owner, who leaves what it does not know as it is. For the same reason it starts
nothing: nobody could tell whether there is such a workflow, and whether the arguments fit.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

import trio

from ..._core.error_data import Plain
from ..._core.lifecycle import OnExisting
from ..._core.retention import Rule
from ...errors import ClawError, NoOwnerError
from ...storage.actor import StorageActor
from ...storage.codec import Codec
from ...storage.opening import open_visit
from ...storage.records import WorkflowRow
from ..correspondence import Correspondence
from ..environment import Environment
from ..inbox import MessageCounts
from ..lifecycle import Lifecycle
from ..pruning import Place, Pruner, Stepped
from .requests import Request, perform

__all__ = ["visit"]


class _Nobody:
    """Who is in the memory of a visitor; see :class:`Memory`."""

    def check_code(self, row: WorkflowRow) -> None:
        """Leave it to the owner who will run it."""

    @contextmanager
    def coming(self, ids: Iterable[str]) -> Generator[None, None, None]:  # noqa: ARG002
        """Nobody else brings them to life."""
        yield

    def activate(self, row: WorkflowRow) -> None:
        """The next owner finds it pending."""

    async def stop(self, id: str, reason: str) -> None:
        """It does not run."""

    async def rest(self, id: str, reason: str) -> None:
        """It does not run."""

    def changed(self, id: str) -> None:
        """Nobody waits."""

    def value_change_of(self, id: str) -> trio.Event:  # noqa: ARG002
        """A visitor does not wait, and sees no change."""
        return trio.Event()


class _Visitor(Lifecycle):
    """An operator who has storage, and nothing else."""

    def __init__(
        self, path: str, actor: StorageActor, codec: Codec, environment: Environment
    ) -> None:
        self._path = path
        nobody = _Nobody()
        super().__init__(actor, nobody, codec, environment)
        self._pruner = Pruner(actor, nobody, environment.wall, gentle=False)
        self._messages = Correspondence(actor, codec, environment, nobody, MessageCounts())

    async def start_by_name(
        self,
        name: str,
        args: Sequence[object] = (),  # noqa: ARG002
        *,
        id: str | None = None,  # noqa: ARG002
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002
        description: str | None = None,  # noqa: ARG002
        on_existing: OnExisting = "attach",  # noqa: ARG002
    ) -> NoReturn:
        """Refuse it: what nobody has checked would be found wrong when it runs, if ever."""
        raise NoOwnerError(self._path, f"workflow {name!r} cannot be started")

    async def send(
        self, id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message; the next owner delivers it."""
        await self._messages.send(id, topic, payload, idempotency_key=idempotency_key)

    async def request(self, id: str, topic: str, payload: object, *, idempotency_key: str) -> None:
        """Send a request; the next owner delivers it."""
        await self._messages.request(id, topic, payload, idempotency_key=idempotency_key)

    async def prune_some(self, rule: Rule, place: Place) -> Stepped:
        """Do a step of pruning."""
        return await self._pruner.step(rule, place)


async def visit(path: str, request: Request, codec: Codec) -> Plain:
    """Do what was asked for in a visit.

    Raises:
        StorageLockedError: somebody owns the database; nothing was done.
        ClawError: as the operation does; or why the database cannot be opened.

    Cancelled, it may or may not be done.
    """
    failure = None
    answer: Plain = None
    async with open_visit(path) as actor:
        try:
            answer = await perform(_Visitor(path, actor, codec, Environment()), request)
        except ClawError as error:
            failure = error
    if failure is not None:
        raise failure
    return answer
