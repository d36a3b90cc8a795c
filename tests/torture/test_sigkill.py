"""Killed at random moments, again and again: what the engine promised holds after each death."""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import attrs
import pytest
import trio

from claw_actors import Runtime, RuntimeConfig, Status, WorkflowFilter, open_runtime
from claw_actors.errors import WorkflowFailedError, WorkflowQuarantinedError

from .body import Body, examine
from .ledger import Ledger
from .processes import KILLED, Life, Lives, wait_until
from .witness import Note, Pen, What, pen, read_notes
from .workload import FAILED, WORKFLOWS, ids_of, plan_of, text

pytestmark = pytest.mark.slow

KILLS = 200
SHORT_KILLS = 80
LONG_ROUNDS = 25
LAST_LIFE_S = 60.0
OPEN_S = 30.0
SEED = 20_240_229

CONFIG = RuntimeConfig(
    idle_after=0.01,  # so that the short sleeps of the workload are parked
    healthy_after=0.1,
)


# -- a life -----------------------------------------------------------------------------------------


async def live(path: str, witness: str, process: int, seed: int, batch: int, last: bool) -> None:
    """Run batches of the workload until killed; the last life sees everything to its end."""
    logging.basicConfig(level=logging.ERROR)
    random.seed(seed)
    own = Pen(witness, process)
    pen.set(own)
    async with open_runtime(path, workflows=WORKFLOWS, config=CONFIG) as runtime:
        own.note(What.OPENED)
        ids = ids_of(batch)
        while True:
            ids += await release(runtime) if last else []
            async with trio.open_nursery() as nursery:
                for id in dict.fromkeys(ids):
                    nursery.start_soon(see_through, runtime, id, own)
            if last:
                return
            batch += 1
            ids = ids_of(batch)


async def release(runtime: Runtime) -> list[str]:
    """Let the quarantined go on, and name all that has not ended.

    Three deaths in a row before an instance has recorded anything look like its fault; here they
    are the test's.
    """
    page = await runtime.list(WorkflowFilter(limit=1_000))
    unfinished = [state for state in page.items if not state.status.is_terminal]
    for state in unfinished:
        if state.status is Status.QUARANTINED:
            await runtime.retry(state.id)
    return [state.id for state in unfinished]


async def see_through(runtime: Runtime, id: str, own: Pen) -> None:
    """Start an instance, or attach to it, and wait for its end."""
    [declared] = [one for one in WORKFLOWS if one.name == id.split("-", maxsplit=1)[0]]
    handle = await runtime.start(declared, id=id)
    own.note(What.ACCEPTED, id)
    try:
        result = text(await handle.result())
    except WorkflowFailedError:
        result = FAILED
    except WorkflowQuarantinedError:
        return
    own.note(What.FINISHED, id, text=result)


# -- its death --------------------------------------------------------------------------------------


@attrs.define
class Victim:
    """A database, the lives that run on it, and everything that was seen of it."""

    lives: Lives
    place: Path
    witness: Path
    table: Path
    log: Path
    dice: random.Random
    ledger: Ledger = attrs.field(factory=lambda: Ledger({}))
    process: int = 0
    batch: int = 0
    tallies: Counter[str] = attrs.field(factory=Counter)
    offset: int = 0

    def spawn(self, *, last: bool = False) -> Life:
        """Start a life."""
        arguments = {
            "path": self.place,
            "witness": self.witness,
            "process": self.process,
            "seed": self.dice.getrandbits(32),
            "batch": self.batch,
            "last": last,
        }
        self.process += 1
        return self.lives.spawn(live, self.log, **arguments)

    def kill_one(self) -> list[str]:
        """Start a life, kill it at some moment, and return what is wrong then."""
        one = self.spawn()
        kind = self.dice.random()
        if kind < 0.2:
            moment = self.dice.uniform(0, 0.015)  # while it opens, mostly
        elif kind < 0.6:
            moment = self.dice.uniform(0, 0.08)
        else:
            noted = f"{self.process - 1}\t{What.OPENED}".encode()
            wait_until(lambda: noted in self.tail(), OPEN_S, f"open:\n{one.said()}")
            moment = self.dice.uniform(0, 0.1)
        status = one.kill(moment)
        assert status == KILLED, f"it had ended with {status} before:\n{one.said()}"
        return self.look()

    def tail(self) -> bytes:
        """Return what was noted since the last look."""
        if not self.witness.exists():
            return b""
        with self.witness.open("rb") as file:
            file.seek(self.offset)
            return file.read()

    def look(self) -> list[str]:
        """Examine what is left, and enter it into the ledger."""
        notes, self.offset = read_notes(self.witness, self.offset)
        before, body = self.ledger.body, examine(self.place, self.table, self.ledger.done())
        self._count(notes, before, body)
        # What is stored may be ahead of what was acknowledged.
        for id in body.workflows:
            self.ledger.plans.setdefault(id, plan_of(id))
            self.batch = max(self.batch, batch_of(id))
        return self.ledger.observe(notes, body)

    def _count(self, notes: list[Note], before: Body, body: Body) -> None:
        whats = Counter(note.what for note in notes)
        tallies = self.tallies
        tallies["bodies run"] += whats[What.STARTED]
        tallies["killed while opening"] += What.OPENED not in whats
        tallies["killed in a body"] += whats[What.STARTED] > whats[What.ENDED]
        tallies["made progress"] += len(body.records) > len(before.records)
        tallies["crashes respawned"] += sum(
            max(0, row.life - before.workflows[id].life - 1)
            for id, row in body.workflows.items()
            if id in before.workflows
        )

    def last_life(self) -> list[str]:
        """Let a life see everything to its end, and return what is wrong then."""
        parked = [row for row in self.ledger.body.workflows.values() if row.status == "quarantined"]
        self.tallies["parked, and released"] += len(parked)
        self.spawn(last=True).succeed(LAST_LIFE_S)
        return self.look() + self.ledger.unfinished()


def batch_of(id: str) -> int:
    return int(id.split("-")[1])


@pytest.fixture
def victim(lives, place, witness, table, log):
    """Have a new database to kill on."""
    return Victim(lives, place, witness, table, log, random.Random(SEED))


def test_after_each_of_many_kills_every_invariant_holds(victim, is_long, tell, tmp_path):
    """What was acknowledged is there, nothing recorded runs again, and all of it ends well."""
    kills = KILLS if is_long else SHORT_KILLS
    for number in range(LONG_ROUNDS if is_long else 1):
        if number:
            # A new file now and then: looking at everything after each kill costs its size.
            directory = tmp_path / f"data-{number}"
            victim = Victim(
                victim.lives,
                directory / "torture.db",
                tmp_path / f"witness-{number}",
                victim.table,
                victim.log,
                victim.dice,
            )
        began = time.monotonic()
        for kill in range(kills):
            assert victim.kill_one() == [], f"after kill {kill} of round {number}"
        assert victim.last_life() == []
        tell(
            f"{kills} kills in {time.monotonic() - began:.1f} s; {len(victim.ledger.finished)}"
            f" workflows, {len(victim.ledger.body.records)} records; {dict(victim.tallies)}"
        )
        assert len(victim.ledger.body.workflows) == len(victim.ledger.accepted)
        # Otherwise all of this was about nothing.
        assert victim.tallies["killed while opening"] > kills / 20
        assert victim.tallies["killed in a body"] > kills / 20
        assert victim.tallies["made progress"] > kills / 5
        assert victim.tallies["crashes respawned"] > kills / 20


# -- would it be noticed? ---------------------------------------------------------------------------


def a_dead_one(victim: Victim) -> str:
    """Kill until an unfinished workflow has recorded a few tasks; return its id."""
    for _ in range(50):
        assert victim.kill_one() == []
        counts = Counter(record.workflow for record in victim.ledger.body.records.values())
        for id, row in victim.ledger.body.workflows.items():
            if id.startswith("chain") and row.status == "running" and 3 <= counts[id] <= 8:
                return id
    raise AssertionError("none was killed in the middle")


def tamper(victim: Victim, sql: str, id: str) -> None:
    """Change what lies in a dead database."""
    with closing(sqlite3.connect(victim.place, isolation_level=None)) as raw:
        pk = victim.ledger.body.workflows[id].pk
        assert raw.execute(sql, (pk,)).rowcount == 1


def test_a_lost_checkpoint_would_be_noticed(victim):
    """Control: with its last record taken away, the record is missed, and the task runs again."""
    id = a_dead_one(victim)
    last = "(SELECT max(pos) FROM claw_journal WHERE wf = ? AND kind = 'task')"
    tamper(victim, f"DELETE FROM claw_journal WHERE pos = {last}", id)
    before = attrs.evolve(victim.ledger)
    assert any("a record is gone" in text for text in victim.look())
    victim.ledger = before
    victim.ledger._ended = set(before._ended)
    assert any("ran again after it was recorded" in text for text in victim.last_life())


def test_a_changed_byte_would_be_noticed(victim):
    """Control: a value that SQLite finds in order fails its checksum."""
    id = a_dead_one(victim)
    first = "(SELECT min(pos) FROM claw_journal WHERE wf = ? AND kind = 'task')"
    tamper(victim, f"UPDATE claw_journal SET value = x'39' WHERE pos = {first}", id)
    assert any("fails its checksum" in text for text in victim.look())
