"""Storage: the only SQL, files and threads; backends, the storage actor and its client.

- ``model``: what users read and write. ``validation``: what every backend accepts.
- ``opening``: lifetimes. ``client``: :class:`Storage`, the async face; ``reading``: the half of it
  that only reads. ``translation``: users' records to stored ones; ``history``: a journal, for
  its readers.
- ``actor``: the one writer, in groups. ``write_queue``: what it has taken and not answered;
  ``listeners``: who is told of what was committed; ``executor``: where backends run.
- ``backend``: the synchronous contract. ``operations``, ``records``: what passes through it.
- What backends share, so that they agree. ``family``: what binds a child to its parent;
  ``pruning``: which families go, and what is remembered; ``steering``: pause, resume, terminate;
  ``saving``: by hand; ``refusals``: why a message could not be sent, or a child not be started, to
  be recorded; ``transacting``: an author's own SQL in a commit.
- ``memory``, ``sqlite``: the backends. ``backups``: copies of a SQLite file in use, and a
  look at how it is. ``findings``: what that has found.
- ``codec``: values as strict JSON. ``converter``: what makes it strict.
"""

from .backend import Backend as Backend
from .backend import OpenReport as OpenReport
from .client import Storage as Storage
from .client import Transaction as Transaction
from .memory import MemoryStorage as MemoryStorage
from .model import JSON as JSON
from .model import TaskState as TaskState
from .model import WorkflowCounts as WorkflowCounts
from .model import WorkflowFilter as WorkflowFilter
from .model import WorkflowPage as WorkflowPage
from .model import WorkflowState as WorkflowState
from .opening import open_storage as open_storage
from .sqlite import SQLiteStorage as SQLiteStorage

__all__ = [
    "JSON",
    "Backend",
    "MemoryStorage",
    "OpenReport",
    "SQLiteStorage",
    "Storage",
    "TaskState",
    "Transaction",
    "WorkflowCounts",
    "WorkflowFilter",
    "WorkflowPage",
    "WorkflowState",
    "open_storage",
]
