"""``list_unfinished`` and ``list_wake_times``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...storage.operations import Advance, Advanced, Claim, Claimed, Delete, Deleted
from ...storage.records import RowChange, WakeTime
from .case import case
from .driving import EARLIEST, create, do
from .samples import BEGUN, a_row, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _drain_unfinished(backend: Backend, due_by: float, limit: int) -> list[str | None]:
    found: list[str | None] = []
    after_pk, more = 0, True
    while more:
        page = backend.list_unfinished(after_pk, due_by, limit)
        assert len(page.rows) <= limit
        assert page.damaged == ()
        assert page.last_pk > after_pk or not page.more, "paging does not advance"
        found += [row.id for row in page.rows]
        after_pk, more = page.last_pk, page.more
    return found


@case
def recovery_sees_what_must_go_on(backend: Backend) -> None:
    """Pending and running ones always, waiting ones once they are due, all others never."""
    for status in Status:
        create(backend, a_row(status.value, status=status))
    create(backend, a_row("due", status=Status.WAITING, wake_at=100.0))
    create(backend, a_row("later", status=Status.WAITING, wake_at=100.5))
    create(backend, a_row("backing-off", status=Status.PENDING, wake_at=9_000.0))
    page = backend.list_unfinished(0, 100.0, 100)
    assert [row.id for row in page.rows] == ["pending", "running", "due", "backing-off"]
    assert page.rows[0] == backend.get_workflow("pending").row
    assert not page.more


@case
def recovery_pages_cover_everything_once(backend: Backend) -> None:
    """However small the pages, each row comes once, in order of its key."""
    ids = [f"w-{number}" for number in range(7)]
    for number, id in enumerate(ids):
        create(backend, a_row(id))
        create(backend, a_row(f"done-{number}", status=Status.COMPLETED))
    for limit in (1, 2, 3, 7, 8, 100):
        assert _drain_unfinished(backend, 0.0, limit) == ids, limit


@case
def claiming_between_pages_loses_nobody(backend: Backend) -> None:
    """Recovery claims each page before it asks for the next; none is skipped or repeated."""
    ids = [f"w-{number}" for number in range(5)]
    for id in ids:
        create(backend, a_row(id))
    seen: list[str | None] = []
    after_pk, more = 0, True
    while more:
        page = backend.list_unfinished(after_pk, 0.0, 2)
        lives = tuple((row.pk, row.life) for row in page.rows)
        seen += [row.id for row in do(backend, Claim(lives, 1.0, counted=True), Claimed).rows]
        for row in page.rows[:1]:
            assert row.id is not None
            do(backend, Delete(row.id), Deleted)
        after_pk, more = page.last_pk, page.more
    assert seen == ids


@case
def nothing_to_recover_is_an_empty_page(backend: Backend) -> None:
    """An empty storage, and a place past the end, have no rows and no next page."""
    assert backend.list_unfinished(0, 0.0, 10).rows == ()
    pk = create(backend)
    page = backend.list_unfinished(pk, 0.0, 10)
    assert (page.rows, page.damaged, page.more) == ((), (), False)


@case
def wake_times_come_soonest_first(backend: Backend) -> None:
    """They are in order of time, then of key; only what waits for a time has one."""
    keys = {
        id: create(backend, a_row(id, status=Status.WAITING, wake_at=wake_at))
        for id, wake_at in (("c", 30.0), ("a", 10.5), ("b1", 20.0), ("b2", 20.0), ("none", None))
    }
    create(backend, a_row("pending", wake_at=5.0))
    expected = [(10.5, "a"), (20.0, "b1"), (20.0, "b2"), (30.0, "c")]
    times = [WakeTime(wake_at, keys[id], id, since=BEGUN) for wake_at, id in expected]
    assert backend.list_wake_times(EARLIEST, 10) == times
    assert backend.list_wake_times((20.0, keys["b1"]), 10) == times[2:]
    assert backend.list_wake_times((15.0, 10**9), 1) == times[1:2]
    assert backend.list_wake_times((30.0, keys["c"]), 10) == []


@case
def wake_time_pages_cover_everything_once(backend: Backend) -> None:
    """However small the pages, each comes once, ties included."""
    for number in range(9):
        create(backend, a_row(f"w-{number}", status=Status.WAITING, wake_at=float(number % 3)))
    whole = backend.list_wake_times(EARLIEST, 100)
    assert len(whole) == 9
    for limit in (1, 2, 4, 9):
        seen: list[WakeTime] = []
        while page := backend.list_wake_times(seen[-1].place if seen else EARLIEST, limit):
            assert len(page) <= limit
            seen += page
        assert seen == whole, limit


@case
def wake_times_follow_the_rows(backend: Backend) -> None:
    """Whoever waits anew, stops waiting or is deleted is listed as it now is."""
    one, two, three = (
        create(backend, a_row(id, status=Status.WAITING, wake_at=50.0))
        for id in ("one", "two", "three")
    )
    do(backend, Advance(one, "one", 0, change=RowChange(wake_at=70.0)), Advanced)
    do(backend, Claim(((two, 0),), 1.0, counted=False), Claimed)
    do(backend, Delete("three"), Deleted)
    assert backend.list_wake_times(EARLIEST, 10) == [WakeTime(70.0, one, "one", BEGUN)]
    park = RowChange(status=Status.WAITING, wake_at=60.0)
    do(backend, Advance(two, "two", 1, change=park), Advanced)
    assert backend.list_wake_times(EARLIEST, 10) == [
        WakeTime(60.0, two, "two", BEGUN),
        WakeTime(70.0, one, "one", BEGUN),
    ]
    assert three > two


@case
def wake_times_say_since_when(backend: Backend) -> None:
    """Since the last entry of the workflow's own present run, its end in storage or not."""
    row = attrs.evolve(a_row(status=Status.WAITING, wake_at=9_000.0), run=2)
    one = create(backend, row, an_outcome("a", at=500.0), an_outcome("b", at=70.5))
    two = create(backend, a_row("two", status=Status.WAITING, wake_at=9_000.0))
    since = [(found.pk, found.since) for found in backend.list_wake_times(EARLIEST, 10)]
    assert since == [(one, 70.5), (two, BEGUN)]
    [answer, _, found] = backend.commit(
        [
            Advance(one, "one", 0, (an_outcome("c", at=80.0),)),
            Advance(two, "two", 0, (an_outcome("c", at=90.0),), change=RowChange(wake_at=None)),
            Advance(one, "one", 0, (an_outcome("d", at=60.0),)),
        ]
    )
    assert (answer, found) == (Advanced(3), Advanced(4))
    assert backend.list_wake_times(EARLIEST, 10) == [WakeTime(9_000.0, one, "one", since=60.0)]
