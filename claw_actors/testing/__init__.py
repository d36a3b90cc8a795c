"""For those who test workflows, or write a storage backend.

- ``explorer``: :func:`explore` crashes a scenario at every commit. ``disk``, ``witness``,
  ``schedule``: what it stands on.
- ``clock``: :func:`virtual_environment`, a world for tests under a mock clock.
- ``fixtures``: pytest fixtures; needs pytest and pytest-trio.
- ``conformance``: what every backend must do.
"""

from .clock import virtual_environment as virtual_environment
from .disk import CrashPoint as CrashPoint
from .disk import When as When
from .explorer import Exploration as Exploration
from .explorer import ExplorationFailed as ExplorationFailed
from .explorer import explore as explore

__all__ = [
    "CrashPoint",
    "Exploration",
    "ExplorationFailed",
    "When",
    "explore",
    "virtual_environment",
]
