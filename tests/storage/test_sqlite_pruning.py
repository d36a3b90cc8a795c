"""Pruning in a file: beside children of their own, and beside damage."""

from __future__ import annotations

import pytest

from claw_actors._core.lifecycle import Status
from claw_actors.errors import StorageCorruptError
from claw_actors.storage.operations import Advance, Create, Prune, Pruned
from claw_actors.testing.conformance.samples import a_child, a_child_entry, a_row, a_start


def ended(id):
    return Create(a_row(id, status=Status.COMPLETED, completed_at=5.0), (a_start(),))


def prune(storage, *pks):
    [answer] = storage.commit([Prune(pks, 10.0, 20.0, 5_000)])
    assert isinstance(answer, Pruned)
    return answer.ids


def test_a_child_that_was_abandoned_holds_nobody_back(storage):
    """Its parent goes without it, though it goes on."""
    start = a_child(parent="parent", on_close="abandon")
    storage.commit(
        [Create(a_row("parent", status=Status.COMPLETED, completed_at=5.0), (a_start(),))]
    )
    storage.commit([Advance(1, "parent", 0, (a_child_entry(),), children=(start,))])
    [parent] = [one for one in storage.list_ended(2**62, 10).items if one.id == "parent"]
    assert parent.ended_at == 5.0
    assert prune(storage, 1) == ("parent",)
    assert storage.get_workflow("child").row.parent is None


def test_a_damaged_workflow_is_left_to_its_operator(storage, raw, caplog):
    """It is logged, and its neighbours go."""
    storage.commit([ended("one"), ended("two")])
    raw("UPDATE claw_workflow SET name = 'changed' WHERE id = 'one'")
    assert prune(storage, 1, 2) == ("two",)
    assert "not pruned: " in caplog.text
    assert raw("SELECT id FROM claw_workflow") == [("one",)]


def test_what_is_remembered_is_checked(storage, raw):
    """A changed row says nothing that could be relied on."""
    storage.commit([ended("one")])
    assert prune(storage, 1) == ("one",)
    raw("UPDATE claw_pruned SET ended_at = 6")
    with pytest.raises(StorageCorruptError, match="claw_pruned"):
        storage.get_workflow("one")
    [refused] = storage.commit([ended("one")])
    assert isinstance(refused, StorageCorruptError)
