"""One workflow of a hundred tasks, killed fifty times on its way."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
import trio

from claw_actors import Context, RuntimeConfig, open_runtime, task, workflow

from .body import examine
from .ledger import Ledger, Plan
from .processes import KILLED, wait_until
from .witness import Pen, What, effect, pen, read_notes

pytestmark = pytest.mark.slow

TASKS = 100
KILLS = 50
BODY_S = 0.003
HANG_S = 30.0
SEEDS = range(1)
LONG_SEEDS = range(20)

# Dying again and again before anything is recorded is what quarantine is for; here it is the test.
PATIENT = RuntimeConfig(max_recoveries=1_000)


@task
async def count(number: int) -> int:
    """Take a moment, in which the process may die."""
    with effect():
        await trio.sleep(BODY_S)
    return number


@workflow
async def hundred(ctx: Context) -> int:
    """Do a hundred tasks."""
    return sum([await ctx.run(count, number) for number in range(TASKS)])


PLAN = Plan(
    ("count", *(f"count#{number}" for number in range(2, TASKS + 1))), str(sum(range(TASKS)))
)


async def live(path: str, witness: str, process: int, seed: int) -> None:
    """Run the workflow until killed, or to its end."""
    own = Pen(witness, process)
    pen.set(own)
    async with open_runtime(path, workflows=[hundred], config=PATIENT) as runtime:
        handle = await runtime.start(hundred, id="hundred")
        own.note(What.ACCEPTED, "hundred")
        own.note(What.FINISHED, "hundred", text=str(await handle.result()))


def test_a_hundred_tasks_survive_fifty_kills(lives, place, witness, table, log, is_long, tell):
    """Each task is recorded once, none runs after its record, and the result is right."""
    for seed in LONG_SEEDS if is_long else SEEDS:
        directory = place.with_name(f"data-{seed}")
        kill_it_all_the_way(lives, directory / "torture.db", witness, table, log, seed, tell)
        witness.unlink()


def kill_it_all_the_way(lives, place, witness, table, log, seed, tell):
    dice = random.Random(seed)
    ledger = Ledger({"hundred": PLAN})
    began, offset, process = time.monotonic(), 0, 0
    while process < KILLS:
        # The moments are chosen by how far it got, so that the kills reach over the whole way
        # however slow the machine is: so many bodies more, and then some.
        recorded = sum(record.kind == "task" for record in ledger.body.records.values())
        pace = (TASKS - 10 - recorded) / (KILLS - process)
        bodies = dice.randint(0, max(0, round(2 * (pace - 0.7))))
        one = lives.spawn(
            live, log, path=place, witness=witness, process=process, seed=dice.getrandbits(32)
        )

        def so_many(offset=offset, bodies=bodies) -> bool:
            whats = Counter(note.what for note in read_notes(witness, offset)[0])
            return whats[What.ENDED] >= bodies

        wait_until(so_many, HANG_S, f"{bodies} bodies:\n{one.said()}")
        assert one.kill(dice.uniform(0, 2 * BODY_S)) == KILLED, one.said()
        notes, offset = read_notes(witness, offset)
        assert ledger.observe(notes, examine(place, table)) == [], f"after kill {process}"
        process += 1
    recorded = sum(record.kind == "task" for record in ledger.body.records.values())
    assert 50 <= recorded < TASKS, "the kills were not spread over the whole way"

    last = lives.spawn(live, log, path=place, witness=witness, process=process, seed=seed)
    last.succeed(HANG_S)
    notes, offset = read_notes(witness, offset)
    assert ledger.observe(notes, examine(place, table)) == []
    assert ledger.finished == {"hundred": PLAN.end}
    ops = [record.op for record in ledger.body.records.values() if record.kind == "task"]
    assert sorted(ops) == sorted(PLAN.ops)
    every, _ = read_notes(witness)
    runs = Counter(note.op for note in every if note.what is What.STARTED)
    assert set(runs) == set(PLAN.ops)
    twice = sum(count > 1 for count in runs.values())
    assert twice, "no kill has ever hit a body"
    tell(
        f"{KILLS} kills in {time.monotonic() - began:.1f} s, the last after task {recorded};"
        f" {twice} tasks ran more than once, none after its record"
    )
