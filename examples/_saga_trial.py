"""The bad day of ``order_saga.py``: kills its worker at the worst moments, and judges what is left.

A service tells the trial about each effect when it is in the service's database and the answer is
not yet sent. A kill strikes there: the thing has happened, and nobody is left who knows.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import attrs
from _saga_orders import ITEMS, SHELF, TOWNS, Case
from _saga_services import Effect, Payment, Service, Shipping, Stock

from claw_actors import Status, WorkflowFilter, open_storage

PATIENCE_S = 120  # with each life of the worker; it takes a second
Services: TypeAlias = tuple[Stock, Payment, Shipping]


@attrs.frozen
class Check:
    """Something that must hold, whether it does, and the figures."""

    claim: str
    holds: bool
    figures: str


def say(text: str) -> None:
    """Print a line in one piece: two processes write to the same output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class WorkerFailedError(Exception):
    """The worker ended by itself, and not as it should."""


class Trial:
    """Runs the worker through its lives.

    Attributes:
        left: which occurrence of an action is yet to be answered with a SIGKILL.
        kills: at which effects it has struck.
    """

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.left = {
            "reserve": dice.randint(2, 6),
            "charge": dice.randint(2, 6),
            "ship": dice.randint(2, 5),
            # In the middle of undoing an order, and not only once.
            "refund": dice.randint(1, 2),
            "release": dice.randint(1, 3),
        }
        self.kills: list[Effect] = []
        self._seen: Counter[str] = Counter()
        self._one_at_a_time = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None

    def witness(self, effect: Effect) -> None:
        """Take note of an effect; if it is time, kill the one that waits for the answer."""
        with self._one_at_a_time:
            say(f"  {effect.order_id}: {effect.answer}")
            self._seen[effect.action] += not effect.is_empty
            if not effect.is_empty and self._seen[effect.action] == self.left.get(effect.action):
                del self.left[effect.action]
                self.kills.append(effect)
                assert self._worker is not None
                self._worker.kill()
                self._worker.wait()
                say(f"SIGKILL {len(self.kills)}, before the worker knows of this")

    def run(self, command: Sequence[str]) -> None:
        """Start the worker, again and again, until it ends by itself.

        Raises:
            WorkerFailedError: it ended by itself, and not as it should.
        """
        status, lives = -signal.SIGKILL, 0
        while status == -signal.SIGKILL and lives <= len(self.kills):
            lives += 1
            with self._one_at_a_time:
                self._worker = subprocess.Popen(command)
            try:
                status = self._worker.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                raise WorkerFailedError(f"nothing for {PATIENCE_S} s") from None
            finally:
                self._worker.kill()
                self._worker.wait()
        if status:
            raise WorkerFailedError(f"the worker ended by itself, status {status}")

    def judge(self, services: Sequence[Service]) -> list[Check]:
        """Check that the day was as bad as it was meant to be."""
        struck = len(self.kills)
        halfway = [one for one in self.kills if one.action in {"refund", "release"}]
        again = [one for one in self.kills if any(came_again(service, one) for service in services)]
        return [
            Check(
                "every SIGKILL has struck", not self.left, f"{struck} of {struck + len(self.left)}"
            ),
            Check("some have struck an order halfway undone", bool(halfway), f"{len(halfway)}"),
            Check("what was cut off was asked again", again == self.kills, f"{len(again)}"),
        ]


async def judge_ends(database: Path, cases: Sequence[Case]) -> Check:
    """Check that every order has ended, and has been told what has become of it."""
    async with open_storage(database) as storage:
        page = await storage.list_workflows(WorkflowFilter(name="place_order", limit=1_000))
    told = {state.id: state.status for state in page.items}
    meant = {
        case.order.id: Status.COMPLETED if case.fate == "shipped" else Status.FAILED
        for case in cases
    }
    ended = [id for id, status in told.items() if status.is_terminal]
    return Check(
        "every order has ended, and says so", told == meant, f"{len(ended)} of {len(cases)}"
    )


def judge_ledger(database: Path, cases: Sequence[Case]) -> Check:
    """Check that the shop's own ledger, beside the workflows, has each sale once."""
    meant = [(case.order.id, case.order.coins) for case in cases if case.fate == "shipped"]
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT order_id, coins FROM ledger ORDER BY order_id").fetchall()
    return Check("the ledger has each sale once", rows == meant, f"{len(rows)} of {len(meant)}")


# -- the books of the services ------------------------------------------------------------------------


def came_again(service: Service, effect: Effect) -> bool:
    """Tell whether a request that had been applied was made again, with its key."""
    query = "SELECT count(*) FROM log WHERE key = ? AND what = 'repeated'"
    return service.number(query, effect.key) > 0


def fill(cases: Sequence[Case], services: Services) -> None:
    """Write what there is before the first order."""
    stock, payment, shipping = services
    for item in ITEMS:
        stock.change("INSERT INTO shelf VALUES (?, ?)", item, SHELF)
    for town in TOWNS:
        shipping.change("INSERT INTO road VALUES (?)", town)
    payment.change("INSERT INTO account VALUES ('shop', 0)")
    for case in cases:
        payment.change("INSERT INTO account VALUES (?, ?)", case.order.customer, case.purse)


def judge(cases: Sequence[Case], services: Services) -> list[Check]:
    """Look through the books, and at nothing else."""
    stock, payment, shipping = services
    accounts = dict(payment.rows("SELECT owner, coins FROM account"))
    shelf = dict(stock.rows("SELECT item, amount FROM shelf"))
    # Lists, not sets: what is there twice was done twice.
    reserved = sorted(stock.rows("SELECT order_id, item, amount FROM reserved"))
    paid = sorted(payment.rows("SELECT order_id, coins FROM paid"))
    parcels = sorted(shipping.rows("SELECT order_id, town FROM parcel"))

    good = [case.order for case in cases if case.fate == "shipped"]
    bad = [case for case in cases if case.fate != "shipped"]
    whole = (
        parcels == [(order.id, order.town) for order in good]
        and paid == [(order.id, order.coins) for order in good]
        and reserved == sorted(attrs.astuple(line) for order in good for line in order.lines)
    )
    touched = {row[0] for row in (*parcels, *paid, *reserved)}
    undone = [
        case
        for case in bad
        if case.order.id not in touched and accounts[case.order.customer] == case.purse
    ]
    coins, owned = sum(accounts.values()), sum(case.purse for case in cases)
    items = sum(shelf.values()) + sum(amount for _, _, amount in reserved)
    earned = sum(order.coins for order in good)
    return [
        Check("no coin is lost or made", coins == owned, f"{coins} of {owned}"),
        Check(
            "no item is lost or made",
            items == SHELF * len(ITEMS),
            f"{items} of {SHELF * len(ITEMS)}",
        ),
        Check(
            "the shop has earned what it shipped", accounts["shop"] == earned, f"{accounts['shop']}"
        ),
        Check(
            "shipped orders: paid, and their items gone", whole, f"{len(parcels)} of {len(good)}"
        ),
        Check(
            "refused orders: money and items are back",
            undone == bad,
            f"{len(undone)} of {len(bad)}",
        ),
        *(judge_log(service) for service in services),
    ]


def judge_log(service: Service) -> Check:
    """Check that nothing was applied twice, by what the service has written down."""
    counts = service.rows(
        "SELECT count(*) FROM log WHERE what = 'applied' GROUP BY action, order_id, item"
    )
    again = service.number("SELECT count(*) FROM log WHERE what = 'repeated'")
    return Check(
        f"{service.name} has applied each thing once",
        all(count == 1 for [count] in counts),
        f"{len(counts)}, {again} asked again",
    )
