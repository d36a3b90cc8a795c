"""What is ordered in ``order_saga.py``, and what must become of it."""

from __future__ import annotations

import random

import attrs

ITEMS, TOWNS = ("lamps", "chairs", "clocks"), ("Bath", "Ely", "York")
SHELF = 100  # of each item: enough for all orders that make sense

FATES = [*["shipped"] * 7, *["no road"] * 3, "sold out", "no money"]


@attrs.frozen
class Line:
    order_id: str
    item: str
    amount: int


@attrs.frozen
class Order:
    id: str
    customer: str
    town: str
    coins: int
    lines: tuple[Line, ...]


@attrs.frozen
class Case:
    """An order, what the customer owns, and how it must end. The workflow sees the order only."""

    order: Order
    purse: int
    fate: str


def make_cases(seed: int) -> list[Case]:
    """Return the cases of a seed: it decides who orders what, and which orders must fail."""
    dice = random.Random(seed)
    cases: list[Case] = []
    for n, fate in enumerate(dice.sample(FATES, len(FATES)), 1):
        id, coins = f"order-{n:02}", dice.randint(10, 99)
        lines = [Line(id, item, dice.randint(1, 5)) for item in dice.sample(ITEMS, 2)]
        if fate == "sold out":
            lines[1] = attrs.evolve(lines[1], amount=1_000)
        town = "Thule" if fate == "no road" else dice.choice(TOWNS)
        purse = coins - 1 if fate == "no money" else coins + dice.randint(0, 50)
        cases.append(Case(Order(id, f"customer-{n:02}", town, coins, tuple(lines)), purse, fate))
    return cases
