"""Runs the Python blocks of the documentation, each page from top to bottom in one namespace."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from typing import Any


def enter_empty_directory(namespace: dict[str, Any]) -> None:
    """Begin a page where a reader would: in an empty directory."""
    namespace["_left"] = os.getcwd()  # noqa: PTH109 -- what os.chdir takes back
    namespace["_directory"] = tempfile.TemporaryDirectory()
    os.chdir(namespace["_directory"].name)


def leave_directory(namespace: dict[str, Any]) -> None:
    """Go back, and leave nothing behind."""
    os.chdir(namespace["_left"])
    namespace["_directory"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    pattern="*.md",
    setup=enter_empty_directory,
    teardown=leave_directory,
).pytest()
