"""Every exception that claw_actors raises on purpose: one flat family under :class:`ClawError`.

A program decides by class and by attributes, never by parsing a message. Each message says what
happened and what to do about it. Exceptions of the libraries below (sqlite3, cattrs, ``OSError``)
are mapped to these where they enter, and kept as ``__cause__``.

``family`` is what they have in common. They stand by what raises them: ``storage``, ``starting``,
``requests``, ``results``, ``workflows``, ``actors``; and are imported from here.
"""

from .actors import ActorCrashedError as ActorCrashedError
from .actors import ActorStoppedError as ActorStoppedError
from .actors import AskCycleError as AskCycleError
from .actors import ChildRunningError as ChildRunningError
from .actors import ChildStartError as ChildStartError
from .actors import DuplicateChildError as DuplicateChildError
from .actors import MailboxFullError as MailboxFullError
from .actors import RequestRefusedError as RequestRefusedError
from .actors import RestartLimitExceededError as RestartLimitExceededError
from .actors import SupervisorStoppedError as SupervisorStoppedError
from .actors import UnknownChildError as UnknownChildError
from .family import ClawError as ClawError
from .requests import ControlRefusedError as ControlRefusedError
from .requests import NoOwnerError as NoOwnerError
from .requests import OwnerUnreachableError as OwnerUnreachableError
from .requests import RequestOutcomeUnknownError as RequestOutcomeUnknownError
from .results import WorkflowCancelledError as WorkflowCancelledError
from .results import WorkflowFailedError as WorkflowFailedError
from .results import WorkflowQuarantinedError as WorkflowQuarantinedError
from .starting import ConfigurationError as ConfigurationError
from .starting import DefinitionError as DefinitionError
from .starting import InvalidArgumentsError as InvalidArgumentsError
from .starting import InvalidInputError as InvalidInputError
from .starting import InvalidTransitionError as InvalidTransitionError
from .starting import RuntimeClosedError as RuntimeClosedError
from .starting import UnknownWorkflowError as UnknownWorkflowError
from .starting import WorkflowClosedError as WorkflowClosedError
from .storage import DuplicateKeyError as DuplicateKeyError
from .storage import HistoryPrunedError as HistoryPrunedError
from .storage import NotFoundError as NotFoundError
from .storage import OutcomeUnknownError as OutcomeUnknownError
from .storage import PayloadTooLargeError as PayloadTooLargeError
from .storage import SerializationError as SerializationError
from .storage import StaleWriteError as StaleWriteError
from .storage import StorageCorruptError as StorageCorruptError
from .storage import StorageLockedError as StorageLockedError
from .storage import StorageUnavailableError as StorageUnavailableError
from .storage import StorageVersionError as StorageVersionError
from .workflows import ContextMisuseError as ContextMisuseError
from .workflows import DeadlineExceededError as DeadlineExceededError
from .workflows import ForeignAwaitError as ForeignAwaitError
from .workflows import InstanceSealed as InstanceSealed
from .workflows import JournalLimitError as JournalLimitError
from .workflows import NonDeterminismError as NonDeterminismError
from .workflows import RetryAfter as RetryAfter
from .workflows import RollbackFailedError as RollbackFailedError
from .workflows import TaskFailedError as TaskFailedError
from .workflows import TaskTimeoutError as TaskTimeoutError
from .workflows import TransactionDeniedError as TransactionDeniedError
from .workflows import TransactionsUnsupportedError as TransactionsUnsupportedError
from .workflows import WorkflowFailure as WorkflowFailure

__all__ = [
    "ActorCrashedError",
    "ActorStoppedError",
    "AskCycleError",
    "ChildRunningError",
    "ChildStartError",
    "ClawError",
    "ConfigurationError",
    "ContextMisuseError",
    "ControlRefusedError",
    "DeadlineExceededError",
    "DefinitionError",
    "DuplicateChildError",
    "DuplicateKeyError",
    "ForeignAwaitError",
    "HistoryPrunedError",
    "InstanceSealed",
    "InvalidArgumentsError",
    "InvalidInputError",
    "InvalidTransitionError",
    "JournalLimitError",
    "MailboxFullError",
    "NoOwnerError",
    "NonDeterminismError",
    "NotFoundError",
    "OutcomeUnknownError",
    "OwnerUnreachableError",
    "PayloadTooLargeError",
    "RequestOutcomeUnknownError",
    "RequestRefusedError",
    "RestartLimitExceededError",
    "RetryAfter",
    "RollbackFailedError",
    "RuntimeClosedError",
    "SerializationError",
    "StaleWriteError",
    "StorageCorruptError",
    "StorageLockedError",
    "StorageUnavailableError",
    "StorageVersionError",
    "SupervisorStoppedError",
    "TaskFailedError",
    "TaskTimeoutError",
    "TransactionDeniedError",
    "TransactionsUnsupportedError",
    "UnknownChildError",
    "UnknownWorkflowError",
    "WorkflowCancelledError",
    "WorkflowClosedError",
    "WorkflowFailedError",
    "WorkflowFailure",
    "WorkflowQuarantinedError",
]

# A traceback, and whatever else names them, says where they are imported from.
for _name in __all__:
    globals()[_name].__module__ = __name__
