"""What a supervisor goes by: restart types, strategies, the restart window, and delays.

The window is that of OTP's ``supervisor`` (``add_restart`` in ``supervisor.erl``): restarts older
than ``within`` are forgotten, and more than ``max_restarts`` within it is the end of patience. OTP
restarts at once; here each further crash of a child waits longer (exponential backoff with jitter),
until the child has stayed up for a while.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import attrs

from ...errors import InvalidInputError
from ..backoff import grown
from ..bounds import at_least

__all__ = [
    "AutoShutdown",
    "Backoff",
    "Breaker",
    "ChildCrash",
    "ChildPolicy",
    "Escalate",
    "Exit",
    "ExitDecision",
    "GiveUp",
    "Intensity",
    "RestartAfter",
    "RestartType",
    "Strategy",
    "add_restart",
    "check_one_of",
    "delay_of",
    "wants_restart",
]

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
"""Who is restarted with a child: nobody, all children, or those started after it."""

RestartType: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a child is restarted: always, only after a crash, or never."""

AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
"""Whether a supervisor ends by itself once a significant child, or all of them, have ended."""


def check_one_of(name: str, value: object, allowed: object) -> None:
    """Refuse what is none of the strings of a ``Literal``.

    Raises:
        InvalidInputError: it is something else.
    """
    names: tuple[str, ...] = get_args(allowed)
    if value not in names:
        raise InvalidInputError(name, value, "one of " + ", ".join(names))


@attrs.frozen(kw_only=True)
class Backoff:
    """How long a crashed child stays down before it is started again.

    Attributes:
        initial: seconds before the first restart.
        maximum: the longest delay, in seconds.
        factor: each delay is this many times the one before.
        jitter: the part of a delay that is random, 0 to 1, so that many do not come back at once.
        reset_after: seconds of staying up after which the next crash counts as the first.

    Raises:
        InvalidInputError: a number out of range.
    """

    initial: float = attrs.field(default=0.05, validator=at_least(0))
    maximum: float = attrs.field(default=10.0, validator=at_least(0))
    factor: float = attrs.field(default=2.0, validator=at_least(1))
    jitter: float = attrs.field(default=0.2, validator=at_least(0))
    reset_after: float = attrs.field(default=10.0, validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.jitter > 1:
            raise InvalidInputError("jitter", self.jitter, "at most 1")


def delay_of(backoff: Backoff, crashes: int, dice: float) -> float:
    """Return the seconds before a restart.

    Args:
        backoff: the policy.
        crashes: how many there were in a row, this one included; at least 1.
        dice: a random number in [0, 1).
    """
    delay = grown(backoff.initial, backoff.factor, crashes - 1, backoff.maximum)
    return delay * (1 + backoff.jitter * (2 * dice - 1))


@attrs.frozen
class ChildCrash:
    """A crash that counted, or an end that should not have been.

    Attributes:
        id: the child.
        incarnation: which of its lives, from 1.
        error: what it raised; ``None`` if it returned although it is permanent.
        at: when, in seconds of Trio's clock.
    """

    id: str
    incarnation: int
    error: Exception | None
    at: float


@attrs.frozen(kw_only=True)
class Intensity:
    """How many restarts a supervisor does before it gives up itself.

    Attributes:
        max_restarts: restarts within the window that are forgiven; one more escalates.
        within: the window, in seconds.
    """

    max_restarts: int = attrs.field(default=3, validator=at_least(0, whole=True))
    within: float = attrs.field(default=5.0, validator=at_least(0))


def add_restart(
    history: tuple[ChildCrash, ...], crash: ChildCrash, intensity: Intensity
) -> tuple[tuple[ChildCrash, ...], bool]:
    """Note a restart.

    Args:
        history: the earlier ones in the window.
        crash: what has to be restarted now.
        intensity: the limit.

    Returns:
        Those in the window, this one included, and whether they are too many.
    """
    recent = (*(old for old in history if crash.at - old.at < intensity.within), crash)
    return recent, len(recent) > intensity.max_restarts


@attrs.frozen(kw_only=True)
class Breaker:
    """Holds respawns back while children crash by the dozen, whoever they are.

    For supervisors of many children with budgets of their own: something that all depend on has
    probably failed, and coming back at once would only burn the budgets.

    Attributes:
        max_crashes: crashes of all children together, within the window, that open the breaker.
        within: the window, in seconds.
        pause: seconds for which no crashed child comes back once it is open. They come back
            spread over as long a time again.
    """

    max_crashes: int = attrs.field(default=100, validator=at_least(1, whole=True))
    within: float = attrs.field(default=10.0, validator=at_least(0))
    pause: float = attrs.field(default=5.0, validator=at_least(0))


@attrs.frozen
class Exit:
    """How an incarnation ended by itself.

    Attributes:
        incarnation: which one, from 1.
        error: what it raised, or ``None`` if it returned.
    """

    incarnation: int
    error: Exception | None


@attrs.frozen
class RestartAfter:
    """Start the next incarnation in that many seconds; it does not count in the window.

    Raises:
        InvalidInputError: no such number.
    """

    seconds: float = attrs.field(validator=at_least(0))


@attrs.frozen
class GiveUp:
    """There is no next incarnation."""


@attrs.frozen
class Escalate:
    """The supervisor itself has to give up."""


ExitDecision: TypeAlias = RestartAfter | GiveUp | Escalate


@attrs.frozen(kw_only=True)
class ChildPolicy:
    """What the decisions need to know of a child.

    Attributes:
        restart: when it is restarted. A temporary child is forgotten when it has ended.
        grace: seconds to end by itself when it is asked to stop; then it is cancelled.
        start_timeout: seconds it may take to start.
        significant: whether its end may end the supervisor (``auto_shutdown``).
        backoff: delays before restarts.
    """

    restart: RestartType = "permanent"
    grace: float = 5.0
    start_timeout: float = 30.0
    significant: bool = False
    backoff: Backoff = Backoff()


def wants_restart(restart: RestartType, error: Exception | None) -> bool:
    """Tell whether a child that has ended is to be started again."""
    return restart == "permanent" or (restart == "transient" and error is not None)
