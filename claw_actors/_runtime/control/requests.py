"""What another process may ask for: a closed list, so that nothing else can be reached.

The owner and a visitor do it by the same :func:`perform`, on a runtime or on storage alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeAlias, assert_never

import attrs

from ..._core.error_data import Plain
from ..._core.lifecycle import OnExisting
from ..._core.retention import Rule
from ...storage.validation import check_id
from ..pruning import Place, Stepped
from ..statistics import RuntimeStatistics
from .figures import AskFigures, tell_figures
from .steps import PruneSome, told_of

__all__ = [
    "NAMES",
    "REQUESTS",
    "UNKNOWN",
    "Asked",
    "Cancel",
    "Delete",
    "Fork",
    "Operator",
    "Owner",
    "Pause",
    "Question",
    "Request",
    "RequestOf",
    "Resume",
    "Retry",
    "SendTo",
    "Start",
    "Terminate",
    "WorkflowRequest",
    "answer",
    "perform",
    "workflow_of",
]


@attrs.frozen
class Cancel:
    """``Runtime.cancel``."""

    id: str = attrs.field(validator=check_id)
    reason: str | None = None


@attrs.frozen
class Terminate:
    """``Runtime.terminate``."""

    id: str = attrs.field(validator=check_id)
    reason: str | None = None


@attrs.frozen
class Pause:
    """``Runtime.pause``."""

    id: str = attrs.field(validator=check_id)
    reason: str | None = None


@attrs.frozen
class Resume:
    """``Runtime.resume``."""

    id: str = attrs.field(validator=check_id)


@attrs.frozen
class Retry:
    """``Runtime.retry``."""

    id: str = attrs.field(validator=check_id)


@attrs.frozen
class Delete:
    """``Runtime.delete``."""

    id: str = attrs.field(validator=check_id)
    force: bool = False


@attrs.frozen
class Fork:
    """``Runtime.fork``; whoever asks names the new one."""

    id: str = attrs.field(validator=check_id)
    at: str
    new_id: str = attrs.field(validator=check_id)


@attrs.frozen
class SendTo:
    """``Runtime.send``, always with a key: so it may be asked for again."""

    id: str = attrs.field(validator=check_id)
    topic: str
    payload: object
    idempotency_key: str


@attrs.frozen
class RequestOf:
    """``Runtime.request``: the reply is a value of the workflow, which the client looks for."""

    id: str = attrs.field(validator=check_id)
    topic: str
    payload: object
    idempotency_key: str


@attrs.frozen
class Start:
    """``Runtime.start_by_name``; whoever asks names the new one, and so may ask again."""

    id: str = attrs.field(validator=check_id)
    name: str
    args: list[object]
    metadata: dict[str, str] = attrs.field(factory=dict[str, str])
    description: str | None = None
    on_existing: OnExisting = "attach"


WorkflowRequest: TypeAlias = (
    Start | Cancel | Terminate | Pause | Resume | Retry | Fork | Delete | SendTo | RequestOf
)
"""What is done to one workflow, whose id it has."""

Request: TypeAlias = WorkflowRequest | PruneSome
"""What is done by the owner, or in its place."""

Question: TypeAlias = AskFigures
"""What only the owner can tell."""

Asked: TypeAlias = Request | Question

REQUESTS: Final[dict[str, type[Asked]]] = {
    "start": Start,
    "cancel": Cancel,
    "terminate": Terminate,
    "pause": Pause,
    "resume": Resume,
    "retry": Retry,
    "fork": Fork,
    "delete": Delete,
    "send": SendTo,
    "request": RequestOf,
    "prune": PruneSome,
    "statistics": AskFigures,
}
"""By the name that stands for them on the wire."""

NAMES: Final[dict[type[Asked], str]] = {cls: name for name, cls in REQUESTS.items()}

UNKNOWN: Final = "it does not know "
"""How a refusal begins of what is not in the owner's list: it may be an older one."""


def workflow_of(asked: Asked) -> str | None:
    """Return the id of the workflow that something is done to; ``None`` if it is not one."""
    match asked:
        case PruneSome() | AskFigures():
            return None
        case _:
            return asked.id


class Operator(Protocol):
    """Who does it: the runtime, or a visitor. See :class:`Runtime` for each."""

    async def start_by_name(
        self,
        name: str,
        args: Sequence[object] = (),
        *,
        id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
        on_existing: OnExisting = "attach",
    ) -> object:
        """Start a workflow."""
        ...

    async def cancel(self, id: str, reason: str | None = None) -> None:
        """Ask a workflow to cancel itself."""
        ...

    async def terminate(self, id: str, reason: str | None = None) -> None:
        """End a workflow without a word to its code."""
        ...

    async def pause(self, id: str, reason: str | None = None) -> None:
        """Stop a workflow where it stands."""
        ...

    async def resume(self, id: str) -> None:
        """Let a paused workflow go on."""
        ...

    async def retry(self, id: str) -> None:
        """Let a failed or quarantined workflow go on."""
        ...

    async def fork(self, id: str, *, at: str, new_id: str | None = None) -> object:
        """Start a new workflow from another one's past."""
        ...

    async def delete(self, id: str, *, force: bool = False) -> None:
        """Delete a workflow."""
        ...

    async def send(
        self, id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to a workflow."""
        ...

    async def request(self, id: str, topic: str, payload: object, *, idempotency_key: str) -> None:
        """Send a request to a workflow, and do not wait for its reply."""
        ...

    async def prune_some(self, rule: Rule, place: Place) -> Stepped:
        """Do a step of pruning what has ended."""
        ...


class Owner(Operator, Protocol):
    """Who can be asked, too: the runtime."""

    def statistics(self) -> RuntimeStatistics:
        """Tell what has been done so far."""
        ...


async def perform(operator: Operator, request: Request) -> Plain:
    """Do what was asked for, and return what is to be answered.

    Raises:
        ClawError: as the operation does.
    """
    match request:
        case Start(id, name, args, metadata, description, on_existing):
            await operator.start_by_name(
                name,
                args,
                id=id,
                metadata=metadata,
                description=description,
                on_existing=on_existing,
            )
        case Cancel(id, reason):
            await operator.cancel(id, reason)
        case Terminate(id, reason):
            await operator.terminate(id, reason)
        case Pause(id, reason):
            await operator.pause(id, reason)
        case Resume(id):
            await operator.resume(id)
        case Retry(id):
            await operator.retry(id)
        case Fork(id, at, new_id):
            await operator.fork(id, at=at, new_id=new_id)
        case Delete(id, force):
            await operator.delete(id, force=force)
        case SendTo(id, topic, payload, key):
            await operator.send(id, topic, payload, idempotency_key=key)
        case RequestOf(id, topic, payload, key):
            await operator.request(id, topic, payload, idempotency_key=key)
        case PruneSome():
            return told_of(await operator.prune_some(request.rule, request.place))
        case _:
            assert_never(request)
    return None


async def answer(owner: Owner, asked: Asked) -> Plain:
    """Do what the owner was asked for, or tell what it was asked.

    Raises:
        ClawError: as the operation does.
    """
    if isinstance(asked, AskFigures):
        return tell_figures(owner.statistics())
    return await perform(owner, asked)
