"""A nursery for services: they outlive the cancellation of the block, so that they end in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

__all__ = ["open_service_nursery"]


@asynccontextmanager
async def open_service_nursery() -> AsyncGenerator[trio.Nursery]:
    """Open a nursery whose children are not reached by what cancels the block.

    The block must see to it that they end (by asking them, or by the nursery's own cancel
    scope) before it is left: leaving waits for them. An exception of the block passes unchanged,
    not wrapped into a group.

    Raises:
        BaseExceptionGroup: what a child raised; the block is cancelled then.
    """
    opened: list[trio.Nursery] = []
    ready, over = trio.Event(), trio.Event()

    async def serve() -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as services:
                opened.append(services)
                ready.set()
                await over.wait()

    error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        # Not `start`, which would run it under the scopes of the caller until it is ready.
        nursery.start_soon(serve)  # noqa: ASYNC113
        with trio.CancelScope(shield=True):
            await ready.wait()
        try:
            yield opened[0]
        except (Exception, KeyboardInterrupt, SystemExit) as raised:
            # Kept out of the nursery, which would wrap it into a group: `sys.exit(3)` in the
            # block is to end the program with 3.
            error = raised
        finally:
            over.set()
    if error is not None:
        raise error
