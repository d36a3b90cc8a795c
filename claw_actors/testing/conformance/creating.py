"""``Create``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...errors import DuplicateKeyError, NotFoundError
from ...storage.operations import Create, Created, Delete, Deleted
from .case import case
from .driving import create, do, load_one, refused
from .samples import a_cancel, a_row, a_start, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


@case
def a_created_workflow_reads_back_as_it_was_given(backend: Backend) -> None:
    """Every column of a row is stored; the key is storage's, whatever the row says."""
    create(backend, "parent")
    row = attrs.evolve(
        a_row("child", status=Status.WAITING, wake_at=1_060.5, parent="parent", life=4),
        pk=99,
        version=3,
        reason="because",
        revision=5,
        run=2,
        run_key="run-key",
        seed=12_345,
        recoveries=2,
        restarts=(1_001.25, 1_002.5),
        started_at=1_000.25,
        completed_at=1_059.75,
        parent_op="spawn#2",
        on_close="abandon",
        description="two words",
        metadata={"tenant": "a", "region": "eu"},
    )
    answer = do(backend, Create(row, (a_start(),)), Created)
    assert backend.get_workflow("child").row == attrs.evolve(row, pk=answer.pk)
    assert answer.pk != 99


@case
def keys_grow_in_order_of_creation(backend: Backend) -> None:
    """A later workflow has a larger key; keys are positive."""
    keys = [create(backend, id) for id in ("b", "a", "c")]
    assert keys == sorted(set(keys))
    assert keys[0] > 0


@case
def keys_are_never_reused(backend: Backend) -> None:
    """The key of a deleted workflow is not given again, even if it was the newest."""
    create(backend, "one")
    newest = create(backend, "two")
    assert do(backend, Delete("two"), Deleted).done
    assert create(backend, "three") > newest


@case
def first_entries_are_numbered_from_zero(backend: Backend) -> None:
    """The start is number 0 and the others follow, whatever numbers they came with."""
    entries = (a_start(), attrs.evolve(an_outcome(), n=17), a_cancel())
    answer = do(backend, Create(a_row(), entries), Created)
    assert answer.n == 2
    stored = load_one(backend, answer.pk).entries
    assert stored == tuple(attrs.evolve(entry, n=n) for n, entry in enumerate(entries))


@case
def a_taken_id_is_refused(backend: Backend) -> None:
    """A second workflow of the same id is refused, and the first stays as it is."""
    create(backend, "one", an_outcome())
    error = refused(backend, Create(a_row("one", name="other"), (a_start(),)), DuplicateKeyError)
    assert error.id == "one"


@case
def ids_that_differ_in_case_are_different(backend: Backend) -> None:
    """Ids are compared exactly."""
    lower, upper = create(backend, "order"), create(backend, "ORDER")
    assert backend.get_workflow("order").row.pk == lower
    assert backend.get_workflow("ORDER").row.pk == upper


@case
def an_unknown_parent_is_refused(backend: Backend) -> None:
    """A child of no workflow is refused, and so is one that names itself."""
    for parent in ("nobody", "child"):
        error = refused(backend, Create(a_row("child", parent=parent), (a_start(),)), NotFoundError)
        assert (error.kind, error.id) == ("workflow", parent)


@case
def a_taken_id_is_told_before_an_unknown_parent(backend: Backend) -> None:
    """A workflow that is refused for two reasons is refused as a duplicate."""
    create(backend, "one")
    refused(backend, Create(a_row("one", parent="nobody"), (a_start(),)), DuplicateKeyError)
