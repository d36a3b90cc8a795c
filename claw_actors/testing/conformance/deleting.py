"""``Delete``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...errors import NotFoundError
from ...storage.model import WorkflowFilter
from ...storage.operations import (
    Advance,
    Advanced,
    Claim,
    Claimed,
    Create,
    Delete,
    Deleted,
    SaveTask,
    SaveWorkflow,
    Send,
)
from ...storage.records import RowChange
from .case import case
from .driving import EARLIEST, create, delete_all, do, image, load_one, raised, refused
from .samples import a_cancel, a_row, a_start, a_timer, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend

SIX = tuple(an_outcome(f"step#{number}") for number in range(1, 7))


def _assert_invisible(backend: Backend, pk: int, id: str) -> None:
    for write in (
        Advance(pk, id, 0, (an_outcome(),)),
        Send(id, a_cancel()),
        SaveWorkflow(id, 1, RowChange()),
        SaveTask(id, opened=open_work()),
        Delete(id),
        Create(a_row("child", parent=id), (a_start(),)),
    ):
        error = refused(backend, write, NotFoundError)
        assert (error.kind, error.id) == ("workflow", id)
    for read in (backend.get_workflow, backend.read_tasks):
        missing = raised(NotFoundError, partial(read, id))
        assert (missing.kind, missing.id) == ("workflow", id)
    assert do(backend, Claim(((pk, 0),), 1.0, counted=True), Claimed) == Claimed(())
    assert backend.load([pk]) == []
    assert backend.list_workflows(WorkflowFilter(include_total=True)).total == 0
    assert backend.list_unfinished(0, 9e9, 10).rows == ()
    assert backend.list_wake_times(EARLIEST, 10) == []


@case
def a_deleted_workflow_is_gone(backend: Backend) -> None:
    """No read finds it and no write reaches it."""
    pk = create(backend, a_row(status=Status.WAITING, wake_at=50.0), *SIX)
    do(backend, Advance(pk, "one", 0, opened=(open_work(),)), Advanced)
    assert do(backend, Delete("one"), Deleted) == Deleted(pk, done=True)
    _assert_invisible(backend, pk, "one")


@case
def a_half_deleted_workflow_is_gone_too(backend: Backend) -> None:
    """The first step makes it invisible, however much of it is left."""
    pk = create(backend, a_row(status=Status.WAITING, wake_at=50.0), *SIX)
    do(backend, Advance(pk, "one", 0, opened=(open_work(),)), Advanced)
    assert do(backend, Delete("one", limit=1), Deleted) == Deleted(pk, done=False)
    _assert_invisible(backend, pk, "one")


@case
def deleting_goes_in_bounded_pieces(backend: Backend) -> None:
    """Each step takes at most ``limit`` entries, so 7 entries need at least 3 steps of 3."""
    create(backend, "one", *SIX)
    assert delete_all(backend, "one", limit=3) >= 3


@case
def a_piece_that_takes_the_last_entry_is_the_last(backend: Backend) -> None:
    """A step is done when no entry is left, even if it took exactly ``limit``."""
    pk = create(backend, "one", *SIX)
    assert do(backend, Delete("one", limit=7), Deleted) == Deleted(pk, done=True)


@case
def deleting_takes_nothing_of_others(backend: Backend) -> None:
    """Neighbours keep their rows, journals and open work."""
    for id in ("before", "one", "after"):
        pk = create(backend, id, *SIX)
        do(backend, Advance(pk, id, 0, opened=(open_work("a"),)), Advanced)
    before = image(backend)
    delete_all(backend, "one", limit=2)
    after = image(backend)
    assert after.listed == tuple(item for item in before.listed if item.row.id != "one")
    assert after.loaded == tuple(one for one in before.loaded if one.row.id != "one")


@case
def a_deleted_id_is_free_again(backend: Backend) -> None:
    """A new workflow of that id has nothing of the old one, nor does the old one's rest harm it."""
    old = create(backend, "one", *SIX)
    do(backend, Advance(old, "one", 0, opened=(open_work("a"),)), Advanced)
    do(backend, Delete("one", limit=1), Deleted)
    new = create(backend, a_row("one", name="other"), a_timer())
    before = image(backend)
    assert not do(backend, Delete("one", pk=old, limit=1), Deleted).done
    assert do(backend, Delete("one", pk=old), Deleted).done
    assert image(backend) == before
    loaded = load_one(backend, new)
    assert loaded.row.name == "other"
    assert [entry.op for entry in loaded.entries] == ["", "sleep"]
    assert loaded.open_tasks == ()


@case
def writers_of_the_old_one_do_not_reach_the_new_one(backend: Backend) -> None:
    """The key of a deleted workflow is refused, though its id is in use again."""
    old = create(backend, "one")
    do(backend, Delete("one"), Deleted)
    new = create(backend, "one")
    before = image(backend)
    refused(backend, Advance(old, "one", 0, (an_outcome(),)), NotFoundError)
    assert do(backend, Claim(((old, 0),), 1.0, counted=True), Claimed) == Claimed(())
    assert image(backend) == before
    assert do(backend, Advance(new, "one", 0, (an_outcome(),)), Advanced) == Advanced(1)


@case
def what_is_gone_already_is_done(backend: Backend) -> None:
    """Repeating the last step of a deletion is no error."""
    pk = create(backend)
    do(backend, Delete("one"), Deleted)
    assert do(backend, Delete("one", pk=pk), Deleted) == Deleted(pk, done=True)


@case
def deleting_nobody_is_refused(backend: Backend) -> None:
    """An unknown id is refused."""
    create(backend)
    error = refused(backend, Delete("nobody"), NotFoundError)
    assert (error.kind, error.id) == ("workflow", "nobody")


@case
def children_keep_living_without_a_parent(backend: Backend) -> None:
    """From the first step on they have none, and are otherwise as they were."""
    create(backend, "parent", *SIX)
    pk = create(backend, a_row("child", parent="parent"))
    before = load_one(backend, pk)
    assert before.row.parent == "parent"
    orphan = attrs.evolve(before.row, parent=None)
    answer = do(backend, Delete("parent", limit=1), Deleted)
    assert backend.get_workflow("child").row == orphan
    assert load_one(backend, pk) == attrs.evolve(before, row=orphan)
    assert do(backend, Delete("parent", pk=answer.pk), Deleted).done
    assert backend.get_workflow("child").row == orphan
    claimed = do(backend, Claim(((pk, 0),), 1.0, counted=False), Claimed)
    assert claimed.rows[0].parent is None


@case
def children_are_not_adopted_by_a_namesake(backend: Backend) -> None:
    """A new workflow with the id of their late parent is a stranger to them."""
    create(backend, "parent", *SIX)
    create(backend, a_row("child", parent="parent"))
    answer = do(backend, Delete("parent", limit=1), Deleted)
    create(backend, "parent")
    do(backend, Delete("parent", pk=answer.pk), Deleted)
    assert backend.get_workflow("child").row.parent is None
    assert backend.list_workflows(WorkflowFilter(parent="parent")).items == ()
