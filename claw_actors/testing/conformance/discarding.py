"""Dead letters: the messages that a workflow could not take."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from ...errors import NotFoundError, StaleWriteError
from ...storage.operations import Advance, Advanced, Delete, Deleted
from ...storage.records import DeadLetter
from .case import case
from .driving import create, delete_all, do, raised, refused
from .samples import a_row, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _letter(number: int) -> DeadLetter:
    return DeadLetter(f"topic {number}", 5.5 + number, f"reason {number}", b"%d" % number)


def _discarding(pk: int, *numbers: int, id: str = "one") -> Advance:
    return Advance(pk, id, 0, dead_letters=tuple(map(_letter, numbers)))


def _letters(backend: Backend, id: str = "one") -> list[DeadLetter]:
    """Read all letters, without their numbers, which must grow."""
    letters = backend.list_dead_letters(id, 0, 1_000)
    numbers = [letter.seq for letter in letters]
    assert numbers == sorted(set(numbers))
    assert not numbers or numbers[0] > 0
    return [attrs.evolve(letter, seq=0) for letter in letters]


@case
def dead_letters_are_kept_in_their_order(backend: Backend) -> None:
    """Over groups and within an advance, as they were given; the row is not touched."""
    pk = create(backend)
    before = backend.get_workflow("one").row
    assert _letters(backend) == []
    with_progress = attrs.evolve(_discarding(pk, 3, 1), entries=(an_outcome(),))
    assert backend.commit([with_progress, _discarding(pk, 2)]) == [Advanced(1), Advanced(1)]
    do(backend, _discarding(pk, 2), Advanced)
    assert _letters(backend) == [_letter(number) for number in (3, 1, 2, 2)]
    assert backend.get_workflow("one").row == before


@case
def dead_letters_come_in_pages(backend: Backend) -> None:
    """Each page begins behind a number, and none is repeated or missed, whatever is added."""
    one, two = create(backend, "one"), create(backend, "two")
    backend.commit([_discarding(one, 1, 2), _discarding(two, 7, id="two"), _discarding(one, 3)])
    first = backend.list_dead_letters("one", 0, 2)
    assert [letter.topic for letter in first] == ["topic 1", "topic 2"]
    do(backend, _discarding(one, 4), Advanced)
    second = backend.list_dead_letters("one", first[-1].seq, 2)
    assert [letter.topic for letter in second] == ["topic 3", "topic 4"]
    assert backend.list_dead_letters("one", second[-1].seq, 2) == []
    assert [letter.seq for letter in backend.list_dead_letters("one", 0, 9)] == [
        letter.seq for letter in (*first, *second)
    ]


@case
def dead_letters_belong_to_their_workflow(backend: Backend) -> None:
    """Another workflow's are its own."""
    one, two = create(backend, "one"), create(backend, "two")
    backend.commit([_discarding(one, 1), _discarding(two, 2, id="two")])
    assert (_letters(backend), _letters(backend, "two")) == ([_letter(1)], [_letter(2)])


@case
def dead_letters_are_kept_byte_for_byte(backend: Backend) -> None:
    """No payload is not an empty one; texts may be of any language, and long."""
    pk = create(backend)
    letters = tuple(
        DeadLetter("Thema ü𝄞 ", 0.1 + 0.2, "weil\nß" * 500, payload)
        for payload in (None, b"", b"\x00\xff", b"x" * 300_000)
    )
    do(backend, Advance(pk, "one", 0, dead_letters=letters), Advanced)
    assert _letters(backend) == list(letters)


@case
def a_number_that_a_dead_letter_brings_is_ignored(backend: Backend) -> None:
    """Storage alone gives them."""
    pk = create(backend)
    for seq in (9, 9, 1):
        letter = attrs.evolve(_letter(seq), seq=seq)
        do(backend, Advance(pk, "one", 0, dead_letters=(letter,)), Advanced)
    assert _letters(backend) == [_letter(9), _letter(9), _letter(1)]


@case
def dead_letters_survive_the_owner(backend: Backend) -> None:
    """Who opens it next reads them."""
    pk = create(backend)
    do(backend, _discarding(pk, 1, 2), Advanced)
    backend.abandon()
    backend.open()
    do(backend, _discarding(pk, 3), Advanced)
    assert _letters(backend) == [_letter(1), _letter(2), _letter(3)]


@case
def a_refused_advance_discards_nothing(backend: Backend) -> None:
    """What an old incarnation would have put aside is not."""
    pk = create(backend, a_row(life=1))
    refused(backend, _discarding(pk, 1), StaleWriteError)
    refused(backend, _discarding(pk + 1, 1), NotFoundError)
    assert _letters(backend) == []


@case
def dead_letters_are_deleted_with_their_workflow(backend: Backend) -> None:
    """From the first step on nobody reads them, and a namesake has none of them."""
    pk = create(backend, "one", an_outcome(), an_outcome("b"))
    do(backend, _discarding(pk, *range(4)), Advanced)
    half = do(backend, Delete("one", limit=1), Deleted)
    raised(NotFoundError, partial(backend.list_dead_letters, "one", 0, 9))
    new = create(backend)
    do(backend, _discarding(new, 7), Advanced)
    while not half.done:
        half = do(backend, Delete("", half.pk, limit=1), Deleted)
    assert _letters(backend) == [_letter(7)]
    delete_all(backend, "one", limit=1)


@case
def dead_letters_of_nobody_are_refused(backend: Backend) -> None:
    """An unknown workflow is not one without any."""
    error = raised(NotFoundError, partial(backend.list_dead_letters, "nobody", 0, 9))
    assert (error.kind, error.id) == ("workflow", "nobody")
