"""Killed at random moments while it prunes: a family is whole or gone, and no id is forgotten."""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Collection
from contextlib import closing
from itertools import count
from pathlib import Path

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    Runtime,
    SQLiteStorage,
    Status,
    WorkflowFilter,
    examine,
    open_runtime,
    workflow,
)
from claw_actors._runtime import pruning
from claw_actors.errors import ClawError, HistoryPrunedError
from claw_actors.storage.operations import Advance, Create, Send
from claw_actors.storage.records import DeadLetter, RowChange
from claw_actors.testing.conformance.samples import a_message, a_row, a_start, an_end, an_outcome

from .body import lay_out
from .processes import KILLED, Lives, wait_until
from .witness import Pen, What, count_lines, read_notes

pytestmark = pytest.mark.slow

FAMILIES, LONG_FAMILIES = 120, 360
CHILDREN = 2
STEPS = 3
LONG_EVERY, LONG_STEPS = 4, 60
"""One family in so many has journals that do not fit into one commit."""
PIECE = 25
AT_A_TIME = 3
WINDOW = 30
KEPT = 20
WRITERS = 3
KILLS, LONG_KILLS = 12, 40
LATEST_KILL_S = 0.15
HANG_S = 60.0
SEED = 20_261_129
AN_HOUR_S = 3_600.0


@workflow
async def brief(ctx: Context, number: int) -> int:
    """End at once."""
    return number


def members_of(family: int) -> list[str]:
    """Name those of a family, the parent first."""
    return [f"p-{family}", *(f"c-{family}-{child}" for child in range(CHILDREN))]


def entries_of(family: int) -> int:
    """Tell how many entries each of a family has: start, message and end besides its steps."""
    return 3 + (LONG_STEPS if family % LONG_EVERY == 0 else STEPS)


def kept() -> list[str]:
    """Name those that have not ended."""
    return [f"kept-{number}" for number in range(KEPT)]


def fill(place: Path, families: int) -> None:
    """Make families that ended long ago, with all that can hang on them, and some that have not."""
    storage = SQLiteStorage(place, durability="process")
    storage.open()
    ended = RowChange(status=Status.COMPLETED, completed_at=1_000.0)
    for family in range(families):
        parent, *children = members_of(family)
        steps = tuple(an_outcome(f"step#{number}") for number in range(entries_of(family) - 3))
        rows = [a_row(parent, metadata={"tenant": f"t{family % 3}"})]
        rows += [a_row(child, parent=parent) for child in children]
        made = storage.commit([Create(row, (a_start(), *steps)) for row in rows])
        for row, created in zip(rows, made, strict=True):
            letter = DeadLetter("topic", 1.0, "nobody wanted it", b"1")
            shown = (("stage", b"1"), ("weight", b"2"))
            group = [
                Advance(created.pk, row.id, 0, values=shown, values_at=1.0, dead_letters=(letter,)),
                Send(row.id, a_message(), f"click-{created.pk}"),
                Advance(created.pk, row.id, 0, (an_end(),), change=ended),
            ]
            assert not any(isinstance(one, ClawError) for one in storage.commit(group))
    storage.commit([Create(a_row(id, status=Status.PAUSED), (a_start(),)) for id in kept()])
    storage.close()


# -- a life -----------------------------------------------------------------------------------------


async def live(path: str, witness: str, process: int, seed: int) -> None:
    """Prune in very small commits until killed or done, and let others write meanwhile."""
    logging.basicConfig(level=logging.ERROR)
    random.seed(seed)
    pruning.WINDOW, pruning.FAMILIES, pruning.PIECE = WINDOW, (AT_A_TIME, AT_A_TIME), PIECE
    own = Pen(witness, process)

    def tell(ids: Collection[str]) -> None:
        for id in ids:
            own.note(What.FINISHED, id, text="pruned")

    async with (
        open_runtime(path, workflows=[brief]) as runtime,
        trio.open_nursery() as nursery,
    ):
        own.note(What.OPENED)
        for number in range(WRITERS):
            nursery.start_soon(write_on, runtime, own, f"live-{process}-{number}")
        await runtime.prune(older_than=AN_HOUR_S, on_pruned=tell)
        nursery.cancel_scope.cancel()


async def write_on(runtime: Runtime, own: Pen, name: str) -> None:
    """Start workflows and see them to their ends."""
    for number in count():
        id = f"{name}-{number}"
        handle = await runtime.start(brief, number, id=id)
        own.note(What.ACCEPTED, id)
        await handle.result()
        await trio.sleep(0.005)


# -- what it leaves ---------------------------------------------------------------------------------


@attrs.frozen
class Left:
    """What a life has left.

    Attributes:
        entries: how many each workflow has, by id.
        remembered: ids of what was pruned.
        half: how many are half deleted.
        wrong: what an examination objects to.
    """

    entries: dict[str, int]
    remembered: set[str]
    half: int
    wrong: list[str]


def look_at(place: Path, table: Path) -> Left:
    """Read a copy of a dead database."""
    copy = lay_out(place, table)
    report = trio.run(examine, copy)
    with closing(sqlite3.connect(copy)) as raw:
        entries = dict(
            raw.execute(
                "SELECT w.id, count(*) FROM claw_workflow AS w JOIN claw_journal AS j"
                " ON j.wf = w.pk WHERE w.id IS NOT NULL GROUP BY w.pk"
            )
        )
        remembered = {id for (id,) in raw.execute("SELECT id FROM claw_pruned")}
        half = raw.execute("SELECT count(*) FROM claw_workflow WHERE id IS NULL").fetchone()[0]
    wrong = [*report.damage, *(one.what for one in report.findings if one.serious)]
    return Left(entries, remembered, half, wrong)


def what_is_wrong(left: Left, families: int, accepted: set[str], pruned: set[str]) -> list[str]:
    """Compare what is left with what was there, what was acknowledged and what was told."""
    wrong = list(left.wrong)
    for family in range(families):
        members = members_of(family)
        there = [id for id in members if id in left.entries]
        if there and there != members:
            wrong.append(f"neither whole nor gone: {members}, of which there are {there}")
        for id in members:
            if left.entries.get(id, entries_of(family)) != entries_of(family):
                wrong.append(f"{id} has lost some of its journal")
            if (id in left.entries) == (id in left.remembered):
                wrong.append(f"{id} is neither there nor remembered, or both")
    gone = (accepted | set(kept())) - left.entries.keys()
    wrong += [f"acknowledged and lost: {id}" for id in sorted(gone)]
    back = pruned & left.entries.keys()
    return wrong + [f"told to be pruned and there: {id}" for id in sorted(back)]


async def try_all_again(place: Path, families: int) -> None:
    """Start all that were pruned: each is refused."""
    async with open_runtime(place, workflows=[brief]) as runtime:
        for family in range(families):
            for id in members_of(family):
                with pytest.raises(HistoryPrunedError) as refused:
                    await runtime.start(brief, 1, id=id)
                assert (refused.value.status, refused.value.ended_at) == ("completed", 1_000.0)
        page = await runtime.list(WorkflowFilter(status="paused", limit=1_000))
        assert sorted(state.id for state in page.items) == sorted(kept())


def test_a_family_is_whole_or_gone_wherever_it_dies(
    lives: Lives, place, witness, table, log, is_long, tell
):
    """Killed again and again: nothing else is lost, and every id that is gone is remembered."""
    families, kills = (LONG_FAMILIES, LONG_KILLS) if is_long else (FAMILIES, KILLS)
    fill(place, families)
    dice = random.Random(SEED)
    accepted: set[str] = set()
    pruned: set[str] = set()
    amid, halves, offset, status = 0, 0, 0, KILLED
    for process in count():
        before = count_lines(witness)
        one = lives.spawn(
            live, log, path=place, witness=witness, process=process, seed=dice.randrange(2**32)
        )
        if process < kills:
            wait_until(lambda before=before: count_lines(witness) > before, HANG_S, "open")
            status = one.kill(after_s=dice.uniform(0, LATEST_KILL_S))
        else:
            status = one.wait(HANG_S)
        notes, offset = read_notes(witness, offset)
        accepted |= {note.workflow for note in notes if note.what is What.ACCEPTED}
        pruned |= {note.workflow for note in notes if note.what is What.FINISHED}
        left = look_at(place, table)
        assert what_is_wrong(left, families, accepted, pruned) == [], f"after life {process}"
        if status != KILLED:
            break
        amid += 0 < len(left.remembered) < families * (1 + CHILDREN)
        halves += left.half > 0
    assert status == 0, one.said()
    assert left.half == 0
    assert len(left.remembered) == families * (1 + CHILDREN)
    trio.run(try_all_again, place, families)
    tell(
        f"killed {process} times, {amid} times amid pruning {families} families, {halves} times"
        f" with one half deleted; {len(accepted)} started meanwhile"
    )
    # Otherwise all of this was about nothing.
    assert amid > process / 3
    assert accepted


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        ("DELETE FROM claw_pruned WHERE id = 'c-1-0'", "c-1-0 is neither there nor remembered"),
        ("DELETE FROM claw_workflow WHERE id = 'c-2-1'", "neither whole nor gone"),
        ("DELETE FROM claw_workflow WHERE id = 'c-2-1'", "claw_journal"),
        ("DELETE FROM claw_workflow WHERE id = 'kept-1'", "acknowledged and lost: kept-1"),
    ],
)
def test_what_is_lost_would_be_noticed(place, table, sql, seen):
    """Control: an id that is forgotten, a family in parts, rows of nobody, a bystander that is gone."""
    fill(place, 4)
    storage = SQLiteStorage(place)
    storage.open()
    [first, second] = [storage.get_workflow(f"p-{number}").row.pk for number in (0, 1)]
    storage.commit([pruning.Prune((first, second), 2_000.0, 3_000.0)])
    storage.close()
    assert what_is_wrong(look_at(place, table), 4, set(), set()) == []
    with closing(sqlite3.connect(place, isolation_level=None)) as raw:
        raw.execute(sql)
    assert any(seen in text for text in what_is_wrong(look_at(place, table), 4, set(), set()))
