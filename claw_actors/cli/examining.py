"""``claw doctor``: what is wrong with a database and its workflows, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import attrs
import click
import trio

from .. import ExaminationReport, Finding, Status, WorkflowFilter, WorkflowState, examine
from .desk import Desk, at_desk
from .exits import Exit
from .output import plain, print_fields, printable

__all__ = ["COMMANDS"]

MOST_WORKFLOWS: Final = 1_000

ABOUT_WORKFLOWS: Final = frozenset({"stuck", "orphaned_child", "late", "suspect"})
"""Kinds of findings that storage is not to blame for."""


@click.command()
@click.option(
    "--storage-only", is_flag=True, help="Say nothing of workflows, only of what stores them."
)
@click.option(
    "--quick", is_flag=True, help="Read no rows, and say nothing of workflows; for a health check."
)
@at_desk
def doctor(desk: Desk, *, storage_only: bool, quick: bool) -> None:
    """Look for what is wrong, and say what to do about it.

    Every row is read and compared with its checksum, beside the owner or without one. Ends with 1
    if something is wrong; a note is only worth knowing.
    """
    report = trio.run(partial(examine, desk.path, quick=quick))
    findings = list(report.findings)
    if storage_only:
        findings = [one for one in findings if one.kind not in ABOUT_WORKFLOWS]
    elif not quick:
        findings += _quarantined(desk)
    problems = [one for one in findings if one.serious]
    notes = [one for one in findings if not one.serious]
    record = {
        "database": plain(attrs.evolve(report, findings=())),
        "problems": plain(problems),
        "notes": plain(notes),
    }
    desk.answer(record, lambda: _show(report, problems, notes, quick=quick))
    if problems:
        raise click.exceptions.Exit(Exit.FAILED)


def _quarantined(desk: Desk) -> Iterator[Finding]:
    query = WorkflowFilter(status=Status.QUARANTINED, limit=MOST_WORKFLOWS)
    return map(_describe, desk.ask(lambda client: client.list(query)).items)


def _describe(state: WorkflowState) -> Finding:
    return Finding(
        kind="quarantined",
        serious=True,
        what=f"workflow {state.id!r} is quarantined: {state.reason or 'no reason was stored'}",
        advice=f"mend the cause, then `claw retry {state.id}`; or give it up, `claw terminate"
        f" {state.id}`",
        example=state.id,
    )


def _show(
    report: ExaminationReport, problems: list[Finding], notes: list[Finding], *, quick: bool
) -> None:
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
            "rows": "not read"
            if quick
            else f"{report.rows:,} read and compared with their checksums",
        }
    )
    _list("WRONG", problems)
    _list("NOTE", notes)
    if not problems:
        click.echo("nothing is wrong")


def _list(heading: str, findings: Iterable[Finding]) -> None:
    for finding in findings:
        click.echo(f"{heading:5}  {printable(finding.what)}")
        click.echo(f"       {printable(finding.advice)}")


COMMANDS: Final[tuple[click.Command, ...]] = (doctor,)
