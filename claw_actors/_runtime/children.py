"""The children of one nursery: how they are born, live and end.

A child is spawned when it gets its first turn, and gives the turn on when it ends. If it raises, it
cancels the others before anyone else gets the turn: so those come next, in order of creation.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import trio
from trio.lowlevel import current_task

from .._core.failures import describe, leaves
from .._core.identity import Names, is_valid_name
from .._core.journal import EntryKind
from ..definitions import Task, Workflow
from ..errors import ContextMisuseError, DefinitionError, InvalidArgumentsError
from .calls import perform
from .driver import Driver
from .strand import Strand
from .undertaking import Call

if TYPE_CHECKING:
    from .attempts import Attempts
    from .context import Context

__all__ = ["Children", "as_it_is", "checked_name", "open_children"]

R = TypeVar("R")

NAMELESS = "child"
"""What a child is called whose function has no name, such as a lambda."""

MAX_MESSAGE_CHARS = 1_000


class Children:
    """The children that one strand has started in one nursery."""

    def __init__(
        self,
        strand: Strand,
        path: str,
        trio_nursery: trio.Nursery,
        attempts: Attempts,
        make_context: Callable[[Strand], Context],
    ) -> None:
        self.strand: Strand = strand
        self.path: str = path
        self.cancel_scope: trio.CancelScope = trio_nursery.cancel_scope
        self._names = Names(path)
        self._trio_nursery = trio_nursery
        self._attempts = attempts
        self._make_context = make_context
        self._scopes = (*strand.scopes, trio_nursery.cancel_scope)
        self._left = 0
        self._joining = False
        self._closed = False

    def start_child(
        self,
        fn: Callable[..., Awaitable[R]],
        args: tuple[object, ...],
        id: str | None,
        settle: Callable[[Coroutine[Any, Any, R]], Coroutine[Any, Any, None]],
    ) -> None:
        """Start a child whose end is settled by ``settle``, which awaits it, with the turn."""
        self.check()
        function = _function_of(fn)
        child = self._child(_name_of(fn, id))
        context = self._make_context(child)
        try:
            inspect.signature(function).bind(context, *args)
        except TypeError as error:
            raise InvalidArgumentsError(child.path, str(error)) from error
        self._start(child, lambda: Driver(settle(_call(fn, context, args)), child))

    def start_call(
        self, call: Call[R], settle: Callable[[Coroutine[Any, Any, R]], Coroutine[Any, Any, None]]
    ) -> None:
        """Start a task whose call is prepared; ``settle`` awaits it, and ends with the turn."""
        child = self._child(call.name)

        async def run() -> None:
            # The child is this one operation, so its path is the id.
            asked = child.sequencer.operations.asked(child.path, call.task.name, EntryKind.TASK)
            await settle(perform(child, self._attempts, asked, call))

        self._start(child, run)

    def check(self) -> None:
        """Refuse a start by anybody but the context that opened the nursery.

        Raises:
            ContextMisuseError: it says what to do instead.
        """
        opened_by = self.strand
        if opened_by.sequencer.turns.running("a nursery") is not opened_by:
            raise ContextMisuseError(
                f"nursery {self.path!r} was used by another context than the one that opened it; children open"
                " nurseries of their own: async with ctx.open_nursery()"
            )
        if self._closed:
            raise ContextMisuseError(
                f"nursery {self.path!r} was used after its block; open another one"
            )

    def _child(self, name: str) -> Strand:
        return Strand(self.strand.sequencer, self._names.next(name), self._scopes)

    def _start(self, child: Strand, call: Callable[[], Awaitable[object]]) -> None:
        """Have a child spawned when it gets its first turn."""
        variables = contextvars.copy_context()
        child.start = lambda: variables.run(self._spawn, child, call)
        self._left += 1
        child.sequencer.turns.queue(child)

    def _spawn(self, child: Strand, call: Callable[[], Awaitable[object]]) -> None:
        self._trio_nursery.start_soon(self._live, child, call, name=repr(child))

    async def _live(self, child: Strand, call: Callable[[], Awaitable[object]]) -> None:
        """Run a child from its first turn to its end."""
        child.trio_task = current_task()
        try:
            if not child.is_sealed:
                await call()
        except BaseException as error:
            # Before anyone else gets the turn, so that those who were cancelled come next.
            self.fail(error)
            raise
        finally:
            self._left -= 1
            if self._joining and not self._left:
                child.sequencer.turns.queue(self.strand)
            child.end()

    def fail(self, error: BaseException) -> None:
        """Cancel the block and all children: one of them has raised this."""
        if any(isinstance(one, Exception) for one in leaves(error)):
            sequencer = self.strand.sequencer
            sequencer.unwinding.setdefault(self.cancel_scope, (sequencer.delivered, error))
        self._trio_nursery.cancel_scope.cancel(
            reason=f"{type(error).__name__} in nursery {self.path!r}"
        )

    async def join(self) -> None:
        """Wait until the children have ended; like Trio's own join never cancelled by itself."""
        self._closed = True
        if self._left:
            self._joining = True
            await self.strand.join()


@asynccontextmanager
async def open_children(
    strand: Strand, name: str, attempts: Attempts, make_context: Callable[[Strand], Context]
) -> AsyncGenerator[Children]:
    """Open a nursery for the children of a strand.

    Args:
        strand: whose.
        name: what its id is made of.
        attempts: what runs its tasks.
        make_context: makes the context of a child.
    """
    strand.check_open()
    path = strand.names.next(name)
    strand.nurseries += 1
    try:
        async with trio.open_nursery(strict_exception_groups=True) as trio_nursery:
            children = Children(strand, path, trio_nursery, attempts, make_context)
            with strand.within((*strand.scopes, trio_nursery.cancel_scope)):
                try:
                    yield children
                except BaseException as error:
                    children.fail(error)
                    raise
                finally:
                    strand.inside = True  # what is awaited from here on is ours
                    await children.join()  # noqa: ASYNC102 - the children are being unwound
                    strand.sequencer.unwinding.pop(trio_nursery.cancel_scope, None)
    except BaseExceptionGroup as group:
        told = _told(path, group)
        if told is None:
            raise
        raise told from None
    finally:
        strand.nurseries -= 1
        strand.inside = False


def _told(
    path: str, group: BaseExceptionGroup[BaseException]
) -> BaseExceptionGroup[BaseException] | None:
    """Make a group say what is in it: where only its message is kept, a number says nothing.

    ``None`` if there is nothing but cancellations in it, which nobody reads.
    """
    failed = [describe(one) for one in leaves(group) if isinstance(one, Exception)]
    if not failed:
        return None
    text = f"{path}: {'; '.join(f'{one.types[0]}: {one.message}' for one in failed)}"
    if len(text) > MAX_MESSAGE_CHARS:
        text = f"{text[:MAX_MESSAGE_CHARS]}…"
    return BaseExceptionGroup(text, group.exceptions)


def _function_of(fn: object) -> Callable[..., object]:
    """Return the function that a child will run."""
    if isinstance(fn, Workflow):
        return cast("Workflow[..., object]", fn).fn
    if isinstance(fn, Task):
        raise DefinitionError(
            f"{fn!r} is a task, not a function of a context: start it with run_soon(...), or call"
            " ctx.run in a function"
        )
    if not callable(fn):
        raise DefinitionError(f"{fn!r} is no async function (ctx, *args)")
    return fn


def checked_name(id: str, what: str) -> str:
    """Return a name set by hand.

    Raises:
        DefinitionError: it has characters that ids are made of.
    """
    if is_valid_name(id):
        return id
    raise DefinitionError(
        f"{id!r} cannot name a {what}: use up to 100 letters, digits and _ . - beginning with a"
        " letter or _"
    )


def _name_of(fn: Callable[..., object], id: str | None) -> str:
    """Name a child: by hand, by its workflow, or by its function."""
    if id is not None:
        return checked_name(id, "child")
    name = fn.name if isinstance(fn, Workflow) else getattr(fn, "__name__", None)
    return name if isinstance(name, str) and is_valid_name(name) else NAMELESS


async def _call(fn: Callable[..., Awaitable[R]], context: Context, args: tuple[object, ...]) -> R:
    """Call a child's function, in its first turn."""
    awaitable = fn(context, *args)
    if not inspect.isawaitable(awaitable):
        raise DefinitionError(f"{fn!r} is no async function (ctx, *args)")
    return await awaitable


async def as_it_is(child: Coroutine[Any, Any, object]) -> None:
    """Let a child end as it does, and drop what it returns."""
    await child
