"""``claw doctor``: what is wrong with a database and its workflows, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import click
import trio

from .. import ExaminationReport, Status, WorkflowFilter, WorkflowState, examine
from .desk import Desk, at_desk
from .exits import Exit
from .output import plain, print_fields, printable

__all__ = ["COMMANDS", "Problem", "find_problems"]

LARGE_LOG_BYTES: Final = 256 << 20
"""Four times what is left of it after a checkpoint."""

MOST_WORKFLOWS: Final = 1_000


@attrs.frozen
class Problem:
    """Something that somebody has to mend.

    Attributes:
        what: what is wrong.
        advice: what to do about it.
    """

    what: str
    advice: str


@click.command()
@click.option(
    "--storage-only",
    is_flag=True,
    help="Do not look for quarantined workflows; for a health check.",
)
@at_desk
def doctor(desk: Desk, *, storage_only: bool) -> None:
    """Look for what is wrong, and say what to do about it.

    Every row is read and compared with its checksum, beside the owner or without one. Ends with 1
    if something is wrong.
    """
    report = trio.run(examine, desk.path)
    query = WorkflowFilter(status=Status.QUARANTINED, limit=MOST_WORKFLOWS)
    parked = () if storage_only else desk.ask(lambda client: client.list(query)).items
    problems = list(find_problems(report, parked))
    record = {"database": plain(report), "problems": plain(problems)}
    desk.answer(record, lambda: _show(report, problems))
    if problems:
        raise click.exceptions.Exit(Exit.FAILED)


def find_problems(
    report: ExaminationReport, parked: tuple[WorkflowState, ...]
) -> Iterator[Problem]:
    """Yield what is wrong, the worst first.

    Args:
        report: how the database is.
        parked: the workflows that are quarantined.
    """
    for finding in report.damage:
        yield Problem(
            finding,
            "stop the program, keep a copy of the database with its -wal, and restore a backup"
            " (claw restore --replace)",
        )
    if report.lost_commits:
        yield Problem(
            f"{report.lost_commits:,} commits were acknowledged and are not there any more",
            "put the -wal back if it was moved or deleted, or restore a backup",
        )
    if report.wal_bytes > LARGE_LOG_BYTES:
        yield Problem(
            f"the log beside the database has {report.wal_bytes:,} bytes",
            "end the programs that have been reading it for long, such as a backup that hangs",
        )
    for state in parked:
        yield Problem(
            f"workflow {state.id!r} is quarantined: {state.reason or 'no reason was stored'}",
            f"mend the cause, then `claw retry {state.id}`; or give it up, `claw terminate"
            f" {state.id}`",
        )


def _show(report: ExaminationReport, problems: list[Problem]) -> None:
    last = (
        "the last one closed it"
        if report.clean
        else "the last one was cut off, so the next one recovers"
    )
    print_fields(
        {
            "database": report.path,
            "size": f"{report.bytes:,} bytes, and {report.wal_bytes:,} in its log",
            "schema": f"version {report.schema_version}, read with SQLite {report.sqlite_version}",
            "owner": report.owner or f"nobody; {last}",
            "commits": report.commits,
            "workflows": report.workflows,
            "rows": f"{report.rows:,} read and compared with their checksums",
        }
    )
    for problem in problems:
        click.echo(f"WRONG  {printable(problem.what)}")
        click.echo(f"       {printable(problem.advice)}")
    if not problems:
        click.echo("nothing is wrong")


COMMANDS: Final[tuple[click.Command, ...]] = (doctor,)
