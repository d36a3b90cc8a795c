"""The workload of the kill test: six kinds of workflows, and what each must come to.

Nothing here waits for long, so that a random moment falls into every kind of step: into bodies,
into commits, into sleeps and parking, into back-offs, into respawns.
"""

from __future__ import annotations

import json
import random
import time
import zlib

import trio
import trio.lowlevel

from claw_actors import (
    Context,
    Restart,
    Retry,
    TaskFailedError,
    WorkflowFailure,
    task,
    task_info,
    workflow,
)

from .ledger import Plan
from .witness import effect

CHAIN = 12
SHORT = 4
CRASH_CHANCE = 0.3
LONGEST_BODY_S = 0.002
SLEEP_S = 0.02
FLAKY = Retry(max_attempts=4, initial=0.002, maximum=0.005)
HOPELESS = Retry(max_attempts=3, initial=0.002, maximum=0.005)
# The crashes are part of the exercise: they must never use up the budget.
TIRELESS = Restart(max_restarts=100_000, initial=0.001, maximum=0.01)


def worth(workflow_id: str, index: int) -> int:
    """Return what a step of a workflow is worth: anything, but always the same."""
    return zlib.crc32(f"{workflow_id}/{index}".encode()) % 1_000


@task
async def step(index: int) -> int:
    """Do something short."""
    with effect():
        await trio.sleep(random.uniform(0, LONGEST_BODY_S))
    return worth(task_info().workflow_id, index)


@task
def thread_step(index: int) -> int:
    """Do something short in a worker thread."""
    with effect():
        time.sleep(random.uniform(0, LONGEST_BODY_S))
    return worth(task_info().workflow_id, index)


@task(retry=FLAKY)
async def flaky(index: int) -> int:
    """Fail twice, then succeed: the attempts outlive the process."""
    with effect():
        await trio.sleep(random.uniform(0, LONGEST_BODY_S))
    if task_info().attempt <= 2:
        raise ConnectionError("not yet")
    return worth(task_info().workflow_id, index)


@task(retry=HOPELESS)
async def hopeless() -> None:
    """Fail, whatever is done."""
    with effect():
        await trio.lowlevel.checkpoint()
    raise ConnectionError("never")


@workflow
async def chain(ctx: Context) -> int:
    """Do many short tasks, one after the other."""
    return sum([await ctx.run(step, index) for index in range(CHAIN)])


@workflow
async def stubborn(ctx: Context) -> list[int]:
    """Do tasks that have to be repeated, and one that is given up."""
    total = sum([await ctx.run(flaky, index) for index in range(SHORT)])
    try:
        await ctx.run(hopeless)
    except TaskFailedError as error:
        return [total, error.attempts]
    raise AssertionError("the hopeless task has succeeded")


@workflow
async def sleeper(ctx: Context) -> int:
    """Sleep between tasks, long enough to be stored as waiting."""
    total = 0
    for index in range(SHORT):
        total += await ctx.run(step, index)
        await ctx.sleep(SLEEP_S)
    return total


@workflow
async def threaded(ctx: Context) -> int:
    """Do tasks in worker threads."""
    return sum([await ctx.run(thread_step, index) for index in range(SHORT)])


@workflow(restart=TIRELESS)
async def crasher(ctx: Context) -> int:
    """Crash here and there, by a defect that comes and goes."""
    total = 0
    for index in range(SHORT):
        total += await ctx.run(step, index)
        if random.random() < CRASH_CHANCE:
            raise RuntimeError("a defect that comes and goes")
    return total


@workflow
async def failing(ctx: Context) -> int:
    """Do something, and fail on purpose."""
    await ctx.run(step, 0)
    raise WorkflowFailure("as agreed")


WORKFLOWS = (chain, stubborn, sleeper, threaded, crasher, failing)
COPIES = 2
FAILED = "failed"


def ids_of(batch: int) -> list[str]:
    """Return the ids of a batch of instances; each begins with its workflow's name."""
    return [f"{workflow.name}-{batch}-{copy}" for workflow in WORKFLOWS for copy in range(COPIES)]


def plan_of(id: str) -> Plan:
    """Say what the instance of this id does, and comes to, if nothing disturbs it."""
    total = sum(worth(id, index) for index in range(SHORT))
    match id.split("-", maxsplit=1)[0]:
        case "chain":
            return Plan(times("step", CHAIN), text(sum(worth(id, i) for i in range(CHAIN))))
        case "stubborn":
            attempts = dict.fromkeys(times("flaky", SHORT), 3)
            attempts["hopeless"] = HOPELESS.max_attempts
            return Plan((*times("flaky", SHORT), "hopeless"), text([total, 3]), attempts)
        case "sleeper":
            pairs = zip(times("step", SHORT), times("sleep", SHORT), strict=True)
            return Plan(tuple(op for pair in pairs for op in pair), text(total))
        case "threaded":
            return Plan(times("thread_step", SHORT), text(total))
        case "crasher":
            return Plan(times("step", SHORT), text(total))
        case "failing":
            return Plan(("step",), FAILED)
        case other:
            raise AssertionError(other)


def times(name: str, count: int) -> tuple[str, ...]:
    """Return the ids of operations of the same name."""
    return (name, *(f"{name}#{number}" for number in range(2, count + 1)))


def text(result: object) -> str:
    """Return a result as the witness notes it, and as it is stored."""
    return json.dumps(result, separators=(",", ":"))
