"""The values by which a workflow shows something of itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...errors import NotFoundError, StaleWriteError
from ...storage.operations import Advance, Advanced, Delete, Deleted
from ...storage.records import RowChange, StoredValue
from .case import case
from .driving import create, delete_all, do, raised, refused
from .samples import a_row, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _setting(pk: int, *values: tuple[str, bytes], id: str = "one", at: float = 5.5) -> Advance:
    return Advance(pk, id, 0, values=values, values_at=at)


@case
def a_value_is_what_was_set_last(backend: Backend) -> None:
    """Alone or along with progress, over groups and within an advance; the row is not touched."""
    pk = create(backend)
    before = backend.get_workflow("one").row
    assert backend.get_value("one", "a") is None
    assert do(backend, _setting(pk, ("a", b"1"), ("b", b"2")), Advanced) == Advanced(0)
    assert (backend.get_value("one", "a"), backend.get_value("one", "b")) == (b"1", b"2")
    with_progress = Advance(pk, "one", 0, (an_outcome(),), values=(("a", b"3"), ("a", b"4")))
    assert backend.commit([with_progress, _setting(pk, ("b", b"5"))]) == [Advanced(1), Advanced(1)]
    assert (backend.get_value("one", "a"), backend.get_value("one", "b")) == (b"4", b"5")
    assert backend.get_workflow("one").row == before


@case
def values_are_listed_by_key(backend: Backend) -> None:
    """Each once, with its time, in order of code points."""
    pk = create(backend)
    assert backend.list_values("one") == []
    keys = ["b", "a", "B", "é", "z", "𝄞", "\uff5e", "a b"]
    do(backend, _setting(pk, *((key, key.encode()) for key in keys), at=5.5), Advanced)
    do(backend, _setting(pk, ("a", b"new"), at=6.5), Advanced)
    expected = [StoredValue(key, key.encode(), 5.5) for key in sorted(keys)]
    expected[sorted(keys).index("a")] = StoredValue("a", b"new", 6.5)
    assert backend.list_values("one") == expected


@case
def values_are_kept_byte_for_byte(backend: Backend) -> None:
    """Empty, with NUL, large; under keys that differ only in case, space or composition."""
    pk = create(backend)
    values = {"k": b"", "K": b"\x00\xff", "k ": b"x" * 300_000, "é": b"1", "e\u0301": b"2"}
    do(backend, _setting(pk, *values.items()), Advanced)
    for key, value in values.items():
        assert backend.get_value("one", key) == value
    assert {one.key: one.value for one in backend.list_values("one")} == values
    assert backend.get_value("one", "x" * 200) is None


@case
def values_belong_to_their_workflow(backend: Backend) -> None:
    """The same key of another workflow is another value."""
    one, two = create(backend, "one"), create(backend, "two")
    backend.commit([_setting(one, ("a", b"1")), _setting(two, ("a", b"2"), id="two")])
    do(backend, _setting(one, ("b", b"3")), Advanced)
    assert backend.get_value("two", "a") == b"2"
    assert backend.get_value("two", "b") is None
    assert [one.value for one in backend.list_values("one")] == [b"1", b"3"]


@case
def values_can_be_read_after_the_end(backend: Backend) -> None:
    """Those that were set by the very last commit, too; by the next owner, too."""
    pk = create(backend, a_row(status=Status.RUNNING))
    do(backend, _setting(pk, ("a", b"1")), Advanced)
    end = attrs.evolve(_setting(pk, ("b", b"2")), change=RowChange(status=Status.COMPLETED))
    do(backend, end, Advanced)
    backend.close()
    backend.open()
    assert (backend.get_value("one", "a"), backend.get_value("one", "b")) == (b"1", b"2")


@case
def a_refused_advance_sets_nothing(backend: Backend) -> None:
    """What an old incarnation would have shown is never seen."""
    pk = create(backend, a_row(life=1))
    do(backend, attrs.evolve(_setting(pk, ("a", b"1")), life=1), Advanced)
    refused(backend, _setting(pk, ("a", b"2"), ("b", b"3")), StaleWriteError)
    refused(backend, attrs.evolve(_setting(pk, ("a", b"2")), life=1, expect_n=3), StaleWriteError)
    refused(backend, _setting(pk + 1, ("a", b"2")), NotFoundError)
    assert backend.get_value("one", "a") == b"1"


@case
def values_are_deleted_with_their_workflow(backend: Backend) -> None:
    """From the first step on nobody reads them, and a namesake has none of them."""
    pk = create(backend, "one", an_outcome(), an_outcome("b"))
    do(backend, _setting(pk, *((f"k{n}", b"1") for n in range(4))), Advanced)
    half = do(backend, Delete("one", limit=1), Deleted)
    assert not half.done
    create(backend)
    assert backend.list_values("one") == []
    assert backend.get_value("one", "k0") is None
    delete_all(backend, "one", limit=1)
    while not half.done:
        half = do(backend, Delete("", half.pk, limit=1), Deleted)
    raised(NotFoundError, partial(backend.list_values, "one"))


@case
def values_of_nobody_are_refused(backend: Backend) -> None:
    """An unknown workflow is not one without values."""
    for read in (partial(backend.get_value, "nobody", "a"), partial(backend.list_values, "nobody")):
        error = raised(NotFoundError, read)
        assert (error.kind, error.id) == ("workflow", "nobody")
