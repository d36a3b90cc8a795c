"""The files of a database: where they lie, who may read them, what is refused.

Nothing here opens an existing database as a plain file. POSIX drops *all* locks that a process
has on a file when it closes *any* descriptor of it, SQLite's own included.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from ...errors import InvalidInputError, StorageUnavailableError

__all__ = [
    "Place",
    "checked_path",
    "create_private",
    "find_place",
    "find_stray_log",
    "locate",
    "refuse_missing",
    "refuse_network",
    "refuse_unfit",
    "sync_directory",
    "what_is_forbidden",
]

MOUNT_TABLE: Final = "/proc/self/mountinfo"

# Their locks and their shared memory do not hold between machines.
NETWORK_FILESYSTEMS: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"}
)


@attrs.frozen
class Place:
    """Where a database lies.

    Attributes:
        path: its real path, symbolic links followed: two names of one file share one lock.
    """

    path: str

    @property
    def directory(self) -> Path:
        """The directory that holds all of its files."""
        return Path(self.path).parent

    @property
    def lock(self) -> str:
        """The file whose ``flock`` is ownership."""
        return f"{self.path}.lock"

    @property
    def mark(self) -> str:
        """The high-water mark."""
        return f"{self.path}.mark"

    @property
    def socket(self) -> str:
        """Where other processes meet the owner."""
        return f"{self.path}.sock"

    @property
    def wal(self) -> str:
        """SQLite's write-ahead log."""
        return f"{self.path}-wal"

    @property
    def logs(self) -> tuple[str, str]:
        """What SQLite plays back into a file of this name, whoever wrote it: ``-wal``, ``-journal``."""
        return self.wal, f"{self.path}-journal"

    def uri(self, mode: str) -> str:
        """Return SQLite's URI of the database, opened in this mode and never created."""
        return f"{Path(self.path).as_uri()}?mode={mode}"


def checked_path(path: str | os.PathLike[str]) -> str:
    """Return a path as text.

    Raises:
        InvalidInputError: it cannot be that of a database.
    """
    text: object = None  # users need not have a type checker
    with suppress(TypeError):
        text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidInputError("path", path, "the path of a file, as text or a pathlib.Path")
    if text == ":memory:" or text.startswith("file:"):
        raise InvalidInputError(
            "path", text, "the path of a file; for storage without files use MemoryStorage()"
        )
    return text


def locate(path: str) -> Place:
    """Find the real path, and change nothing."""
    return Place(os.path.realpath(path))


def find_place(path: str) -> Place:
    """Find the real path, and make its directory (0700) if only that is missing.

    Raises:
        StorageUnavailableError: the directory's parent is missing, or it cannot be made.
    """
    place = locate(path)
    parent = place.directory.parent
    if not place.directory.is_dir():
        if not parent.is_dir():
            raise StorageUnavailableError(
                path, f"the directory {parent} does not exist; create it first"
            )
        place.directory.mkdir(0o700)
        sync_directory(parent)
    return place


def refuse_unfit(place: Place) -> bool:
    """Refuse what cannot be a database of ours, without opening it.

    Returns:
        Whether there is a file at all.

    Raises:
        StorageUnavailableError: it is a directory, a device, or has a second name.
    """
    try:
        found = Path(place.path).stat()
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode):
        raise StorageUnavailableError(place.path, "it is a directory; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise StorageUnavailableError(place.path, "it is not a regular file")
    if found.st_nlink > 1:
        # Each name would have its own -wal and its own lock beside it.
        raise StorageUnavailableError(
            place.path, f"it has {found.st_nlink} names (hard links); remove all but one"
        )
    return True


def find_stray_log(place: Place) -> str | None:
    """Find a log that holds something while its database is missing or empty.

    Nothing ties a log to its database but the name, so SQLite would play it back into whatever is
    put there: a backup, say. And beside an empty file it throws it away.
    """
    if not _size(place.path):
        for log in place.logs:
            if _size(log):
                return log
    return None


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


def refuse_missing(place: Place) -> None:
    """Refuse what is no database yet, for those who would never make one.

    Raises:
        StorageUnavailableError: there is no file, or it is one that :func:`refuse_unfit` refuses.
    """
    if not refuse_unfit(place):
        raise StorageUnavailableError(place.path, "there is no such file")


def what_is_forbidden(path: str) -> str:
    """Say what this user may not do with a database that SQLite just calls unable to be opened.

    Returns:
        Text to be put behind SQLite's own; empty if this user may do all that is needed.
    """
    place, user = locate(path), os.geteuid()
    if not os.access(place.path, os.R_OK):
        return f"; user {user} may not read it"
    if not os.access(place.directory, os.W_OK):
        return f"; user {user} may not make its -wal and -shm in {place.directory}"
    return ""


def refuse_network(place: Place) -> None:
    """Refuse filesystems whose locks and shared memory cannot be relied on.

    Raises:
        StorageUnavailableError: the database would lie on one of them.
    """
    kind = _filesystem(place.directory)
    if kind in NETWORK_FILESYSTEMS:
        raise StorageUnavailableError(
            place.path,
            f"it lies on a network filesystem ({kind}), where locks do not hold;"
            " put it on a local disk",
        )


def _filesystem(directory: Path) -> str | None:
    """Name the type of the filesystem a directory lies on; ``None`` where nobody can tell."""
    try:
        # Mount points are bytes of any encoding.
        text = Path(MOUNT_TABLE).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # no /proc: not Linux, or a bare container
        return None
    best, kind = "", None
    for line in text.splitlines():
        # Fields: id, parent, device, root, mount point, options, optional ones, a lone "-",
        # then type, source, options.
        left, _, right = line.partition(" - ")
        mount = _unescape(left.split(" ")[4])
        # A later mount on the same point covers the earlier one, so equal lengths win.
        if directory.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, right.split(" ")[0]
    return kind


def _unescape(text: str) -> str:
    r"""Undo the kernel's octal escapes: a blank in a mount point is ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def create_private(place: Place) -> None:
    """Create an empty file that only its owner may read; ``-wal`` and ``-shm`` inherit that."""
    # O_EXCL: it is ours, so closing the descriptor can drop nobody's lock.
    os.close(os.open(place.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    sync_directory(place.directory)


def sync_directory(path: Path) -> None:
    """Make a new name survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
