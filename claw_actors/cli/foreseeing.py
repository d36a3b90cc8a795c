"""``claw recover-report``: what the next start would bring back, and what it would not."""

from __future__ import annotations

from collections import Counter
from typing import Final

import click

from .. import Client, PlannedRecovery, RecoveryPlan, RecoveryVerdict
from .desk import Desk, answer_option, place_options, settings, sqlite_path
from .exits import Exit
from .output import print_json, print_table, printable, tell, utc
from .targets import find_workflows

__all__ = ["COMMANDS"]

_SAYS: Final = {
    RecoveryVerdict.TOGETHER: "comes back",
    RecoveryVerdict.ALONE: "comes back, alone",
    RecoveryVerdict.LATER: "comes back later",
    RecoveryVerdict.IN_TURN: "comes back later",
    RecoveryVerdict.QUARANTINE: "goes to quarantine",
    RecoveryVerdict.UNKNOWN: "stays as it is",
    RecoveryVerdict.DAMAGED: "stays as it is",
}


@click.command("recover-report")
@click.argument("target", metavar="[MODULE:NAME]", required=False)
@place_options
@answer_option
def recover_report(
    *, target: str | None, db: str | None, config: str | None, as_json: bool
) -> None:
    """Say what the next start would recover, without starting anything.

    It reads the journals of all that is unfinished and sorts it as a recovery does. With
    MODULE:NAME, as for `claw run`, it also tells which workflows that code does not have: so it
    shows before a new version is deployed whether something would be left behind. Where a program
    owns the database, it is told what a kill of that program now would lead to.

    Ends with 1 if something would not come back.
    """
    chosen = settings(db, config)
    desk = Desk(path=sqlite_path(db, config), as_json=as_json)
    workflows = None if target is None else find_workflows(target)

    async def look(client: Client) -> RecoveryPlan:
        return await client.plan_recovery(workflows, config=chosen.runtime)

    plan = desk.ask(look, keep_open=True)
    if as_json:
        _print_records(plan)
    else:
        _show(plan)
    tell(_sum_up(plan))
    if plan.left:
        raise click.exceptions.Exit(Exit.FAILED)


def _print_records(plan: RecoveryPlan) -> None:
    """Print what sums up, then each workflow."""
    counts = Counter(planned.verdict for planned in plan.workflows)
    print_json(
        {
            "at": plan.at,
            "owner": plan.owner,
            "clean": plan.clean,
            "waiting": plan.waiting,
            **{verdict.value: counts[verdict] for verdict in RecoveryVerdict},
        }
    )
    for planned in plan.workflows:
        print_json(planned)


def _show(plan: RecoveryPlan) -> None:
    if plan.owner is not None:
        click.echo(f"owned by {printable(plan.owner)}; if it were killed now:")
    elif plan.clean:
        click.echo("the last owner closed it, so this recovery counts against nobody")
    else:
        click.echo("the last owner was cut off, so this recovery counts")
    if plan.workflows:
        heads = ("ID", "WORKFLOW", "STATUS", "WOULD BE", "STEPS KEPT", "RECOVERIES", "WHY")
        print_table(heads, map(_row, plan.workflows))


def _row(planned: PlannedRecovery) -> tuple[object, ...]:
    code = None if planned.name is None else f"{planned.name}@{planned.version}"
    due = "" if planned.due_at is None else f"; due {utc(planned.due_at)}"
    return (
        planned.id or planned.where,
        code,
        planned.status,
        _SAYS[planned.verdict],
        planned.entries,
        planned.recoveries,
        f"{planned.reason or ''}{due}",
    )


def _sum_up(plan: RecoveryPlan) -> str:
    report = plan.report
    parts = {
        "to come back": len(report.recovered),
        "of them alone": len(plan.of(RecoveryVerdict.ALONE)),
        "later": len(plan.of(RecoveryVerdict.LATER, RecoveryVerdict.IN_TURN)),
        "only waiting": plan.waiting,
        "to quarantine": len(report.quarantined),
        "of unknown workflows": len(report.unknown),
        "damaged": len(report.damaged),
    }
    told = [f"{number:,} {what}" for what, number in parts.items() if number]
    return ", ".join(told) or "there is nothing to recover"


COMMANDS: Final[tuple[click.Command, ...]] = (recover_report,)
