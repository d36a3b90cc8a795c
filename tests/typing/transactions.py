"""What type checkers must know of transactional tasks; checked, never run."""

from __future__ import annotations

import sqlite3
from typing import assert_type

from claw_actors import Connection, Context, Cursor, RollbackHandler, task
from claw_actors.definitions import TransactionalTask


@task(transactional=True, timeout=1.0)
def transfer(connection: Connection, giver: str, cents: int = 1, *, note: str = "") -> float:
    raise NotImplementedError


async def the_connection_is_not_passed(ctx: Context) -> None:
    assert_type(transfer.timeout, float | None)
    assert_type(await ctx.run(transfer, "ada", 7, note="x"), float)
    assert_type(ctx.on_rollback(transfer, "ada"), RollbackHandler)
    assert_type(await ctx.map(transfer, ["ada", "bob"]), list[float])
    assert_type(await ctx.run(transfer.options(id="first"), "ada"), float)
    await ctx.run(transfer, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.run(transfer)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_declaration_has_a_type() -> TransactionalTask[[str], None]:
    @task(transactional=True)
    def pay(connection: Connection, giver: str, /) -> None:
        raise NotImplementedError

    return pay


def a_body_reads_rows(connection: Connection) -> None:
    found = connection.execute("SELECT ?", (1,))
    assert_type(found, Cursor)
    assert_type(found.fetchone(), tuple[int | float | str | bytes | None, ...] | None)
    for row in connection.executemany("SELECT :a", [{"a": 1}]):
        assert_type(row[0], int | float | str | bytes | None)
    connection.execute("SELECT ?", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    connection.commit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def a_unit_test_passes_any_connection(connection: sqlite3.Connection) -> None:
    assert_type(transfer(connection, "ada"), float)


def wrong_options_are_refused() -> None:
    task(transactional=True, heartbeat_timeout=1.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    task(transactional="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
