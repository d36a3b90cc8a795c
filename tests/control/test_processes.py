"""Real processes: an owner in one, clients in others, and a kill between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from claw_actors import Status, errors, open_client, open_storage

OWNER = """
import sys, trio
from claw_actors import Context, open_runtime, workflow

@workflow
async def ship(ctx: Context) -> list[str]:
    said = []
    while (word := await ctx.receive("word", str)) != "end":
        said.append(word)
    return said

async def main():
    async with open_runtime(sys.argv[1], workflows=[ship]) as runtime:
        for id in sys.argv[2:]:
            await runtime.start(ship, id=id)
        print("open", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)

trio.run(main)
"""

CLIENT = """
import json, sys, trio
from claw_actors import errors, open_client

async def main():
    path, method, *arguments = sys.argv[1:]
    async with open_client(path, timeout=20) as client:
        try:
            await getattr(client, method)(*arguments)
        except errors.ClawError as error:
            print(json.dumps([type(error).__name__, str(error)]))
        else:
            print("done")

trio.run(main)
"""

ROOT = Path(__file__).parents[2]


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def said(process: subprocess.Popen[str]) -> str:
    """Wait for what a process says, and for its end."""
    out, _ = process.communicate(timeout=60)
    return out.strip()


@pytest.fixture
def place(tmp_path):
    """Lie in a directory with a name that no socket's address could hold."""
    directory = tmp_path / ("deep" * 40)
    directory.mkdir()
    return directory / "claw.db"


@pytest.fixture
def owners(place):
    """Start owners; those that still live at the end are killed."""
    started = []

    def start(*ids: str) -> subprocess.Popen[str]:
        owner = run(OWNER, place, *ids)
        started.append(owner)
        assert owner.stdout.readline() == "open\n"
        return owner

    yield start
    for owner in started:
        owner.kill()
        owner.communicate()


async def end_of(place: Path, id: str) -> object:
    """Tell a workflow that this was all, and return what it was told."""
    async with open_client(place, timeout=20) as client:
        await client.send(id, "word", "end")
        return await client.result(id)


def socket_of(place: Path) -> Path:
    return place.with_name(place.name + ".sock")


def test_a_client_in_another_process_acts_through_the_owner(place, owners):
    """And so does one that calls the database by another name."""
    owners("a", "b")
    link = place.with_name("link.db")
    link.symlink_to(place)
    assert said(run(CLIENT, place, "send", "a", "word", "hello")) == "done"
    assert said(run(CLIENT, link, "send", "a", "word", "end")) == "done"
    assert said(run(CLIENT, link, "terminate", "b", "over")) == "done"
    name, message = json.loads(said(run(CLIENT, place, "cancel", "zz")))
    assert (name, message) == ("NotFoundError", "no workflow has the id 'zz'")

    async def look():
        async with open_client(link) as client:
            assert await client.result("a") == ["hello"]
            assert (await client.get("b")).status is Status.CANCELLED

    trio.run(look)


def test_a_hundred_clients_are_all_served(place, owners):
    """More than may talk at once: the others try again."""
    owners("a")

    async def send_all():
        async with open_client(place, timeout=30) as client:
            async with trio.open_nursery() as nursery:
                for index in range(100):
                    nursery.start_soon(client.send, "a", "word", str(index))
            await client.send("a", "word", "end")
            assert sorted(map(int, await client.result("a"))) == list(range(100))

    trio.run(send_all)


def test_after_a_kill_a_visitor_acts_and_the_next_owner_goes_on(place, owners):
    """The stale socket is in nobody's way, and the next owner still learns of the kill."""
    owner = owners("a")
    assert said(run(CLIENT, place, "send", "a", "word", "before")) == "done"
    owner.kill()
    owner.communicate()
    assert socket_of(place).is_socket()
    assert said(run(CLIENT, place, "send", "a", "word", "between")) == "done"
    assert socket_of(place).is_socket()

    async def passed_on():
        async with open_storage(place) as storage:
            assert storage._actor.report.clean is False

    trio.run(passed_on)
    owner = owners()
    assert trio.run(end_of, place, "a") == ["before", "between"]
    owner.communicate()
    assert not socket_of(place).exists()


def test_two_visitors_at_once_take_turns(place, owners):
    """Neither is a second writer, and both are served."""
    owner = owners("a")
    owner.communicate()
    clients = [run(CLIENT, place, "send", "a", "word", str(index)) for index in range(3)]
    assert [said(client) for client in clients] == ["done"] * 3
    owners()
    assert sorted(trio.run(end_of, place, "a")) == ["0", "1", "2"]


def test_an_owner_that_is_stopped_is_named_and_not_written_beside(place, owners):
    """It holds the lock, and may go on at any time."""
    owner = owners("a")
    owner.send_signal(signal.SIGSTOP)

    async def ask():
        async with open_client(place, timeout=0.5) as client:
            assert (await client.get("a")).status is Status.RUNNING
            with pytest.raises(errors.OwnerUnreachableError) as told:
                await client.cancel("a")
            assert told.value.holder.startswith(f"pid {owner.pid} on ")

    try:
        trio.run(ask)
    finally:
        owner.send_signal(signal.SIGCONT)
    assert trio.run(end_of, place, "a") == []


def test_a_killed_visitor_leaves_the_file_to_others(place, owners, tmp_path):
    """Its lock ends with it, and nothing it had not committed is there."""
    owners("a").communicate()
    visitor = run(
        "import sys; from claw_actors import SQLiteStorage as S;"
        "S.visiting(sys.argv[1]).open(); print('open', flush=True); sys.stdin.read()",
        place,
    )
    assert visitor.stdout.readline() == "open\n"
    client = run(CLIENT, place, "send", "a", "word", "end")
    os.kill(visitor.pid, signal.SIGKILL)
    visitor.communicate()
    assert said(client) == "done"
    owners()

    async def look():
        async with open_client(place) as client:
            assert await client.result("a") == []

    trio.run(look)
