"""The maps at the doors: the docstring of each package names what is in it, and what is not gone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import claw_actors

SOURCE = Path(claw_actors.__file__).parent
DOORS = sorted(SOURCE.rglob("__init__.py"))

WORDS = {"claw", "now", *claw_actors.__all__, *sys.stdlib_module_names}
"""Other words that maps quote: a command, an argument, public names, the standard library."""


def modules_beside(door: Path) -> set[str]:
    """The modules and packages of a package."""
    beside = {path.stem for path in door.parent.glob("*.py")} - {"__init__", "__main__"}
    return beside | {path.parent.name for path in door.parent.glob("*/__init__.py")}


def named_by(door: Path) -> set[str]:
    """The words that its docstring quotes as code, and that may be modules."""
    docstring = ast.get_docstring(ast.parse(door.read_text("utf-8"))) or ""
    return set(re.findall(r"``(_?[a-z]\w*)``", docstring))


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.parent.name)
def test_the_map_names_every_module(door: Path):
    """Whoever adds a module says at the door what it is for."""
    assert modules_beside(door) - named_by(door) == set()


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.parent.name)
def test_the_map_names_nothing_else(door: Path):
    """What was renamed or removed is renamed or removed there too."""
    assert named_by(door) - modules_beside(door) - WORDS == set()


def test_a_map_that_has_fallen_behind_is_found(tmp_path: Path):
    """One module too few, and one too many."""
    door = tmp_path / "__init__.py"
    door.write_text('"""A room.\n\n- ``old``: gone. ``a``, ``now``: there.\n"""', "utf-8")
    for name in ("a.py", "b.py", "c/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert modules_beside(door) - named_by(door) == {"b", "c"}
    assert named_by(door) - modules_beside(door) - WORDS == {"old"}
