"""Drives workflow code, and refuses what it must not await.

Workflow code may await the operations of its context and nothing else: a replay could not repeat
anything else. The driver stands between the code's coroutine and Trio and sees every trap that is
about to suspend it. One that does not come from inside an operation is refused at that very line.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from trio.lowlevel import Abort

from ..errors import ForeignAwaitError

if TYPE_CHECKING:
    from types import CodeType

    from .strand import Strand

__all__ = ["Driver"]

T = TypeVar("T")

_OURS = ("trio", "claw_actors", "outcome")


def _where(coroutine: object) -> str:
    """Name the innermost line of the author's own code that a suspended coroutine stands at."""
    place = "an unknown place"
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if frame.f_globals.get("__name__", "").split(".")[0] not in _OURS:
            code: CodeType = frame.f_code
            place = f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
        coroutine = getattr(coroutine, "cr_await", None)
    return place


class _Refused(enum.Enum):
    """When a foreign await is refused."""

    NOW = enum.auto()
    """Nothing of it is left in Trio: the line raises."""
    LATER = enum.auto()
    """It cannot be taken back (a worker thread that was not abandoned): the line raises when it
    is over."""
    BY_TRIO = enum.auto()
    """Trio has taken the refusal, and raises it at the end of its own block: a nursery, which
    must wait for its children."""


class Driver(Generic[T]):
    """Awaits a coroutine of workflow code on behalf of one context."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], strand: Strand) -> None:
        self._coroutine = coroutine
        self._strand = strand

    def __await__(self) -> Generator[Any, Any, T]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                if error is not None:
                    trap = self._coroutine.throw(error)
                else:
                    trap = self._coroutine.send(value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            error, value = None, None
            refusal: ForeignAwaitError | None = None
            # Code that is being unwound may clean up as it likes: nothing of it is recorded.
            if not self._strand.inside and not self._strand.is_sealed:
                refusal = ForeignAwaitError(_where(self._coroutine))
                self._strand.fail(refusal)
                refused = self._unregister(trap, refusal)
                if refused is _Refused.NOW:
                    error = refusal
                    continue
                if refused is _Refused.BY_TRIO:
                    refusal = None
            try:
                value = yield trap
            # A coroutine wrapper passes on whatever it is thrown.
            except BaseException as raised:  # noqa: ASYNC103
                error = raised
            if refusal is not None:
                error = refusal

    @staticmethod
    def _unregister(trap: object, refusal: ForeignAwaitError) -> _Refused:
        """Take the code's wish to be woken back out of Trio, if Trio can."""
        abort: Callable[[Callable[[], NoReturn]], Abort] | None
        abort = getattr(trap, "abort_func", None)
        if abort is None:
            return _Refused.NOW  # a plain checkpoint: nobody has been told
        taken = False

        def raise_cancel() -> NoReturn:
            nonlocal taken
            taken = True
            raise refusal

        if abort(raise_cancel) is Abort.SUCCEEDED:
            return _Refused.NOW
        return _Refused.BY_TRIO if taken else _Refused.LATER
