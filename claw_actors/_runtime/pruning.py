"""Pruning what has ended, in small steps that let everybody else write in between.

A step looks at a window of the table and removes what may go of it, some families in each commit.
What a step does is whole by itself: whoever is cut off goes on later, or never. The last steps give
the space back that was freed.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import attrs
import trio

from .._core.bounds import at_least
from .._core.lifecycle import TERMINAL, Status
from .._core.retention import Ended, Rule, next_size, select
from ..errors import InvalidInputError
from ..storage.operations import Delete, Deleted
from ..storage.pruning import Forget, Forgotten, GiveBack, GivenBack, Prune, Pruned

if TYPE_CHECKING:
    from ..storage.actor import StorageActor
    from ..storage.operations import Answer, Housekeeping
    from ..storage.reading import ReadSource
    from .lifecycle import Memory

__all__ = [
    "OnPruned",
    "Place",
    "PruneReport",
    "Pruner",
    "Stepped",
    "look",
    "prune_all",
    "rule_of",
    "would_go",
]

WINDOW: Final = 2_000
"""How many workflows one step looks at."""

FAMILIES: Final = (25, 400)
"""How many families go in one commit, at least and at most; how many exactly, the budget says."""

BUDGET_S: Final = 0.005
"""How long one commit may last, the wait for the one before it included: others wait for it."""

PIECE: Final = 2_000
"""How many journal entries, and the like, one commit deletes at most."""

PAGES: Final = 100
"""How many pages one commit gives back."""

ALONE_BUDGET_S: Final = 0.05
"""The same where there are no others."""

IDS: Final = 250
"""How many ids one commit forgets."""

GIVING_S: Final = 1.0
"""How long one step gives back space."""

SHORTEST_PAUSE_S: Final = 0.001

NEWEST: Final = 2**62

OnPruned: TypeAlias = Callable[[Sequence[str]], None]
"""Told of the ids that were pruned, as it goes on."""


@attrs.frozen(kw_only=True)
class PruneReport:
    """What was pruned.

    Attributes:
        pruned: how many workflows, children included; of a dry run, how many would have been
            (children that go with their parents are not counted there).
        bytes_freed: how much space was given back to the file system.
        dry_run: whether nothing was done.
    """

    pruned: int
    bytes_freed: int = 0
    dry_run: bool = False


@attrs.frozen
class Place:
    """How far it is.

    Attributes:
        before_pk: what is looked at next is older; 0 when only space is to be given back.
        kept: by name, how many were kept for being among the last.
    """

    before_pk: int = NEWEST
    kept: Mapping[str, int] = attrs.field(factory=dict[str, int])


@attrs.frozen
class Stepped:
    """What one step has done.

    Attributes:
        ids: of what was pruned.
        bytes: how much was given back.
        next: where to go on; ``None`` when it is done.
    """

    ids: tuple[str, ...]
    bytes: int
    next: Place | None


def rule_of(
    now: float,
    *,
    older_than: float | None,
    keep: int | None,
    status: Status | str | Iterable[Status | str] | None = None,
    name: str | Iterable[str] | None = None,
) -> Rule:
    """Make the rule of what a user asks for.

    Raises:
        InvalidInputError: that is not possible, or would be everything without saying so.
    """
    if older_than is None and keep is None:
        raise InvalidInputError(
            "older_than", None, "how old, in seconds, or `keep`: without both, everything would go"
        )
    for field, value, whole in (("older_than", older_than, False), ("keep", keep, True)):
        if value is not None:
            at_least(0, whole=whole)(None, _Named(field), value)
    names = None
    if name is not None:
        names = frozenset([name] if isinstance(name, str) else name)
    return Rule(
        ended_before=now - older_than if older_than else sys.float_info.max,
        keep=keep or 0,
        statuses=_statuses(status),
        names=names,
    )


@attrs.frozen
class _Named:
    name: str


def _statuses(status: Status | str | Iterable[Status | str] | None) -> frozenset[Status]:
    if status is None:
        return TERMINAL
    found: set[Status] = set()
    for one in [status] if isinstance(status, str) else status:
        if one not in TERMINAL:
            raise InvalidInputError("status", str(one), "completed, failed or cancelled")
        found.add(Status(one))
    return frozenset(found)


async def look(source: ReadSource, rule: Rule, place: Place) -> tuple[list[Ended], Place]:
    """Choose what goes of the next window; return where the one after it begins."""
    page = await source.read(source.backend.list_ended, place.before_pk, WINDOW)
    chosen, kept = select(page.items, rule, place.kept)
    return chosen, Place(page.last_pk, kept)


async def prune_all(
    step: Callable[[Place], Awaitable[Stepped]], on_pruned: OnPruned = lambda ids: None
) -> PruneReport:
    """Do steps until it is done.

    Args:
        step: does one.
        on_pruned: told of what was pruned.
    """
    place: Place | None = Place()
    pruned = freed = 0
    while place is not None:
        done = await step(place)
        pruned += len(done.ids)
        freed += done.bytes
        if done.ids:
            on_pruned(done.ids)
        place = done.next
    return PruneReport(pruned=pruned, bytes_freed=freed)


class Pruner:
    """Does the steps."""

    def __init__(
        self, actor: StorageActor, memory: Memory, wall: Callable[[], float], *, gentle: bool
    ) -> None:
        """Prune this storage.

        Args:
            actor: what writes.
            memory: who is in memory.
            wall: the wall clock, POSIX seconds.
            gentle: whether others may write, too; those who do get at least half of the time.
        """
        self._actor = actor
        self._memory = memory
        self._wall = wall
        self._gentle = gentle
        self._budget_s = BUDGET_S if gentle else ALONE_BUDGET_S
        # How many operations were its own, and how many not, up to its last pause.
        self._own = self._others = 0
        # How many families the next commit takes. It is what was learned, also from step to step.
        self._families = FAMILIES[0]

    async def dry_run(self, rule: Rule, place: Place) -> Stepped:
        """Do nothing of a step, and say what it would do."""
        return await would_go(self._actor, rule, place)

    async def step(self, rule: Rule, place: Place) -> Stepped:
        """Do a step.

        Raises:
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled, what is done is done.
        """
        if not place.before_pk:
            return await self._give_back()
        chosen, after = await look(self._actor, rule, place)
        ids: list[str] = []
        waiting = [one.pk for one in chosen]
        while waiting:
            asked, waiting = waiting[: self._families], waiting[self._families :]
            pruned = await self._prune(Prune(tuple(asked), rule.ended_before, self._wall(), PIECE))
            ids += pruned.ids
            waiting = [*pruned.left, *waiting]
        return Stepped(tuple(ids), 0, after)

    async def forget(self, pruned_before: float) -> None:
        """Forget the ids of what was pruned before a time.

        Raises:
            StorageUnavailableError, OutcomeUnknownError: see their docs.
        """
        count = IDS
        while count == IDS:
            began = trio.current_time()
            count = cast("Forgotten", await self._submit(Forget(pruned_before, IDS))).count
            await self._rest(began)

    async def _prune(self, operation: Prune) -> Pruned:
        began = trio.current_time()
        pruned = cast("Pruned", await self._submit(operation))
        taken, took_s = len(operation.pks) - len(pruned.left), trio.current_time() - began
        self._families = next_size(taken, took_s, self._budget_s, FAMILIES)
        # They are gone for everyone now; a cancellation must not pretend otherwise.
        with trio.CancelScope(shield=True):
            for id in pruned.ids:
                self._memory.changed(id)
                await self._memory.stop(id, "it was pruned")
        for pk in pruned.unfinished:
            await self._finish(pk)
        await self._rest(began)
        return pruned

    async def _finish(self, pk: int) -> None:
        """Delete what is left of a long journal. Cut off, the next owner does it."""
        done = False
        while not done:
            began = trio.current_time()
            done = cast("Deleted", await self._submit(Delete("", pk, PIECE))).done
            await self._rest(began)

    async def _give_back(self) -> Stepped:
        freed, until = 0, trio.current_time() + GIVING_S
        while True:
            began = trio.current_time()
            given = cast("GivenBack", await self._submit(GiveBack(PAGES)))
            freed += given.bytes
            if given.done:
                return Stepped((), freed, None)
            await self._rest(began)
            if trio.current_time() >= until:
                return Stepped((), freed, Place(0))

    async def _submit(self, operation: Housekeeping | Delete) -> Answer | tuple[Answer, ...]:
        answer = await self._actor.submit(operation)
        self._own += 1
        return answer

    async def _rest(self, began: float) -> None:
        """Let others write for as long as a commit has taken, if there are any who write."""
        if not self._gentle:
            return
        others = self._actor.statistics().operations - self._own
        idle, self._others = others == self._others, others
        took_s = 0.0 if idle else trio.current_time() - began
        await trio.sleep(max(SHORTEST_PAUSE_S, took_s))


async def would_go(source: ReadSource, rule: Rule, place: Place) -> Stepped:
    """Say what a step would prune."""
    chosen, after = await look(source, rule, place)
    return Stepped(tuple(one.id for one in chosen), 0, after if after.before_pk else None)
