"""Lives as a test sees them: started, killed, waited for, and never waited for without end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

HERE = Path(__file__).parent
KILLED = -signal.SIGKILL
DUMP_S = 1.0
"""How long a life that hangs gets to say where."""


class Lives:
    """Starts lives through the fork server."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def _ask(self, **request: object) -> object:
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, f"the fork server has died: {self._server.poll()}"
        return json.loads(answer)

    def spawn(self, program: Callable[..., object], log: Path, **arguments: object) -> Life:
        """Start a life that runs this async function, named by its module.

        Args:
            program: what it runs, under ``trio.run``.
            log: where its output goes.
            arguments: for the program; JSON, or paths.
        """
        plain = {
            name: os.fspath(value) if isinstance(value, Path) else value
            for name, value in arguments.items()
        }
        name = f"{program.__module__}:{program.__name__}"
        return Life(self, self._ask(spawn=name, arguments=plain, log=os.fspath(log)), log)

    def reap(self, pid: int, within_s: float) -> int | None:
        """Wait for a life's end; ``None`` if it goes on."""
        return self._ask(reap=pid, within_s=within_s)


@attrs.define
class Life:
    """One process."""

    lives: Lives
    pid: int
    log: Path
    status: int | None = None

    def signal(self, number: int) -> None:
        """Send it a signal; it has not been reaped, so the pid is still its own."""
        assert self.status is None
        os.kill(self.pid, number)

    def kill(self, after_s: float = 0.0) -> int:
        """Kill it at that moment, and return how it ended: perhaps by itself, before."""
        time.sleep(after_s)
        self.signal(signal.SIGKILL)
        return self.wait(10)

    def wait(self, within_s: float) -> int:
        """Wait for its end, and return its exit status; a hang is told, ended and failed."""
        if self.status is None:
            self.status = self.lives.reap(self.pid, within_s)
        if self.status is None:
            self.signal(signal.SIGUSR1)
            time.sleep(DUMP_S)
            self.kill()
            raise AssertionError(f"it hung for {within_s:g} s:\n{self.said()}")
        return self.status

    def said(self, characters: int = 10_000) -> str:
        """Return the last of what it printed."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def succeed(self, within_s: float) -> None:
        """Wait for its end, which must be a good one."""
        status = self.wait(within_s)
        assert status == 0, f"it ended with {status}:\n{self.said()}"


@contextmanager
def open_lives() -> Generator[Lives]:
    """Start a fork server for the length of the block."""
    # This package is named one way by pytest and could be named another way by somebody else.
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    server = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.forkserver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        yield Lives(server)
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()


async def seen_soon(condition: Callable[[], bool]) -> None:
    """Wait until it is so, for what no event tells; the caller limits the time."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.001)


def wait_until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Look again and again until it is so, but not for ever."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"in {within_s:g} s: not {what}"
        time.sleep(0.0005)
