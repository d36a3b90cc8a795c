"""``claw start``, through the owner's socket, and where nobody owns the database."""

from __future__ import annotations

import json
import textwrap
import time

import pytest

APP = """
    from claw_actors import Context, workflow

    @workflow
    async def add(ctx: Context, one: int, *others: int) -> int:
        return one + sum(others)
"""


def test_without_an_owner_it_says_who_could_do_it(claw):
    """One line; nothing is stored."""
    said = claw("start", "ship", '"anvil"', "--id", "new", code=1).stderr
    assert said.startswith("claw: workflow 'ship' cannot be started: no program owns claw.db, and ")
    assert said.endswith("start it first, as with `claw run`\n")
    claw("show", "new", code=3)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("ship", "anvil"), "'anvil' is no JSON"),
        (("ship", "--metadata", "x"), "'x' is not KEY=VALUE"),
        (("ship", "--on-existing", "perhaps"), "'perhaps' is not one of"),
        (("ship", "--id", "no id"), "no id"),
    ],
)
def test_what_is_not_possible_is_refused_before_anybody_is_asked(claw, arguments, why):
    """It was called wrongly."""
    assert why in claw("start", *arguments, code=2).stderr


def test_the_owner_starts_what_the_command_names(claw, commands, place):
    """Two processes: a number below zero is no option, and the id alone is on stdout."""
    place.with_name("app.py").write_text(textwrap.dedent(APP))
    said = iter(range(100))

    def spawn(*arguments: str):
        says = place.with_name(f"said-{next(said)}")
        return commands.spawn(*arguments, directory=place.parent, says=says)

    def start(*arguments: str) -> tuple[int, str, str]:
        process = spawn("start", *arguments)
        return process.wait(), process.out.read_text(), process.err.read_text()

    owner = spawn("run", "app:add")
    try:
        while "running" not in owner.out.read_text():
            assert owner.is_alive(), owner.err.read_text()
            time.sleep(0.01)
        assert claw("start", "add", "40", "-1", "3", "--id", "sum").stdout == "sum\n"
        assert spawn("watch", "sum", "--timeout", "60").wait() == 0
        code, out, _ = start("add", "1", "--json")
        assert (code, json.loads(out)["done"]) == (0, "started")
        code, out, err = start("subtract", "1")
        assert (code, out) == (1, "")
        assert err.startswith("claw: workflow subtract is not registered (registered: add@1)")
        code, out, err = start("add", '"one"')
        assert (code, out) == (2, "")
        assert err.startswith("claw: add cannot be called with these arguments: ")
        shown = spawn("show", "sum", "--json")
        assert (shown.wait(), json.loads(shown.out.read_text())["result"]) == (0, 42)
    finally:
        owner.kill()
