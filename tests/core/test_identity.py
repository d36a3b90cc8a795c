"""Ids, keys and seeds: stored for years, so a few values are frozen here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors._core.identity import (
    Names,
    derive_seed,
    digest,
    idempotency_key,
    is_valid_name,
    send_key,
)
from claw_actors.storage.validation import check_key


def test_names_are_counted_by_occurrence():
    """The first has no number; each name has its own count."""
    names = Names()
    asked = ["charge", "charge", "pack", "charge"]
    assert [names.next(name) for name in asked] == ["charge", "charge#2", "pack", "charge#3"]


def test_names_stand_under_their_context():
    """A child's path comes first."""
    names = Names("nursery/pack#2")
    assert [names.next("weigh"), names.next("weigh")] == [
        "nursery/pack#2/weigh",
        "nursery/pack#2/weigh#2",
    ]


@given(st.lists(st.sampled_from(["a", "b", "a-2", "a.2", "_"])))
def test_no_id_is_handed_out_twice(asked):
    """And the same questions get the same answers, which is what a replay relies on."""
    first, again = Names("p"), Names("p")
    ids = [first.next(name) for name in asked]
    assert len(set(ids)) == len(ids)
    assert [again.next(name) for name in asked] == ids


@pytest.mark.parametrize("name", ["a", "charge_card", "_", "A9", "a.b-c_d", "x" * 100])
def test_these_are_names(name):
    """Letters, digits, and _ . - after the first letter."""
    assert is_valid_name(name)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a#2", "9a", "-a", ".a", "é", "a b", "a\n", "x" * 101, b"a", None, 5]
)
def test_these_are_not(name):
    """They would break ids apart, or are no text."""
    assert not is_valid_name(name)


def test_an_idempotency_key_names_workflow_run_and_task():
    """The outside world keeps these: the form is frozen."""
    assert idempotency_key("order-1", "9f86d081", "pay/charge#2") == "order-1/9f86d081/pay/charge#2"


def test_seeds_are_frozen():
    """Another value would change what running workflows draw at random."""
    assert derive_seed(0, "", "random") == 9_558_758_544_551_098_712
    assert derive_seed(12345, "nursery/pack", "uuid4") == 3_069_283_503_021_604_508


@given(st.integers(0, 2**63 - 1), st.sampled_from(["", "a", "a/b"]))
def test_seeds_differ_by_seed_path_and_purpose(seed, path):
    """And fit into 64 bits."""
    found = {
        derive_seed(seed, path, "random"),
        derive_seed(seed, path, "uuid4"),
        derive_seed(seed + 1, path, "random"),
        derive_seed(seed, path + "x", "random"),
    }
    assert len(found) == 4
    assert all(0 <= one < 2**64 for one in found)


def test_digests_are_frozen():
    """They are stored beside each task: 16 bytes."""
    assert digest(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
    assert digest(b'{"order":1}').hex() == "9b48fbada54062baef845f6ec345b1c5"


def test_a_message_has_a_key_of_its_own_that_any_receiver_takes():
    """Whatever the length of what it is made of; the same again when it is sent again."""
    long = "x" * 10_000
    keys = {send_key(id, run, op) for id in ("a", long) for run in ("r", "s") for op in ("o", long)}
    assert len(keys) == 8
    assert send_key("a", "r", "o") in keys
    for key in keys:
        check_key(None, None, key)
