"""``read_journal``: what was recorded of a workflow, page by page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..._core.journal import EntryStatus
from ...errors import NotFoundError
from ...storage.operations import Advance, Advanced, Delete, Deleted
from .case import case
from .continuing import a_next_run
from .driving import create, do, load_one, raised
from .samples import a_message, a_row, a_void, an_end, an_outcome

if TYPE_CHECKING:
    from ..._core.journal import Entry
    from ...storage.backend import Backend

BEGINNING = (0, 0)


def _pages(backend: Backend, limit: int) -> list[tuple[Entry, ...]]:
    """Read a whole journal, each page behind the one before."""
    pages: list[tuple[Entry, ...]] = []
    place = BEGINNING
    while True:
        page = backend.read_journal("one", place, limit)
        if not page.entries:
            return pages
        assert (page.run, page.entries[0].n) > place or not pages, "an entry comes again"
        pages.append(page.entries)
        place = (page.run, page.entries[-1].n)


@case
def a_journal_is_read_from_its_start_to_its_end(backend: Backend) -> None:
    """All entries in the order of their numbers; what was voided, and what voided it, too."""
    failed = an_end(b"boom", status=EntryStatus.FAILED, after=1)
    pk = create(backend, "one", an_outcome(status=EntryStatus.FAILED), failed)
    do(backend, Advance(pk, "one", 0, (a_void(1), an_outcome(), a_message())), Advanced)
    create(backend, "two", an_outcome())
    page = backend.read_journal("one", BEGINNING, 100)
    assert page.run == 1
    assert page.entries == load_one(backend, pk).entries
    assert [entry.n for entry in page.entries] == list(range(6))


@case
def a_journal_comes_in_pages(backend: Backend) -> None:
    """Each begins behind the last one, none is repeated or missed; an empty one is the end."""
    pk = create(backend, "one", *(an_outcome(f"task{n}") for n in range(600)))
    for limit in (1, 7, 256, 601, 1_000):
        pages = _pages(backend, limit)
        assert all(len(page) <= limit for page in pages)
        assert sum(pages, ()) == load_one(backend, pk).entries
    assert backend.read_journal("one", (1, 600), 9).entries == ()
    do(backend, Advance(pk, "one", 0, (a_message(),)), Advanced)
    assert [entry.n for entry in backend.read_journal("one", (1, 600), 9).entries] == [601]


@case
def large_values_of_a_journal_are_all_read(backend: Backend) -> None:
    """In pages that may be shorter than asked for."""
    large = b'"' + b"x" * 1_000_000 + b'"'
    pk = create(backend, "one", *(an_outcome(f"task{n}", value=large) for n in range(7)))
    assert sum(_pages(backend, 1_000), ()) == load_one(backend, pk).entries


@case
def a_journal_goes_on_with_the_next_run(backend: Backend) -> None:
    """Who has read a part of the run before, however long, goes on with the start of this one."""
    pk = create(backend, a_row(life=1), an_outcome("a"), an_outcome("b"))
    do(backend, a_next_run(pk, a_message()), Advanced)
    for place in (BEGINNING, (1, 0), (1, 2)):
        page = backend.read_journal("one", place, 100)
        assert page.run == 2
        assert page.entries == load_one(backend, pk).entries
    assert [entry.n for entry in backend.read_journal("one", (2, 0), 9).entries] == [1]


@case
def a_journal_of_nobody_is_not_found(backend: Backend) -> None:
    """An unknown workflow, and one that is half deleted, have none."""
    create(backend, "one", an_outcome())
    do(backend, Delete("one", limit=1), Deleted)
    for id in ("one", "nobody"):
        error = raised(NotFoundError, partial(backend.read_journal, id, BEGINNING, 9))
        assert (error.kind, error.id) == ("workflow", id)
