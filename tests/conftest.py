"""What all tests share: the fixtures that users get, too, and what the slow ones need."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

# How long a machine takes that is busy with something else says nothing about what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = ["claw_actors.testing.fixtures"]


def pytest_configure() -> None:
    """Heed Ctrl-C, which a shell has its background jobs ignore: some tests raise it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Tell whether there is time: ``CLAW_TORTURE=long``."""
    form = os.environ.get("CLAW_TORTURE", "short")
    assert form in {"short", "long"}, "CLAW_TORTURE is short or long"
    return form == "long"


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]):
    """Print a figure so that it is seen in a run that passes, too."""

    def say(text: str) -> None:
        with capsys.disabled():
            # Not stdout: one of several processes talks to pytest-xdist there.
            print(f"\n  {text}", end="", flush=True, file=sys.stderr)

    return say


@attrs.define
class Commands:
    """Runs ``claw`` as processes, cheaply; see forking.py."""

    server: subprocess.Popen[str]

    def _ask(self, **request: object) -> int | None:
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, f"nobody forks commands any more: {self.server.poll()}"
        return json.loads(answer)

    def spawn(
        self,
        *arguments: str,
        directory: Path,
        says: Path,
        environment: Mapping[str, str] = os.environ,
        uid: int | None = None,
    ) -> Process:
        """Run a command, and do not wait for it.

        Args:
            arguments: what stands behind ``claw``.
            directory: where it works.
            says: what it prints goes to this name with ``.out`` and with ``.err``.
            environment: its variables.
            uid: whose process it is.
        """
        out, err = (says.with_name(f"{says.name}.{kind}") for kind in ("out", "err"))
        for file in (out, err):
            file.touch()  # it can be read at once
        request = {
            "arguments": arguments,
            "directory": str(directory),
            "environment": dict(environment),
            "out": str(out),
            "err": str(err),
            "uid": uid,
        }
        return Process(self, self._ask(spawn=request), out, err)

    def reap(self, pid: int, within_s: float) -> int | None:
        """Wait for the end of a process; ``None`` if it goes on."""
        return self._ask(reap=pid, within_s=within_s)


@attrs.define
class Process:
    """One command."""

    commands: Commands
    pid: int
    out: Path
    err: Path
    code: int | None = None

    def is_alive(self) -> bool:
        """Tell whether it goes on."""
        if self.code is None:
            self.code = self.commands.reap(self.pid, 0)
        return self.code is None

    def signal(self, number: int) -> None:
        """Send it a signal; it has not been reaped, so the pid is its own."""
        assert self.is_alive(), self.err.read_text()
        os.kill(self.pid, number)

    def wait(self, within_s: float = 60) -> int:
        """Wait for its end, and return its exit code: negative for a signal."""
        if self.code is None:
            self.code = self.commands.reap(self.pid, within_s)
        if self.code is None:
            self.kill()
            raise AssertionError(f"it hung for {within_s:g} s: {self.err.read_text()}")
        return self.code

    def kill(self) -> int:
        """Kill it, if it lives, and return how it has ended."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.code = self.commands.reap(self.pid, 60)
        return self.code


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """Run ``claw`` as processes."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "forking.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    ) as server:
        yield Commands(server)
        server.stdin.close()
