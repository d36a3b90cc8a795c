"""Each command as a process: its exit code, and what goes to stdout and to stderr."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import textwrap
from contextlib import contextmanager

import pytest

from claw_actors.cli.program import ROOMS

from . import test_demonstrating, test_starting
from .conftest import spawn

DB = ("--db", "claw.db")

DONE = [
    ("list", *DB),
    ("show", "done", *DB),
    ("tasks", "done", *DB),
    ("value", "done", *DB),
    ("value", "done", "stage", *DB),
    ("watch", "done", *DB),
    ("send", "waiting", "approval", "true", *DB),
    ("cancel", "waiting", *DB),
    ("pause", "waiting", *DB),
    ("resume", "paused", *DB),
    ("terminate", "waiting", *DB),
    ("retry", "poisoned", *DB),
    ("fork", "done", "--at", "weigh", *DB),
    ("delete", "done", *DB),
    ("backup", "copy.db", *DB),
    ("restore", "claw.db", "--db", "new.db"),
    ("doctor", "--storage-only", *DB),
    ("export", *DB),
    ("stats", *DB),
    ("prune", "--keep", "0", *DB),
    ("recover-report", *DB),
]

FAILED = [
    (1, ("list", "--db", "missing.db")),
    (3, ("show", "nobody", *DB)),
    (3, ("tasks", "nobody", *DB)),
    (3, ("value", "done", "colour", *DB)),
    (1, ("watch", "poisoned", *DB)),
    (4, ("watch", "paused", "--timeout", "0.05", *DB)),
    (2, ("send", "waiting", "approval", "yes", *DB)),
    (1, ("cancel", "done", *DB)),
    (1, ("pause", "done", *DB)),
    (1, ("resume", "done", *DB)),
    (1, ("terminate", "done", *DB)),
    (1, ("retry", "done", *DB)),
    (2, ("fork", "done", *DB)),
    (1, ("delete", "waiting", *DB)),
    (1, ("backup", "claw.db", *DB)),
    (1, ("restore", "claw.db", *DB)),
    (1, ("doctor", "--db", "missing.db")),
    (3, ("export", "nobody", *DB)),
    (1, ("stats", "--db", "missing.db")),
    (2, ("prune", *DB)),
    (1, ("recover-report", "--db", "missing.db")),
    (2, ("demo", "--keep", ".")),
    (2, ("run", "nothing:here", *DB)),
    (1, ("start", "ship", '"anvil"', *DB)),
    (2, ("dance",)),
]


@pytest.mark.parametrize("arguments", DONE, ids=" ".join)
def test_a_command_that_is_done_ends_with_0_and_json_alone_on_stdout(process, arguments):
    """What a person is told besides is on stderr, and no colour anywhere."""
    code, out, err = process(*arguments, "--json")
    assert code == 0, err
    assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
    assert out
    assert "\x1b" not in err


@pytest.mark.parametrize(("code", "arguments"), FAILED, ids=str)
def test_a_command_that_fails_says_why_and_ends_with_its_code(process, code, arguments):
    """Without a traceback, and with nothing on stdout that a program could take for an answer."""
    ended, out, err = process(*arguments)
    assert ended == code
    assert "Traceback" not in err
    if arguments[0] != "watch":
        assert out == ""
        assert err


APP = """
    from claw_actors import Context, task, workflow

    @task
    async def weigh(item: str) -> int:
        return len(item)

    @workflow
    async def approve(ctx: Context) -> bool:
        await ctx.run(weigh, "paper")
        ctx.set_value("asked", True)
        return await ctx.receive("approval", bool)

    def workflows():
        return [approve]
"""


@contextmanager
def running(*arguments: str):
    """Run ``claw run``; at the end of the block it does not live any more."""
    with spawn("run", *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process, and return its exit code with what it has not yet said."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_recovers_obeys_other_processes_and_stops_on_a_signal(claw, place, number):
    """A workflow that was cut off is answered by another process while its owner runs."""
    place.with_name("app.py").write_text(textwrap.dedent(APP))
    claw("resume", "paused")
    with running("app:workflows") as owner:
        assert owner.stdout.readline() == "running claw.db\n"
        assert owner.stdout.readline() == "recovered 1: paused\n"
        claw("send", "waiting", "approval", "true")
        claw("watch", "waiting", "--timeout", "60")
        with running("app:workflows", "--log-json") as second:
            code, out, err = end(second)
        assert (code, out) == (1, "")
        [failed] = map(json.loads, err.splitlines())
        assert (failed["level"], failed["logger"]) == ("ERROR", "claw_actors.cli")
        assert failed["message"].startswith(f"{place} is owned by pid {owner.pid} on ")
        assert claw("value", "paused").stdout == "asked  true\n"
        assert json.loads(claw("show", "waiting", "--json").stdout)["result"] is True
        pruned = claw("prune", "--older-than", "0s", "--name", "approve", "--json").stdout
        assert '"id": "waiting", "done": "pruned"' in pruned
        assert "its history was pruned" in claw("show", "waiting", code=3).stderr
        assert claw("show", "paused")
        [counted] = map(json.loads, claw("stats", "--json").stdout.splitlines())
        assert (counted["owner"]["pid"], counted["owner_trouble"]) == (owner.pid, None)
        assert counted["owner"]["runtime"]["active"] == counted["owner"]["runtime"]["idle"] == 1
        owner.send_signal(number)
        code, out, err = end(owner)
    assert code == 0
    assert re.fullmatch(r"stopped after \d+\.\d s\nwaiting 1: paused\n", out)
    assert err.splitlines()[-1] == "claw: claw.db is closed"
    assert "Z INFO claw_actors.workflows [workflow=waiting run=1]: workflow waiting: compl" in err
    assert "Traceback" not in err


def test_run_without_a_database_says_that_nothing_is_kept(place, monkeypatch):
    """And for programs it prints what it recovered as JSON, and logs JSON and nothing else."""
    place.with_name("app.py").write_text(textwrap.dedent(APP))
    monkeypatch.delenv("CLAW_STORAGE_TYPE")
    with running("app:approve", "--json", "--log-json") as owner:
        opened = json.loads(owner.stdout.readline())
        owner.send_signal(signal.SIGTERM)
        code, out, err = end(owner)
    assert code == 0
    assert json.loads(out)["stop"]["reason"] == "SIGTERM was received"
    assert (opened["storage"], opened["recovery"]["recovered"]) == ("memory", [])
    first, *logged, last = map(json.loads, err.splitlines())
    assert first["message"] == "workflows are kept in memory, and forgotten with this process"
    assert last["message"] == "memory is closed"
    [stopped] = [one for one in logged if one["level"] == "WARNING"]
    assert stopped["message"] == "SIGTERM: stopping; once more to stop at once"


DONE_ELSEWHERE = {
    "demo": test_demonstrating.test_what_is_killed_goes_on,
    "run": test_run_recovers_obeys_other_processes_and_stops_on_a_signal,
    "start": test_starting.test_the_owner_starts_what_the_command_names,
}
"""Commands that need more than a database, and the tests that run them as processes."""


@pytest.mark.parametrize("command", [name for names in ROOMS.values() for name in names])
def test_every_command_is_run_as_a_process_that_is_done_and_one_that_fails(command):
    """Whoever adds a command adds it to both tables."""
    assert command in {name for name, *_ in DONE} | set(DONE_ELSEWHERE)
    assert command in {name for _, (name, *_) in FAILED}
