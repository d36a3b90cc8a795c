"""Durable, supervised actors for Trio.

A Trio program imports this, and its workflows survive ``kill -9``, with nothing to run beside its
own process: each workflow runs as a supervised actor that checkpoints to a storage actor, which
serialises writes to SQLite or memory; a supervisor respawns actors from their checkpoints.

The map of the library:

- ``definitions``: ``@workflow`` and ``@task``, what an author declares. ``task_context``: where
  the code that runs stands; ``task_info``. ``log_context``: what a log record is about.
- ``_runtime``: what runs them; ``open_runtime``, ``Runtime``, ``Context``.
- ``storage``: what keeps them; ``SQLiteStorage``, ``MemoryStorage``, ``open_storage``.
- ``actors``: actors and their supervision, useful by themselves; ``open_supervisor``, ``Actor``.
- ``_core``: the decisions, pure: journal, replay, lifecycle, retry and restart.
- ``testing``: for those who test workflows, or write a backend.
- ``drawing``: pictures of workflows: timelines, diagrams.
- ``configuration``: settings from a file, the environment and arguments; ``load_config``.
- ``cli``: the command line ``claw``, also as ``python -m claw_actors``.
- ``errors``: every exception, one flat family.
"""

from . import actors as actors
from . import drawing as drawing
from . import errors as errors
from ._core.failures import ErrorRecord as ErrorRecord
from ._core.journal import EntryKind as EntryKind
from ._core.journal import EntryStatus as EntryStatus
from ._core.lifecycle import Status as Status
from ._core.lifecycle import TaskStatus as TaskStatus
from ._core.transacting import Connection as Connection
from ._core.transacting import Cursor as Cursor
from ._core.triage import RecoveryVerdict as RecoveryVerdict
from ._runtime.channel import Channel as Channel
from ._runtime.child_handle import ChildHandle as ChildHandle
from ._runtime.config import Retention as Retention
from ._runtime.config import RuntimeConfig as RuntimeConfig
from ._runtime.context import Context as Context
from ._runtime.control.client import Client as Client
from ._runtime.control.client import open_client as open_client
from ._runtime.control.figures import OwnerStatistics as OwnerStatistics
from ._runtime.coordination import Event as Event
from ._runtime.coordination import Lock as Lock
from ._runtime.coordination import Semaphore as Semaphore
from ._runtime.handle import WorkflowHandle as WorkflowHandle
from ._runtime.nursery import Nursery as Nursery
from ._runtime.opening import open_runtime as open_runtime
from ._runtime.pruning import PruneReport as PruneReport
from ._runtime.recovery_plan import PlannedRecovery as PlannedRecovery
from ._runtime.recovery_plan import RecoveryPlan as RecoveryPlan
from ._runtime.recovery_report import RecoveryReport as RecoveryReport
from ._runtime.replies import Request as Request
from ._runtime.rollback import RollbackHandler as RollbackHandler
from ._runtime.runtime import Runtime as Runtime
from ._runtime.scopes import CancelScope as CancelScope
from ._runtime.shown import DeadMessage as DeadMessage
from ._runtime.statistics import RuntimeStatistics as RuntimeStatistics
from ._runtime.stopping import CutOffTask as CutOffTask
from ._runtime.stopping import StopReport as StopReport
from .actors import Actor as Actor
from .actors import ActorRef as ActorRef
from .actors import ChildSpec as ChildSpec
from .actors import Supervisor as Supervisor
from .actors import SupervisorSpec as SupervisorSpec
from .actors import open_supervisor as open_supervisor
from .actors import service as service
from .actors import stop_on_signals as stop_on_signals
from .configuration import Config as Config
from .configuration import SQLiteConfig as SQLiteConfig
from .configuration import StorageConfig as StorageConfig
from .configuration import load_config as load_config
from .definitions import Restart as Restart
from .definitions import Retry as Retry
from .definitions import Task as Task
from .definitions import Workflow as Workflow
from .definitions import task as task
from .definitions import workflow as workflow
from .errors import ClawError as ClawError
from .errors import DeadlineExceededError as DeadlineExceededError
from .errors import RetryAfter as RetryAfter
from .errors import RollbackFailedError as RollbackFailedError
from .errors import TaskFailedError as TaskFailedError
from .errors import WorkflowFailure as WorkflowFailure
from .log_context import WorkflowLogFilter as WorkflowLogFilter
from .storage.backend import Backend as Backend
from .storage.backups import BackupReport as BackupReport
from .storage.backups import ExaminationReport as ExaminationReport
from .storage.backups import Finding as Finding
from .storage.backups import RestoreReport as RestoreReport
from .storage.backups import back_up as back_up
from .storage.backups import examine as examine
from .storage.backups import restore as restore
from .storage.client import Storage as Storage
from .storage.history import HistoryEntry as HistoryEntry
from .storage.memory import MemoryStorage as MemoryStorage
from .storage.model import TaskState as TaskState
from .storage.model import WorkflowCounts as WorkflowCounts
from .storage.model import WorkflowFilter as WorkflowFilter
from .storage.model import WorkflowPage as WorkflowPage
from .storage.model import WorkflowState as WorkflowState
from .storage.opening import open_storage as open_storage
from .storage.sqlite import SQLiteStorage as SQLiteStorage
from .task_context import TaskInfo as TaskInfo
from .task_context import task_info as task_info

__all__ = [
    "Actor",
    "ActorRef",
    "Backend",
    "BackupReport",
    "CancelScope",
    "Channel",
    "ChildHandle",
    "ChildSpec",
    "ClawError",
    "Client",
    "Config",
    "Connection",
    "Context",
    "Cursor",
    "CutOffTask",
    "DeadMessage",
    "DeadlineExceededError",
    "EntryKind",
    "EntryStatus",
    "ErrorRecord",
    "Event",
    "ExaminationReport",
    "Finding",
    "HistoryEntry",
    "Lock",
    "MemoryStorage",
    "Nursery",
    "OwnerStatistics",
    "PlannedRecovery",
    "PruneReport",
    "RecoveryPlan",
    "RecoveryReport",
    "RecoveryVerdict",
    "Request",
    "Restart",
    "RestoreReport",
    "Retention",
    "Retry",
    "RetryAfter",
    "RollbackFailedError",
    "RollbackHandler",
    "Runtime",
    "RuntimeConfig",
    "RuntimeStatistics",
    "SQLiteConfig",
    "SQLiteStorage",
    "Semaphore",
    "Status",
    "StopReport",
    "Storage",
    "StorageConfig",
    "Supervisor",
    "SupervisorSpec",
    "Task",
    "TaskFailedError",
    "TaskInfo",
    "TaskState",
    "TaskStatus",
    "Workflow",
    "WorkflowCounts",
    "WorkflowFailure",
    "WorkflowFilter",
    "WorkflowHandle",
    "WorkflowLogFilter",
    "WorkflowPage",
    "WorkflowState",
    "actors",
    "back_up",
    "drawing",
    "errors",
    "examine",
    "load_config",
    "open_client",
    "open_runtime",
    "open_storage",
    "open_supervisor",
    "restore",
    "service",
    "stop_on_signals",
    "task",
    "task_info",
    "workflow",
]
