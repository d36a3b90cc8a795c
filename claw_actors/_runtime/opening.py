"""The lifetime of a runtime: what is opened, in which order, and how it is left.

Storage first, then timers, workflows, recovery, retention, and the control socket, and the other way
round at the end: so a workflow that is being stopped can still write its last checkpoint. They are
children of one ``rest_for_one`` supervisor: if storage fails, all after it are stopped, storage is
opened again, and everything unfinished is respawned from its checkpoint, counted against nobody.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Never

from .._core.supervision.policy import ExitDecision
from ..actors import (
    Breaker,
    ChildSpec,
    Exit,
    RestartAfter,
    Supervisor,
    SupervisorSpec,
    service,
)
from ..definitions import Workflow
from ..errors import ChildStartError
from ..storage.actor import StorageActor
from ..storage.backend import Backend
from ..storage.codec import Codec
from ..storage.executor import InlineExecutor
from ..storage.opening import as_backend, supervise_storage
from .cells import WORKFLOWS, Cells
from .config import RuntimeConfig
from .control.server import MAX_REQUEST_BYTES, ControlLimits, ControlServer
from .environment import Environment
from .recovery import Recovery
from .registry import Registry
from .retention import Retainer
from .runtime import Runtime
from .stopping import Stops
from .timers import Timers

__all__ = ["open_runtime"]

TIMERS = "timers"
RECOVERY = "recovery"
CONTROL = "control"
RETENTION = "retention"

SIDE_SERVICE_PAUSE_S = 1.0
"""After this what workflows do not rely on, retention and the control server, is started again when
it has crashed."""


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
    opening; ``runtime.stop_report`` tells what that is, after the block.

    It never calls ``trio.run``, installs no signal handler and holds no global: two runtimes can
    live in one process, on two databases.

    Args:
        storage: a path (SQLite), ``SQLiteStorage(...)``, ``MemoryStorage()`` or any backend.
        workflows: all workflows that may run; keep old versions while instances of them run.
        config: limits and times.
        environment: clock, randomness and threads; for tests.

    Raises:
        StorageLockedError: another runtime owns the database; it is named.
        StorageUnavailableError, StorageCorruptError, StorageVersionError: it cannot be opened.
        DefinitionError: something in ``workflows`` is none, or two have the same name and version.
        OutcomeUnknownError, StorageCorruptError: storage failed, and opening it again
            (``config.max_storage_restarts``) did not help; the block is cancelled, and nothing is
            recorded any more. Open again to recover.
        RestartLimitExceededError: a part of the runtime itself crashed as often; a defect.

    Cancelled, the block is left in the same order: first workflows, then timers, then storage.
    """
    config = config or RuntimeConfig()
    environment = environment or Environment()
    registry = Registry(workflows)
    codec = Codec(config.max_payload_bytes)
    stops = Stops()
    with stops.told():
        async with supervise_storage(
            as_backend(storage),
            executor=InlineExecutor() if environment.inline else None,
            max_restarts=config.max_storage_restarts,
        ) as (supervisor, actor):
            timers = Timers(environment.wall, environment.clock_check_s)
            cells = Cells(supervisor, actor, timers, registry, codec, config, environment, stops)
            recovery = Recovery(actor, cells, timers, registry, config, environment)
            cells.on_left, cells.on_wanted = recovery.left, recovery.request
            runtime = Runtime(supervisor, actor, cells, recovery, registry, codec, environment)
            control = _control(runtime, actor.backend.socket_path, codec, config)
            actor.on_failure.append(lambda: cells.seal_all("storage failed"))
            actor.on_unheard = lambda _, id: recovery.request(id)
            try:
                await _start(supervisor, actor, timers, recovery, config)
                if not config.retention.is_off:
                    retainer = Retainer(runtime.pruner, config.retention, environment.wall)
                    await _start_on_storage(supervisor, actor, _retention(retainer))
                if control is not None:
                    await _start_on_storage(supervisor, actor, control)
                runtime.recovery_report = recovery.report
                yield runtime
            finally:
                runtime.close()
                # With the grace, the patience of writes that wait for a full disk is over, too.
                timers.at(environment.wall() + config.grace, actor.hurry, length=config.grace)
                cells.begin_stop("the runtime is closing")
                supervisor.request_stop("the runtime is closing")


async def _start(
    supervisor: Supervisor,
    actor: StorageActor,
    timers: Timers,
    recovery: Recovery,
    config: RuntimeConfig,
) -> None:
    """Start what relies on storage, in order; what storage takes down with it comes back so, too."""
    breaker = Breaker(
        max_crashes=config.max_crashes, within=config.crash_window, pause=config.crash_pause
    )
    workflows = SupervisorSpec(stop_together=True, grace=config.grace, breaker=breaker)
    await supervisor.start_child(ChildSpec(TIMERS, service(timers.run)))
    await supervisor.start_child(ChildSpec(WORKFLOWS, workflows, grace=config.grace))
    recovering = ChildSpec(RECOVERY, service(recovery.live), start_timeout=math.inf)
    await _start_on_storage(supervisor, actor, recovering)


def _control(
    runtime: Runtime, path: str | None, codec: Codec, config: RuntimeConfig
) -> ChildSpec[Never, None] | None:
    """Make the child that serves other processes, if there is a place where they could come."""
    if path is None or not config.control:
        return None
    limits = ControlLimits(max_line_bytes=config.max_payload_bytes + MAX_REQUEST_BYTES)
    server = ControlServer(runtime, codec, limits)
    return ChildSpec(
        CONTROL, service(server.serve, path), restart="transient", on_exit=_restart_side_service
    )


def _retention(retainer: Retainer) -> ChildSpec[Never, None]:
    """Make the child that prunes."""
    return ChildSpec(RETENTION, service(retainer.live), on_exit=_restart_side_service)


async def _restart_side_service(exit: Exit) -> ExitDecision | None:
    """Count its crash against nobody: what workflows do not rely on must not stop them."""
    return None if exit.error is None else RestartAfter(SIDE_SERVICE_PAUSE_S)


async def _start_on_storage(
    supervisor: Supervisor, actor: StorageActor, spec: ChildSpec[Never, None]
) -> None:
    """Start a child that cannot start while storage is being opened again."""
    while True:
        opening = actor.report
        try:
            await supervisor.start_child(spec)
            return
        except ChildStartError as error:
            interrupted = actor.trouble is not None or actor.report is not opening
            if not interrupted:
                raise (error.__cause__ or error) from None
            # Storage has failed meanwhile. This waits until it is open again, or is cancelled.
