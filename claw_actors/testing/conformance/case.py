"""What a conformance case is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from ...storage.backend import Backend

__all__ = ["Case", "case", "cases_of", "closed_case"]


@attrs.frozen
class Case:
    """One claim about backends, with the check of it.

    Attributes:
        name: the name of the check.
        claim: what must hold, in one line.
        check: does the check, on a new backend with nothing in it.
        opened: whether the check wants it open.
    """

    name: str
    claim: str
    check: Callable[[Backend], None]
    opened: bool

    def __call__(self, make_backend: Callable[[], Backend]) -> None:
        """Check the claim.

        Args:
            make_backend: makes a backend, not open, on an empty place. It is called once; the
                case opens, closes and reopens that one.

        Raises:
            AssertionError: the claim does not hold.
            RuntimeError: assertions are switched off, so nothing would be checked.
        """
        if not __debug__:
            raise RuntimeError("conformance cases are made of assertions: run without -O")
        backend = make_backend()
        try:
            if self.opened:
                backend.open()
            self.check(backend)
        finally:
            backend.close()

    def __str__(self) -> str:
        return self.name


def _case_of(check: Callable[[Backend], None], *, opened: bool) -> Case:
    assert check.__doc__ is not None, f"{check.__name__} states no claim"
    return Case(check.__name__, check.__doc__, check, opened)


def case(check: Callable[[Backend], None]) -> Case:
    """Decorate a check that is given an open backend."""
    return _case_of(check, opened=True)


def closed_case(check: Callable[[Backend], None]) -> Case:
    """Decorate a check that is given a backend that was never open."""
    return _case_of(check, opened=False)


def cases_of(*modules: ModuleType) -> tuple[Case, ...]:
    """Return the cases that these modules define, in order of definition."""
    return tuple(
        value for module in modules for value in vars(module).values() if isinstance(value, Case)
    )
