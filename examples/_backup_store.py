"""The store of ``backup.py``: every chunk under its hash; and the way back out of it.

Nothing here is about claw_actors. All writes may be repeated, so that a task that was cut off can
simply run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import attrs


@attrs.frozen
class Job:
    """What to back up, where to, and which names to leave out."""

    source: str
    into: str
    exclude: tuple[str, ...] = attrs.field(default=(), converter=tuple)


@attrs.frozen
class StoredFile:
    """One file in the store; ``content`` is a blob that lists its chunks."""

    path: str
    size: int
    mode: int
    mtime_ns: int
    sha256: str
    content: str


@attrs.frozen
class SkippedFile:
    """One file that could not be read."""

    path: str
    why: str


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there completely, or not at all."""
    # SIGKILL takes nothing from the kernel. To survive a loss of power, this would have to fsync.
    beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    beside.write_bytes(data)
    beside.replace(path)


def put(job: Job, data: bytes) -> str:
    """Store some bytes under their hash, and return it. Doing it again changes nothing."""
    name = hashlib.sha256(data).hexdigest()
    path = Path(job.into, "store", name[:2], name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    return name


def get(job: Job, name: str) -> bytes:
    """Read some bytes, and make sure that they are what was stored."""
    data = Path(job.into, "store", name[:2], name).read_bytes()
    if hashlib.sha256(data).hexdigest() != name:
        raise ValueError(f"blob {name} is damaged")
    return data


# A file name is any bytes; what is recorded is text. Quoted, it is also one word of a log line.
def quoted(path: str) -> str:
    return quote(os.fsencode(path))


def unquoted(path: str) -> str:
    return os.fsdecode(unquote_to_bytes(path))


@attrs.define
class Restored:
    """What was restored, and how it compares.

    Attributes:
        files, size: how many files, and bytes.
        chunks, distinct: how many chunks they are made of, and which these are.
        changed: files whose source was written to since, so that it is another one now.
        different: files that are not what they should be, and why.
        skipped: what could not be read in the first place.
    """

    files: int = 0
    size: int = 0
    chunks: int = 0
    distinct: set[str] = attrs.field(factory=set)
    changed: int = 0
    different: list[str] = attrs.field(factory=list)
    skipped: list[SkippedFile] = attrs.field(factory=list)


def restore(job: Job) -> Restored:
    """Restore everything into a fresh directory, and compare every hash with the source."""
    restored = Restored()
    for part in json.loads(Path(job.into, "manifest.json").read_bytes()):
        records = json.loads(get(job, part))
        restored.skipped += [SkippedFile(**one) for one in records["skipped"]]
        for file in [StoredFile(**one) for one in records["stored"]]:
            try:
                restore_file(job, file, restored)
            except (OSError, ValueError) as error:
                restored.different.append(f"{file.path}: {error}")
    return restored


def restore_file(job: Job, file: StoredFile, restored: Restored) -> None:
    source = Path(job.source, unquoted(file.path))
    target = Path(job.into, "restored", unquoted(file.path))
    chunks = get(job, file.content).decode("ascii").split()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        out.writelines(get(job, chunk) for chunk in chunks)
    target.chmod(file.mode)
    os.utime(target, ns=(file.mtime_ns, file.mtime_ns))
    restored.files += 1
    restored.size += file.size
    restored.chunks += len(chunks)
    restored.distinct.update(chunks)
    if sha256_of(target) != file.sha256:
        raise ValueError("restored with another hash than it was stored with")
    with contextlib.suppress(FileNotFoundError):
        stat = source.stat()
        if (stat.st_size, stat.st_mtime_ns) == (file.size, file.mtime_ns):
            if sha256_of(source) != file.sha256:
                raise ValueError("its source has another hash")
            return
    restored.changed += 1


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
