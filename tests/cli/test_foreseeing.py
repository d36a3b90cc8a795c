"""``claw recover-report``."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

import pytest
import trio

from claw_actors import Context, Restart, RuntimeConfig, open_client, open_runtime, workflow

APP = """
from claw_actors import Context, workflow

@workflow
async def asks(ctx: Context) -> str:
    return await ctx.receive("answer", str)

workflows = [asks]
"""


@workflow(restart=Restart(initial=1_000, maximum=1_000))
async def crashing(ctx: Context) -> None:
    raise RuntimeError("again")


@workflow
async def asks(ctx: Context) -> str:
    return await ctx.receive("answer", str)


@pytest.fixture
def unfinished(place, monkeypatch):
    """The database, in which one more has crashed, and one is old."""

    async def main():
        config = RuntimeConfig(control=False)
        async with (
            open_runtime(place, workflows=[crashing, asks], config=config) as runtime,
            open_client(place) as client,
        ):
            await runtime.start(crashing, id="crashed")
            await runtime.start(asks, id="asking")
            with trio.fail_after(10):
                while (await client.get("crashed")).wake_at is None:  # noqa: ASYNC110
                    await trio.sleep(0.01)

    trio.run(main)
    (place.parent / "newer_code.py").write_text(APP)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "newer_code", raising=False)
    return place


def test_a_person_reads_what_would_come_back_and_why(claw, unfinished):
    """Whether it counts, a line for each, and a sum."""
    done = claw("recover-report")
    first, head, *lines = done.stdout.splitlines()
    assert first == "the last owner closed it, so this recovery counts against nobody"
    assert head.split() == [
        "ID",
        "WORKFLOW",
        "STATUS",
        "WOULD",
        "BE",
        "STEPS",
        "KEPT",
        "RECOVERIES",
        "WHY",
    ]
    [crashed] = [line for line in lines if line.startswith("crashed")]
    assert "comes back later" in crashed
    assert "it has crashed; due 20" in crashed
    assert done.stderr.splitlines()[-1].endswith("only waiting")


def test_a_program_reads_a_line_for_each(claw_json, unfinished):
    """The same, as records, after one that sums up."""
    summary, *workflows = claw_json("recover-report")
    assert (summary["owner"], summary["clean"]) == (None, True)
    assert (summary["later"], summary["quarantine"]) == (1, 0)
    [crashed] = [one for one in workflows if one["id"] == "crashed"]
    assert (crashed["verdict"], crashed["name"]) == ("later", "crashing")


def test_code_that_lacks_a_workflow_is_told_before_it_is_deployed(claw, unfinished):
    """It would stay behind: exit code 1, and what the code has instead."""
    done = claw("recover-report", "newer_code:workflows", code=1)
    [crashed] = [line for line in done.stdout.splitlines() if line.startswith("crashed")]
    assert "stays as it is" in crashed
    assert "asks@1" in crashed
    assert "1 of unknown workflows" in done.stderr


def test_what_cannot_be_read_is_told_in_place_of_its_id(claw, unfinished):
    """And that the last owner was cut off, if it was."""
    with closing(sqlite3.connect(unfinished)) as connection, connection:
        connection.execute("UPDATE claw_workflow SET crc = crc + 1 WHERE id = 'crashed'")
        connection.execute("UPDATE claw_meta SET clean = 0")
    done = claw("recover-report", code=1)
    assert done.stdout.startswith("the last owner was cut off, so this recovery counts\n")
    [damaged] = [line for line in done.stdout.splitlines() if "crashed" in line]
    assert damaged.startswith("workflow 'crashed' in claw_workflow of ")
    assert "1 damaged" in done.stderr


def test_beside_its_owner_it_is_told_what_a_kill_would_lead_to(claw, place):
    """With the owner's name."""

    async def main():
        async with open_runtime(place, workflows=[asks]):
            done = await trio.to_thread.run_sync(claw, "recover-report")
            assert done.stdout.startswith("owned by ")
            assert "; if it were killed now:\n" in done.stdout

    trio.run(main)


def test_nothing_unfinished_is_a_word(claw, place):
    """Beside an empty table there is no table."""
    for id in ("waiting", "paused"):
        claw("terminate", id)
    done = claw("recover-report")
    assert done.stdout.splitlines() == [
        "the last owner closed it, so this recovery counts against nobody"
    ]
    assert done.stderr.splitlines() == ["there is nothing to recover"]
