"""How the attempts of a task can end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from .._core.journal import Entry

__all__ = ["Cancelled", "Delivered", "Ending", "Raised", "Returned"]


@attrs.frozen
class Returned:
    """The body returned; this is the encoded value."""

    value: bytes


@attrs.frozen
class Raised:
    """The body raised; ``final`` if another attempt must not be made."""

    error: Exception
    final: bool = False


@attrs.frozen
class Cancelled:
    """The body was cancelled, and has unwound."""


@attrs.frozen
class Delivered:
    """The outcome is recorded and delivered already, and the context has the turn.

    ``None``: it has the turn in order to leave.
    """

    entry: Entry | None


Ending: TypeAlias = Returned | Raised | Cancelled | Delivered
