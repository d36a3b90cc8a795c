"""Errors of actors and of those who supervise them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .family import ClawError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core.supervision.policy import ChildCrash

__all__ = [
    "ActorCrashedError",
    "ActorStoppedError",
    "AskCycleError",
    "ChildRunningError",
    "ChildStartError",
    "DuplicateChildError",
    "MailboxFullError",
    "RequestRefusedError",
    "RestartLimitExceededError",
    "SupervisorStoppedError",
    "UnknownChildError",
]


class RestartLimitExceededError(ClawError):
    """A supervisor has given up: its children had to be restarted too often within its window.

    All its children are stopped. Under another supervisor this is a crash like any other; from
    ``open_supervisor`` it comes out of the block. ``__cause__`` is the error of the last crash.

    Attributes:
        supervisor: its path; empty for the root.
        history: the crashes in the window, oldest first.
    """

    def __init__(self, supervisor: str, history: Sequence[ChildCrash]) -> None:
        last = history[-1]
        why = "it ended" if last.error is None else repr(last.error)
        super().__init__(
            f"supervisor {supervisor or '/'!r} gave up after {len(history)} crashes;"
            f" the last was child {last.id!r}: {why}"
        )
        self.supervisor = supervisor
        self.history: tuple[ChildCrash, ...] = tuple(history)


class ChildStartError(ClawError):
    """A child did not start: it raised (``__cause__``), took too long, or was stopped meanwhile.

    A supervisor that was booting has stopped what it had started; one that was running goes on
    without this child.

    Attributes:
        id: the child.
        why: what happened.
    """

    def __init__(self, id: str, why: str) -> None:
        super().__init__(f"child {id!r} did not start: {why}")
        self.id = id
        self.why = why


class DuplicateChildError(ClawError):
    """The supervisor has a child of this id, perhaps one that is just ending. Nothing was started.

    Attributes:
        id: the id that is taken.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"there is a child {id!r}; stop and delete it first, or use another id")
        self.id = id


class UnknownChildError(ClawError):
    """The supervisor has no child of this id.

    Attributes:
        id: the id that was asked for.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no child {id!r}; temporary ones are forgotten when they end")
        self.id = id


class ChildRunningError(ClawError):
    """The child runs, so it cannot be restarted by hand or deleted; stop it first.

    Attributes:
        id: the child.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"child {id!r} runs; stop it first")
        self.id = id


class SupervisorStoppedError(ClawError):
    """The supervisor is stopping, or has stopped, and takes no more children.

    Attributes:
        supervisor: its path; empty for the root.
    """

    def __init__(self, supervisor: str) -> None:
        super().__init__(f"supervisor {supervisor or '/'!r} is stopping")
        self.supervisor = supervisor


class ActorCrashedError(ClawError):
    """The actor crashed while it dealt with the request. ``__cause__`` is what it raised.

    Whether the request had an effect is not known; it is not repeated. The next incarnation
    answers the next request.

    Attributes:
        id: the actor's path.
        incarnation: the one that crashed.
    """

    def __init__(self, id: str, incarnation: int) -> None:
        super().__init__(f"actor {id!r} crashed (incarnation {incarnation}) while it was asked")
        self.id = id
        self.incarnation = incarnation


class ActorStoppedError(ClawError):
    """The actor has stopped, or stopped before it answered; there is no further incarnation.

    Attributes:
        id: the actor's path.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"actor {id!r} has stopped and answers no more")
        self.id = id


class MailboxFullError(ClawError):
    """The actor's mailbox is full, and it was said not to wait. The message was not taken.

    Attributes:
        id: the actor's path.
        capacity: how many messages the mailbox holds.
    """

    def __init__(self, id: str, capacity: int) -> None:
        super().__init__(f"the mailbox of actor {id!r} is full ({capacity} messages)")
        self.id = id
        self.capacity = capacity


class AskCycleError(ClawError):
    """An actor asked one that waits for it, directly or through others: no answer could ever come.

    The request was not sent. Use ``tell``, or split what the actors share into a third one.

    Attributes:
        path: the actors, from the one that asked round to itself.
    """

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(f"these actors would wait for each other: {' -> '.join(path)}")
        self.path: tuple[str, ...] = tuple(path)


class RequestRefusedError(ClawError):
    """A request was refused: by an actor, or by a workflow that could not read it.

    Raise this, or a subclass, in an actor's ``receive`` to refuse a request without crashing the
    actor. Whoever asked gets it raised, as a copy. For a message that was told, it is logged.
    """
