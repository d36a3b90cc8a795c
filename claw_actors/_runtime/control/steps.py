"""Pruning from another process: one short request for each step, which can be repeated."""

from __future__ import annotations

from typing import cast

import attrs

from ..._core.error_data import Plain
from ..._core.lifecycle import Status
from ..._core.retention import Rule
from ...errors import RequestOutcomeUnknownError
from ..pruning import Place, Stepped

__all__ = ["PruneSome", "read_stepped", "told_of"]


@attrs.frozen
class PruneSome:
    """A step of ``Runtime.prune``.

    Attributes:
        ended_before, keep, statuses, names: the rule.
        before_pk, kept: the place.
    """

    ended_before: float
    keep: int
    statuses: tuple[Status, ...]
    names: tuple[str, ...] | None
    before_pk: int
    kept: dict[str, int]

    @classmethod
    def of(cls, rule: Rule, place: Place) -> PruneSome:
        """Make the request for a step."""
        names = None if rule.names is None else tuple(sorted(rule.names))
        statuses = tuple(sorted(rule.statuses))
        kept = dict(place.kept)
        return cls(rule.ended_before, rule.keep, statuses, names, place.before_pk, kept)

    @property
    def rule(self) -> Rule:
        """What may go."""
        return Rule(
            ended_before=self.ended_before,
            keep=self.keep,
            statuses=frozenset(self.statuses),
            names=None if self.names is None else frozenset(self.names),
        )

    @property
    def place(self) -> Place:
        """How far it is."""
        return Place(self.before_pk, self.kept)


def told_of(done: Stepped) -> Plain:
    """Tell what a step has done, as JSON."""
    place = done.next
    return {
        "ids": list(done.ids),
        "bytes": done.bytes,
        "next": None if place is None else [place.before_pk, dict(place.kept)],
    }


def read_stepped(answer: Plain) -> Stepped:
    """Read what :func:`told_of` has told.

    Raises:
        RequestOutcomeUnknownError: it is something else.
    """
    match answer:
        case {"ids": list(ids), "bytes": int(freed), "next": None}:
            return Stepped(tuple(map(str, ids)), freed, None)
        case {"ids": list(ids), "bytes": int(freed), "next": [int(before_pk), dict(kept)]}:
            place = Place(before_pk, cast("dict[str, int]", kept))
            return Stepped(tuple(map(str, ids)), freed, place)
        case _:
            raise RequestOutcomeUnknownError("prune", None, "its owner's answer makes no sense")
