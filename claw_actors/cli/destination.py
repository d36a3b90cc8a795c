"""Where the output of a command goes: to stdout, or into a file that is whole or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import click

from .exits import Exit
from .output import printable, tell

__all__ = ["check_destination", "open_destination", "writable"]

PRIVATE: Final = 0o600
"""What workflows are given and return is nobody else's to read."""

OF_A_DATABASE: Final = ("", "-wal", "-shm", "-journal", ".lock", ".mark", ".sock")
"""What the names of a database's files end with."""


def check_destination(path: str, database: str, *, replace: bool) -> None:
    """Refuse, before anything is read, a file that must not be written.

    Args:
        path: where to.
        database: which none of the files may be.
        replace: whether there may be a file.

    Raises:
        UsageError: it is one of the database's, or there is one already.
    """
    target = Path(path)
    files = {os.path.realpath(database) + ending for ending in OF_A_DATABASE}
    if os.path.realpath(path) in files:
        raise click.UsageError(f"{path} belongs to the database itself")
    if target.is_dir():
        raise click.UsageError(f"{path} is a directory")
    if os.path.lexists(path) and not replace:
        raise click.UsageError(f"{path} exists; --force replaces it")


def writable(text: str) -> str:
    """Return a text as stdout can write it; what its encoding does not have is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


@contextlib.contextmanager
def open_destination(path: str | None, *, replace: bool) -> Generator[Callable[[str], None]]:
    """Yield what writes text: to stdout, or into a private file that appears when it is whole.

    Args:
        path: the file; ``None`` for stdout.
        replace: whether another one of this name may go.

    Raises:
        Exit: the file could not be written; that was told, and nothing is left of it.
    """
    if path is None:
        yield lambda text: click.echo(writable(text), nl=False)
        return
    part = Path(f"{path}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 -- private from the start
                yield lambda text: _ignore(file.write(text))
                file.flush()
                os.fsync(file.fileno())
            _publish(part, Path(path), replace=replace)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        tell(f"claw: {printable(path)} cannot be written: {error.strerror or error}")
        raise click.exceptions.Exit(Exit.FAILED) from error


def _ignore(_written: int) -> None:
    """Whoever writes does not count."""


def _publish(part: Path, path: Path, *, replace: bool) -> None:
    """Give a whole file its name; without ``replace`` only if nothing has taken that meanwhile."""
    if not replace:
        try:
            path.hardlink_to(part)
        except FileExistsError:
            raise
        except OSError:  # a filesystem without hard links: so nearly the same
            if os.path.lexists(path):
                raise
        else:
            return
    part.replace(path)
