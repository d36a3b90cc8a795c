"""Sell things through three services while being killed, also in the middle of a refund.

    python order_saga.py
    python order_saga.py --seed 7

An order reserves items, takes a payment, and ships: three services, each with a database of its
own. Some orders cannot be shipped, and then what was done is undone. No transaction spans the
three; what holds them together is a workflow that survives, with a rollback that survives, too.

The parent process is the outside world. It runs the services (``_saga_services.py``), and the bad
day (``_saga_trial.py``): the worker is really SIGKILLed, each time when a service has done
something and before the worker can know. In the end the books of the services are looked through.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import attrs
import trio
from _saga_orders import Line, Order, make_cases
from _saga_services import Payment, Shipping, Stock
from _saga_trial import Trial, WorkerFailedError, fill, judge, judge_ends, judge_ledger, say

from claw_actors import (
    Connection,
    Context,
    Retry,
    RuntimeConfig,
    TaskFailedError,
    WorkflowFailure,
    errors,
    open_runtime,
    task,
    task_info,
    workflow,
)

# -- tasks: one request each ------------------------------------------------------------------------


class RefusedError(Exception):
    """A service has said no."""


# A service that is busy or gone is asked again; one that has refused is not.
KEEP_ASKING = Retry(max_attempts=1_000, initial=0.05, maximum=1.0, give_up_on=(RefusedError,))
SERVICES: dict[str, str] = {}  # where they are, in this life of the worker


def ask(service: str, action: str, **request: object) -> str:
    """Ask a service for something.

    The key is the same when a task runs again, after a failure or in the next life of the process.
    So an effect that has happened, and whose answer was lost, does not happen twice.
    """
    http = urllib.request.Request(
        f"{SERVICES[service]}/{action}",
        json.dumps(request).encode(),
        {"Idempotency-Key": task_info().idempotency_key},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(http, timeout=10) as answer:
            return str(answer.read(), "ascii")
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 409:
                raise RefusedError(str(error.read(), "ascii")) from None
        raise


# Plain functions run in worker threads, where they may block.


@task(retry=KEEP_ASKING)
def reserve(line: Line) -> str:
    return ask("stock", "reserve", **attrs.asdict(line))


@task(retry=KEEP_ASKING)
def release(order: Order) -> str:
    return ask("stock", "release", order_id=order.id)


@task(retry=KEEP_ASKING)
def charge(order: Order) -> str:
    return ask("payment", "charge", order_id=order.id, customer=order.customer, coins=order.coins)


@task(retry=KEEP_ASKING)
def refund(order: Order) -> str:
    return ask("payment", "refund", order_id=order.id, customer=order.customer)


@task(retry=KEEP_ASKING)
def ship(order: Order) -> str:
    return ask("shipping", "ship", order_id=order.id, town=order.town)


@task(transactional=True)
def write_ledger(connection: Connection, order: Order) -> None:
    """Note the sale in the workflows' own database: exactly once, and no key is needed."""
    connection.execute("CREATE TABLE IF NOT EXISTS ledger (order_id TEXT, coins INTEGER)")
    connection.execute("INSERT INTO ledger VALUES (?, ?)", (order.id, order.coins))


# -- workflows --------------------------------------------------------------------------------------


class OrderRefused(WorkflowFailure):
    """The order comes to nothing, and that is nobody's mistake."""


@workflow
async def deliver(ctx: Context, order: Order) -> str:
    """Ship an order: a workflow of its own, with an id and a journal of its own."""
    try:
        return await ctx.run(ship, order)
    except TaskFailedError as failure:
        raise OrderRefused(failure.error.message) from failure


@workflow
async def place_order(ctx: Context, order: Order) -> str:
    # What undoes a thing is registered before the thing is done: if an answer never comes, it may
    # have happened all the same. To undo what has not happened does nothing.
    ctx.on_rollback(release, order)
    reserved = await ctx.map(reserve, order.lines, return_exceptions=True)
    for one in reserved:
        if isinstance(one, TaskFailedError):
            raise OrderRefused(one.error.message)
    ctx.on_rollback(refund, order)
    await ctx.run(charge, order)
    # If this fails, or anything above, the order fails; but first comes the refund, then the
    # release. Killed in between, the next life goes on in between.
    parcel = await ctx.run_child(deliver, order, id=f"{order.id}.parcel")
    await ctx.run(write_ledger, order)
    return parcel


async def work(directory: Path, seed: int) -> None:
    """One life of the worker: take orders, or go on with them. Every life runs these lines."""
    async with open_runtime(
        directory / "orders.db",
        workflows=[place_order, deliver],
        # By default an order that is recovered three times without getting on is suspected of
        # killing the process, and quarantined. Here we know who does it.
        config=RuntimeConfig(max_recoveries=1_000),
    ) as runtime:
        if recovered := runtime.recovery_report.recovered:
            say(f"restarted: {len(recovered)} workflows go on where they were")
        # `start` attaches to what is there already, so nothing here asks which life this is.
        handles = [
            await runtime.start(place_order, case.order, id=case.order.id)
            for case in make_cases(seed)
        ]
        for handle in handles:
            with contextlib.suppress(errors.WorkflowFailedError):
                await handle.result()


# -- the demonstration ------------------------------------------------------------------------------


def run_trial(directory: Path, seed: int) -> bool:
    """Take orders, killed on the way; look through the books. Returns whether everything held."""
    cases = make_cases(seed)
    trial = Trial(seed)
    say(f"{len(cases)} orders; the worker is to be killed {len(trial.left)} times")
    services = Stock(directory), Payment(directory), Shipping(directory)
    fill(cases, services)
    with contextlib.ExitStack() as until:
        urls = [until.enter_context(one.serve(trial.witness)) for one in services]
        trial.run([sys.executable, __file__, "work", str(directory), str(seed), *urls])
        ends = trio.run(judge_ends, directory / "orders.db", cases)
        ledger = judge_ledger(directory / "orders.db", cases)
        checks = [*trial.judge(services), ends, ledger, *judge(cases, services)]
    print()
    for check in checks:
        print(f"{'ok' if check.holds else 'BROKEN':7} {check.claim:48} {check.figures:>18}")
    return all(check.holds for check in checks)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Sell through three services while being killed.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses orders and kills")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="claw-saga-") as directory:
            return 0 if run_trial(Path(directory), options.seed) else 1
    except WorkerFailedError as error:
        print(f"order_saga.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", directory, seed, *urls]:
            SERVICES.update(zip(("stock", "payment", "shipping"), urls, strict=True))
            trio.run(work, Path(directory), int(seed))
        case _:
            sys.exit(main())
