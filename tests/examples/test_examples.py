"""The examples do what they say; and what ``backup.py`` checks can be broken."""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PYTHON = [sys.executable, "-u"]


@pytest.fixture(autouse=True)
def path_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples import what lies beside them, as they do when they are run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def backup() -> ModuleType:
    return importlib.import_module("backup")


@pytest.fixture
def trial() -> ModuleType:
    return importlib.import_module("_backup_trial")


# -- hello.py --------------------------------------------------------------------------------------


def run_hello(directory: Path) -> tuple[list[str], int]:
    """Kill hello.py when it brews its second cup, run it again; what that says, and its status."""
    command = [*PYTHON, str(EXAMPLES / "hello.py")]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if "cup 2" in line:
                first.kill()
    second = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return second.stdout.splitlines(), second.returncode


@pytest.fixture(scope="module", autouse=True)
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[tuple[list[str], int]]]:
    """hello.py sleeps most of its time, so it runs beside the other tests."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run_hello, tmp_path_factory.mktemp("hello"))


# -- backup.py: a whole run --------------------------------------------------------------------------


def make_tree(root: Path) -> None:
    """Write some files of all kinds, and what is no file."""
    dice = random.Random(7)
    for n in range(100):
        folder = root / f"folder {n % 3}" / f"deep-{n % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{n}").write_bytes(dice.randbytes(n * 40))
    (root / "large").write_bytes(dice.randbytes(700_000))
    (root / "large again").write_bytes((root / "large").read_bytes())
    (root / "empty").touch()
    (root / "program").write_text("#!/bin/sh\n")
    (root / "program").chmod(0o755)
    (root / "ünïcode\nline").write_text("a name of two lines")
    Path(os.fsdecode(os.fsencode(root) + b"/not \xff text")).write_text("no text")
    (root / "link").symlink_to("large")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")


def make_too_deep(root: Path) -> None:
    """Make a folder whose path is longer than the system takes: nobody can list it, not root."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=descriptor)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def contents(root: Path) -> dict[Path, tuple[int, int, bytes]]:
    """Return all regular files under a folder: mode, time, and bytes."""
    return {
        path.relative_to(root): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def run_backup(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*PYTHON, str(EXAMPLES / "backup.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class Run:
    """A backup that has been made once, for several tests to look at."""

    def __init__(self, directory: Path) -> None:
        self.source, self.into = directory / "source", directory / "into"
        self.source.mkdir()
        make_tree(self.source)
        self.files = contents(self.source)
        make_too_deep(self.source)
        self.ended = run_backup(self.source, "--into", self.into, "--seed", 5)
        self.lines = self.ended.stdout.splitlines()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory = tmp_path_factory.mktemp("backup")
    yield Run(directory)
    # The too deep folder goes by descriptors, which pytest's own clearing may not use.
    shutil.rmtree(directory / "source")


def test_a_backup_that_is_killed_three_times_is_whole(run: Run):
    """Every file comes out as it went in: path, bytes, mode and time."""
    assert (run.ended.returncode, run.ended.stderr) == (0, "")
    assert contents(run.into / "restored") == run.files


def test_a_backup_says_what_was_killed_and_what_ran_again(run: Run):
    """Three kills at three moments, and after each one what was recovered."""
    kills = [line for line in run.lines if line.startswith("SIGKILL")]
    restarts = [line for line in run.lines if line.startswith("restarted: ")]
    assert (len(kills), len(restarts)) == (3, 3)
    points = [int(re.findall(r"at file (\d+) of 107", line)[0]) for line in kills]
    assert sorted(set(points)) == points
    assert all(re.search(r", \d+ run again$", line) for line in restarts)
    assert [line[:8] for line in run.lines if "  " in line and "%" not in line] == ["ok      "] * 6


def test_progress_off_a_terminal_is_one_line_for_each_tenth(run: Run):
    """Nothing is rewritten where nothing can be."""
    bars = [line for line in run.lines if line.startswith("[")]
    assert len(bars) == 10
    assert "\r" not in run.ended.stdout
    assert bars[-1] == f"[{'#' * 25}] 100 %  107 of 107 files"


def test_what_cannot_be_read_is_reported_and_stops_nothing(run: Run):
    """A task that has failed is recorded like any other, and links and pipes are counted."""
    [skipped] = [line for line in run.lines if line.startswith("not backed up: ")]
    assert "File name too long" in skipped
    assert "left out: 2 symbolic links, 1 pipes, sockets, devices" in run.lines


def test_what_is_in_the_store_already_is_not_stored_twice(run: Run):
    """Two equal files of three chunks each lie there once."""
    assert "3 of them stored already" in run.lines[-2]


def test_a_damaged_chunk_is_seen_when_it_is_restored(run: Run, backup, tmp_path, capsys):
    """Negative control of the comparison: the status says so, and the file is named."""
    into = tmp_path / "into"
    shutil.copytree(run.into / "store", into / "store")
    shutil.copy(run.into / "manifest.json", into)
    job = backup.Job(str(run.source), str(into))
    assert backup.restore(job).different == []
    shutil.rmtree(into / "restored")
    chunk = max((into / "store").glob("*/*"), key=lambda path: path.stat().st_size)
    chunk.write_bytes(b"x" + chunk.read_bytes()[1:])
    assert [one.split(":")[0] for one in backup.restore(job).different] == [
        "large",
        "large%20again",
    ]


def test_a_source_that_was_written_to_since_is_told_apart(run: Run, backup, tmp_path):
    """What changed is not broken; what looks the same and is not, is."""
    source, into = tmp_path / "source", tmp_path / "into"
    shutil.copytree(run.into / "store", into / "store")
    shutil.copy(run.into / "manifest.json", into)
    shutil.copytree(run.into / "restored", source)
    (source / "program").write_text("longer than it was\n")
    (source / "empty").unlink()
    stat = (source / "large").stat()
    (source / "large").write_bytes(bytes(stat.st_size))
    os.utime(source / "large", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    restored = backup.restore(backup.Job(str(source), str(into)))
    assert restored.changed == 2
    assert restored.different == ["large: its source has another hash"]


def test_a_storage_that_forgets_is_found_out(backup, trial, tmp_path, monkeypatch, capsys):
    """Negative control of the whole: the database is gone after the kill, and the status is 1."""
    (tmp_path / "source").mkdir()
    for n in range(40):
        (tmp_path / "source" / f"file-{n}").write_text(str(n))
    read = trial.read_recorded

    async def read_and_forget(database):
        recorded = await read(database)
        for path in database.parent.glob("backup.db*"):
            path.unlink()
        return recorded

    monkeypatch.setattr(trial, "read_recorded", read_and_forget)
    into = tmp_path / "into"
    assert backup.main([str(tmp_path / "source"), "--kills", "1", "--into", str(into)]) == 1
    said = capsys.readouterr().out
    assert "BROKEN  no file recorded as done was processed again" in said
    assert "ok      every restored file has the hash of its source" in said


# -- backup.py: what it refuses, and how it is stopped -------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing"], "missing: No such file or directory"),
        (["file"], "file: Not a directory"),
        ([".", "--kills", "-1"], "--kills: a number from 0 to 100"),
        ([".", "--kills", "many"], "invalid int value: 'many'"),
        ([".", "--into", "full"], "full: it is not empty"),
        ([".", "--into", "file"], "file: File exists"),
        ([os.fsdecode(b"not \xff text")], "the name of a directory is not UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused(backup, tmp_path, monkeypatch, capsys, arguments, reason):
    """With the reason, and status 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "full" / "of").mkdir(parents=True)
    Path(os.fsdecode(b"not \xff text")).mkdir()
    with pytest.raises(SystemExit) as refusal:
        backup.main(arguments)
    assert refusal.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_directory_without_files_is_refused(tmp_path):
    """There is nothing to show."""
    (tmp_path / "source" / "folder").mkdir(parents=True)
    ended = run_backup(tmp_path / "source", "--into", tmp_path / "source" / "into")
    assert ended.returncode == 2
    assert ended.stderr == f"backup.py: there is no file in {tmp_path / 'source'}\n"


@pytest.mark.parametrize("moment", ["backing up", "SIGKILL 1"])
def test_ctrl_c_ends_it_cleanly(tmp_path, moment):
    """One line, status 130, and nothing is left behind: no file and no worker."""
    source, temporary = tmp_path / "source", tmp_path / "temporary"
    source.mkdir()
    temporary.mkdir()
    make_tree(source)
    with subprocess.Popen(
        [*PYTHON, str(EXAMPLES / "backup.py"), str(source)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        while not parent.stdout.readline().startswith(moment):
            assert parent.poll() is None
        parent.send_signal(signal.SIGINT)
        # It ends only when nobody has these pipes any more: no worker that was left behind.
        _, said = parent.communicate(timeout=60)
    assert (parent.returncode, said) == (130, "\nbackup.py: interrupted\n")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ("raise SystemExit(3)", "the worker ended by itself, status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "status -9"),
        ("print('nonsense')", "the worker said ['nonsense']"),
    ],
)
def test_a_worker_that_ends_by_itself_is_an_error(trial, tmp_path, worker, reason):
    """Also if it ends by a SIGKILL that is not ours."""
    command = [sys.executable, "-c", worker]
    with pytest.raises(trial.WorkerFailedError, match=re.escape(reason)):
        trial.Trial(command, tmp_path / "backup.db", kills=0, seed=1).run()


def test_a_worker_whose_witness_is_gone_touches_nothing(backup, tmp_path):
    """Nobody would know of what it does, so it ends."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("precious")
    job = {"source": str(tmp_path / "source"), "into": str(tmp_path)}
    ended = run_backup("--worker", json.dumps(job), 0, stdin=subprocess.DEVNULL)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "start copy-0/store_file file"
    stored = [path.read_bytes() for path in (tmp_path / "store").glob("*/*")]
    assert b"precious" not in stored


# -- backup.py: the checks are able to fail -------------------------------------------------------------

A, B, C = ("copy-0/store_file", "a"), ("copy-1/store_file", "b"), ("copy-0/store_file#2", "c")


def broken(trial: ModuleType, log, kills, recorded) -> list[str]:
    """Return the claims that do not hold for a log of three files."""
    starts = [trial.Start(*one) for one in log]
    stock = [trial.Kill(seen, frozenset(name for name, _ in done)) for seen, done in kills]
    checks = trial.judge(3, starts, stock, [name for name, _ in recorded])
    return [check.claim for check in checks if not check.holds]


def test_an_honest_log_passes(trial):
    """``a`` was recorded at the kill, ``b`` in flight: ``b`` alone runs again."""
    assert broken(trial, [A, B, B, C], [(2, [A])], [A, B, C]) == []


@pytest.mark.parametrize(
    ("log", "kills", "recorded", "claims"),
    [
        pytest.param(
            [A, B, A, B, C],
            [(2, [A])],
            [A, B, C],
            ["no file recorded as done was processed again", "only what was in flight ran again"],
            id="a recorded file ran again",
        ),
        pytest.param(
            [A, B, (C[0], "a"), C],
            [(2, [A, B])],
            [A, B, C],
            [
                "no file recorded as done was processed again",
                "only what was in flight ran again",
            ],
            id="a recorded file ran again, as another task",
        ),
        pytest.param(
            [A, B, B, B, C],
            [(2, [A])],
            [A, B, C],
            ["only what was in flight ran again"],
            id="one file ran twice in one life",
        ),
        pytest.param(
            [A, A, B, C],
            [],
            [A, B, C],
            ["only what was in flight ran again"],
            id="a file ran twice without any kill",
        ),
        pytest.param(
            [A, B, C],
            [(2, [A, B])],
            [A, C],
            ["no recorded outcome was lost", "every file has exactly one outcome"],
            id="an outcome was lost",
        ),
        pytest.param(
            [A, B, C],
            [],
            [A, B, C, C],
            ["every file has exactly one outcome"],
            id="an outcome was recorded twice",
        ),
        pytest.param(
            [A, B], [], [A, B], ["every file has exactly one outcome"], id="a file was left out"
        ),
        pytest.param(
            [A, B],
            [],
            [A, B, C],
            ["every file has exactly one outcome"],
            id="a file is recorded that the witness never saw",
        ),
    ],
)
def test_a_forged_log_is_found_out(trial, log, kills, recorded, claims):
    """Negative controls: each invariant is broken, and said to be."""
    assert broken(trial, log, kills, recorded) == claims


def test_kills_are_spread_and_come_from_the_seed(trial):
    """One in each part of the way, never beyond the last file, and no two at one file."""
    for files in (1, 2, 7, 100, 2_431):
        for seed in range(20):
            points = trial.kill_points(files, 3, seed)
            assert points == sorted(set(points))
            assert len(points) == min(files, 3) or files == 2
            assert 1 <= points[0] <= points[-1] <= files
            assert points == trial.kill_points(files, 3, seed)
    assert len({tuple(trial.kill_points(2_431, 3, seed)) for seed in range(20)}) == 20
    assert trial.kill_points(100, 0, 1) == []


# -- last, because it takes its time beside the others ---------------------------------------------------


def test_hello_goes_on_where_it_was_killed(hello):
    """The first cup is recorded when the second one is brewed, and is not brewed again."""
    lines, status = hello.result()
    assert status == 0
    # Of the second cup nobody knows: it was killed while it brewed it, or just after.
    assert [line for line in lines if line != "brewing cup 2"] == [
        "brewing cup 3",
        "['cup 1', 'cup 2', 'cup 3']",
    ]
