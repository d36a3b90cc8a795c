"""The lifetime of a runtime: what is opened, in which order, and how it is left.

Storage first, then timers, then workflows, and the other way round at the end: so a workflow that
is being stopped can still write its last checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import trio

from ..actors import open_supervisor
from ..actors.nursery import open_service_nursery
from ..definitions import Workflow
from ..storage.backend import Backend
from ..storage.codec import Codec
from ..storage.executor import InlineExecutor
from ..storage.opening import as_backend, open_storage_actor
from .cells import Cells
from .config import RuntimeConfig
from .environment import Environment
from .recovery import Recovery
from .registry import Registry
from .runtime import Runtime
from .timers import Timers

__all__ = ["open_runtime"]


@asynccontextmanager
async def open_runtime(
    storage: str | os.PathLike[str] | Backend,
    *,
    workflows: Iterable[Workflow[..., object]] = (),
    config: RuntimeConfig | None = None,
    environment: Environment | None = None,
) -> AsyncGenerator[Runtime]:
    """Open storage, bring back everything unfinished, and run workflows for the length of a block.

    At the end of the block no workflow operation starts any more; running task bodies get
    ``config.grace`` seconds to end and be recorded. What is unfinished goes on at the next
    opening. It never calls ``trio.run``, installs no signal handler and holds no global: two
    runtimes can live in one process, on two databases.

    Args:
        storage: a path (SQLite), ``SQLiteStorage(...)``, ``MemoryStorage()`` or any backend.
        workflows: all workflows that may run; keep old versions while instances of them run.
        config: limits and times.
        environment: clock, randomness and threads; for tests.

    Raises:
        StorageLockedError: another runtime owns the database; it is named.
        StorageUnavailableError, StorageCorruptError, StorageVersionError: it cannot be opened.
        DefinitionError: something in ``workflows`` is none, or two have the same name and version.
        OutcomeUnknownError: storage failed; the block is cancelled, and nothing is recorded any
            more. Open again to recover.

    Cancelled, the block is left in the same order: first workflows, then timers, then storage.
    """
    config = config or RuntimeConfig()
    environment = environment or Environment()
    registry = Registry(workflows)
    codec = Codec(config.max_payload_bytes)
    executor = InlineExecutor() if environment.inline else None
    async with (
        open_storage_actor(as_backend(storage), executor=executor) as (actor, report),
        open_service_nursery() as services,
        open_supervisor(stop_together=True, grace=config.grace) as supervisor,
    ):
        timers = Timers(environment.wall, environment.clock_check_s)
        cells = Cells(supervisor, actor, timers, registry, codec, config, environment)
        recovery = Recovery(
            actor, cells, timers, registry, config, environment, was_clean=report.clean
        )
        runtime = Runtime(actor, cells, recovery, registry, codec, environment)
        actor.on_failure.append(lambda: cells.seal_all("storage failed"))
        actor.on_unheard = lambda _, id: recovery.request(id)
        services.start_soon(timers.run)
        services.start_soon(recovery.serve)
        try:
            runtime.recovery_report = await runtime.recover()
            actor.ends_clean = True
            yield runtime
        finally:
            runtime.close()
            # With the grace, the patience of writes that wait for a full disk is over, too.
            timers.at(environment.wall() + config.grace, actor.hurry, length=config.grace)
            with trio.CancelScope(shield=True):
                supervisor.request_stop("the runtime is closing", config.grace)
                await supervisor.wait_stopped()
            services.cancel_scope.cancel(reason="the runtime is closed")
