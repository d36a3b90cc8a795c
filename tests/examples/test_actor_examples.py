"""The examples of actors say the same each time, and what they check can be broken."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import trio

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """Examples silence the log; here that must end with each test."""
    logger = logging.getLogger("claw_actors")
    before = logger.level
    yield
    logger.setLevel(before)


def run_example(name: str, directory: Path) -> tuple[list[str], str, int]:
    """Run an example as a user would; returns its lines, what it says of errors, and its status."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return ended.stdout.splitlines(), ended.stderr, ended.returncode


def import_example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


def broken(said: str) -> list[str]:
    """Return the claims that an example itself calls broken."""
    return [line[7:].strip() for line in said.splitlines() if line.startswith("BROKEN")]


# -- tcp_server.py ----------------------------------------------------------------------------------


def test_the_server_loses_what_crashes_and_nothing_else(tmp_path):
    """Each line of the story, in order, and every promise held."""
    lines, said, status = run_example("tcp_server.py", tmp_path)
    assert (said, status) == ("", 0)
    story, held = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert story == [
        "    counter has started",
        "    connections has started",
        "    listener has started",
        "ada and bob connect",
        "    connections/client-1 has started",
        "    connections/client-2 has started",
        "ada gets 42, bob gets 3",
        "bob divides by zero",
        "    connections/client-2 has crashed, ZeroDivisionError; what follows: stay down",
        "bob: the connection was closed; ada gets 2",
        "bob comes back",
        "    connections/client-3 has started",
        "bob gets 1",
        "the listener loses its socket",
        "    listener has crashed, ClosedResourceError; what follows: restart",
        "    listener has started again",
        "    connections/client-4 has started",
        "ada gets 3, bob gets 4; cyd, who is new, gets 5",
        "the counter has counted 7 answers",
        "the server has stopped",
    ]
    assert [line.split()[0] for line in held] == ["ok"] * 8


def test_a_server_that_miscounts_is_found_out(monkeypatch, capsys):
    """Negative control: a counter that forgets is said to be broken, and the status is 1."""
    server = import_example("tcp_server", monkeypatch)

    async def forget(self, message: int) -> int:
        return message

    monkeypatch.setattr(server.Counter, "receive", forget)
    assert server.main() == 1
    assert broken(capsys.readouterr().out) == ["the shared counter has seen it all"]


# -- device_loop.py ---------------------------------------------------------------------------------


def test_the_device_loop_loses_no_reading(tmp_path):
    """Virtual time and seeded faults: the figures are always these, and every promise held."""
    lines, said, status = run_example("device_loop.py", tmp_path)
    assert (said, status) == ("", 0)
    blank = lines.index("")
    assert lines[3:6] == [
        "  2.05 s  driver has crashed (no answer); restart in 0.25 s",
        "  2.50 s  driver has started, life 2",
        "  2.50 s  poller has started, life 2",
    ]
    assert lines[blank - 1] == "30 readings, 7 broken links, 3 resets that did not help"
    assert [line.split()[0] for line in lines[blank + 1 :]] == ["ok"] * 5


def test_the_pause_grows_while_resets_fail_and_begins_anew(tmp_path):
    """Three resets in a row do not help; the next break finds the first pause again."""
    lines, _, _ = run_example("device_loop.py", tmp_path)
    pauses = [line.split()[-2] for line in lines if " has crashed " in line]
    assert " ".join(pauses) == "0.25 0.50 0.25 0.25 0.25 0.50 1.00 2.00 0.25 0.25"


def test_a_device_loop_that_restarts_all_is_found_out(monkeypatch, capsys):
    """Negative control: under one_for_all the recorder loses what it had."""
    loop = import_example("device_loop", monkeypatch)
    real = loop.open_supervisor
    monkeypatch.setattr(
        loop, "open_supervisor", lambda **options: real(**{**options, "strategy": "one_for_all"})
    )
    monkeypatch.setattr(loop, "READINGS", 8)
    assert loop.main() == 1
    claims = broken(capsys.readouterr().out)
    assert "every reading of the device is recorded, once" in claims
    assert "the recorder was never restarted" in claims


def test_a_device_loop_that_restarts_the_driver_alone_is_found_out(monkeypatch):
    """Negative control: under one_for_one the poller waits for a stop that never comes."""
    loop = import_example("device_loop", monkeypatch)
    real = loop.open_supervisor
    monkeypatch.setattr(
        loop, "open_supervisor", lambda **options: real(**{**options, "strategy": "one_for_one"})
    )
    with pytest.raises(trio.TooSlowError):
        loop.main()
