"""The bad day of ``backup.py``: kills its worker again and again, and keeps the witness's log.

The witness is this process. The worker tells it about each file before it touches it, and waits
for an answer; so the log is complete, lies outside of claw_actors' storage, and survives every
SIGKILL. What the witness saw is then held against what was recorded.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from claw_actors import TaskStatus, WorkflowFilter, open_storage

EFFECT = "store_file"  # the task whose starts are witnessed


@attrs.frozen
class Start:
    """The witness saw a task begin to work on a file."""

    task: str
    path: str


@attrs.frozen
class Kill:
    """One SIGKILL: how much the witness had seen, and which tasks storage had recorded."""

    seen: int
    recorded: frozenset[str]


@attrs.frozen
class Check:
    """Something that must hold, whether it does, and the figures."""

    claim: str
    holds: bool
    figures: str


@attrs.frozen
class Recorded:
    """What a database says: the effects with an outcome, and the tasks that a life replays."""

    effects: tuple[str, ...]
    to_replay: int


class NothingToDoError(Exception):
    """There is not one file."""


class WorkerFailedError(Exception):
    """The worker ended by itself, and not as it should."""


# -- judging ----------------------------------------------------------------------------------------


def in_flight(starts: Sequence[Start], kill: Kill) -> set[str]:
    """Return the files that had been begun at a kill, and were not recorded."""
    return {one.path for one in starts[: kill.seen] if one.task not in kill.recorded}


def judge(
    files: int, starts: Sequence[Start], kills: Sequence[Kill], recorded: Sequence[str]
) -> list[Check]:
    """Hold what the witness saw against what was recorded, at each kill and at the end.

    Args:
        files: how many there are.
        starts: the witness's log.
        kills: what stood there at each kill.
        recorded: the tasks that are recorded at the end.
    """
    repeated: set[str] = set()
    for kill in kills:
        # By path: a file must not come back under the name of another task either.
        done = {one.path for one in starts[: kill.seen] if one.task in kill.recorded}
        repeated |= done & {one.path for one in starts[kill.seen :]}
    paths, tasks = {one.path for one in starts}, {one.task for one in starts}
    again = len(starts) - len(paths)
    allowed = sum(len(in_flight(starts, kill)) for kill in kills)
    lost = {one for kill in kills for one in kill.recorded} - set(recorded)
    once = len(recorded) == len(paths) == len(tasks) == files and set(recorded) == tasks
    return [
        Check("no file recorded as done was processed again", not repeated, f"{len(repeated):,}"),
        Check("only what was in flight ran again", again <= allowed, f"{again:,} of {allowed:,}"),
        Check("no recorded outcome was lost", not lost, f"{len(lost):,}"),
        Check("every file has exactly one outcome", once, f"{len(set(recorded)):,} of {files:,}"),
    ]


async def read_recorded(database: Path) -> Recorded:
    """Read what is recorded, while no worker lives.

    It reads a copy: the next life must find the database just as SIGKILL left it.
    """
    effects: list[str] = []
    to_replay = 0
    with tempfile.TemporaryDirectory(dir=database.parent) as directory:
        for suffix in ("", "-wal", ".mark"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{database}{suffix}", directory)
        async with open_storage(Path(directory, database.name)) as storage:
            query: WorkflowFilter | None = WorkflowFilter(limit=1_000)
            while query is not None:
                page = await storage.list_workflows(query)
                for state in page.items:
                    ended = [
                        one
                        for one in await storage.list_tasks(state.id)
                        if one.status in {TaskStatus.COMPLETED, TaskStatus.FAILED}
                    ]
                    to_replay += 0 if state.status.is_terminal else len(ended)
                    effects += [f"{state.id}/{one.id}" for one in ended if one.name == EFFECT]
                after = page.next_after
                query = None if after is None else WorkflowFilter(limit=1_000, after=after)
    return Recorded(tuple(effects), to_replay)


# -- killing ----------------------------------------------------------------------------------------


def kill_points(files: int, kills: int, seed: int) -> list[int]:
    """Choose at which file to kill: one point in each ``1 / kills`` of the way, all different."""
    dice = random.Random(seed)
    return sorted({math.ceil(files * (n + dice.uniform(0.2, 0.8)) / kills) for n in range(kills)})


class Progress:
    """One line that is rewritten on a terminal; elsewhere a line for each tenth of the way."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._step = 1 if self._is_terminal else 10
        self._next = self._step

    def show(self, done: int, total: int) -> None:
        percent = 100 * done // total
        if percent >= self._next:
            self._next = percent - percent % self._step + self._step
            bar = f"[{'#' * (percent // 4):.<25}] {percent:3} %  {done:,} of {total:,} files"
            if self._is_terminal:
                print(f"\r{bar:<79}", end="", flush=True)
            else:
                print(bar, flush=True)

    def say(self, text: str) -> None:
        print(f"\r{text:<79}" if self._is_terminal else text, flush=True)


@attrs.define
class Life:
    """One life of the worker, as the witness sees it.

    Attributes:
        expected: what was in flight at the last kill, and has not been begun again.
        again: how many files were begun that had been begun in an earlier life.
        news: what the worker said about its recovery, until it has been shown.
        is_killed: whether we have killed it.
    """

    expected: set[str]
    again: int = 0
    news: str = ""
    is_killed: bool = False


class Trial:
    """Runs the worker through its lives.

    Attributes:
        starts: the witness's log.
        kills: what stood there at each kill.
        files, links, others: how many files there are to back up, and what is left out.
    """

    def __init__(self, command: Sequence[str], database: Path, kills: int, seed: int) -> None:
        self.starts: list[Start] = []
        self.kills: list[Kill] = []
        self.files = self.links = self.others = 0
        self._command = command
        self._database = database
        self._wanted, self._seed = kills, seed
        self._points: list[int] = []
        self._touched: set[str] = set()
        self._progress = Progress()
        self._worker: subprocess.Popen[bytes] | None = None
        self._is_interrupted = False

    def run(self) -> list[Check]:
        """Run the worker until it has finished, through all kills; then judge.

        Raises:
            NothingToDoError: there is not one file.
            WorkerFailedError: the worker ended by itself, and not as it should.
            KeyboardInterrupt: by Ctrl-C, when the worker is gone.
        """
        # Raised at any line, it could leave a worker behind that nobody knows of.
        handler = signal.signal(signal.SIGINT, self._interrupt)
        try:
            return self._run()
        finally:
            signal.signal(signal.SIGINT, handler)

    def _interrupt(self, *_: object) -> None:
        self._is_interrupted = True
        if self._worker is not None:
            self._worker.kill()

    def _run(self) -> list[Check]:
        recorded = Recorded((), 0)
        while self._live(recorded.to_replay):
            recorded = trio.run(read_recorded, self._database)
            kill = Kill(len(self.starts), frozenset(recorded.effects))
            self.kills.append(kill)
            self._progress.say(
                f"SIGKILL {len(self.kills)} at file {len(self._touched):,} of {self.files:,}:"
                f" {len(kill.recorded):,} recorded, {len(in_flight(self.starts, kill)):,} in flight"
            )
        recorded = trio.run(read_recorded, self._database)
        struck, left = len(self.kills), len(self._points)
        return [
            Check("every SIGKILL has struck", not left, f"{struck} of {struck + left}"),
            *judge(self.files, self.starts, self.kills, recorded.effects),
        ]

    def _live(self, to_replay: int) -> bool:
        """Run the worker for one life; tells whether it was killed."""
        life = Life(in_flight(self.starts, self.kills[-1]) if self.kills else set())
        with subprocess.Popen(
            [*self._command, str(to_replay)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C comes here, and only here
        ) as worker:
            self._worker = worker  # from here on, Ctrl-C kills it
            try:
                if not self._is_interrupted:
                    self._watch(worker, life)
            except BaseException:
                worker.kill()
                raise
            if self._is_interrupted:
                worker.kill()
        if self._is_interrupted:
            raise KeyboardInterrupt
        if life.news or life.expected:
            self._show(life)
        if worker.returncode != (-signal.SIGKILL if life.is_killed else 0):
            raise WorkerFailedError(f"the worker ended by itself, status {worker.returncode}")
        return life.is_killed

    def _watch(self, worker: subprocess.Popen[bytes], life: Life) -> None:
        """Listen to the worker until it says nothing more."""
        assert worker.stdout is not None
        for line in worker.stdout:
            self._hear(line.decode("ascii").split(), life, worker)
            if life.news and not life.expected:
                self._show(life)

    def _hear(self, words: list[str], life: Life, worker: subprocess.Popen[bytes]) -> None:
        """Take note of one line of the worker."""
        match words:
            case ["start", task, path]:
                self.starts.append(Start(task, path))
                life.again += path in self._touched
                life.expected.discard(path)
                self._touched.add(path)
                self._progress.show(len(self._touched), self.files)
                self._answer(life, worker)
            case ["plan", files, links, others]:
                if not self.files:
                    self.files, self.links, self.others = int(files), int(links), int(others)
                    self._points = kill_points(self.files, self._wanted, self._seed)
                if not self.files:
                    raise NothingToDoError
            case ["recovered", workflows, tasks]:
                if self.kills:
                    life.news = f"{workflows} workflows recovered, {int(tasks):,} tasks replayed"
            case _:
                raise WorkerFailedError(f"the worker said {words}")

    def _answer(self, life: Life, worker: subprocess.Popen[bytes]) -> None:
        """Let the worker go on, or kill it instead."""
        if self._points and len(self._touched) >= self._points[0]:
            self._points.pop(0)
            worker.kill()
            life.is_killed = True
        elif not life.is_killed:
            assert worker.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # then it has died, and the status says how
                os.write(worker.stdin.fileno(), b".")

    def _show(self, life: Life) -> None:
        news = life.news or "gone again before it had replayed everything"
        self._progress.say(f"restarted: {news}, {life.again:,} run again")
        life.news = ""
