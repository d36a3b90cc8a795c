"""Actors for Trio, supervised the way Erlang/OTP supervises; knows nothing of storage.

Useful by itself: ``open_supervisor``, ``ChildSpec``, ``Actor``, ``ActorRef``.

- ``actor``, ``behaviour``, ``service``: what a child does.
- ``specs``: what a supervisor is told, as data.
- ``supervisor``, ``statistics``, ``opening``: what its users see of it.
- ``keeper``, ``held``: what carries out the decisions (they are made in ``_core.supervision``).
- ``cell``, ``mailbox``, ``replies``, ``ref``: how an actor is reached, over all its lives.
- ``reports``, ``watching``: what is told of it.
- ``signals``: turns SIGTERM into a stop.
- ``nursery``: a nursery that outlives the cancellation of its block.
"""

from .._core.supervision.policy import Backoff as Backoff
from .._core.supervision.policy import Breaker as Breaker
from .._core.supervision.policy import ChildCrash as ChildCrash
from .._core.supervision.policy import Escalate as Escalate
from .._core.supervision.policy import Exit as Exit
from .._core.supervision.policy import GiveUp as GiveUp
from .._core.supervision.policy import RestartAfter as RestartAfter
from .actor import Actor as Actor
from .behaviour import Behaviour as Behaviour
from .behaviour import Life as Life
from .cell import ActorStatistics as ActorStatistics
from .cell import Down as Down
from .mailbox import MailboxSpec as MailboxSpec
from .opening import open_supervisor as open_supervisor
from .ref import ActorRef as ActorRef
from .ref import Monitor as Monitor
from .replies import Reply as Reply
from .reports import CrashReport as CrashReport
from .reports import DeadLetter as DeadLetter
from .reports import Instrument as Instrument
from .reports import StuckReport as StuckReport
from .service import service as service
from .signals import SignalStop as SignalStop
from .signals import stop_on_signals as stop_on_signals
from .specs import ChildSpec as ChildSpec
from .specs import SupervisorSpec as SupervisorSpec
from .statistics import ChildInfo as ChildInfo
from .statistics import SupervisorStatistics as SupervisorStatistics
from .supervisor import Supervisor as Supervisor

__all__ = [
    "Actor",
    "ActorRef",
    "ActorStatistics",
    "Backoff",
    "Behaviour",
    "Breaker",
    "ChildCrash",
    "ChildInfo",
    "ChildSpec",
    "CrashReport",
    "DeadLetter",
    "Down",
    "Escalate",
    "Exit",
    "GiveUp",
    "Instrument",
    "Life",
    "MailboxSpec",
    "Monitor",
    "Reply",
    "RestartAfter",
    "SignalStop",
    "StuckReport",
    "Supervisor",
    "SupervisorSpec",
    "SupervisorStatistics",
    "open_supervisor",
    "service",
    "stop_on_signals",
]
