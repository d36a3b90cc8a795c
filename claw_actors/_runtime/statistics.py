"""What a runtime has done, as a frozen record."""

from __future__ import annotations

import attrs

from ..storage.actor import StorageStatistics

__all__ = ["RuntimeStatistics"]


@attrs.frozen(kw_only=True)
class RuntimeStatistics:
    """What a runtime has done since it was opened.

    Attributes:
        up_seconds: for how long it has been open.
        active: instances in memory now.
        idle: of these, how many only wait.
        running_tasks: task bodies that run now.
        started: instances started.
        ended: instances that ended.
        crashes: incarnations that crashed or diverged.
        quarantined: instances that were quarantined after it.
        passivated: how often one left memory because it only waited.
        activated: how often one was brought back, because it was due or something arrived.
        attempts: task bodies run.
        retries: attempts that failed and were repeated.
        replayed: tasks that were skipped because their outcome was recorded.
        changed_arguments: of those, how many were asked for with other arguments.
        sent: messages that were sent, from outside and by workflows.
        received: messages that workflows have taken, not counting again what a replay takes.
        dead_letters: messages that were put aside because they did not fit.
        storage: what the storage actor has done.
    """

    up_seconds: float
    active: int
    idle: int
    running_tasks: int
    started: int
    ended: int
    crashes: int
    quarantined: int
    passivated: int
    activated: int
    attempts: int
    retries: int
    replayed: int
    changed_arguments: int
    sent: int
    received: int
    dead_letters: int
    storage: StorageStatistics
