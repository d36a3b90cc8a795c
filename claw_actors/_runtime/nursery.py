"""Durable nurseries, as workflow code sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, TypeVarTuple

from .calls import prepare
from .children import as_it_is
from .scopes import CancelScope

if TYPE_CHECKING:
    from ..definitions import Task
    from .attempts import Attempts
    from .children import Children
    from .context import Context

__all__ = ["Nursery"]

P = ParamSpec("P")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Nursery:
    """Children that run side by side, durably; made by ``ctx.open_nursery()``.

    The block ends when all of them have ended. If one fails, or the block does, the others are
    cancelled, and what they raised comes out as one exception group, as with Trio's nurseries.
    """

    def __init__(self, children: Children, attempts: Attempts) -> None:
        self._children = children
        self._attempts = attempts
        self._cancel_scope = CancelScope(children.strand, children.cancel_scope)

    def __repr__(self) -> str:
        children = self._children
        return f"<Nursery {children.path!r} of workflow {children.strand.sequencer.id!r}>"

    @property
    def cancel_scope(self) -> CancelScope:
        """The scope of the block and of all children; ``nursery.cancel_scope.cancel()``."""
        return self._cancel_scope

    def start_soon(
        self,
        fn: Callable[[Context, *Ts], Awaitable[object]],
        *args: *Ts,
        id: str | None = None,
    ) -> None:
        """Start a child: an async function with a context of its own.

        It runs when this context waits for something. Its operations have ids of their own, under
        the nursery's: ``nursery/pack/weigh``.

        Args:
            fn: an async function ``(ctx, *args)``, or a workflow. What it returns is dropped.
            args: its arguments after ``ctx``. They are not stored, so anything goes.
            id: a name set by hand, instead of the function's.

        Raises:
            DefinitionError: this is no such function, or ``id`` is no name.
            InvalidArgumentsError: the arguments do not fit.
            ContextMisuseError: called by anything but the context that opened the nursery, or
                after its block.
        """
        self._children.start_child(fn, args, id, as_it_is)

    def run_soon(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        """Start a task beside the others; what it returns is recorded, and dropped here.

        Its id is the nursery's and its own name: ``nursery/print_label``.

        Args:
            task: declared with ``@task``. ``task.options(id=...)`` names it by hand.
            args, kwargs: its arguments, encodable by their annotations.

        Raises:
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit; nothing was started.
            DefinitionError: ``task`` is not declared with ``@task``.
            ContextMisuseError: called by anything but the context that opened the nursery, or
                after its block.
        """
        self._children.check()
        self._children.start_call(prepare(self._attempts, task, args, kwargs), as_it_is)
