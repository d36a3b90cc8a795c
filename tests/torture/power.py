"""What a loss of power may leave of files: the writes of a traced process, as far as they were synced.

``strace`` tells every write and every sync of a process, in their order. A disk has what was synced;
of what was written since, it has any part, in pieces of a sector. Names and lengths are taken to be
durable at once, as they are in a journalling filesystem once something of the file is synced.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import attrs

SECTOR = 512
CALLS = "trace=write,pwrite64,fsync,fdatasync,ftruncate,unlink"

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((?:(\d+)<([^>]*)>|\"([^\"]*)\")(?:, )?(.*)\) += \d+$")
_WRITTEN = re.compile(r'^"([^"]*)", \d+(?:, (\d+))?$')


@attrs.frozen
class Write:
    """Bytes were handed to the system."""

    path: str
    offset: int
    data: bytes


@attrs.frozen
class Resize:
    """A file got another length."""

    path: str
    size: int


@attrs.frozen
class Sync:
    """What was written to a file is on the disk."""

    path: str


@attrs.frozen
class Remove:
    """A name is gone."""

    path: str


@attrs.frozen
class Said:
    """The process has told on stdout what it has done: somebody relies on it from now on."""

    text: str


Event = Write | Resize | Sync | Remove | Said


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def trace(command: Sequence[str | Path], at: Path) -> list[Event]:
    """Run a process of one thread under ``strace``, and return what it did to files."""
    subprocess.run(
        ["strace", "-y", "-xx", "-s", "1000000", "-o", at, "-e", CALLS, *command],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return list(_events(at))


def _events(at: Path) -> Iterator[Event]:
    with at.open() as lines:
        for line in lines:
            match = _CALL.match(line)
            if match is None:
                continue
            call, descriptor, file, name, rest = match.groups()
            path = _bytes(file if name is None else name).decode()
            match call:
                case "write" | "pwrite64":
                    written = _WRITTEN.match(rest)
                    assert written is not None, rest
                    data, offset = _bytes(written[1]), int(written[2] or 0)
                    if descriptor == "1":
                        yield Said(data.decode())
                    elif call == "pwrite64":
                        yield Write(path, offset, data)
                case "fsync" | "fdatasync":
                    yield Sync(path)
                case "ftruncate":
                    yield Resize(path, int(rest, 16))
                case _:
                    assert call == "unlink", call
                    yield Remove(path)


@attrs.frozen
class Image:
    """What lies there when the power is back.

    Attributes:
        said: what the process had said last.
        files: path and contents.
    """

    said: str
    files: dict[str, bytes]


def images(events: Sequence[Event], count: int, random: Random) -> Iterator[Image]:
    """Cut the power at so many moments."""
    cuts = sorted(random.choices(range(len(events)), k=count))
    durable: defaultdict[str, bytearray] = defaultdict(bytearray)
    pending: defaultdict[str, list[Write]] = defaultdict(list)
    said = ""
    for number, event in enumerate(events):
        match event:
            case Write():
                pending[event.path].append(event)
            case Sync():
                for write in pending.pop(event.path, ()):
                    _put(durable[event.path], write.offset, write.data)
            case Resize():
                _resize(durable[event.path], event.size)
            case Remove():
                durable.pop(event.path, None)
                pending.pop(event.path, None)
            case Said():
                said = event.text
        while cuts and cuts[0] == number:
            del cuts[0]
            yield Image(said, _after(durable, pending, random))


def _after(
    durable: dict[str, bytearray], pending: dict[str, list[Write]], random: Random
) -> dict[str, bytes]:
    """Keep what was synced, and some of the rest: nothing, everything, or any sectors of it."""
    likely = random.choice((0.0, 1.0, random.random(), random.random()))
    files = {path: bytearray(contents) for path, contents in durable.items()}
    for path, writes in pending.items():
        contents = files.setdefault(path, bytearray())
        for write in writes:
            for offset, piece in _sectors(write):
                if random.random() < likely:
                    _put(contents, offset, piece)
    return {path: bytes(contents) for path, contents in files.items()}


def _sectors(write: Write) -> Iterator[tuple[int, bytes]]:
    begin, end = write.offset, write.offset + len(write.data)
    while begin < end:
        stop = min(end, (begin // SECTOR + 1) * SECTOR)
        yield begin, write.data[begin - write.offset : stop - write.offset]
        begin = stop


def _put(contents: bytearray, offset: int, data: bytes) -> None:
    if len(contents) < offset:
        contents.extend(bytes(offset - len(contents)))
    contents[offset : offset + len(data)] = data


def _resize(contents: bytearray, size: int) -> None:
    del contents[size:]
    contents.extend(bytes(size - len(contents)))
