"""Two processes want one file: one has it, the other is told who does, and nothing is harmed."""

from __future__ import annotations

import logging
import signal
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import trio

from claw_actors import Context, open_runtime, task, workflow
from claw_actors.errors import StorageLockedError

from .body import examine
from .ledger import Ledger, Plan
from .processes import KILLED, Lives, wait_until
from .witness import Pen, What, count_lines, effect, pen, read_notes

pytestmark = [pytest.mark.slow, pytest.mark.alone]

STEPS = 40
STEP_S = 0.005
REFUSED_WITHIN_S = 1.0
HANG_S = 60.0
CONTENDERS = 6
REFUSED = 3
"""The exit status of a process that was refused."""


@task
async def step(index: int) -> int:
    """Take a moment."""
    with effect():
        await trio.sleep(STEP_S)
    return index


@workflow
async def walk(ctx: Context) -> int:
    """Do many steps."""
    return sum([await ctx.run(step, index) for index in range(STEPS)])


PLAN = Plan(("step", *(f"step#{number}" for number in range(2, STEPS + 1))), str(sum(range(STEPS))))


async def own(path: str, witness: str, process: int) -> None:
    """Own the file, and see one workflow to its end."""
    logging.basicConfig(level=logging.ERROR)
    note = Pen(witness, process)
    pen.set(note)
    try:
        async with open_runtime(path, workflows=[walk]) as runtime:
            note.note(What.OPENED)
            handle = await runtime.start(walk, id="walk")
            note.note(What.ACCEPTED, "walk")
            note.note(What.FINISHED, "walk", text=str(await handle.result()))
    except StorageLockedError as error:
        print(error)
        raise SystemExit(REFUSED) from None


async def look_in(path: Path) -> None:
    """Try to own the file from here."""
    async with open_runtime(path, workflows=[walk]):
        raise AssertionError("a second owner was let in")


def refusal(path: Path) -> tuple[str, float]:
    """Be refused, and return who holds the file, and how long it took to say so."""
    began = time.monotonic()
    with pytest.raises(StorageLockedError) as caught:
        trio.run(look_in, path)
    return caught.value.holder, time.monotonic() - began


def has_walked(witness: Path, steps: int) -> bool:
    return count_lines(witness) > 2 * steps


def test_the_second_is_refused_by_name_at_once_and_harms_nothing(
    lives: Lives, place, witness, table, log, tell
):
    """The owner is named within a second, again and again, and walks on as if nobody had asked."""
    owner = lives.spawn(own, log, path=place, witness=witness, process=0)
    wait_until(lambda: has_walked(witness, 3), HANG_S, "under way")
    longest = 0.0
    for _ in range(5):
        before = count_lines(witness)
        holder, took_s = refusal(place)
        assert holder.startswith(f"pid {owner.pid} on {socket.gethostname()} since ")
        assert took_s < REFUSED_WITHIN_S
        longest = max(longest, took_s)
        # It goes on between one refusal and the next: these are not all after its end.
        wait_until(lambda before=before: count_lines(witness) > before, HANG_S, "going on")
    owner.succeed(HANG_S)
    ledger, (notes, _) = Ledger({"walk": PLAN}), read_notes(witness)
    assert ledger.observe(notes, examine(place, table)) == []
    assert ledger.finished == {"walk": PLAN.end}
    tell(f"refused by name 5 times, after {longest * 1_000:.0f} ms at most")


def test_a_paused_owner_is_still_the_owner(lives: Lives, place, witness, table, log):
    """An owner that is stopped, not dead, cannot be replaced; it goes on where it was."""
    owner = lives.spawn(own, log, path=place, witness=witness, process=0)
    wait_until(lambda: has_walked(witness, 3), HANG_S, "under way")
    owner.signal(signal.SIGSTOP)
    try:
        holder, took_s = refusal(place)
    finally:
        owner.signal(signal.SIGCONT)
    assert holder.startswith(f"pid {owner.pid} ")
    assert took_s < REFUSED_WITHIN_S
    owner.succeed(HANG_S)
    ledger, (notes, _) = Ledger({"walk": PLAN}), read_notes(witness)
    assert ledger.observe(notes, examine(place, table)) == []


def test_after_a_kill_the_second_takes_over_at_once(lives: Lives, place, witness, table, log, tell):
    """Death frees the file; whoever opens it next goes on from the last checkpoint."""
    ledger, offset = Ledger({"walk": PLAN}), 0
    first = lives.spawn(own, log, path=place, witness=witness, process=0)
    wait_until(lambda: has_walked(witness, 5), HANG_S, "under way")
    assert first.kill() == KILLED
    notes, offset = read_notes(witness, offset)
    assert ledger.observe(notes, examine(place, table)) == []

    began = time.monotonic()
    second = lives.spawn(own, log, path=place, witness=witness, process=1)
    opened = f"1\t{What.OPENED}\t"
    wait_until(lambda: opened in witness.read_text(), HANG_S, f"open:\n{second.said()}")
    took_s = time.monotonic() - began
    second.succeed(HANG_S)
    notes, offset = read_notes(witness, offset)
    assert ledger.observe(notes, examine(place, table)) == []
    assert ledger.finished == {"walk": PLAN.end}
    assert took_s < 5
    tell(f"taken over {took_s * 1_000:.0f} ms after the kill, fork and recovery included")


def test_of_many_that_come_at_once_one_gets_it(lives: Lives, place, witness, table, log):
    """However they race, one owns it, the others are told, and the work is done once."""
    ones = [
        lives.spawn(own, log, path=place, witness=witness, process=number)
        for number in range(CONTENDERS)
    ]
    statuses = [one.wait(HANG_S) for one in ones]
    assert sorted(statuses) == [0] + [REFUSED] * (CONTENDERS - 1), ones[0].said()
    notes, _ = read_notes(witness)
    winner = statuses.index(0)
    assert {note.process for note in notes} == {winner}
    ledger = Ledger({"walk": PLAN})
    assert ledger.observe(notes, examine(place, table)) == []
    assert ledger.body.epoch == 1


def test_an_owner_whose_row_was_taken_cannot_commit(lives: Lives, place, witness, table, log):
    """Without the lock (somebody removed it), the row in the file still fences the old owner."""
    owner = lives.spawn(own, log, path=place, witness=witness, process=0)
    wait_until(lambda: has_walked(witness, 3), HANG_S, "under way")
    with closing(sqlite3.connect(place, isolation_level=None)) as thief:
        thief.execute("UPDATE claw_meta SET owner = 'thief', owner_name = 'a thief'")
        ((commits,),) = thief.execute("SELECT commits FROM claw_meta")
    assert owner.wait(HANG_S) == REFUSED, owner.said()
    left = examine(place, table)
    assert left.damage == ()
    assert left.workflows["walk"].status == "running"
    assert left.commits == commits
