"""Where these tests happen: a directory with an app, a database, and whatever operates them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

APP = Path(__file__).with_name("app.py")
PATIENCE_S = 60.0


class Site:
    """A working directory in which somebody runs ``claw``, and what was said there.

    Attributes:
        directory: it; at first it holds the app, and nothing else.
        environment: the variables of every command.
    """

    def __init__(self, commands, directory: Path, said: Path) -> None:
        self.directory = directory
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("CLAW_")},
            "CLAW_STORAGE_TYPE": "sqlite",
            "CLAW_RUNTIME_IDLE_AFTER": "3600",  # or what waits would leave memory at some moment
        }
        self._commands = commands
        self._names = (said / str(number) for number in itertools.count())
        self._living = []
        app = directory / APP.name
        app.write_text(APP.read_text())
        app.chmod(0o644)

    def spawn(self, *arguments: object, uid: int | None = None, **variables: str):
        """Run a command, and do not wait for it."""
        process = self._commands.spawn(
            *map(str, arguments),
            directory=self.directory,
            says=next(self._names),
            environment=self.environment | variables,
            uid=uid,
        )
        self._living.append(process)
        return process

    def claw(self, *arguments: object, code: int = 0, uid: int | None = None) -> str:
        """Run a command, see it end so, and return what it printed: on stderr, if it failed."""
        process = self.spawn(*arguments, uid=uid)
        said = process.err.read_text if code else process.out.read_text
        assert process.wait() == code, process.err.read_text()
        return said()

    def records(self, *arguments: object) -> list[dict[str, object]]:
        """Run a command, and return the records that it prints."""
        return [json.loads(line) for line in self.claw(*arguments, "--json").splitlines()]

    def run(self, orders: str = "", serve: str = "serve", uid=None, options=(), **variables):
        """Start ``claw run`` and, with orders, what starts them; return it when that is done."""
        served = ("--serve", f"app:{serve}") if orders or serve != "serve" else ()
        process = self.spawn(
            *("run", "app:workflows", *served, *options), uid=uid, **{"ORDERS": orders} | variables
        )
        last = "all are" if served else "running"
        self.until(lambda: last in process.out.read_text(), "running", process)
        return process

    def until(self, condition: Callable[[], bool], what: str, process=None) -> None:
        """Look again and again until it is so, but not for ever, nor longer than a process lives."""
        give_up = time.monotonic() + PATIENCE_S
        while not condition():
            died = process is not None and not process.is_alive()
            assert not died, f"it has died, not {what}: {process.err.read_text()}"
            assert time.monotonic() < give_up, f"not {what} in {PATIENCE_S:g} s"
            time.sleep(0.01)

    def stop(self, process, number: int = signal.SIGTERM) -> str:
        """End a ``claw run`` as an operator does, and return what it said on stderr."""
        process.signal(number)
        assert process.wait() == 0, process.err.read_text()
        return process.err.read_text()

    def statuses(self) -> Counter[str]:
        """Count the workflows of each status, page after page."""
        return Counter(str(one["status"]) for one in self.all())

    def all(self, limit: int = 1_000, *arguments: str) -> Iterator[dict[str, object]]:
        """Read all workflows, page after page, as the command says how."""
        more = ()
        while True:
            process = self.spawn("list", "--json", "--limit", limit, *arguments, *more)
            assert process.wait() == 0, process.err.read_text()
            yield from map(json.loads, process.out.read_text().splitlines())
            told = process.err.read_text()
            if not told:
                return
            assert told.startswith("there are more: --after ")
            more = ("--after", told.rpartition(" ")[2].strip())

    def files(self) -> dict[str, str]:
        """Name what lies there, with its mode, but for the app and the ledger."""
        ours = {"app.py", "ledger", "__pycache__", "claw.toml"}
        return {
            str(path.relative_to(self.directory)): f"{path.stat().st_mode & 0o777:o}"
            for path in sorted(self.directory.rglob("*"))
            if path.relative_to(self.directory).parts[0] not in ours
        }

    def ledger(self) -> Counter[str]:
        """Count how often each step was taken."""
        path = self.directory / "ledger"
        return Counter(path.read_text().splitlines() if path.exists() else ())

    def close(self) -> None:
        """Kill whoever is left."""
        for process in self._living:
            process.kill()


@pytest.fixture
def site(commands, tmp_path) -> Iterator[Site]:
    """Have a directory with an app."""
    directory, said = tmp_path / "site", tmp_path / "said"
    directory.mkdir()
    said.mkdir()
    site = Site(commands, directory, said)
    yield site
    site.close()


@pytest.fixture
def open_site(commands, tmp_path) -> Iterator[Site]:
    """Have one in a directory that anybody may enter and write to, whoever runs the tests."""
    said = tmp_path / "said"
    said.mkdir()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name, "site")
        directory.mkdir()
        for path in (directory.parent, directory):
            path.chmod(0o777)
        site = Site(commands, directory, said)
        yield site
        site.close()
