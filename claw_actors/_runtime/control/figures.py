"""How the owner is: what only it knows, told to other processes.

It is a question, not a request: nothing is done, so it may be asked again and again, and where
nobody owns the database there is nobody to ask.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import socket
from collections.abc import Mapping
from typing import Final, cast

import attrs

from ..._core.error_data import Plain
from ...storage.actor import StorageStatistics
from ...storage.codec import Codec
from ..statistics import RuntimeStatistics

__all__ = ["AskFigures", "OwnerStatistics", "read_figures", "tell_figures"]

WHAT: Final = "the owner's figures"


@attrs.frozen
class AskFigures:
    """``Runtime.statistics``, and who the owner is."""


@attrs.frozen(kw_only=True)
class OwnerStatistics:
    """The runtime that owns a database, and what it has done since it was opened.

    Attributes:
        pid: its process.
        host: the machine that this runs on.
        version: of claw_actors, there.
        runtime: what ``Runtime.statistics()`` returns there.
    """

    pid: int
    host: str
    version: str
    runtime: RuntimeStatistics


@functools.cache
def _version() -> str:
    return importlib.metadata.version("claw_actors")


def tell_figures(statistics: RuntimeStatistics) -> Plain:
    """Tell them, as JSON."""
    told = OwnerStatistics(
        pid=os.getpid(), host=socket.gethostname(), version=_version(), runtime=statistics
    )
    return cast("Plain", attrs.asdict(told))


def read_figures(answer: Plain, codec: Codec) -> OwnerStatistics:
    """Read what :func:`tell_figures` has told; a newer owner may have told more.

    Raises:
        SerializationError: it is something else.
    """
    told = _known(OwnerStatistics, answer)
    runtime = told["runtime"] = _known(RuntimeStatistics, told.get("runtime"))
    runtime["storage"] = _known(StorageStatistics, runtime.get("storage"))
    return cast("OwnerStatistics", codec.from_plain(told, OwnerStatistics, WHAT))


def _known(cls: type[attrs.AttrsInstance], told: Plain) -> dict[str, Plain]:
    """Leave out what this version does not know."""
    if not isinstance(told, Mapping):
        return {}
    names = [field.name for field in attrs.fields(cls)]
    return {name: told[name] for name in names if name in told}
