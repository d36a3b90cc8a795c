"""``claw run``: the main program of those who need no other one."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeAlias

import attrs
import click
import trio

from .. import Config, RecoveryReport, Runtime, StopReport, open_runtime, stop_on_signals
from ..errors import ClawError, RuntimeClosedError
from .desk import answer_option, place_options, settings
from .exits import Exit, exit_code
from .log_lines import DEFAULT_LEVEL, logging_to_stderr
from .output import plain, print_json, printable, tell
from .targets import AnyWorkflow, LoadError, Service, find_service, find_workflows, in_one_line

__all__ = ["COMMANDS"]

_log = logging.getLogger("claw_actors.cli")

Say: TypeAlias = Callable[[str], None]
"""Says something to whoever watches the program, beside what is printed."""

MOST_NAMED: Final = 20
"""Of more workflows, people want to know how many."""


@click.command()
@click.argument("target", metavar="MODULE:NAME")
@click.option(
    "--serve",
    metavar="MODULE:NAME",
    help="An async function that is called with the runtime, and runs beside the workflows.",
)
@click.option(
    "--log-level",
    show_default=DEFAULT_LEVEL,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="From which level on is logged, on stderr.",
)
@click.option(
    "--log-json",
    is_flag=True,
    help="Log JSON, one object a line; also if MODULE sets up logging in another way.",
)
@place_options
@answer_option
def run(
    *,
    target: str,
    serve: str | None,
    log_level: str | None,
    log_json: bool,
    db: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Run workflows until SIGTERM or SIGINT: recover what is unfinished, and go on.

    MODULE:NAME is imported, also from the working directory. It is a list of workflows, or a
    function that returns one. What --serve names starts workflows, or serves those who want some
    started. When it returns, the workflows go on; when it raises, all ends with 1.

    The first signal gives running tasks the grace to end and be recorded; the second skips what is
    left of it. Whatever is unfinished goes on at the next start, and is told at the end, with the
    tasks that were cut off.
    """
    level = None if log_level is None else log_level.upper()
    with logging_to_stderr(level, as_json=log_json) as imported, _told(as_records=log_json) as say:
        chosen = settings(db, config)
        workflows = find_workflows(target)
        service = None if serve is None else find_service(serve)
        imported()
        is_well = trio.run(partial(_run, chosen, workflows, service, say, as_json=as_json))
    if not is_well:
        raise click.exceptions.Exit(Exit.FAILED)


@contextmanager
def _told(*, as_records: bool) -> Generator[Say]:
    """Give the way of saying things; as records, errors go that way, too, with their exit codes."""
    if not as_records:
        yield lambda text: tell(f"claw: {text}")
        return
    try:
        yield _log.info
    except ClawError as error:
        _log.error("%s", error)
        raise click.exceptions.Exit(exit_code(error)) from error
    except LoadError as error:
        _log.error("%s", error.message, exc_info=error.__cause__)
        raise click.exceptions.Exit(error.exit_code) from error


async def _run(
    config: Config,
    workflows: list[AnyWorkflow],
    service: Service | None,
    say: Say,
    *,
    as_json: bool,
) -> bool:
    """Run until a signal comes, or the service fails; returns whether it did not."""
    storage = config.storage
    where = "memory" if storage.type == "memory" else storage.sqlite.path
    if storage.type == "memory":
        say("workflows are kept in memory, and forgotten with this process")
    is_well, opened = True, None
    try:
        with trio.CancelScope() as scope, _cancel_on_signals(scope):
            async with (
                open_runtime(
                    storage.backend(), workflows=workflows, config=config.runtime
                ) as opened,
                stop_on_signals(opened),
            ):
                report = opened.recovery_report
                if as_json:
                    print_json({"storage": where, "recovery": plain(report)})
                else:
                    _show_recovered(where, report)
                is_well = service is None or await _serve(service, opened, say)
                if is_well:
                    await trio.sleep_forever()
    finally:
        # Also if storage has failed: that ends what was at work, too.
        if opened is not None and (stop := opened.stop_report) is not None:
            if as_json:
                print_json({"storage": where, "stop": plain(stop)})
            else:
                _show_stopped(stop)
    say(f"{printable(where)} is closed")
    return is_well


@contextmanager
def _cancel_on_signals(scope: trio.CancelScope) -> Generator[None]:
    """Leave as soon as a signal comes, for as long as there is no runtime that could be stopped.

    Opening takes its time where much is recovered. A process that is the first of a container would
    not even hear SIGTERM without a handler, and any other one would end as if it had crashed.
    """
    token = trio.lowlevel.current_trio_token()

    def cancel(number: int, frame: object) -> None:  # noqa: ARG001 -- as signal calls it
        token.run_sync_soon(scope.cancel)

    before = {number: signal.signal(number, cancel) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _serve(service: Service, runtime: Runtime, say: Say) -> bool:
    """Call somebody's code beside the workflows; returns whether it did not fail."""
    try:
        await service(runtime)
    except RuntimeClosedError:
        _log.debug("what was served came after the end", exc_info=True)
    except Exception as error:  # whatever it is, workflows that nobody starts are no service
        _log.exception("the service has failed")
        say(f"the service has failed: {in_one_line(error)}")
        return False
    return True


def _show_recovered(where: str, report: RecoveryReport) -> None:
    click.echo(f"running {printable(where)}")
    for kind, ids in attrs.asdict(report, recurse=False).items():
        _show_some(kind, ids)
    sys.stdout.flush()


def _show_stopped(stop: StopReport) -> None:
    click.echo(f"stopped after {stop.seconds:.1f} s")
    _show_some("interrupted", stop.interrupted)
    _show_some("waiting", stop.waiting)
    _show_some("cut off", [f"{one.workflow_id} {one.task_id}" for one in stop.cut_off])


def _show_some(kind: str, what: Sequence[str]) -> None:
    """Say how many there are of something, if any; and if they are few, which."""
    if what:
        named = f": {', '.join(map(printable, what))}" if len(what) <= MOST_NAMED else ""
        click.echo(f"{kind} {len(what):,}{named}")


COMMANDS: Final[tuple[click.Command, ...]] = (run,)
