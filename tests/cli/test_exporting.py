"""``claw export``: all that is stored, as lines; and pictures of one workflow."""

from __future__ import annotations

import errno
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import trio

from claw_actors import (
    Client,
    Context,
    RuntimeConfig,
    open_client,
    open_runtime,
    task,
    workflow,
)
from claw_actors.cli import archive, destination, exporting
from claw_actors.errors import NotFoundError, StorageCorruptError

from .conftest import spawn

IDS = ["paused", "waiting", "poisoned", "failed", "done"]


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def of(records, kind):
    return [record for record in records if record["record"] == kind]


# -- JSON lines -------------------------------------------------------------------------------------


def test_all_workflows_are_exported_with_all_that_is_theirs(claw, place):
    """Between a line that says what this is, and one that says that it is whole."""
    records = lines(claw("export").stdout)
    first, *middle, last = records
    assert (first["record"], first["format"], first["database"]) == ("export", 1, "claw.db")
    assert [one["id"] for one in of(middle, "workflow")] == IDS
    entries = of(middle, "entry")
    assert last == {"record": "end", "workflows": 5, "entries": len(entries), "skipped": 0}
    done = [one for one in middle if one.get("workflow") == "done"]
    assert [(one["n"], one["kind"], one["value"]) for one in of(done, "entry")] == [
        (0, "start", {"item": "anvil"}),
        (1, "task", 5),
        (2, "end", {"grams": 5}),
    ]
    assert {one["key"]: one["value"] for one in of(done, "value")} == {
        "stage": "weighing",
        "grams": 5,
    }
    [failed] = [one for one in of(middle, "workflow") if one["id"] == "failed"]
    assert failed["error"]["types"][0] == "claw_actors.errors.TaskFailedError"


def test_every_entry_is_exported_once(claw, place):
    """As a client reads them, in their order."""

    async def read():
        async with open_client(place) as client:
            return {id: [one.n for one in await client.history(id)] for id in IDS}

    entries = of(lines(claw("export").stdout), "entry")
    assert {id: [one["n"] for one in entries if one["workflow"] == id] for id in IDS} == trio.run(
        read
    )


def test_one_workflow_can_be_exported(claw):
    """With nothing of the others."""
    records = lines(claw("export", "done").stdout)
    assert [one["id"] for one in of(records, "workflow")] == ["done"]
    assert {one["workflow"] for one in of(records, "entry")} == {"done"}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "failed"], ["failed"]),
        (["--name", "approve"], ["paused", "waiting"]),
        (["--prefix", "p"], ["paused", "poisoned"]),
        (["--metadata", "tenant=a"], ["waiting", "done"]),
        (["--parent", "nobody"], []),
    ],
)
def test_filters_are_those_of_list(claw, options, found):
    """All that match, however many pages they are."""
    records = lines(claw("export", *options).stdout)
    assert [one["id"] for one in of(records, "workflow")] == found


def test_an_export_reads_page_by_page(claw, monkeypatch):
    """None is left out or repeated between two pages."""
    monkeypatch.setattr(archive, "PAGE", 2)
    records = lines(claw("export").stdout)
    assert [one["id"] for one in of(records, "workflow")] == IDS


@task
async def quick() -> None:
    pass


@task
async def lasting() -> None:
    await trio.sleep_forever()


@workflow
async def picky(ctx: Context) -> None:
    """Put aside what is no number, then work for ever."""
    await ctx.run(quick)
    await ctx.receive("number", int)
    await ctx.run(lasting)


async def put_aside(path, count: int) -> None:
    async with open_runtime(path, workflows=[picky], config=RuntimeConfig(grace=0)) as runtime:
        handle = await runtime.start(picky, id="picky")
        for number in range(count):
            await handle.send("number", f"not {number}")
        await handle.send("number", 1)
        while len(await handle.tasks()) < 2:  # noqa: ASYNC110 -- it is noted after a second
            await trio.sleep(0.1)


def test_dead_letters_and_open_work_are_exported_too(claw, place):
    """In pages, in their order."""
    trio.run(put_aside, place, archive.LETTERS + 1)
    records = lines(claw("export", "picky").stdout)
    letters = of(records, "dead_letter")
    assert [one["payload"] for one in letters] == [f"not {n}" for n in range(archive.LETTERS + 1)]
    [work] = of(records, "task")
    assert (work["id"], work["status"], work["workflow"]) == ("lasting", "running", "picky")


@pytest.mark.parametrize(
    "trouble",
    [NotFoundError("workflow", "failed"), StorageCorruptError("failed", "a flipped bit", "")],
)
def test_one_that_cannot_be_read_keeps_no_other_from_being_exported(claw, monkeypatch, trouble):
    """It says why in the place of what is missing, and the command fails."""
    read = Client.values

    async def values(client, id):
        if id == "failed":
            raise trouble
        return await read(client, id)

    monkeypatch.setattr(Client, "values", values)
    done = claw("export", code=1)
    records = lines(done.stdout)
    [skipped] = of(records, "skipped")
    assert skipped == {"record": "skipped", "workflow": "failed", "reason": str(trouble)}
    assert records[-1]["skipped"] == 1
    assert len(of(records, "workflow")) == 5
    assert "1 could not be read wholly" in done.stderr


def test_who_sees_the_lines_is_told_nothing_besides(claw, monkeypatch):
    """On a terminal the two would run into one another."""
    monkeypatch.setattr(exporting, "OFTEN", 1)
    assert "exported 5 workflows" in claw("export").stderr
    monkeypatch.setattr(exporting, "is_terminal", lambda: True)
    assert claw("export").stderr == ""


# -- pictures ---------------------------------------------------------------------------------------


def test_a_timeline_is_as_wide_as_it_may_be(claw):
    """Its title says whose it is."""
    text = claw("export", "done", "--format", "timeline", "--width", "60").stdout
    title, _, *bars = text.splitlines()
    assert title == "done  ship@1  completed"
    assert bars[0].split()[0] == "weigh"
    assert "█" in bars[0]
    assert max(map(len, bars)) <= 60


def test_a_timeline_may_be_ascii(claw):
    """If that is asked for, or if stdout knows nothing else."""
    assert claw("export", "done", "--format", "timeline", "--ascii").stdout.isascii()


def test_a_timeline_is_ascii_where_stdout_is(claw, monkeypatch):
    """In a file it is UTF-8 all the same."""
    monkeypatch.setattr(exporting, "writable", lambda text: text.replace("█", "?"))
    assert claw("export", "done", "--format", "timeline").stdout.isascii()
    claw("export", "done", "--format", "timeline", "--output", "done.txt")
    assert "█" in Path("done.txt").read_text("utf-8")


def test_what_stdout_cannot_write_is_escaped(monkeypatch):
    """Names may be of any language, terminals are not."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(destination.sys, "stdout", ascii_only)
    assert destination.writable("Größe █") == "Gr\\xf6\\xdfe \\u2588"


def test_an_svg_is_a_document(claw):
    """Of its own."""
    root = ET.fromstring(claw("export", "failed", "--format", "svg").stdout)
    assert root.get("aria-label") == "failed  hoist@1  failed"


def test_a_diagram_shows_what_came_after_what(claw):
    """For Mermaid."""
    text = claw("export", "done", "--format", "dag").stdout
    assert text.startswith("flowchart TD\n")
    assert 'n1["weigh"]:::ok' in text


@workflow
async def parent(ctx: Context, depth: int) -> None:
    for _ in range(2 if depth else 0):
        await ctx.run_child(parent, depth - 1)


async def beget(path) -> None:
    async with open_runtime(path, workflows=[parent]) as runtime:
        await (await runtime.start(parent, 2, id="root")).result()


def test_a_tree_shows_all_below_a_workflow(claw, place, monkeypatch):
    """Over as many pages, and as deep, as it is."""
    monkeypatch.setattr(exporting, "FAMILY_PAGE", 1)
    trio.run(beget, place)
    text = claw("export", "root", "--format", "tree").stdout
    assert text.count("parent@1") == 7
    assert text.count("-->") == 6


@pytest.mark.parametrize("kind", ["timeline", "svg", "dag", "tree"])
def test_a_picture_as_json_is_one_record(claw_json, kind):
    """So that a program can tell it from everything else."""
    [record] = claw_json("export", "done", "--format", kind)
    assert (record["id"], record["format"]) == ("done", kind)
    assert "weigh" in record["text"] or kind == "tree"


@pytest.mark.parametrize("kind", ["timeline", "svg", "dag", "tree"])
def test_a_picture_of_nobody_is_not_found(claw, kind):
    """And nothing is printed."""
    done = claw("export", "nobody", "--format", kind, code=3)
    assert done.stdout == ""


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "record"),
    [
        (["export"], {"format": "jsonl", "workflows": 5, "entries": 12, "skipped": 0}),
        (["export", "done", "--format", "svg"], {"id": "done", "format": "svg"}),
    ],
)
def test_a_file_is_private_and_holds_what_stdout_would(claw, claw_json, arguments, record):
    """What was written is told on stderr, or as a record."""
    assert claw_json(*arguments, "--output", "out") == [{"file": "out", **record}]
    assert Path("out").stat().st_mode & 0o777 == 0o600
    assert claw(*arguments, "--output", "again").stdout == ""
    assert (
        Path("again").read_text("utf-8").splitlines()[1:]
        == (claw(*arguments).stdout.splitlines()[1:])
    )
    assert not list(Path().glob("*.part"))


def test_a_file_that_is_there_is_replaced_only_by_force(claw):
    """It is refused before anything is read."""
    Path("out").write_text("precious", "utf-8")
    done = claw("export", "--output", "out", code=2)
    assert "--force" in done.stderr
    assert Path("out").read_text("utf-8") == "precious"
    claw("export", "--output", "out", "--force")
    assert lines(Path("out").read_text("utf-8"))[-1]["record"] == "end"


@pytest.mark.parametrize("name", ["claw.db", "claw.db-wal", "claw.db.lock", "./sub/../claw.db"])
def test_the_database_is_never_written_over(claw, place, name):
    """Not by force, either."""
    Path("sub").mkdir()
    before = place.read_bytes()
    done = claw("export", "--output", name, "--force", code=2)
    assert "belongs to the database" in done.stderr
    assert place.read_bytes() == before


def test_a_directory_is_no_file(claw):
    """Nor is one that is not there a place for one."""
    Path("sub").mkdir()
    assert "is a directory" in claw("export", "--output", "sub", "--force", code=2).stderr
    done = claw("export", "--output", "missing/out", code=1)
    assert done.stderr == "claw: missing/out cannot be written: No such file or directory\n"


def test_an_export_that_fails_leaves_no_file(claw, monkeypatch):
    """Neither a part of one, nor one in its place."""
    claw("export", "nobody", "--output", "out", code=3)

    async def values(client, id):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Client, "values", values)
    done = claw("export", "--output", "out", code=1)
    assert done.stderr == "claw: out cannot be written: No space left on device\n"
    assert not list(Path().glob("out*"))


def refuse_links(path, target):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_file_that_comes_meanwhile_is_not_replaced(claw, monkeypatch):
    """Whatever the filesystem can do."""
    read = Client.values

    async def values(client, id):
        await trio.Path("out").write_text("precious", "utf-8")
        return await read(client, id)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "values", values)
        assert "File exists" in claw("export", "--output", "out", code=1).stderr
        Path("out").unlink()
        patch.setattr(Path, "hardlink_to", refuse_links)
        assert "not permitted" in claw("export", "--output", "out", code=1).stderr
    assert Path("out").read_text("utf-8") == "precious"
    assert not list(Path().glob("*.part"))


def test_a_filesystem_without_hard_links_does_as_well(claw, monkeypatch):
    """As on a USB stick."""
    monkeypatch.setattr(Path, "hardlink_to", refuse_links)
    claw("export", "--output", "out")
    assert lines(Path("out").read_text("utf-8"))[-1]["record"] == "end"
    assert not list(Path().glob("*.part"))


# -- calls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--format", "svg"], "name its ID"),
        (["done", "--status", "failed"], "filters are for several"),
        (["done", "--format", "png"], "png"),
        (["done", "--width", "3"], "width"),
    ],
)
def test_what_makes_no_sense_is_refused(claw, arguments, why):
    """With what to do instead."""
    done = claw("export", *arguments, code=2)
    assert why in done.stderr
    assert done.stdout == ""


def test_a_reader_that_goes_away_ends_an_export_without_a_word(place):
    """As with `| head -1`; there is no traceback, and no database is the worse for it."""

    async def many():
        async with open_runtime(place, workflows=[parent]) as runtime:
            for number in range(400):
                await (await runtime.start(parent, 0, id=f"n-{number}")).result()

    trio.run(many)
    with spawn("export", "--db", str(place)) as process:
        assert json.loads(process.stdout.readline())["record"] == "export"
        process.stdout.close()
        process.stdout = None
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""


def test_an_export_beside_an_owner_holds_up_nobody(claw, place):
    """It reads what is there, and the owner goes on."""

    async def main():
        async with open_runtime(place, workflows=[parent]) as runtime:
            read = await trio.to_thread.run_sync(lambda: claw("export").stdout)
            await (await runtime.start(parent, 0, id="later")).result()
            return read

    records = lines(trio.run(main))
    assert [one["id"] for one in of(records, "workflow")] == IDS
