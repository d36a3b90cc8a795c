"""The backend without files: for tests, and for workflows that need not outlive the process.

- ``table``: the workflows and their indexes, with an undo log.
- ``journal``, ``keys``: the entries of one workflow, and the keys of its messages.
- ``transaction``: what each operation does to a table; ``removal``: what leaves it.
- ``matching``: which rows a filter lets through.
- ``backend``: ownership, locking and reading.
"""

from .backend import MemoryStorage as MemoryStorage

__all__ = ["MemoryStorage"]
