"""Signals: the first stops with a grace, the second at once; in real processes, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import open_supervisor, stop_on_signals

PROGRAM = """
import sys, trio
from claw_actors.actors import Actor, ChildSpec, open_supervisor, stop_on_signals

def say(what):
    print(what, flush=True)

class Worker(Actor):
    def __init__(self, name):
        self.name = name

    async def receive(self, message):
        say("busy")
        await trio.sleep(message)
        say("done")

    async def on_stop(self):
        say(f"{self.name} stops")

async def main():
    specs = [ChildSpec(name, lambda name=name: Worker(name), grace=60) for name in "ab"]
    async with open_supervisor(*specs, grace=60) as supervisor:
        async with stop_on_signals(supervisor) as stop:
            supervisor.find("b").tell_nowait(float(sys.argv[1]))
            await trio.sleep_forever()
    say("over")
    return stop.exit_code

sys.exit(trio.run(main))
"""


@pytest.fixture
def start(tmp_path):
    """Start a program with a busy actor."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    started = []

    def run(seconds):
        process = subprocess.Popen(
            [sys.executable, path, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "busy\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_gracefully(start, number):
    """What is in hand is finished, children stop in reverse, the exit code names the signal."""
    process = start(0.2)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert said.split("\n") == ["done", "b stops", "a stops", "over", ""]
    assert process.returncode == 128 + number


def test_the_second_signal_skips_the_grace(start):
    """And children still clean up."""
    process = start(1000)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert sorted(said.split()) == ["a", "b", "over", "stops", "stops"]
    assert process.returncode == 128 + signal.SIGTERM


async def test_the_block_ends_when_the_target_has_stopped(stage, told, autojump_clock):
    """So that a second signal is heard until then; both are noted, in order."""
    async with open_supervisor(stage.puppet("a", grace=60), grace=60) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(1000))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, signal.SIGUSR1, 1)
            nursery.start_soon(send, signal.SIGUSR1, 5)
            async with stop_on_signals(supervisor, signals=[signal.SIGUSR1]) as stop:
                await trio.sleep_forever()
    assert stop.received == [signal.SIGUSR1, signal.SIGUSR1]
    assert stop.exit_code == 128 + signal.SIGUSR1


async def send(number, after):
    with trio.CancelScope(shield=True):
        await trio.sleep(after)
        os.kill(os.getpid(), number)


async def test_without_a_signal_nothing_happens(stage, autojump_clock):
    """The block ends as it likes, and the signals are as before."""
    before = signal.getsignal(signal.SIGTERM)
    async with open_supervisor(stage.puppet("a")) as supervisor:
        async with stop_on_signals(supervisor) as stop:
            assert signal.getsignal(signal.SIGTERM) != before
        assert signal.getsignal(signal.SIGTERM) == before
        assert supervisor.count_children() == {"up": 1}
    assert stop.exit_code == 0
