"""``claw list`` on very many workflows: what it takes, beside what starting Python takes anyway.

Processor time is measured, not the clock on the wall, and in turns: on a busy machine all grow.
Noise only adds, so of a few tries the best counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from claw_actors import Status, WorkflowState, open_storage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IS_LONG = os.environ.get("CLAW_TORTURE") == "long"

WORKFLOWS = 100_000 if IS_LONG else 20_000
FEW = 100
AT_ONCE = 1_000
TRIES = 3

LIST_S = 0.5
LIBRARIES = "import attrs, cattrs, click, trio"
"""What any program of this kind imports."""


async def fill(place: Path, count: int) -> None:
    """Store workflows, in transactions of many."""
    statuses = list(Status)
    async with open_storage(place) as storage:
        for first in range(0, count, AT_ONCE):
            async with storage.transaction() as transaction:
                for number in range(first, min(first + AT_ONCE, count)):
                    transaction.create_workflow(
                        WorkflowState(
                            id=f"order-{number}",
                            name=f"checkout-{number % 7}",
                            status=statuses[number % len(statuses)],
                            input=[{"order": number}],
                            metadata={"tenant": f"t{number % 9}"},
                        )
                    )


def cpu_s(*arguments: str) -> tuple[float, str]:
    """Run Python, and return the processor time that it took and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = os.times()
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=True, text=True, env=environment
    )
    after = os.times()
    took_s = after.children_user + after.children_system
    return took_s - before.children_user - before.children_system, done.stdout


def test_a_list_of_very_many_takes_hardly_longer_than_one_of_few(tmp_path, tell):
    """Under half a second for a page, by status and label, too.

    On a machine that is so busy that the libraries alone take as long, a small multiple of that.
    """
    many, few = tmp_path / "many.db", tmp_path / "few.db"
    trio.run(fill, many, WORKFLOWS)
    trio.run(fill, few, FEW)
    ways = {
        "libraries": ("-c", LIBRARIES),
        "few": ("-m", "claw_actors", "list", "--db", str(few)),
        "many": ("-m", "claw_actors", "list", "--db", str(many)),
        "filtered": (
            *("-m", "claw_actors", "list", "--db", str(many)),
            *("--status", "waiting", "--metadata", "tenant=t7", "--total"),
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TRIES):
        for name, arguments in ways.items():
            took_s, printed = cpu_s(*arguments)
            times[name].append(took_s)
            assert name == "libraries" or len(printed.splitlines()) == 1 + FEW, printed
    best = {name: min(some) for name, some in times.items()}
    tell(", ".join(f"{name} {took_s:.2f} s" for name, took_s in best.items()))
    for name in ("many", "filtered"):
        assert best[name] < 1.5 * best["few"]
        assert best[name] < max(LIST_S, 4 * best["libraries"])
