"""``claw run``: the main program of those who need no other one."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, cast

import attrs
import click
import trio

from .. import Config, RecoveryReport, Workflow, open_runtime, stop_on_signals
from ..errors import DefinitionError
from .desk import answer_option, place_options, settings
from .exits import Exit
from .output import plain, print_json, printable, tell

__all__ = ["COMMANDS", "find_workflows"]

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

MOST_NAMED: Final = 20
"""Of more workflows, people want to know how many."""

AnyWorkflow: TypeAlias = Workflow[..., object]


def find_workflows(target: str) -> list[AnyWorkflow]:
    """Import what ``MODULE:NAME`` names: a workflow, some of them, or a function that returns them.

    Raises:
        DefinitionError: there is no such module or name, or it is something else.
        click.exceptions.Exit: its code has raised; that was told.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name or module_name.startswith("."):
        raise DefinitionError(f"{target!r} is not MODULE:NAME, such as app:workflows")
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_of(error.name, module_name):
            raise DefinitionError(f"there is no module {error.name!r}") from error
        raise _told(target, error) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise DefinitionError(f"there is no {name!r} in the module {module_name!r}")
        found = getattr(found, part)
    return _workflows_of(target, found)


def _is_of(missing: str | None, module_name: str) -> bool:
    """Tell whether it is the module itself that is missing, not what it imports."""
    return missing is not None and f"{module_name}.".startswith(f"{missing}.")


def _workflows_of(target: str, found: object) -> list[AnyWorkflow]:
    if callable(found) and not isinstance(found, Workflow):
        try:
            found = found()
        except Exception as error:
            raise _told(target, error) from error
    if isinstance(found, Workflow):
        return [cast("AnyWorkflow", found)]
    if isinstance(found, Iterable):
        several = list(cast("Iterable[object]", found))
        if all(isinstance(one, Workflow) for one in several):
            return cast("list[AnyWorkflow]", several)
    raise DefinitionError(
        f"{target} is neither a workflow, nor a list of them, nor a function that returns one"
    )


def _told(target: str, error: Exception) -> click.exceptions.Exit:
    """Say on one line what somebody's code has raised, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
    tell(f"claw: {target} cannot be loaded: {printable(text)}")
    return click.exceptions.Exit(Exit.FAILED)


@click.command()
@click.argument("target", metavar="MODULE:NAME")
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="What is logged on stderr.",
)
@place_options
@answer_option
def run(*, target: str, log_level: str, db: str | None, config: str | None, as_json: bool) -> None:
    """Run workflows until SIGTERM or SIGINT: recover what is unfinished, and go on.

    MODULE:NAME is imported, also from the working directory. It is a list of workflows, or a
    function that returns one.

    The first signal gives running tasks the grace to end and be recorded; the second skips what is
    left of it. Whatever is unfinished goes on at the next start.
    """
    chosen = settings(db, config)
    logging.basicConfig(level=log_level.upper(), format=LOG_FORMAT)
    sys.path.insert(0, str(Path.cwd()))
    workflows = find_workflows(target)
    trio.run(partial(_run, chosen, workflows, as_json=as_json))


async def _run(config: Config, workflows: list[AnyWorkflow], *, as_json: bool) -> None:
    storage = config.storage
    where = "memory" if storage.type == "memory" else storage.sqlite.path
    if storage.type == "memory":
        tell("claw: workflows are kept in memory, and forgotten with this process")
    async with (
        open_runtime(storage.backend(), workflows=workflows, config=config.runtime) as runtime,
        stop_on_signals(runtime),
    ):
        report = runtime.recovery_report
        if as_json:
            print_json({"storage": where, "recovery": plain(report)})
        else:
            _show_recovered(where, report)
        await trio.sleep_forever()
    tell(f"claw: {where} is closed")


def _show_recovered(where: str, report: RecoveryReport) -> None:
    click.echo(f"running {where}")
    for kind, ids in attrs.asdict(report, recurse=False).items():
        if not ids:
            continue
        named = f": {', '.join(map(printable, ids))}" if len(ids) <= MOST_NAMED else ""
        click.echo(f"{kind} {len(ids):,}{named}")
    sys.stdout.flush()


COMMANDS: Final[tuple[click.Command, ...]] = (run,)
