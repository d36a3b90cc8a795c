"""``open``, ``close``, ``abandon`` and ``tidy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.lifecycle import Status
from ...errors import StorageLockedError
from ...storage.backend import OpenReport
from ...storage.operations import Advance, Advanced, Delete, Deleted, Saved, SaveTask
from .case import closed_case
from .driving import create, do, image, raised
from .samples import a_cancel, a_row, a_void, an_end, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _fill(backend: Backend) -> None:
    """Write something of every kind."""
    create(backend, a_row("parent", metadata={"k": "v"}), an_outcome("a"), an_end())
    create(backend, a_row("child", status=Status.WAITING, wake_at=50.0, parent="parent"))
    pk = create(backend, a_row("third"), an_outcome("a"), a_cancel(), a_void(1))
    do(backend, SaveTask("third", opened=open_work("b")), Saved)
    do(backend, Advance(pk, "third", 0, (an_outcome("c"),)), Advanced)


@closed_case
def a_new_one_says_so(backend: Backend) -> None:
    """The first open finds nothing, and nothing wrong."""
    assert backend.where
    assert backend.open() == OpenReport(clean=True, epoch=1, created=True)


@closed_case
def a_clean_end_is_told_from_another(backend: Backend) -> None:
    """The next owner learns whether the last one closed; each owner is counted."""
    backend.open()
    backend.close()
    assert backend.open() == OpenReport(clean=True, epoch=2, created=False)
    backend.abandon()
    assert backend.open() == OpenReport(clean=False, epoch=3, created=False)
    backend.close()
    assert backend.open() == OpenReport(clean=True, epoch=4, created=False)


@closed_case
def a_visitor_passes_on_an_unclean_end(backend: Backend) -> None:
    """Closing in good order does not hide what nobody has recovered."""
    backend.open()
    backend.abandon()
    backend.open()
    backend.close(clean=False)
    assert not backend.open().clean
    backend.close()
    assert backend.open().clean


@closed_case
def it_has_one_owner(backend: Backend) -> None:
    """Opening it while it is open is refused, and harms the owner's work not at all."""
    backend.open()
    create(backend, "one")
    assert raised(StorageLockedError, backend.open).path == backend.where
    create(backend, "two")
    backend.close()
    assert backend.open().epoch == 2


@closed_case
def letting_go_of_what_is_not_held_does_nothing(backend: Backend) -> None:
    """Closing or abandoning one that is not open is no error, and changes no verdict."""
    backend.close()
    backend.abandon()
    backend.open()
    backend.close()
    backend.abandon()
    backend.close()
    assert backend.open().clean
    backend.abandon()
    backend.close()
    assert not backend.open().clean


@closed_case
def what_was_committed_survives_every_end(backend: Backend) -> None:
    """After a clean end and after another, all is as it was."""
    backend.open()
    _fill(backend)
    before = image(backend)
    backend.close()
    backend.open()
    assert image(backend) == before
    backend.abandon()
    backend.open()
    assert image(backend) == before


@closed_case
def counting_goes_on_after_every_end(backend: Backend) -> None:
    """Keys and entries are numbered on, and a key is not reused even then."""
    backend.open()
    one, two = create(backend, "one", an_outcome("a")), create(backend, "two")
    do(backend, Delete("two"), Deleted)
    keys = [two]
    for n, end in ((2, backend.close), (3, backend.abandon)):
        end()
        backend.open()
        assert do(backend, Advance(one, "one", 0, (an_outcome(f"b#{n}"),)), Advanced) == Advanced(n)
        keys.append(create(backend, f"three-{n}"))
    assert keys == sorted(set(keys))


@closed_case
def a_deletion_cut_short_is_told_to_the_next_owner(backend: Backend) -> None:
    """A half deleted workflow is reported at every open until it is gone."""
    backend.open()
    create(backend, "whole", an_outcome("a"))
    keys = [create(backend, id, an_outcome("a"), an_outcome("b")) for id in ("one", "two")]
    for id in ("two", "one"):
        assert not do(backend, Delete(id, limit=1), Deleted).done
    backend.abandon()
    report = backend.open()
    assert sorted(report.unfinished_deletes) == keys
    assert do(backend, Delete("", pk=keys[0]), Deleted) == Deleted(keys[0], done=True)
    backend.close()
    assert backend.open().unfinished_deletes == (keys[1],)
    assert do(backend, Delete("", pk=keys[1]), Deleted) == Deleted(keys[1], done=True)
    backend.close()
    assert backend.open().unfinished_deletes == ()
    assert [item.row.id for item in image(backend).listed] == ["whole"]


@closed_case
def tidying_changes_nothing(backend: Backend) -> None:
    """Giving back space is seen in no read."""
    backend.open()
    _fill(backend)
    before = image(backend)
    backend.tidy()
    assert image(backend) == before
