"""An instance that kills its process is parked alone; nobody else pays for it."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import signal
import time
from contextvars import ContextVar

import attrs
import pytest
import trio

from claw_actors import Context, RuntimeConfig, open_runtime, task, workflow
from claw_actors.errors import WorkflowQuarantinedError

from .body import Body, examine
from .processes import KILLED
from .witness import Note, Pen, What, effect, pen, read_notes

pytestmark = pytest.mark.slow

MAX_RECOVERIES = 3
HEALTHY_AFTER_S = 0.05
HANG_S = 60.0


def bound(poisons: int) -> int:
    """Return how often poisonous instances may kill the process before all of them are parked.

    The first death, and one recovery together with everybody, are common to all. From there on
    each comes back alone, until its recoveries are used up.
    """
    return 2 + poisons * (MAX_RECOVERIES - 1)


# -- a life -----------------------------------------------------------------------------------------


@attrs.define
class Crowd:
    """The instances of the first life, until each stands in the body in which it is to die."""

    missing: int
    complete: trio.Event = attrs.field(factory=trio.Event)

    def arrive(self) -> None:
        """One more is there."""
        self.missing -= 1
        if not self.missing:
            self.complete.set()


crowd: ContextVar[Crowd | None] = ContextVar("crowd", default=None)
"""Of the first life; there is none later."""


async def stand_until_death() -> None:
    """In the first life, arrive, and stay; later, go on."""
    if present := crowd.get():
        present.arrive()
        await trio.sleep_forever()


@task
async def step(index: int) -> int:
    """Do no harm. In the first life, the second step lasts until the process dies."""
    with effect():
        if index == 1:
            await stand_until_death()
        await trio.sleep(0.001)
    return index


@task
async def drink() -> None:
    """Kill the process."""
    with effect():
        if present := crowd.get():
            present.arrive()
            await present.complete.wait()
        os.kill(os.getpid(), signal.SIGKILL)
        await trio.sleep_forever()


@task
async def ponder() -> None:
    """Take longer than it takes to count as healthy."""
    with effect():
        await stand_until_death()
        await trio.sleep(4 * HEALTHY_AFTER_S)


@workflow
async def healthy(ctx: Context) -> int:
    """Do a few tasks."""
    return sum([await ctx.run(step, index) for index in range(3)])


@workflow
async def poison(ctx: Context) -> None:
    """Record a task; then kill the process in every life."""
    await ctx.run(step, 0)
    await ctx.run(drink)


@workflow
async def thinker(ctx: Context) -> None:
    """Do nothing but one long task."""
    await ctx.run(ponder)


WORKFLOWS = (healthy, poison, thinker)


async def live(path: str, witness: str, process: int, ids: list[str], max_recoveries: int) -> None:
    """Start all of these in this order, and wait until each has ended or is parked."""
    logging.basicConfig(level=logging.CRITICAL)
    own = Pen(witness, process)
    pen.set(own)
    crowd.set(None if process else Crowd(len(ids)))
    config = RuntimeConfig(max_recoveries=max_recoveries, healthy_after=HEALTHY_AFTER_S)
    async with open_runtime(path, workflows=WORKFLOWS, config=config) as runtime:
        own.note(What.OPENED)
        for name, group in itertools.groupby(ids, lambda id: id.split("-")[0]):
            [declared] = [one for one in WORKFLOWS if one.name == name]
            async with trio.open_nursery() as nursery:
                for id in group:
                    nursery.start_soon(functools.partial(runtime.start, declared, id=id))
        for id in ids:
            handle = await runtime.get(id)
            try:
                result = str(await handle.result())
            except WorkflowQuarantinedError:
                result = "quarantined"
            own.note(What.FINISHED, id, text=result)


# -- its deaths -------------------------------------------------------------------------------------


@attrs.frozen
class Story:
    """What came of it."""

    deaths: int
    body: Body
    notes: list[Note]

    def ids(self, status: str) -> set[str]:
        """Return who is left with this status."""
        return {id for id, row in self.body.workflows.items() if row.status == status}


@pytest.fixture
def poisoned(lives, place, witness, table, log):
    """Have a crowd poisoned: let them live until nobody dies any more."""

    def run(names: list[str], max_recoveries: int = MAX_RECOVERIES) -> Story:
        ids = [f"{name}-{number:03}" for number, name in enumerate(names)]
        deaths, status = 0, KILLED
        while status == KILLED:
            one = lives.spawn(
                live,
                log,
                path=place,
                witness=witness,
                process=deaths,
                ids=ids,
                max_recoveries=max_recoveries,
            )
            status = one.wait(HANG_S)
            deaths += status == KILLED
            assert deaths <= 2 * bound(names.count("poison")), "it goes on dying"
        assert status == 0, one.said()
        notes, _ = read_notes(witness)
        return Story(deaths, examine(place, table), notes)

    return run


def check(story: Story, poisons: int) -> None:
    """Only the poison is parked, after few enough deaths; all others have completed."""
    everyone = set(story.body.workflows)
    assert story.body.damage == ()
    assert story.ids("quarantined") == {id for id in everyone if id.startswith("poison")}
    assert story.ids("completed") == {id for id in everyone if not id.startswith("poison")}
    killers = [(note.process, note.workflow) for note in story.notes if note.op == "drink"]
    assert story.deaths <= bound(poisons), killers
    assert {process for process, _ in killers} == set(range(story.deaths)), (
        "somebody else has killed the process"
    )


def test_a_poisonous_instance_among_300_is_parked_alone(poisoned, tell):
    """It kills its process a bounded number of times; the 300 others complete."""
    began = time.monotonic()
    story = poisoned(["healthy"] * 150 + ["poison"] + ["healthy"] * 150)
    check(story, 1)
    tell(f"{story.deaths} deaths of {bound(1)} allowed, {time.monotonic() - began:.1f} s in all")


def test_two_poisonous_instances_are_both_parked_alone(poisoned, tell):
    """One is found after the other; neither hides the other, nor behind it."""
    story = poisoned(["healthy"] * 20 + ["poison"] + ["healthy"] * 20 + ["poison", "healthy"])
    check(story, 2)
    tell(f"{story.deaths} deaths of {bound(2)} allowed")


def test_a_long_task_is_not_parked_for_the_crashes_of_another(poisoned, tell):
    """It records nothing before the process dies, in life after life, and is not blamed for it."""
    crowd = ["thinker", "healthy", "thinker", "poison", "thinker", "poison", "thinker"]
    story = poisoned(crowd)
    check(story, 2)
    tell(f"{story.deaths} deaths of {bound(2)} allowed")


def test_without_a_limit_it_would_go_on_dying(poisoned):
    """Control: it is the count of recoveries that ends it, and nothing else."""
    with pytest.raises(AssertionError, match="it goes on dying"):
        poisoned(["healthy", "poison"], max_recoveries=1_000)


def test_a_bystander_that_is_parked_would_be_noticed(poisoned):
    """Control: the check knows the innocent from the guilty."""
    story = poisoned(["healthy", "poison"])
    check(story, 1)
    row = attrs.evolve(story.body.workflows["healthy-000"], status="quarantined")
    story.body.workflows["healthy-000"] = row
    with pytest.raises(AssertionError):
        check(story, 1)
