"""What an operator's program holds: reads beside the owner, and acts through it or in its place."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import cast

import attrs

from ..._core.lifecycle import OnExisting, Status
from ..._core.requests import reply_to
from ...storage.codec import MAX_PAYLOAD_BYTES, Codec
from ...storage.model import JSON
from ...storage.opening import look_on
from ...storage.validation import check_printable
from ..pruning import OnPruned, Place, PruneReport, Stepped, prune_all, rule_of, would_go
from ..replies import decode_reply
from .courier import Courier
from .observation import Observation
from .requests import (
    Cancel,
    Delete,
    Fork,
    Pause,
    RequestOf,
    Resume,
    Retry,
    SendTo,
    Start,
    Terminate,
)
from .steps import PruneSome, read_stepped

__all__ = ["Client", "open_client"]


class Client(Observation):
    """Looks at the workflows of a database, and acts on them, from any process of its user.

    Made by :func:`open_client`. What it reads it reads by itself, also while an owner writes, and
    each time as of now. What it does is done by the runtime that owns the database; if none runs,
    the client takes the database for that moment, and the next runtime goes on from there. There
    is never a second writer.

    Every method that acts is done when it returns, and durable. It raises what the runtime's own
    does, and besides:

    - ``OwnerUnreachableError``: somebody owns the database and could not be asked in time; they
      are named. Nothing was done.
    - ``ControlRefusedError``: who answers on the control socket refuses. Nothing was done.
    - ``RequestOutcomeUnknownError``: the owner was asked and went away before it answered.
    - ``StorageUnavailableError``, ``StorageVersionError``, ``StorageCorruptError``: there is no
      owner, and the database cannot be opened.

    Cancelled while it acts, what was asked for may or may not be done.
    """

    def __repr__(self) -> str:
        return f"<Client of {self._courier.path!r}>"

    async def start(
        self,
        name: str,
        *args: object,
        id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
        on_existing: OnExisting = "attach",
    ) -> str:
        """Start the newest version of a workflow; see ``Runtime.start_by_name``.

        Only the runtime that owns the database can do it: it alone has the code, which says what
        the workflow is called and what it takes.

        Args:
            name: the workflow's name.
            args: its arguments after ``ctx``, in order.
            id: as for ``Runtime.start``; a random UUID by default.
            metadata, description, on_existing: as for ``Runtime.start``.

        Returns:
            The id of the workflow.

        Raises:
            NoOwnerError: no runtime owns the database.
            UnknownWorkflowError, InvalidArgumentsError, DuplicateKeyError: as the owner's own.

        Asked for again because its owner died before it answered, it is started once; not so with
        another ``on_existing``: then that is a ``RequestOutcomeUnknownError``.
        """
        id = str(uuid.uuid4()) if id is None else id
        plain = json.loads(self._courier.codec.encode_sent(list(args), f"arguments of {name}"))
        start = Start(id, name, plain, dict(metadata or {}), description, on_existing)
        await self._courier.bring(start, repeatable=on_existing == "attach")
        return id

    async def send(
        self, id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to a workflow; see ``Runtime.send``.

        It is sent with a key in any case. So if its owner dies before it answers, it is sent again,
        and yet taken once.
        """
        key = _new_key() if idempotency_key is None else idempotency_key
        await self._courier.bring(
            SendTo(id, topic, self._plain(topic, payload), key), repeatable=True
        )

    async def ask(
        self, id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> JSON:
        """Send a request to a workflow, and wait for its reply; see ``Runtime.ask``.

        It waits as :meth:`result` does, for a runtime that runs the workflow, too, if there is none.

        Raises:
            WorkflowClosedError, WorkflowQuarantinedError: it has ended or is parked, without a
                reply.
            RequestRefusedError: the payload is not what the workflow asked for.
        """
        key = _new_key() if idempotency_key is None else idempotency_key
        check_printable("idempotency_key", key)
        await self._courier.bring(
            RequestOf(id, topic, self._plain(topic, payload), key), repeatable=True
        )
        reply = await self._wait_for(id, reply_to(key))
        what = f"reply to {topic!r} of workflow {id!r}"
        return cast("JSON", decode_reply(self._courier.codec, reply, object, what))

    def _plain(self, topic: str, payload: object) -> object:
        return json.loads(self._courier.codec.encode_sent(payload, f"message {topic!r}"))

    async def cancel(self, id: str, reason: str | None = None) -> None:
        """Ask a workflow to cancel itself; see ``Runtime.cancel``."""
        await self._courier.bring(Cancel(id, reason))

    async def terminate(self, id: str, reason: str | None = None) -> None:
        """End a workflow without a word to its code; see ``Runtime.terminate``."""
        await self._courier.bring(Terminate(id, reason))

    async def pause(self, id: str, reason: str | None = None) -> None:
        """Stop a workflow where it stands; see ``Runtime.pause``."""
        await self._courier.bring(Pause(id, reason))

    async def resume(self, id: str) -> None:
        """Let a paused workflow go on; see ``Runtime.resume``.

        Where no runtime owns the database, nobody looks whether its code is still there.
        """
        await self._courier.bring(Resume(id))

    async def retry(self, id: str) -> None:
        """Let a failed or quarantined workflow go on; see ``Runtime.retry``.

        Where no runtime owns the database, nobody looks whether its code is still there.
        """
        await self._courier.bring(Retry(id))

    async def fork(self, id: str, *, at: str, new_id: str | None = None) -> str:
        """Start a new workflow from another one's past, up to a task; see ``Runtime.fork``.

        Returns:
            The id of the new workflow.

        Where no runtime owns the database, nobody looks whether its code is still there.
        """
        new_id = str(uuid.uuid4()) if new_id is None else new_id
        await self._courier.bring(Fork(id, at, new_id))
        return new_id

    async def delete(self, id: str, *, force: bool = False) -> None:
        """Delete a workflow, its journal and its tasks; see ``Runtime.delete``."""
        await self._courier.bring(Delete(id, force))

    async def prune(
        self,
        *,
        older_than: float | None = None,
        keep: int | None = None,
        status: Status | str | Iterable[Status | str] | None = None,
        name: str | Iterable[str] | None = None,
        dry_run: bool = False,
        on_pruned: OnPruned = lambda ids: None,
    ) -> PruneReport:
        """Remove workflows that have ended, and give back their space; see ``Runtime.prune``.

        It asks for one step after the other, each within the client's time limit, so it may take as
        long as it takes. A dry run only reads. If an owner dies before it answers, the step is asked
        for again, and what it pruned is not counted.
        """
        rule = rule_of(time.time(), older_than=older_than, keep=keep, status=status, name=name)

        async def step(place: Place) -> Stepped:
            if dry_run:
                return await would_go(self._sight, rule, place)
            request = PruneSome.of(rule, place)
            return read_stepped(await self._courier.bring(request, repeatable=True))

        return attrs.evolve(await prune_all(step, on_pruned), dry_run=dry_run)


def _new_key() -> str:
    return f"client-{uuid.uuid4()}"


@asynccontextmanager
async def open_client(
    path: str | os.PathLike[str],
    *,
    timeout: float = 10.0,
    max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    keep_open: bool = False,
) -> AsyncGenerator[Client]:
    """Look at the workflows of a database and act on them, without running any of them.

    It works beside the runtime that owns the database, in the same process or another one of the
    same user, and also when none runs. It holds nothing open between two calls, unless it is to.

    Args:
        path: the SQLite file.
        timeout: seconds that each call tries to have something done, before it gives up.
        max_payload_bytes: the largest encoded message; an owner has a limit of its own.
        keep_open: keep the file open from one read to the next, for the length of the block: for
            thousands of reads in a row, each of which is quicker then. If the file is replaced
            meanwhile, the old one is read.

    Raises:
        StorageUnavailableError: there is no such file, or no database of ours in it.
        StorageVersionError: another version of claw_actors has made it.
        StorageCorruptError: it is damaged.
        InvalidInputError: no such path or time.
    """
    sight, codec = look_on(path), Codec(max_payload_bytes)
    courier = Courier(
        path=os.fspath(path),
        socket_path=sight.backend.socket_path,
        codec=codec,
        timeout=timeout,
    )
    with sight.backend.keeping() if keep_open else nullcontext():
        await sight.read(sight.backend.check)
        yield Client(sight, courier)
