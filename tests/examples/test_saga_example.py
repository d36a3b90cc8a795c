"""``order_saga.py`` holds what it promises, and what it checks can be broken."""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import trio

from claw_actors import Status, WorkflowState, open_storage

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(autouse=True)
def path_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples import what lies beside them, as they do when they are run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def saga() -> ModuleType:
    return importlib.import_module("order_saga")


@pytest.fixture
def trial() -> ModuleType:
    return importlib.import_module("_saga_trial")


def claims(checks) -> list[str]:
    """Return what does not hold."""
    return [check.claim for check in checks if not check.holds]


# -- a whole run ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_saga_that_is_killed_halfway_undone_loses_neither_coin_nor_item(tmp_path):
    """Five kills, two of them in a rollback; every order is shipped and paid, or undone."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "order_saga.py"), "--seed", "5"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    story, held = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert sum(line.startswith("SIGKILL") for line in story) == 5
    assert any(
        line.startswith("restarted: ") for line in story
    )  # some lives end before they say so
    assert sum(" shipped to " in line for line in story) == 7
    assert sum(" refunded" in line for line in story) == 3
    assert [line.split()[0] for line in held] == ["ok"] * len(held)


@pytest.mark.slow
def test_a_forged_line_in_the_books_of_a_whole_run_is_found_out(saga, monkeypatch, capsys):
    """Negative control: one charge too many in a log, and the status is 1."""
    judge = saga.judge

    def forge(cases, services):
        copy = "INSERT INTO log SELECT NULL, key || 'x', action, order_id, item, what, answer"
        services[1].change(f"{copy} FROM log WHERE action = 'charge' AND what = 'applied' LIMIT 1")
        return judge(cases, services)

    monkeypatch.setattr(saga, "judge", forge)
    assert saga.main(["--seed", "2"]) == 1
    said = capsys.readouterr().out.splitlines()
    [broken] = [line for line in said if line.startswith("BROKEN")]
    assert "payment has applied each thing once" in broken


# -- the checks are able to fail ----------------------------------------------------------------------


class World:
    """Services whose books are honest: every order was handled as it should be."""

    def __init__(self, trial: ModuleType, directory: Path) -> None:
        services = importlib.import_module("_saga_services")
        self.cases = importlib.import_module("_saga_orders").make_cases(3)
        self.services = [
            one(directory) for one in (services.Stock, services.Payment, services.Shipping)
        ]
        self.stock, self.payment, self.shipping = self.services
        trial.fill(self.cases, self.services)
        for case in self.cases:
            self._handle(case.order)

    def _handle(self, order) -> None:
        stocked = [
            self.ask(self.stock, "reserve", order.id, item=line.item, amount=line.amount)
            for line in order.lines
        ]
        payer = {"customer": order.customer}
        if not (
            stocked == [200, 200]
            and self.ask(self.payment, "charge", order.id, **payer, coins=order.coins) == 200
            and self.ask(self.shipping, "ship", order.id, town=order.town) == 200
        ):
            self.ask(self.payment, "refund", order.id, **payer)
            self.ask(self.stock, "release", order.id)

    def ask(self, service, action: str, order: str, **more: object) -> int:
        """Ask until the service is not busy; returns the status."""
        key = f"{order}/{action}/{more.get('item')}"
        while True:
            answer = service.answer(action, key, {"order_id": order, **more})
            if answer.status != 503:
                return answer.status

    def order(self, fate: str):
        return next(case.order for case in self.cases if case.fate == fate)

    def close(self) -> None:
        for service in self.services:
            service.database.close()


@pytest.fixture
def world(trial: ModuleType, tmp_path: Path) -> Iterator[World]:
    world = World(trial, tmp_path)
    yield world
    world.close()


def test_honest_books_pass(trial, world):
    """Orders handled one by one, by nobody who was ever killed."""
    assert claims(trial.judge(world.cases, world.services)) == []


def test_a_request_that_comes_again_is_answered_and_not_applied_again(trial, world):
    """With its key, a charge is made once and a refusal stays one, whatever has changed since."""
    order, poor = world.order("shipped"), world.order("no money")
    payer = {"customer": order.customer}
    assert world.ask(world.payment, "charge", order.id, **payer, coins=order.coins) == 200
    world.payment.change("UPDATE account SET coins = coins + 100 WHERE owner = ?", poor.customer)
    payer = {"customer": poor.customer}
    assert world.ask(world.payment, "charge", poor.id, **payer, coins=poor.coins) == 409
    world.payment.change("UPDATE account SET coins = coins - 100 WHERE owner = ?", poor.customer)
    assert claims(trial.judge(world.cases, world.services)) == []
    assert world.payment.number("SELECT count(*) FROM log WHERE what = 'repeated'") == 2


SHIPPED = "shipped orders: paid, and their items gone"
REFUSED = "refused orders: money and items are back"


@pytest.mark.parametrize(
    ("service", "sql", "broken"),
    [
        pytest.param(
            "payment",
            "UPDATE account SET coins = coins - 1 WHERE owner = 'shop'",
            ["no coin is lost or made", "the shop has earned what it shipped"],
            id="a coin was lost",
        ),
        pytest.param(
            "stock",
            "UPDATE shelf SET amount = amount + 1 WHERE item = 'lamps'",
            ["no item is lost or made"],
            id="an item was made",
        ),
        pytest.param(
            "stock",
            "UPDATE reserved SET amount = amount + 1 WHERE order_id = '{shipped}'",
            ["no item is lost or made", SHIPPED],
            id="more has left than was ordered",
        ),
        pytest.param(
            "payment",
            "INSERT INTO paid SELECT * FROM paid WHERE order_id = '{shipped}'",
            [SHIPPED],
            id="an order was paid twice",
        ),
        pytest.param(
            "shipping",
            "INSERT INTO parcel SELECT * FROM parcel WHERE order_id = '{shipped}'",
            [SHIPPED],
            id="two parcels went to one town",
        ),
        pytest.param(
            "shipping",
            "DELETE FROM parcel WHERE order_id = '{shipped}'",
            [SHIPPED],
            id="an order was paid and not shipped",
        ),
        pytest.param(
            "shipping",
            "INSERT INTO parcel VALUES ('{no road}', 'Thule')",
            [SHIPPED, REFUSED],
            id="an order was refunded and shipped all the same",
        ),
        pytest.param(
            "payment",
            "INSERT INTO paid VALUES ('{no road}', 7)",
            [SHIPPED, REFUSED],
            id="a payment was not refunded",
        ),
        pytest.param(
            "payment",
            "UPDATE account SET coins = coins + 3 * (owner = '{customer}') - 3 * (owner = 'shop')"
            " WHERE owner IN ('shop', '{customer}')",
            ["the shop has earned what it shipped", REFUSED],
            id="too much was refunded",
        ),
        pytest.param(
            "stock",
            "INSERT INTO reserved VALUES ('{no road}', 'lamps', 0)",
            [SHIPPED, REFUSED],
            id="a reservation was forgotten",
        ),
        pytest.param(
            "shipping",
            "INSERT INTO log SELECT NULL, 'new', action, order_id, item, what, answer FROM log"
            " WHERE what = 'applied' LIMIT 1",
            ["shipping has applied each thing once"],
            id="a parcel was sent twice",
        ),
    ],
)
def test_forged_books_are_found_out(trial, world, service, sql, broken):
    """Negative controls: each invariant is broken, and said to be."""
    fates = {case.fate: case.order.id for case in world.cases}
    sql = sql.format(**fates, customer=world.order("no road").customer)
    assert getattr(world, service).change(sql) > 0
    assert claims(trial.judge(world.cases, world.services)) == broken


def test_a_day_that_was_not_bad_enough_is_found_out(trial, world):
    """Negative controls: a kill that did not strike, none in a rollback, one that cut nothing off."""
    day = trial.Trial(seed=1)
    services = importlib.import_module("_saga_services")
    day.left = {"charge": 6}
    order = world.order("shipped").id
    day.kills = [services.Effect(f"{order}/ship/None", "ship", order, "shipped")]
    assert claims(day.judge(world.services)) == [
        "every SIGKILL has struck",
        "some have struck an order halfway undone",
        "what was cut off was asked again",
    ]


def test_a_ledger_that_has_a_sale_twice_is_found_out(trial, world, tmp_path):
    """Negative control: each sale once, and nothing else."""
    with contextlib.closing(
        sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
    ) as ledger:
        ledger.execute("CREATE TABLE ledger (order_id TEXT, coins INTEGER)")
        for case in world.cases:
            if case.fate == "shipped":
                row = (case.order.id, case.order.coins)
                ledger.execute("INSERT INTO ledger VALUES (?, ?)", row)
        assert trial.judge_ledger(tmp_path / "orders.db", world.cases).holds
        ledger.execute("INSERT INTO ledger SELECT * FROM ledger LIMIT 1")
        assert not trial.judge_ledger(tmp_path / "orders.db", world.cases).holds


@pytest.mark.parametrize(
    ("fate", "status", "holds"),
    [
        pytest.param("shipped", Status.COMPLETED, True, id="as it should be"),
        pytest.param("shipped", Status.QUARANTINED, False, id="an order is stuck"),
        pytest.param("shipped", Status.FAILED, False, id="a shipped order says that it failed"),
        pytest.param("no road", Status.COMPLETED, False, id="a refused order says that it is done"),
    ],
)
def test_an_order_that_says_something_else_is_found_out(trial, tmp_path, fate, status, holds):
    """Negative controls: what each workflow says is held against what must become of it."""
    cases = importlib.import_module("_saga_orders").make_cases(3)
    said = {
        case.order.id: Status.COMPLETED if case.fate == "shipped" else Status.FAILED
        for case in cases
    }
    said[next(case.order.id for case in cases if case.fate == fate)] = status

    async def store_and_judge():
        async with open_storage(tmp_path / "orders.db") as storage:
            for id, told in said.items():
                state = WorkflowState(id=id, name="place_order", status=told)
                await storage.create_workflow(state)
        return await trial.judge_ends(tmp_path / "orders.db", cases)

    assert trio.run(store_and_judge).holds is holds


def test_every_seed_has_the_same_fates_and_kills_that_can_strike(trial):
    """Whatever the seed: the stock suffices, and no kill waits for what never comes."""
    make_cases = importlib.import_module("_saga_orders").make_cases
    for seed in range(200):
        cases = make_cases(seed)
        fates = [case.fate for case in cases]
        assert sorted(fates) == sorted(["shipped"] * 7 + ["no road"] * 3 + ["sold out", "no money"])
        lines = [line for case in cases for line in case.order.lines]
        assert sum(line.amount for line in lines if line.amount < 1_000) < 100
        left = trial.Trial(seed).left
        assert left == trial.Trial(seed).left
        # What is applied at least once it has begun: 2 lines for each order but one, and so on.
        comes = {"reserve": 23, "charge": 10, "ship": 7, "refund": 3, "release": 5}
        assert all(1 <= left[action] <= times for action, times in comes.items())
    assert len({tuple(trial.Trial(seed).left.values()) for seed in range(200)}) > 100
