"""The world of ``agent_approval.py``: two directories to tidy up, and the witness.

The witness believes nobody. It looks at the directories themselves, and at a log to which each tool
appends a line before it does anything.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

Tree = Mapping[str, str]  # paths of files, and the hash of each


@attrs.frozen
class Check:
    """Something that must hold, whether it does, and the figures."""

    claim: str
    holds: bool
    figures: str


@attrs.frozen
class Sight:
    """What the witness sees at one moment: both directories, and the log of the tools."""

    downloads: Tree
    photos: Tree
    log: tuple[str, ...]


def make_tree(root: Path, seed: int) -> None:
    """Write files as they pile up in the course of years: copies, old logs, and what one needs."""
    dice = random.Random(seed)
    for folder in ("letters", "letters/2019", "programs"):
        (root / folder).mkdir(parents=True)
        for n in range(4):
            file = root / folder / f"{dice.choice(('plan', 'offer', 'tax'))}-{n}.pdf"
            file.write_bytes(dice.randbytes(dice.randint(500, 5_000)))
            log = root / folder / f"trace-{n}.log"
            log.write_bytes(dice.randbytes(dice.randint(500, 5_000)))
            if n % 2 == 0:
                os.utime(log, (0, 0))  # it has not been written to since 1970
    for file in sorted(root.glob("letters/*.pdf"))[:3]:
        (file.parent / f"copy-of-{file.name}").write_bytes(file.read_bytes())
    # As long as another file, and yet no copy of it.
    [plan, *_] = sorted(root.glob("programs/*.pdf"))
    (root / "programs" / "other.pdf").write_bytes(dice.randbytes(plan.stat().st_size))


def see(root: Path) -> Tree:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def look(directory: Path) -> Sight:
    log: list[str] = []
    if (directory / "tools.log").exists():
        log = (directory / "tools.log").read_text().splitlines()
    return Sight(see(directory / "downloads"), see(directory / "photos"), tuple(log))


class ProcessFailedError(Exception):
    """A process did not end as it should."""


def run(command: Sequence[str], kill_at: str | None = None) -> list[str]:
    """Run a process to its end, or until it says what it is to be killed at; returns its lines.

    Raises:
        ProcessFailedError: it did not end as it should.
    """
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line.strip())
            if kill_at is not None and line.startswith(kill_at):
                process.kill()
    if process.returncode != (0 if kill_at is None else -signal.SIGKILL):
        raise ProcessFailedError(f"{command[-1]} ended by itself, status {process.returncode}")
    return said


def report(checks: Sequence[Check]) -> bool:
    """Print what held, and what did not; returns whether everything did."""
    print()
    for check in checks:
        print(f"{'ok' if check.holds else 'BROKEN':7} {check.claim:48} {check.figures:>18}")
    return all(check.holds for check in checks)


def judge(
    before: Sight, killed: Sight, after: Sight, approved: Sequence[str], rejected: Sequence[str]
) -> list[Check]:
    """Hold what the witness saw against what the human wanted.

    Args:
        before: what there was in the beginning.
        killed: what there was when the answer had been sent, and no agent had lived to hear it.
        after: what there is in the end.
        approved: what of ``downloads`` was to be deleted.
        rejected: what the agent had proposed beside that.
    """
    early = [line for line in killed.log if line.startswith("delete ")]
    untouched = (killed.downloads, killed.photos) == (before.downloads, before.photos)
    left = {path: text for path, text in before.downloads.items() if path not in approved}
    gone = [path for path in approved if path not in after.downloads]
    kept = [path for path in rejected if after.downloads.get(path) == before.downloads[path]]
    calls = Counter(after.log)
    wanted = {f"delete downloads/{path}" for path in approved}
    deleted = {call for call in calls if call.startswith("delete ")}
    return [
        Check("nothing was deleted before the answer", untouched and not early, f"{len(early)}"),
        Check("what was approved is gone", len(gone) == len(approved) > 0, f"{len(gone)}"),
        Check("what was rejected is there", len(kept) == len(rejected) > 0, f"{len(kept)}"),
        Check("all the rest is as it was", after.downloads == left, f"{len(left)} files"),
        Check(
            "where nobody answered, nothing was deleted",
            after.photos == before.photos,
            f"{len(after.photos)} files",
        ),
        Check("only what was approved was tried", deleted == wanted, f"{len(deleted)}"),
        Check(
            "each call of a tool happened once",
            set(calls.values()) == {1},
            f"{len(after.log)} calls",
        ),
    ]
