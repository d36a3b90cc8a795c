"""What a supervisor is told about its children, and about itself: supervision as data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Never

import attrs
import trio

from .._core.bounds import at_least
from .._core.supervision.policy import (
    AutoShutdown,
    Backoff,
    Breaker,
    ChildPolicy,
    Exit,
    ExitDecision,
    Intensity,
    RestartType,
    Strategy,
    check_one_of,
)
from ..errors import InvalidInputError
from .behaviour import Behaviour, Life, Message_contra, Reply_co
from .mailbox import MailboxSpec

__all__ = ["ChildSpec", "SupervisorSpec", "check_significance"]

DEFAULT_GRACE_S = 5.0


def _check_seconds(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidInputError(attribute.name, value, "seconds, at least 0 (or math.inf)")


def _check_id(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value or "/" in value:
        raise InvalidInputError(attribute.name, value, "a non-empty string without '/'")


@attrs.frozen
class ChildSpec(Generic[Message_contra, Reply_co]):
    """A child of a supervisor.

    Attributes:
        id: its name, unique among its siblings; without ``/``, which joins names to paths.
        factory: makes what it runs, anew for each incarnation: an :class:`Actor` class, a
            ``service(...)``, a :class:`SupervisorSpec`, or any function that returns a
            :class:`Behaviour`.
        restart: ``"permanent"``: restarted always; ``"transient"``: only after a crash;
            ``"temporary"``: never, and forgotten when it has ended.
        grace: seconds it gets to end by itself when it is asked to stop; then it is cancelled. By
            default 5, and for a :class:`SupervisorSpec` that one's own.
        start_timeout: seconds it may take to start.
        significant: whether its end may end the supervisor; see ``auto_shutdown`` there.
        backoff: how long it stays down after a crash.
        mailbox: how many messages may wait for it, and what happens to more.
        on_exit: a policy of its own, asked whenever an incarnation has ended by itself, before
            the next one starts. What it decides does not count in the supervisor's window;
            ``None`` leaves it to the supervisor. An exception out of it escalates. It is not
            cancelled: let it be short.

    Raises:
        InvalidInputError: a value that is not possible; a child that is permanent and significant,
            which would never end.
    """

    id: str = attrs.field(validator=_check_id)
    factory: Callable[[], Behaviour[Message_contra, Reply_co]]
    restart: RestartType = "permanent"
    grace: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_seconds)
    )
    start_timeout: float = attrs.field(default=30.0, validator=_check_seconds)
    significant: bool = False
    backoff: Backoff = attrs.field(factory=Backoff)
    mailbox: MailboxSpec = attrs.field(factory=MailboxSpec)
    on_exit: Callable[[Exit], Awaitable[ExitDecision | None]] | None = None

    def __attrs_post_init__(self) -> None:
        check_one_of("restart", self.restart, RestartType)
        if self.significant and self.restart == "permanent":
            what = "a significant child to be transient or temporary: a permanent one never ends"
            raise InvalidInputError("restart", self.restart, what)

    @property
    def _grace(self) -> float:
        if self.grace is not None:
            return self.grace
        return self.factory.grace if isinstance(self.factory, SupervisorSpec) else DEFAULT_GRACE_S

    @property
    def policy(self) -> ChildPolicy:
        """What the decisions need of it."""
        return ChildPolicy(
            restart=self.restart,
            grace=self._grace,
            start_timeout=self.start_timeout,
            significant=self.significant,
            backoff=self.backoff,
        )


def check_significance(child: ChildSpec[Never, object], auto_shutdown: AutoShutdown) -> None:
    """Refuse a significant child of a supervisor that never ends because of one.

    Raises:
        InvalidInputError: so it is.
    """
    if child.significant and auto_shutdown == "never":
        what = 'a supervisor with auto_shutdown="any_significant" or "all_significant"'
        raise InvalidInputError("significant", True, what)


@attrs.frozen(kw_only=True)
class SupervisorSpec:
    """A supervisor under a supervisor: the factory of a :class:`ChildSpec`.

    Attributes:
        children: started in this order, stopped in reverse.
        strategy: who is restarted with a crashed child: ``"one_for_one"``: nobody;
            ``"one_for_all"``: all; ``"rest_for_one"``: those after it.
        max_restarts: restarts within the window that are forgiven; one more and the supervisor
            gives up (``RestartLimitExceededError``).
        within: the window, in seconds.
        auto_shutdown: whether it ends by itself once a significant child, or all of them, ended.
        grace: seconds that stopping all its children takes at most.
        stop_together: stop all children at once; for many that do not depend on each other.
        breaker: holds respawns back while children crash by the dozen.

    Raises:
        InvalidInputError: a value that is not possible; two children of one id.
    """

    children: Sequence[ChildSpec[Never, object]] = ()
    strategy: Strategy = "one_for_one"
    max_restarts: int = attrs.field(default=3, validator=at_least(0, whole=True))
    within: float = attrs.field(default=5.0, validator=at_least(0))
    auto_shutdown: AutoShutdown = "never"
    grace: float = attrs.field(default=30.0, validator=_check_seconds)
    stop_together: bool = False
    breaker: Breaker | None = None

    def __attrs_post_init__(self) -> None:
        check_one_of("strategy", self.strategy, Strategy)
        check_one_of("auto_shutdown", self.auto_shutdown, AutoShutdown)
        ids: set[str] = set()
        for child in self.children:
            if child.id in ids:
                raise InvalidInputError("children", child.id, "each id once")
            ids.add(child.id)
            check_significance(child, self.auto_shutdown)

    @property
    def intensity(self) -> Intensity:
        """Its restart window."""
        return Intensity(max_restarts=self.max_restarts, within=self.within)

    def __call__(self) -> Behaviour[Never, None]:
        """Make one; called by the supervisor above."""
        return _Nested(self)


class _Nested(Behaviour[Never, None]):
    """A supervisor as a child of another."""

    def __init__(self, spec: SupervisorSpec) -> None:
        self._spec = spec

    async def run(self, life: Life) -> None:
        await life.keeper.run_nested(life, self._spec)

    def request_stop(self, life: Life, reason: str, deadline: float) -> None:
        nested = life.keeper.nested_in(life)
        if nested is None:  # it has not begun, or has ended
            life.cancel(reason)
        else:
            nested.shut_down(reason, min(self._spec.grace, deadline - trio.current_time()))
