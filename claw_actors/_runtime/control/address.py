"""The socket's file beside the database, and who is at the other end.

The system takes no path of a socket that is longer than 108 bytes. So the owner binds through a
descriptor of the directory, under a short name, and renames it then: it appears whole, listening
and readable by its owner alone, in the place of a stale one. A client connects through a descriptor
of the socket's file.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

import trio

__all__ = ["NotThere", "PeerUid", "connect", "listening", "peer_uid"]

PeerUid: TypeAlias = Callable[[trio.SocketStream], int]
"""Tells whose process is at the other end of a stream."""

_BACKLOG: Final = 128
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid
_SHORT_NAME_BYTES: Final = 8


class NotThere(Exception):
    """Nobody listens there, or so many wait already that nobody else can."""


def peer_uid(stream: trio.SocketStream) -> int:
    """Ask the system whose process is at the other end.

    Raises:
        OSError: it cannot tell.
    """
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    return int(uid)


def _check_system() -> None:
    """Refuse a system that lacks what all of this rests on: Linux has it.

    Raises:
        OSError: it does.
    """
    if not (hasattr(socket, "SO_PEERCRED") and hasattr(os, "O_PATH")):
        raise OSError("this system does not tell who is at the other end of a Unix socket")


@contextmanager
def listening(path: str) -> Generator[trio.SocketListener, None, None]:
    """Listen at a path for the length of the block; a stale socket there is replaced.

    For whoever owns the database alone: two of them would take each other's place.

    Raises:
        OSError: no socket can be made there.
    """
    _check_system()
    directory, name = os.path.split(path)
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            _bind(listener, at, name)
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            try:
                yield trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            finally:
                _unlink(at, name, found)
    finally:
        os.close(at)


def _bind(listener: socket.socket, at: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise FileExistsError(f"{name} is there, and is no socket")
    # Always the same one, so that a crash in between leaves no more than one.
    digest = hashlib.blake2b(os.fsencode(name), digest_size=_SHORT_NAME_BYTES).hexdigest()
    short = f".{digest}.sock"
    with suppress(FileNotFoundError):
        os.unlink(short, dir_fd=at)
    listener.setblocking(False)
    # Before it has a name: there is no moment in which others could come in.
    os.fchmod(listener.fileno(), stat.S_IRUSR | stat.S_IWUSR)
    listener.bind(f"/proc/self/fd/{at}/{short}")
    listener.listen(_BACKLOG)
    os.rename(short, name, src_dir_fd=at, dst_dir_fd=at)


def _unlink(at: int, name: str, found: os.stat_result) -> None:
    """Take the socket's file away, unless another owner has put its own there meanwhile."""
    with suppress(OSError):
        now = os.stat(name, dir_fd=at, follow_symlinks=False)
        if os.path.samestat(now, found):
            os.unlink(name, dir_fd=at)


def connect(path: str) -> trio.SocketStream:
    """Connect to who listens at a path.

    Raises:
        NotThere: nobody does.
        OSError: the place cannot be reached, or is no socket.
    """
    _check_system()
    try:
        at = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotThere("it has no control socket") from None
    try:
        if not stat.S_ISSOCK(os.fstat(at).st_mode):
            raise OSError("that is no socket")
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.setblocking(False)
            client.connect(f"/proc/self/fd/{at}")
        except (ConnectionRefusedError, BlockingIOError) as error:
            client.close()
            raise NotThere(f"its control socket does not answer: {error.strerror}") from error
        except BaseException:
            client.close()
            raise
    finally:
        os.close(at)
    return trio.SocketStream(trio.socket.from_stdlib_socket(client))
