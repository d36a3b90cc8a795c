"""``Claim``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Event, Status, allowed
from ...storage.operations import Claim, Claimed, Create, Delete, Deleted
from ...storage.records import Loaded
from .case import case
from .driving import create, do, image
from .samples import a_row, a_start

if TYPE_CHECKING:
    from ...storage.backend import Backend


@case
def a_claimed_row_begins_a_life(backend: Backend) -> None:
    """It runs, in the next life, with nothing left of its wait, and is answered as it now is."""
    row = a_row(status=Status.WAITING, wake_at=50.0, life=2)
    pk = create(backend, row)
    answer = do(backend, Claim(((pk, 2),), 77.5, counted=False), Claimed)
    expected = attrs.evolve(
        row,
        pk=pk,
        status=Status.RUNNING,
        wake_at=None,
        started_at=77.5,
        life=3,
        revision=2,
    )
    assert answer.rows == (expected,)
    assert backend.get_workflow("one").row == expected


@case
def only_the_reason_of_what_was_pending_is_over(backend: Backend) -> None:
    """Of one that crashed it was the crash; who ran or waited is kept by the same as before."""
    for status in (Status.PENDING, Status.RUNNING, Status.WAITING):
        row = attrs.evolve(a_row(status.value, status=status), reason="why")
        pk = create(backend, row)
        [claimed] = do(backend, Claim(((pk, 0),), 1.0, counted=False), Claimed).rows
        assert claimed.reason == (None if status is Status.PENDING else "why")


@case
def the_first_start_is_kept(backend: Backend) -> None:
    """A workflow that ran before keeps the time of its first start."""
    pk = create(backend, attrs.evolve(a_row(), started_at=5.0))
    [row] = do(backend, Claim(((pk, 0),), 77.0, counted=False), Claimed).rows
    assert row.started_at == 5.0


@case
def only_a_counted_claim_is_a_recovery(backend: Backend) -> None:
    """A claim after an unclean end raises ``recoveries``, another one keeps it."""
    pk = create(backend, attrs.evolve(a_row(), recoveries=1))
    [kept] = do(backend, Claim(((pk, 0),), 1.0, counted=False), Claimed).rows
    [raised] = do(backend, Claim(((pk, 1),), 1.0, counted=True), Claimed).rows
    assert (kept.recoveries, raised.recoveries) == (1, 2)


@case
def a_wave_is_answered_in_the_order_asked_for(backend: Backend) -> None:
    """The rows come in the order of the keys given, not of the keys."""
    keys = [create(backend, id) for id in ("a", "b", "c")]
    lives = tuple((pk, 0) for pk in (keys[2], keys[0], keys[1]))
    rows = do(backend, Claim(lives, 1.0, counted=True), Claimed).rows
    assert [row.id for row in rows] == ["c", "a", "b"]


@case
def one_that_changed_meanwhile_is_left_out(backend: Backend) -> None:
    """One that is gone, or of another life, is not claimed and not touched; the rest is."""
    keys = [create(backend, a_row(id, life=1)) for id in ("gone", "other", "sound")]
    do(backend, Delete("gone"), Deleted)
    other = backend.get_workflow("other")
    lives = ((keys[0], 1), (keys[1], 0), (keys[1], 2), (keys[2], 1), (keys[2] + 100, 1))
    answer = do(backend, Claim(lives, 1.0, counted=True), Claimed)
    assert [row.id for row in answer.rows] == ["sound"]
    assert backend.get_workflow("other") == other


@case
def only_statuses_that_allow_it_are_claimed(backend: Backend) -> None:
    """The table of the lifecycle decides; all others stay as they are."""
    keys = {status: create(backend, a_row(status.value, status=status)) for status in Status}
    before = {status: backend.get_workflow(status.value) for status in Status}
    lives = tuple((pk, 0) for pk in keys.values())
    rows = do(backend, Claim(lives, 1.0, counted=True), Claimed).rows
    claimable = [status for status in Status if allowed(status, Event.CLAIM)]
    assert [row.id for row in rows] == [status.value for status in claimable]
    for status in set(Status) - set(claimable):
        assert backend.get_workflow(status.value) == before[status]


@case
def a_workflow_is_claimed_once_in_a_wave(backend: Backend) -> None:
    """Named twice with one life, it begins one life."""
    pk = create(backend)
    answer = do(backend, Claim(((pk, 0), (pk, 0)), 1.0, counted=True), Claimed)
    assert [row.life for row in answer.rows] == [1]
    assert backend.get_workflow("one").row.life == 1


@case
def an_empty_wave_is_answered_empty(backend: Backend) -> None:
    """Nobody to claim is no error."""
    create(backend)
    before = image(backend)
    assert do(backend, Claim((), 1.0, counted=True), Claimed) == Claimed(())
    assert image(backend) == before


@case
def a_large_wave_is_claimed_and_loaded_in_one(backend: Backend) -> None:
    """2,000 workflows are one claim and one load: no limit on parameters shows."""
    ids = [f"w-{number}" for number in range(2_000)]
    backend.commit([Create(a_row(id), (a_start(),)) for id in ids])
    rows = backend.list_unfinished(0, 0.0, 5_000).rows
    assert [row.id for row in rows] == ids
    claimed = do(backend, Claim(tuple((row.pk, 0) for row in rows), 1.0, counted=True), Claimed)
    assert [row.id for row in claimed.rows] == ids
    loaded = backend.load([row.pk for row in rows])
    assert [one.row for one in loaded if isinstance(one, Loaded)] == list(claimed.rows)
