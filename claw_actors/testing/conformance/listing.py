"""``list_workflows``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...storage.model import WorkflowFilter
from ...storage.operations import Delete, Deleted
from .case import case
from .driving import create, do
from .samples import a_row, a_start, an_end, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _ids(backend: Backend, query: WorkflowFilter) -> list[str | None]:
    """List, counting too: the total must be the length of the whole list."""
    listing = backend.list_workflows(attrs.evolve(query, include_total=True))
    assert not listing.more
    assert listing.total == len(listing.items)
    return [item.row.id for item in listing.items]


def _create_many(backend: Backend) -> None:
    """Five that differ in everything a filter looks at."""
    create(backend, a_row("a-1", created_at=10.0, metadata={"tenant": "x", "tier": "gold"}))
    create(backend, a_row("a-2", created_at=20.0, version=2, status=Status.RUNNING, parent="a-1"))
    create(
        backend,
        a_row("b-1", created_at=30.0, name="ship", status=Status.FAILED, completed_at=35.0),
    )
    create(
        backend,
        a_row("b-2", created_at=40.0, name="ship", parent="a-1", metadata={"tenant": "x"}),
    )
    create(
        backend,
        a_row(
            "c",
            created_at=50.0,
            name="bill",
            status=Status.COMPLETED,
            completed_at=55.0,
            metadata={"tenant": "y", "tier": ""},
        ),
    )


@case
def a_list_is_newest_first(backend: Backend) -> None:
    """The order is that of creation, backwards, whatever the rows' times say."""
    for id, created_at in (("a", 30.0), ("b", 10.0), ("c", 20.0)):
        create(backend, a_row(id, created_at=created_at))
    assert _ids(backend, WorkflowFilter()) == ["c", "b", "a"]


@case
def an_empty_storage_lists_nothing(backend: Backend) -> None:
    """No workflows are an empty page and a total of 0."""
    assert _ids(backend, WorkflowFilter()) == []


@case
def each_condition_filters(backend: Backend) -> None:
    """Every condition lets through exactly what fits it."""
    _create_many(backend)
    for query, ids in (
        (WorkflowFilter(status=Status.PENDING), ["b-2", "a-1"]),
        (WorkflowFilter(status={Status.FAILED, Status.COMPLETED}), ["c", "b-1"]),
        (WorkflowFilter(status=Status.QUARANTINED), []),
        (WorkflowFilter(name="ship"), ["b-2", "b-1"]),
        (WorkflowFilter(name=["bill", "checkout"]), ["c", "a-2", "a-1"]),
        (WorkflowFilter(name="Ship"), []),
        (WorkflowFilter(id_prefix="b-"), ["b-2", "b-1"]),
        (WorkflowFilter(id_prefix=""), ["c", "b-2", "b-1", "a-2", "a-1"]),
        (WorkflowFilter(id_prefix="a-22"), []),
        (WorkflowFilter(version=2), ["a-2"]),
        (WorkflowFilter(version=3), []),
        (WorkflowFilter(parent="a-1"), ["b-2", "a-2"]),
        (WorkflowFilter(parent="nobody"), []),
        (WorkflowFilter(metadata={"tenant": "x"}), ["b-2", "a-1"]),
    ):
        assert _ids(backend, query) == ids, query


@case
def conditions_hold_together(backend: Backend) -> None:
    """Of several conditions all must hold."""
    _create_many(backend)
    for query, ids in (
        (WorkflowFilter(name="ship", status=Status.PENDING), ["b-2"]),
        (WorkflowFilter(parent="a-1", metadata={"tenant": "x"}), ["b-2"]),
        (WorkflowFilter(id_prefix="a", version=1, created_before=15.0), ["a-1"]),
        (WorkflowFilter(name="ship", id_prefix="a"), []),
        (
            WorkflowFilter(
                status=Status.COMPLETED,
                name="bill",
                id_prefix="c",
                version=1,
                metadata={"tenant": "y"},
                created_after=50.0,
                created_before=51.0,
                completed_after=55.0,
                completed_before=56.0,
            ),
            ["c"],
        ),
    ):
        assert _ids(backend, query) == ids, query


@case
def an_empty_choice_matches_nothing(backend: Backend) -> None:
    """One of no statuses, or of no names, is none; that is not the same as no condition."""
    _create_many(backend)
    assert _ids(backend, WorkflowFilter(status=())) == []
    assert _ids(backend, WorkflowFilter(name=())) == []


@case
def a_prefix_is_taken_literally(backend: Backend) -> None:
    """No character of it is a wildcard, and upper and lower case differ."""
    for id in ("a_b", "a-b", "a.b", "A_b", "a_", "a"):
        create(backend, id)
    for prefix, ids in (
        ("a_", ["a_", "a_b"]),
        ("A", ["A_b"]),
        ("a.", ["a.b"]),
        ("%", []),
        ("a%", []),
        ("_", []),
        ("*", []),
        ("a[-]", []),
        ("?", []),
        ("a\\", []),
        ("'", []),
        ("a_b", ["a_b"]),
        ("ä", []),
    ):
        assert _ids(backend, WorkflowFilter(id_prefix=prefix)) == ids, prefix


@case
def a_prefix_may_be_the_longest_id(backend: Backend) -> None:
    """The greatest possible id is found by every prefix of it."""
    greatest = "z" * 200
    create(backend, greatest)
    create(backend, "z")
    assert _ids(backend, WorkflowFilter(id_prefix="z" * 199)) == [greatest]
    assert _ids(backend, WorkflowFilter(id_prefix=greatest)) == [greatest]
    assert _ids(backend, WorkflowFilter(id_prefix=greatest + "z")) == []


@case
def labels_must_all_be_there(backend: Backend) -> None:
    """Every label asked for must be there with this very value."""
    _create_many(backend)
    for labels, ids in (
        ({"tenant": "x", "tier": "gold"}, ["a-1"]),
        ({"tenant": "y", "tier": "gold"}, []),
        ({"tier": ""}, ["c"]),
        ({"tenant": "X"}, []),
        ({"Tenant": "x"}, []),
        ({"tenant": ""}, []),
        ({"x": "tenant"}, []),
    ):
        assert _ids(backend, WorkflowFilter(metadata=labels)) == ids, labels


@case
def windows_include_their_start_and_not_their_end(backend: Backend) -> None:
    """*After* includes the instant, *before* does not; what has not ended has no end."""
    _create_many(backend)
    for query, ids in (
        (WorkflowFilter(created_after=40.0), ["c", "b-2"]),
        (WorkflowFilter(created_before=20.0), ["a-1"]),
        (WorkflowFilter(created_after=20.0, created_before=40.0), ["b-1", "a-2"]),
        (WorkflowFilter(created_after=20.0, created_before=20.0), []),
        (WorkflowFilter(completed_after=35.0), ["c", "b-1"]),
        (WorkflowFilter(completed_before=55.0), ["b-1"]),
        (WorkflowFilter(completed_after=0.0, completed_before=1e9), ["c", "b-1"]),
        (WorkflowFilter(completed_after=35.0, completed_before=35.0), []),
    ):
        assert _ids(backend, query) == ids, query


@case
def a_list_shows_the_present(backend: Backend) -> None:
    """What was deleted is neither listed nor counted."""
    _create_many(backend)
    do(backend, Delete("b-1"), Deleted)
    assert _ids(backend, WorkflowFilter(name="ship")) == ["b-2"]


@case
def pages_by_offset_cover_the_list(backend: Backend) -> None:
    """Pages follow one another; the last one says that it is the last."""
    for number in range(5):
        create(backend, f"w-{number}")
    pages = [
        backend.list_workflows(WorkflowFilter(limit=2, offset=offset)) for offset in (0, 2, 4, 6)
    ]
    assert [[item.row.id for item in page.items] for page in pages] == [
        ["w-4", "w-3"], ["w-2", "w-1"], ["w-0"], [],
    ]  # fmt: skip
    assert [page.more for page in pages] == [True, True, False, False]


@case
def a_full_last_page_is_the_last(backend: Backend) -> None:
    """A page that ends with the oldest match has no more after it, though others are older."""
    create(backend, a_row("other", name="other"))
    for number in range(4):
        create(backend, f"w-{number}")
    first = backend.list_workflows(WorkflowFilter(name="checkout", limit=2))
    last = backend.list_workflows(WorkflowFilter(name="checkout", limit=2, offset=2))
    assert (first.more, last.more) == (True, False)
    assert len(last.items) == 2


@case
def pages_by_cursor_are_stable(backend: Backend) -> None:
    """Whatever is created or deleted between two pages, none is repeated and none is missed."""
    for number in range(6):
        create(backend, f"w-{number}")
    first = backend.list_workflows(WorkflowFilter(limit=2))
    assert [item.row.id for item in first.items] == ["w-5", "w-4"]
    create(backend, "newer")
    for id in ("w-5", "w-4", "w-2"):
        do(backend, Delete(id), Deleted)
    after = first.items[-1].row.pk
    second = backend.list_workflows(WorkflowFilter(limit=2, after=after))
    assert [item.row.id for item in second.items] == ["w-3", "w-1"]
    assert second.more
    third = backend.list_workflows(WorkflowFilter(limit=2, after=second.items[-1].row.pk))
    assert [item.row.id for item in third.items] == ["w-0"]
    assert not third.more


@case
def cursor_and_conditions_go_together(backend: Backend) -> None:
    """A page by cursor holds only what matches, and may skip some."""
    for number in range(8):
        create(backend, a_row(f"w-{number}", name="even" if number % 2 == 0 else "odd"))
    first = backend.list_workflows(WorkflowFilter(name="odd", limit=1))
    after = first.items[-1].row.pk
    page = backend.list_workflows(WorkflowFilter(name="odd", after=after, offset=1, limit=5))
    assert [item.row.id for item in page.items] == ["w-3", "w-1"]


@case
def a_total_counts_all_that_match(backend: Backend) -> None:
    """It is the same on every page, and there only if it was asked for."""
    for number in range(5):
        create(backend, f"w-{number}")
    create(backend, a_row("other", name="other"))
    oldest = backend.list_workflows(WorkflowFilter(id_prefix="w-0")).items[0].row.pk
    for query in (
        WorkflowFilter(name="checkout", limit=2),
        WorkflowFilter(name="checkout", limit=2, offset=4),
        WorkflowFilter(name="checkout", limit=2, offset=50),
        WorkflowFilter(name="checkout", limit=2, after=oldest),
    ):
        assert backend.list_workflows(query).total is None
        assert backend.list_workflows(attrs.evolve(query, include_total=True)).total == 5


@case
def payloads_are_listed_on_request(backend: Backend) -> None:
    """Start and end come with a list only if they are asked for."""
    create(backend, "ended", an_outcome(), an_end(b"7"))
    create(backend, "begun")
    bare = backend.list_workflows(WorkflowFilter())
    assert [(item.start, item.end) for item in bare.items] == [(None, None), (None, None)]
    full = backend.list_workflows(WorkflowFilter(include_payloads=True))
    assert [item.row for item in full.items] == [item.row for item in bare.items]
    assert [item.start for item in full.items] == [a_start(), a_start()]
    assert [item.end for item in full.items] == [None, attrs.evolve(an_end(b"7"), n=2)]
