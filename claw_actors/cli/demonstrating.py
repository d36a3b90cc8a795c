"""``claw demo``: a program is killed in the middle of its work, and goes on where it was.

The program is this very module, run by ``claw run`` in a process of its own. It writes a line to a
file for each cup that it brews. Whoever judges reads that file, and does not ask the program.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import trio

from .. import Client, Context, Runtime, Workflow, task, workflow
from .desk import Desk
from .exits import Exit
from .output import printable, tell

__all__ = ["COMMANDS", "find_broken", "serve", "workflows"]

CUPS: Final = 6
KILLED_AT: Final = 3
PATIENCE_S: Final = 30.0
POLL_S: Final = 0.02

ID: Final = "breakfast"
DATABASE: Final = "demo.db"
CUPS_FILE: Final = "cups.log"
WORKER_FILE: Final = "worker.log"


@task
def brew(cup: int) -> str:
    """Brew a cup, which the outside world can see."""
    with Path(CUPS_FILE).open("a") as file:
        file.write(f"{cup}\n")
    return f"cup {cup}"


@workflow
async def breakfast(ctx: Context, cups: int) -> list[str]:
    """Brew cups, one after the other."""
    served: list[str] = []
    for cup in range(1, cups + 1):
        served.append(await ctx.run(brew, cup))
        await ctx.sleep(0.2)
    return served


workflows: list[Workflow[[int], list[str]]] = [breakfast]


async def serve(runtime: Runtime) -> None:
    """Start the workflow; at the second start it is there already."""
    await runtime.start(breakfast, CUPS, id=ID)


class _Trouble(Exception):
    """The program did not do what it should; the message says what."""


@click.command()
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Leave the database there, to be looked at; the directory must be empty or new.",
)
def demo(keep: Path | None) -> None:
    """See a workflow survive a kill: some seconds, in a directory of its own."""
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"{keep} is not empty")
    with ExitStack() as stack:
        if keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="claw-demo-")))
        else:
            keep.mkdir(parents=True, exist_ok=True)
            directory = keep
        try:
            is_well = _perform(directory)
        except _Trouble as trouble:
            tell(f"claw: the demo has failed: {printable(str(trouble))}")
            is_well = False
    if keep is not None:
        click.echo(f"look around: claw export {ID} --format timeline --db {keep / DATABASE}")
    if not is_well:
        raise click.exceptions.Exit(Exit.FAILED)


def _perform(directory: Path) -> bool:
    click.echo(f"a program brews {CUPS} cups, each in a durable task, in {directory}")
    worker = _start(directory)
    try:
        _wait_for_cups(directory, worker, KILLED_AT)
    finally:
        worker.kill()  # SIGKILL: it can do nothing about it
        worker.wait()
    brewed = _cups(directory)
    desk = Desk(path=str(directory / DATABASE), as_json=False)
    recorded = desk.ask(_recorded)
    click.echo(f"process {worker.pid} is killed: {len(brewed)} cups brewed, {recorded} recorded")
    worker = _start(directory)
    click.echo(f"process {worker.pid} is started on the same database, and is told nothing")
    try:
        _wait_for_cups(directory, worker, CUPS)
        served = desk.ask(_result)
    finally:
        worker.terminate()
        worker.wait()
    again = _cups(directory)[len(brewed) :]
    click.echo(
        f"it brewed {', '.join(f'cup {cup}' for cup in again)}, and served {len(served)} cups"
    )
    return judge(_cups(directory), recorded)


def judge(brewed: Sequence[int], recorded: int) -> bool:
    """Say whether the promises were kept, and return it; see :func:`find_broken`."""
    broken = find_broken(brewed, recorded)
    for what in broken:
        click.echo(f"BROKEN  {what}")
    if not broken:
        click.echo("ok      every cup was brewed, and none again whose task was recorded")
    return not broken


def find_broken(brewed: Sequence[int], recorded: int) -> list[str]:
    """Say which promises were not kept.

    Args:
        brewed: the cups, in the order in which they were brewed.
        recorded: how many tasks were recorded when the program was killed; they are the first.
    """
    times = Counter(brewed)
    broken = [f"cup {cup} was never brewed" for cup in range(1, CUPS + 1) if not times[cup]]
    for cup, count in sorted(times.items()):
        if count > (1 if cup <= recorded else 2):
            broken.append(f"cup {cup} was brewed {count} times")
    return broken


def _start(directory: Path) -> subprocess.Popen[bytes]:
    with (directory / WORKER_FILE).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 -- this very Python, and nothing that was given
            _command(), cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _command() -> list[str]:
    here = f"{__package__}.demonstrating"
    run = ("run", f"{here}:workflows", "--serve", f"{here}:serve", "--db", DATABASE)
    return [sys.executable, "-m", "claw_actors", *run, "--log-level", "WARNING"]


def _wait_for_cups(directory: Path, worker: subprocess.Popen[bytes], count: int) -> None:
    """Wait until there are so many different cups.

    Raises:
        _Trouble: the program has ended, or it takes too long.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while len(set(_cups(directory))) < count:
        if worker.poll() is not None:
            said = (directory / WORKER_FILE).read_text(errors="replace")
            raise _Trouble(f"the program ended with {worker.returncode}: {said.strip()[-500:]}")
        if time.monotonic() > give_up_at:
            raise _Trouble(f"there were no {count} cups within {PATIENCE_S:g} s")
        time.sleep(POLL_S)


def _cups(directory: Path) -> list[int]:
    try:
        lines = (directory / CUPS_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [int(line) for line in lines]


async def _recorded(client: Client) -> int:
    return sum(one.status == "completed" for one in await client.tasks(ID))


async def _result(client: Client) -> list[str]:
    with trio.fail_after(PATIENCE_S):
        result = await client.result(ID)
    assert isinstance(result, list)
    return [str(cup) for cup in result]


COMMANDS: Final[tuple[click.Command, ...]] = (demo,)
