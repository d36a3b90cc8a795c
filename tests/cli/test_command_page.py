"""The page of the command line names every command, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from claw_actors.cli.program import ROOMS

PAGE = Path(__file__).parent.parent.parent / "docs" / "command-line.md"


def test_the_table_of_commands_has_each_of_them_once():
    """It is what a reader takes for the whole of it."""
    _, _, table = PAGE.read_text("utf-8").partition("## Every command")
    cells = re.findall(r"^\| (`claw .*?) \|", table, re.MULTILINE)
    told = [name for cell in cells for name in re.findall(r"`claw ([a-z-]+)", cell)]
    assert sorted(told) == sorted(name for names in ROOMS.values() for name in names)
