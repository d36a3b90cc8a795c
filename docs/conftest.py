"""Runs the blocks of the documentation, each page from top to bottom, in an empty directory.

- A Python block runs in the page's namespace. One with a ``:caption:`` is a file: it is written
  under that name.
- A ``toml`` block with a ``:caption:`` is a file, too.
- A ``console`` block is what a reader would see: each line after ``$`` is run, and must print
  what follows it. ``...`` stands for any text, and on a line of its own for any lines.
- A ``sh`` block is not run: installing is what CI does itself.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sybil import Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from sybil import Document, Example, Region

COMMAND_TIMEOUT_S = 300
"""Only for what hangs: a machine may have much else to do."""


def enter_empty_directory(namespace: dict[str, Any]) -> None:
    """Begin a page where a reader would: in an empty directory."""
    namespace["_left"] = os.getcwd()  # noqa: PTH109 -- what os.chdir takes back
    namespace["_directory"] = tempfile.TemporaryDirectory()
    os.chdir(namespace["_directory"].name)


def leave_directory(namespace: dict[str, Any]) -> None:
    """Go back, and leave nothing behind."""
    os.chdir(namespace["_left"])
    namespace["_directory"].cleanup()


# -- files ----------------------------------------------------------------------------------------


def write_file(example: Example) -> None:
    """Write a captioned block into the page's directory."""
    name = example.region.lexemes["options"]["caption"]
    Path(name).write_text(example.parsed, "utf-8")


def parse_python(document: Document) -> Iterator[Region]:
    """Find Python blocks, and tell files from code."""
    for region in PythonCodeBlockParser()(document):
        if "caption" in region.lexemes.get("options", {}):
            region.evaluator = write_file
        yield region


def parse_toml(document: Document) -> Iterator[Region]:
    """Find files of settings; without a caption one is only shown."""
    for region in CodeBlockParser("toml", write_file)(document):
        if "caption" in region.lexemes.get("options", {}):
            yield region


# -- commands -------------------------------------------------------------------------------------


def steps(block: str) -> Iterable[tuple[str, str]]:
    """Split a console block into commands and what each must print."""
    first, *rest = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not first, "a console block begins with a command: $ ..."
    for step in rest:
        command, _, expected = step.partition("\n")
        yield command, expected


def run(command: str) -> str:
    """Run a command as a reader's terminal would, and return what can be seen of it."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",  # as on a terminal: what a killed program printed is there
    }
    done = subprocess.run(  # noqa: S603 -- what it runs stands in our own pages
        ["bash", "-c", command],  # noqa: S607 -- the reader's own
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    # A shell at a terminal says so; one that is replaced by its only command cannot.
    return done.stdout + ("Killed\n" if done.returncode == -signal.SIGKILL else "")


def pattern_of(expected: str) -> str:
    """Make a pattern of what must be printed."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in expected.splitlines()
    ]
    return "".join(lines)


def run_commands(example: Example) -> None:
    """Run each command of a console block, and compare."""
    for command, expected in steps(example.parsed):
        printed = run(command)
        assert re.fullmatch(pattern_of(expected), printed), (
            f"$ {command}\nmust print\n{expected}\nand printed\n{printed}"
        )


pytest_collect_file = Sybil(
    parsers=[parse_python, parse_toml, CodeBlockParser("console", run_commands), SkipParser()],
    pattern="*.md",
    setup=enter_empty_directory,
    teardown=leave_directory,
).pytest()
