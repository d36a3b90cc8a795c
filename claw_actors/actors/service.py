"""Services: plain async functions as children."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Never, TypeVarTuple, cast

from .behaviour import Behaviour, Life

__all__ = ["service"]

Ts = TypeVarTuple("Ts")


class _Started:
    """What a service reports its start to, in the way of ``nursery.start``."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def started(self, value: object = None) -> None:  # noqa: ARG002 - nobody asks for it
        """Take note that it has started."""
        self._life.started()


class _Service(Behaviour[Never, None]):
    def __init__(self, call: Callable[..., Awaitable[object]], acknowledges: bool) -> None:
        self._call = call
        self._acknowledges = acknowledges

    async def run(self, life: Life) -> None:
        if self._acknowledges:
            await self._call(task_status=_Started(life))
        else:
            life.started()
            await self._call()


def service(
    fn: Callable[[*Ts], Awaitable[object]], *args: *Ts
) -> Callable[[], Behaviour[Never, None]]:
    """Make a factory of a :class:`ChildSpec` from an async function.

    A function with a ``task_status`` parameter has started when it calls ``task_status.started()``,
    as under ``nursery.start``; any other at once. It is stopped by being cancelled; when it
    returns, it has ended.

    Args:
        fn: called anew for each incarnation.
        args: its arguments.
    """

    async def call(**options: object) -> object:
        return await cast("Callable[..., Awaitable[object]]", fn)(*args, **options)

    acknowledges = "task_status" in inspect.signature(fn).parameters
    return lambda: _Service(call, acknowledges)
