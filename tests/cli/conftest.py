"""What the tests of the command line share: one database, and three ways to run a command on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from claw_actors import (
    Context,
    Restart,
    Retry,
    RuntimeConfig,
    Status,
    errors,
    open_runtime,
    task,
    workflow,
)
from claw_actors.cli.program import program

ROOT = Path(__file__).parents[2]


@task
async def weigh(item: str) -> int:
    return len(item)


@task(retry=Retry(max_attempts=1))
async def lift(item: str) -> int:
    raise ValueError(f"{item} is\ntoo heavy\x1b[31m")


@workflow
async def ship(ctx: Context, item: str) -> dict[str, int]:
    ctx.set_value("stage", "weighing")
    weight = await ctx.run(weigh, item)
    ctx.set_value("grams", weight)
    return {"grams": weight}


@workflow
async def hoist(ctx: Context, item: str) -> int:
    ctx.set_value("note", "\x9b31m\u202e\nred")
    return await ctx.run(lift, item)


@workflow
async def approve(ctx: Context) -> bool:
    await ctx.run(weigh, "paper")
    ctx.set_value("asked", True)
    return await ctx.receive("approval", bool)


@workflow(restart=Restart(max_restarts=0))
async def poison(ctx: Context) -> None:
    raise RuntimeError("a bug")


async def _prepare(path: Path) -> None:
    """Fill a database with one workflow in each state that matters."""
    config = RuntimeConfig(control=False, idle_after=0)
    workflows = [ship, hoist, approve, poison]
    async with open_runtime(path, workflows=workflows, config=config) as runtime:
        first = await runtime.start(ship, "anvil", id="done", metadata={"tenant": "a"})
        await first.result()
        failed = await runtime.start(hoist, "anvil", id="failed", description="too much")
        with pytest.raises(errors.WorkflowFailedError):
            await failed.result()
        bad = await runtime.start(poison, id="poisoned")
        waiting = await runtime.start(approve, id="waiting", metadata={"tenant": "a", "to": "b"})
        paused = await runtime.start(approve, id="paused")
        with pytest.raises(errors.WorkflowQuarantinedError):
            await bad.result()
        while await waiting.status() is not Status.WAITING:  # noqa: ASYNC110 -- another's state
            await trio.sleep(0.01)
        await paused.wait_value("asked", bool)
        await paused.pause("the printer is on fire")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A directory with a database, closed; not to be changed."""
    directory = tmp_path_factory.mktemp("prepared")
    trio.run(_prepare, directory / "claw.db")
    return directory


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A copy of that database, in the working directory."""
    directory = tmp_path / "here"
    shutil.copytree(prepared, directory)
    monkeypatch.chdir(directory)
    for name in [name for name in os.environ if name.startswith("CLAW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLAW_STORAGE_TYPE", "sqlite")
    return directory / "claw.db"


@pytest.fixture
def claw(place):
    """Run a command in this process, and return what it says."""

    def run(*arguments: object, code: int = 0):
        done = CliRunner().invoke(program, [*map(str, arguments)], prog_name="claw")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def claw_json(claw):
    """Run a command with ``--json``, and return the records that it prints."""

    def run(*arguments: object, code: int = 0):
        return [
            json.loads(line) for line in claw(*arguments, "--json", code=code).stdout.splitlines()
        ]

    return run


def spawn(*arguments: str) -> subprocess.Popen[str]:
    """Run the command in a process of its own, as a shell does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "claw_actors", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture
def process(commands, place):
    """Run a command in a process of its own; return its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        ended = commands.spawn(*arguments, directory=place.parent, says=place.with_name("said"))
        return ended.wait(), ended.out.read_text(), ended.err.read_text()

    return run
