"""Whether, and when, a failed task is tried again: a function of what happened and of ``now``.

Exponential backoff with proportional jitter, as in most of the field (see M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import attrs

from ..errors import InvalidInputError, RetryAfter
from .backoff import grown
from .bounds import at_least

__all__ = ["GiveUp", "Matcher", "Retry", "TryAgain", "decide_retry"]

Matcher: TypeAlias = (
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
)
"""Which errors: a class, several, or a predicate."""


def _check_matcher(instance: object, attribute: object, value: Any) -> None:
    given: object = value
    classes = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (given,)
    if all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes):
        return
    if callable(given) and not isinstance(given, type):
        return
    name = getattr(attribute, "name", "value")
    raise InvalidInputError(
        name, given, "an exception class, a tuple of them, or a function from exception to bool"
    )


@attrs.frozen(kw_only=True)
class Retry:
    """How a task is retried. Attempts and due times are durable; a restart does not reset them.

    Attributes:
        max_attempts: how many attempts there are in all, the first included.
        initial: seconds before the second attempt.
        maximum: the longest delay, in seconds.
        backoff: each delay is this many times the one before.
        jitter: each delay is spread by up to this fraction, up or down.
        deadline: seconds from the start of the first attempt after which no further attempt
            begins; ``None`` for no limit.
        retry_on: which errors are retried: classes, or a predicate.
        give_up_on: which are not, even so.

    Raises:
        InvalidInputError: a number out of range, or a matcher that is none.
    """

    max_attempts: int = attrs.field(default=5, validator=at_least(1, whole=True))
    initial: float = attrs.field(default=0.5, validator=at_least(0))
    maximum: float = attrs.field(default=30.0, validator=at_least(0))
    backoff: float = attrs.field(default=2.0, validator=at_least(1))
    jitter: float = attrs.field(default=0.2, validator=at_least(0))
    deadline: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(at_least(0))
    )
    retry_on: Matcher = attrs.field(default=(Exception,), validator=_check_matcher)
    give_up_on: Matcher = attrs.field(default=(), validator=_check_matcher)


@attrs.frozen
class TryAgain:
    """Another attempt, not before ``due_at`` (POSIX seconds)."""

    due_at: float


@attrs.frozen
class GiveUp:
    """No further attempt."""


def _matches(matcher: Matcher, error: Exception) -> bool:
    if isinstance(matcher, type | tuple):
        return isinstance(error, matcher)
    return matcher(error)


def _delay(retry: Retry, attempt: int, uniform: float) -> float:
    delay = grown(retry.initial, retry.backoff, attempt - 1, retry.maximum)
    return delay * max(0.0, 1 + retry.jitter * (2 * uniform - 1))


def decide_retry(
    retry: Retry,
    error: Exception,
    *,
    attempt: int,
    started_at: float,
    now: float,
    uniform: float,
) -> TryAgain | GiveUp:
    """Decide what follows a failed attempt.

    Args:
        retry: the policy.
        error: what the attempt failed with. ``RetryAfter`` names its own delay.
        attempt: how many attempts have ended, this one included.
        started_at: when the first attempt began, POSIX seconds.
        now: POSIX seconds.
        uniform: a random number in [0, 1), for the jitter.
    """
    if attempt >= retry.max_attempts:
        return GiveUp()
    if isinstance(error, RetryAfter):
        due_at = now + error.seconds
    elif _matches(retry.retry_on, error) and not _matches(retry.give_up_on, error):
        due_at = now + _delay(retry, attempt, uniform)
    else:
        return GiveUp()
    if retry.deadline is not None and due_at > started_at + retry.deadline:
        return GiveUp()
    return TryAgain(due_at)
