"""The family: what all errors have in common."""

from __future__ import annotations

from typing import Self

__all__ = ["ClawError"]


class ClawError(Exception):
    """Base of every error of claw_actors; catch it to catch them all.

    Attributes:
        entry_n: of one that a workflow's journal has recorded, and that every replay raises again:
            the number of its entry; 0 of any other.
    """

    entry_n: int = 0

    def __copy__(self) -> Self:
        # `BaseException` would call the class with the message, and ours take what it is made of.
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__)
        return twin
