"""What follows a crash of a workflow.

The restart window is that of OTP's ``supervisor`` (``add_restart``): crashes older than the
window are forgotten, and one too many within it is the end of patience. Here the end is
quarantine, so that one poisonous workflow never takes others down.
"""

from __future__ import annotations

import attrs

from .backoff import grown
from .bounds import at_least

__all__ = ["Quarantine", "Respawn", "Restart", "decide_restart"]


@attrs.frozen(kw_only=True)
class Restart:
    """How a crashed workflow is respawned from its checkpoint.

    Attributes:
        max_restarts: how many crashes within the window are forgiven; one more quarantines it.
        within: the window, in seconds.
        initial: seconds before the first respawn.
        maximum: the longest delay, in seconds.
        backoff: each delay is this many times the one before.

    Raises:
        InvalidInputError: a number out of range.
    """

    max_restarts: int = attrs.field(default=3, validator=at_least(0, whole=True))
    within: float = attrs.field(default=60.0, validator=at_least(0))
    initial: float = attrs.field(default=0.1, validator=at_least(0))
    maximum: float = attrs.field(default=10.0, validator=at_least(0))
    backoff: float = attrs.field(default=2.0, validator=at_least(1))


@attrs.frozen
class Respawn:
    """Run it again from its checkpoint, not before ``due_at`` (POSIX seconds).

    Attributes:
        restarts: the crashes in the window, to be stored.
    """

    due_at: float
    restarts: tuple[float, ...]


@attrs.frozen
class Quarantine:
    """Park it.

    Attributes:
        restarts: the crashes in the window, to be stored.
    """

    restarts: tuple[float, ...]


def decide_restart(
    policy: Restart, restarts: tuple[float, ...], now: float
) -> Respawn | Quarantine:
    """Decide what follows a crash.

    Args:
        policy: the budget.
        restarts: POSIX seconds of earlier crashes, as stored.
        now: POSIX seconds of this one.
    """
    # A clock that was set back leaves crashes in the future; they count as just now.
    crashes = (min(at, now) for at in restarts)
    recent = (*(at for at in crashes if now - at < policy.within), now)
    if len(recent) > policy.max_restarts:
        return Quarantine(recent)
    delay = grown(policy.initial, policy.backoff, len(recent) - 1, policy.maximum)
    return Respawn(now + delay, recent)
