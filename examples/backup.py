"""Back up a directory tree while being killed, restore it, and check that nothing ran twice.

    python backup.py              # the standard library of this Python
    python backup.py ~/pictures --kills 5

First comes the durable program. Each file is a task, whose outcome is recorded once; eight or
more workflows copy the tree side by side, into a store where every chunk lies under its hash.

Then comes a bad day, most of it in ``_backup_trial.py``: it runs that program as a process of its
own, really SIGKILLs it again and again, restarts it, and keeps a log of every file that is
touched, apart from the storage of claw_actors. At the end the log is held against what was
recorded, and every restored file against its source.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import io
import json
import math
import os
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio
from _backup_store import (
    Job,
    Restored,
    SkippedFile,
    StoredFile,
    get,
    put,
    quoted,
    restore,
    unquoted,
    write_whole,
)
from _backup_trial import Check, NothingToDoError, Trial, WorkerFailedError

from claw_actors import (
    Context,
    RuntimeConfig,
    TaskFailedError,
    open_runtime,
    task,
    task_info,
    workflow,
)

CHUNK_BYTES = 256 * 1024
SHARDS = 8  # at least: so many files are copied at the same time
SHARD_FILES = 250  # at most: listings and journals stay short, however large the tree is

# Of the standard library. The last is one static library, as large as all the rest.
EXCLUDE = ("__pycache__", "site-packages", "dist-packages", "config-*")


# -- the durable program: tasks ---------------------------------------------------------------------


@attrs.frozen
class Plan:
    """What there is to do: blobs that list the files, and how much is left out."""

    listings: tuple[str, ...]
    files: int
    links: int
    others: int


@task
def scan(job: Job) -> Plan:
    """List the regular files of the tree, in shards."""
    files: list[str] = []
    links = others = 0
    folders = [job.source]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            # As a file it fails to be stored, and so is reported like all that cannot be read.
            files.append(folder)
            continue
        for entry in entries:
            if entry.is_symlink():
                links += 1
            elif entry.is_dir(follow_symlinks=False):
                if not is_excluded(job, entry):
                    folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                files.append(entry.path)
            else:
                others += 1
    words = sorted(quoted(os.path.relpath(path, job.source)) for path in files)
    shards = min(len(words), max(SHARDS, math.ceil(len(words) / SHARD_FILES)))
    # A value that is recorded should be small; what is large goes into the store, by name.
    listings = [put(job, " ".join(words[n::shards]).encode("ascii")) for n in range(shards)]
    return Plan(tuple(listings), len(words), links, others)


def is_excluded(job: Job, folder: os.DirEntry[str]) -> bool:
    # What we write is never part of what we read.
    return folder.path == job.into or any(
        fnmatch.fnmatch(folder.name, pattern) for pattern in job.exclude
    )


@task
def read_listing(job: Job, listing: str) -> list[str]:
    return get(job, listing).decode("ascii").split()


@task
def store_file(job: Job, path: str) -> StoredFile:
    """Copy one file into the store. A plain function: it runs in a worker thread."""
    info = task_info()
    tell(f"start {info.workflow_id}/{info.task_id} {path}", wait=True)
    whole, chunks = hashlib.sha256(), list[str]()
    with Path(job.source, unquoted(path)).open("rb") as file:
        stat = os.fstat(file.fileno())
        while data := file.read(CHUNK_BYTES):
            whole.update(data)
            chunks.append(put(job, data))
    content = put(job, " ".join(chunks).encode("ascii"))
    mode = stat.st_mode & 0o777
    return StoredFile(path, stat.st_size, mode, stat.st_mtime_ns, whole.hexdigest(), content)


@task
def write_part(job: Job, stored: list[StoredFile], skipped: list[SkippedFile]) -> str:
    part = {
        "stored": [attrs.asdict(one) for one in stored],
        "skipped": [attrs.asdict(one) for one in skipped],
    }
    return put(job, json.dumps(part).encode())


@task
def write_manifest(job: Job, parts: list[str]) -> None:
    write_whole(Path(job.into, "manifest.json"), json.dumps(parts).encode())


# -- the durable program: workflows -----------------------------------------------------------------


@workflow
async def plan_backup(ctx: Context, job: Job) -> Plan:
    return await ctx.run(scan, job)


@workflow
async def copy_shard(ctx: Context, job: Job, listing: str) -> str:
    """Copy the files of one listing, one after the other; returns its part of the manifest."""
    stored: list[StoredFile] = []
    skipped: list[SkippedFile] = []
    for path in await ctx.run(read_listing, job, listing):
        try:
            stored.append(await ctx.run(store_file, job, path))
        except TaskFailedError as failure:
            skipped.append(SkippedFile(path, failure.error.message[:200]))
    return await ctx.run(write_part, job, stored, skipped)


@workflow
async def seal_backup(ctx: Context, job: Job, parts: list[str]) -> None:
    await ctx.run(write_manifest, job, parts)


async def work(job: Job, recorded: int) -> None:
    """One life of the worker process: begin, or go on. Every life runs these same lines.

    Args:
        job: what to do.
        recorded: how many tasks of unfinished workflows are recorded already.
    """
    async with open_runtime(
        Path(job.into, "backup.db"),
        workflows=[plan_backup, copy_shard, seal_backup],
        # By default a workflow that is recovered three times without getting on is suspected of
        # killing the process, and quarantined. Here we know who does it.
        config=RuntimeConfig(max_recoveries=1_000),
    ) as runtime:
        recovered = runtime.statistics().active + runtime.statistics().ended
        while (now := runtime.statistics()).replayed < recorded and now.active:  # noqa: ASYNC110
            await trio.sleep(0.001)
        tell(f"recovered {recovered} {now.replayed}")
        # `start` attaches to what is there already, so nothing here asks which life this is.
        planned = await runtime.start(plan_backup, job, id="plan")
        plan = await planned.result()
        tell(f"plan {plan.files} {plan.links} {plan.others}")
        copies = [
            await runtime.start(copy_shard, job, listing, id=f"copy-{n}")
            for n, listing in enumerate(plan.listings)
        ]
        parts = [await copy.result() for copy in copies]
        sealed = await runtime.start(seal_backup, job, parts, id="seal")
        await sealed.result()


_telling = threading.Lock()


def tell(line: str, *, wait: bool = False) -> None:
    """Say something to the parent process; with ``wait``, go on only when it has taken note.

    The parent is the witness: a file is touched only after that has been written down there. And
    it kills by not answering, so a kill strikes at exactly the file that it was meant for.
    """
    with _telling:
        os.write(1, f"{line}\n".encode("ascii"))
        if wait and not os.read(0, 1):
            os._exit(1)  # the parent is gone, and nobody would know of what we do


# -- the command line -------------------------------------------------------------------------------


def run_trial(job: Job, kills: int, seed: int) -> bool:
    """Back up, killed on the way; restore, compare, report. Returns whether everything held."""
    print(f"backing up {job.source}, to be killed {kills} times", flush=True)
    command = [sys.executable, __file__, "--worker", json.dumps(attrs.asdict(job))]
    trial = Trial(command, Path(job.into, "backup.db"), kills, seed)
    begun = time.monotonic()
    checks = trial.run()
    backed_up = time.monotonic()
    restored = restore(job)
    compared = time.monotonic()
    good = restored.files - len(restored.different)
    checks.append(
        Check(
            "every restored file has the hash of its source",
            not restored.different and good + len(restored.skipped) == trial.files,
            f"{good:,} of {trial.files:,}",
        )
    )
    print()
    tell_exceptions(trial, restored)
    for check in checks:
        print(f"{'ok' if check.holds else 'BROKEN':7} {check.claim:48} {check.figures:>18}")
    print(
        f"\n{restored.size / 1e6:,.1f} MB in {restored.chunks:,} chunks,"
        f" {restored.chunks - len(restored.distinct):,} of them stored already; backed up in"
        f" {backed_up - begun:.1f} s, {trial.files / (backed_up - begun):,.0f} durable tasks/s;"
        f" restored and compared in {compared - backed_up:.1f} s"
    )
    return all(check.holds for check in checks)


def tell_exceptions(trial: Trial, restored: Restored) -> None:
    """Say what is not as simple as it should be, if anything."""
    broken = [f"not restored: {one}" for one in restored.different]
    skipped = [f"not backed up: {one.path}: {one.why}" for one in restored.skipped]
    for lines in (broken, skipped):
        for line in lines[:10]:
            print(line)
        if len(lines) > 10:
            print(f"... and {len(lines) - 10:,} more")
    if trial.links or trial.others:
        print(f"left out: {trial.links:,} symbolic links, {trial.others:,} pipes, sockets, devices")
    if restored.changed:
        print(f"changed since: {restored.changed:,} files, compared with what was read")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; ends the program, with status 2, if it cannot be meant so."""
    parser = argparse.ArgumentParser(description="Back up a directory while being killed.")
    parser.add_argument("directory", nargs="?", help="default: this Python's standard library")
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="how often; default: 3")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the moments")
    parser.add_argument("--into", metavar="DIR", help="work in this new directory, and keep it")
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory")
    options = parser.parse_args(arguments)
    if not 0 <= options.kills <= 100:
        parser.error("--kills: a number from 0 to 100")
    options.exclude = EXCLUDE if options.directory is None else ()
    options.source = os.path.realpath(options.directory or sysconfig.get_path("stdlib"))
    try:
        os.scandir(options.source).close()
        if options.into:
            options.into = os.path.realpath(options.into)
            Path(options.into).mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(Path(options.into).iterdir()):
                parser.error(f"--into {options.into}: it is not empty")
        f"{options.source}{options.into}".encode()
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except UnicodeEncodeError:
        parser.error("the name of a directory is not UTF-8")
    return options


@contextlib.contextmanager
def work_directory(options: argparse.Namespace) -> Iterator[str]:
    """Provide the directory to work in, and clear it away unless it is to be kept."""
    if options.into or options.keep:
        directory = options.into or tempfile.mkdtemp(prefix="claw-backup-")
        yield directory
        print(f"everything is in {directory}")
    else:
        with tempfile.TemporaryDirectory(prefix="claw-backup-") as directory:
            yield os.path.realpath(directory)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with work_directory(options) as into:
            job = Job(options.source, into, options.exclude)
            return 0 if run_trial(job, options.kills, options.seed) else 1
    except KeyboardInterrupt:
        print("\nbackup.py: interrupted", file=sys.stderr)
        return 130
    except WorkerFailedError as error:
        print(f"backup.py: {error}", file=sys.stderr)
        return 1
    except NothingToDoError:
        print(f"backup.py: there is no file in {options.source}", file=sys.stderr)
    except OSError as error:
        print(f"backup.py: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        trio.run(work, Job(**json.loads(sys.argv[2])), int(sys.argv[3]))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for the names of files
        sys.exit(main())
