"""What a journal says of the children of its run."""

from __future__ import annotations

import re

import attrs
import pytest

from claw_actors._core.identity import parent_op, run_key_of
from claw_actors._core.journal import CHILD_END_OP, Entry, EntryKind, EntryStatus
from claw_actors._core.offspring import (
    child_id,
    child_note,
    close_key,
    read_child,
    started_by,
)


def a_start(id, on_close="wait", life=1, status=EntryStatus.OK):
    note = child_note(id, on_close)
    return Entry(id, "pack", EntryKind.CHILD, status, 1.0, life=life, value=note)


def an_end(id):
    return Entry(CHILD_END_OP, id, EntryKind.CHILD_END, EntryStatus.OK, 2.0)


def test_an_id_is_readable_and_the_same_each_time():
    """It says whose child it is, and of which workflow; these bytes are part of ids, so frozen."""
    assert child_id("order-42", "k", "pack", "pack") == "order-42.pack-9fef75dd280448e6"
    assert re.fullmatch(r"order-42\.pack-[0-9a-f]{16}", child_id("order-42", "k", "pack", "pack"))


@pytest.mark.parametrize(
    "other",
    [
        ("order-43", "k", "pack", "pack"),
        ("order-42", "l", "pack", "pack"),
        ("order-42", "k", "pack#2", "pack"),
    ],
)
def test_every_operation_of_every_run_names_a_child_of_its_own(other):
    """Another parent, another run, another operation: another id."""
    assert child_id(*other) != child_id("order-42", "k", "pack", "pack")


def test_a_long_id_is_cut_and_stays_unique():
    """Two hundred characters are the most that an id may have."""
    ids = {child_id(f"{'x' * 199}{n}", "k", "op", "n" * 100) for n in range(9)}
    assert {len(id) for id in ids} == {200}
    assert len(ids) == 9


def test_a_key_names_the_end_of_one_run():
    """Its children take the request once; it is no key that a message may have by accident."""
    key = close_key("a", "k")
    assert re.fullmatch(r"/close/[0-9a-f]{16}", key)
    assert len({key, close_key("b", "k"), close_key("a", "l")}) == 3


def test_the_run_of_a_parent_is_read_back():
    """An op may have slashes of its own."""
    assert run_key_of(parent_op("key", "nursery/pack#2")) == "key"


def test_a_child_is_read_back():
    """What it is, and what becomes of it."""
    assert read_child(a_start("é", "abandon")) == ("é", "abandon")


def test_only_children_of_this_run_that_were_started_are_its_own():
    """Not one whose id was taken, nor one that a fork has taken over; the last word counts."""
    refused = attrs.evolve(a_start("b"), status=EntryStatus.FAILED, value=b"no")
    journal = [a_start("a"), refused, a_start("c", life=0), a_start("a", "cancel"), an_end("a")]
    assert started_by(journal) == {"a": "cancel"}
