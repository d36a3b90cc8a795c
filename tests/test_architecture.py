"""Who may import whom: the rooms of the package, held by reading its source.

Every import counts, also one inside a function. One under ``TYPE_CHECKING`` counts too: whoever
names another room's type depends on that room. Where that cannot be helped, the map says so
(``types_of``).
"""

from __future__ import annotations

import ast
import functools
import graphlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

import claw_actors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PACKAGE = "claw_actors"
SOURCE = Path(claw_actors.__file__).parent
DOOR = "the door"
"""The room of ``claw_actors/__init__.py`` itself."""

PURE = frozenset(
    {"__future__", "abc", "base64", "bisect", "collections", "contextlib", "copy", "enum"}
    | {"functools", "graphlib", "hashlib", "heapq", "html", "inspect", "itertools", "json", "math"}
    | {"numbers", "operator", "re", "string", "struct", "textwrap", "traceback", "types"}
    | {"typing", "uuid", "zlib"}
)
"""The standard library without clock, randomness, files, threads, processes and logging."""

NOWHERE = frozenset({"asyncio", "dill", "marshal", "pickle", "shelve"})
"""Trio is the only event loop, and no stored byte is ever executed."""

SQL_AND_THREADS = frozenset({"sqlite3", "sqlite_utils", "threading"})
"""For storage only: nobody else may open the file or share state between threads."""

CONCRETE_BACKENDS = frozenset({"storage.memory", "storage.sqlite"})
"""Known to storage, to the door that hands them out, and to the conformance suite."""


@attrs.frozen
class Room:
    """What the modules of one room may import, besides each other.

    Attributes:
        rooms: other rooms.
        libraries: installed packages.
        types_of: rooms whose types it may name under ``TYPE_CHECKING``, and never use.
        pure: whether the standard library is limited to ``PURE``.
        sql: whether it may have ``SQL_AND_THREADS``.
        backends: whether it may know ``CONCRETE_BACKENDS``.
        private_trio: whether it may use private names of Trio.
    """

    rooms: set[str]
    libraries: set[str]
    types_of: set[str] = attrs.field(factory=set)
    pure: bool = False
    sql: bool = False
    backends: bool = False
    private_trio: bool = False


NOTHING: set[str] = set()
INNER = {"errors", "_core", "task_context", "log_context", "definitions", "actors", "storage"}
INNER |= {"_runtime"}
TRIO = {"attrs", "outcome", "trio"}  # outcome is part of Trio's API and comes with it

MAP = {
    # An error carries the record of another: a type that it only stores.
    "errors": Room(NOTHING, NOTHING, types_of={"_core"}, pure=True),
    "_core": Room({"errors"}, {"attrs"}, pure=True),
    "task_context": Room({"_core", "errors"}, {"attrs"}),
    "log_context": Room({"task_context"}, {"attrs"}),
    # A workflow is declared as a function of a context, so its type has to be named.
    "definitions": Room({"_core", "errors", "task_context"}, {"attrs"}, types_of={"_runtime"}),
    "actors": Room({"_core", "errors"}, TRIO),
    # The storage actor is supervised like any other.
    "storage": Room(
        {"_core", "actors", "errors"}, {*TRIO, "cattrs", "sqlite_utils"}, sql=True, backends=True
    ),
    "_runtime": Room(INNER - {"_runtime"}, {*TRIO, "cattrs"}),
    # It draws what was read, and never reads: records of storage are types that it is given.
    "drawing": Room({"_core"}, {"attrs"}, types_of={"storage"}, pure=True),
    # It makes what others only hold: a backend, from settings.
    "configuration": Room({"_runtime", "errors", "storage"}, {"attrs"}, backends=True),
    DOOR: Room({*INNER, "configuration", "drawing"}, NOTHING, backends=True),
    # What tests stand on looks behind every wall. Nothing of the package stands on it.
    "testing": Room(
        {*INNER, DOOR},
        {*TRIO, "cattrs", "hypothesis", "pytest", "pytest_trio", "sqlite_utils"},
        sql=True,
        backends=True,
        private_trio=True,
    ),
    # Edges use what any user could.
    "cli": Room({DOOR, "drawing", "errors"}, {*TRIO, "click"}),
    "__main__": Room({"cli"}, NOTHING),
    "web": Room({DOOR, "drawing", "errors"}, {*TRIO, "hypercorn", "jinja2", "starlette"}),
}


@attrs.frozen
class Import:
    """One import: who imports what, as absolute dotted names, and where."""

    module: str
    line: int
    target: str
    for_types: bool

    @property
    def room(self) -> str:
        """The room of the importing module."""
        return room_of(self.module)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def room_of(module: str) -> str:
    """Name the room of a module of the package: the first part under it."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else DOOR


def modules(source: Path) -> dict[str, Path]:
    """Find every module under the package's directory, by its dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join((PACKAGE, *(part for part in parts if part != "__init__")))] = path
    return found


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Read one file, once for all tests: everything in it, the whole first."""
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


@functools.cache
def imports(source: Path) -> tuple[Import, ...]:
    """Read every import of the package, once for all tests."""
    return tuple(_imports(source))


def _imports(source: Path) -> Iterator[Import]:
    known = modules(source)
    for module, path in known.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for_types = set(under_type_checking(path))
        for node in nodes(path):
            for target in targets(node, package, known):
                yield Import(module, node.lineno, target, node in for_types)


def under_type_checking(path: Path) -> Iterator[ast.AST]:
    """Find what stands under ``if TYPE_CHECKING:``."""
    for node in nodes(path):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                yield from ast.walk(statement)


def targets(node: ast.AST, package: str, known: Collection[str]) -> Iterator[str]:
    """Name what one statement imports, absolutely; nothing if it is no import.

    ``from .. import errors`` means a module, ``from ..errors import X`` a name in one.
    """
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        above = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            yield base if base.startswith(PACKAGE) and full not in known else full


def private_names_of_trio(source: Path) -> Iterator[str]:
    """Find ``trio._anything``, imported or reached by attribute."""
    for module, path in modules(source).items():
        for node in nodes(path):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                dotted = ast.unparse(node)
                if dotted.split(".")[0] == "trio" and not MAP[room_of(module)].private_trio:
                    yield f"{module}:{node.lineno} uses {dotted}"
    for one in imports(source):
        first, *rest = one.target.split(".")
        if first == "trio" and any(map(is_private, rest)) and not MAP[one.room].private_trio:
            yield str(one)


def is_private(name: str) -> bool:
    """Tell ``_x`` from ``x`` and from ``__x__``."""
    return name.startswith("_") and not name.endswith("__")


def why_refused(one: Import) -> str | None:
    """Return what is wrong with an import, or ``None``."""
    room = MAP[one.room]
    top, *rest = one.target.split(".")
    if top == PACKAGE:
        target = room_of(one.target)
        also = room.types_of if one.for_types else NOTHING
        if target not in {one.room, *room.rooms, *also}:
            return f"{one.room} must not know {target}"
        if not room.backends and ".".join(rest[:2]) in CONCRETE_BACKENDS:
            return f"{one.room} must not know a concrete backend"
    elif top in NOWHERE:
        return f"{top} is used nowhere"
    elif top in SQL_AND_THREADS and not room.sql:
        return f"{top} belongs to storage"
    elif top in sys.stdlib_module_names:
        if room.pure and top not in PURE:
            return f"{one.room} is pure"
    elif top not in room.libraries:
        return f"{top} is no library of {one.room}"
    return None


def violations(source: Path) -> list[str]:
    """List everything that is not as the map says."""
    strangers = sorted({room_of(module) for module in modules(source)} - MAP.keys())
    if strangers:
        return [f"{room} is not on the map" for room in strangers]
    refused = [f"{one}: {why}" for one in imports(source) if (why := why_refused(one))]
    return refused + list(private_names_of_trio(source))


def arrows(source: Path) -> dict[str, set[str]]:
    """Return which rooms each room imports, but for types that the map lets it name."""
    graph: dict[str, set[str]] = {}
    for one in imports(source):
        target = room_of(one.target)
        is_outside = one.target.split(".")[0] != PACKAGE or target == one.room
        if is_outside or (one.for_types and target in MAP[one.room].types_of):
            continue
        graph.setdefault(one.room, set()).add(target)
    return graph


def test_every_import_of_the_package_follows_the_map():
    """No room knows what it must not know."""
    assert violations(SOURCE) == []


def test_the_reader_sees_the_package():
    """The test above looked at the real source: known modules, and an arrow that exists."""
    assert {PACKAGE, "claw_actors.errors", "claw_actors._core.lifecycle"} <= modules(SOURCE).keys()
    assert "_core" in arrows(SOURCE)["storage"]


def test_rooms_have_no_cycles():
    """Neither the map nor the arrows in the source come back to where they started."""
    graphlib.TopologicalSorter({name: room.rooms for name, room in MAP.items()}).prepare()
    graphlib.TopologicalSorter(arrows(SOURCE)).prepare()


GOOD = {
    "__init__.py": "from .storage.sqlite import Backend as Backend\nfrom . import errors as errors",
    "errors.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ._core.a import B",
    "_core/__init__.py": "",
    "_core/a.py": "import attrs\nfrom .b import B\nfrom . import b\nfrom ..errors import X",
    "_core/b.py": "import hashlib, collections.abc",
    "actors/__init__.py": "import time\nimport trio\nfrom .. import errors\ntrio.lowlevel.checkpoint",
    "storage/__init__.py": "import sqlite3, sqlite_utils\nfrom .sqlite import Backend",
    "storage/sqlite/__init__.py": "import threading\nfrom ..._core.b import B",
    "_runtime/__init__.py": "from ..storage import Backend\nfrom .. import storage",
    "testing/__init__.py": "import trio._core, pytest\nfrom ..storage.sqlite import Backend",
    "cli/__init__.py": "import click\nfrom .. import Backend",
}


def build(directory: Path, files: dict[str, str]) -> Path:
    """Write a package of that shape."""
    source = directory / PACKAGE
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return source


def test_a_package_that_follows_the_map_passes(tmp_path: Path):
    """What is allowed is not refused."""
    assert violations(build(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("_core/a.py", "import trio", "trio is no library of _core"),
        ("_core/a.py", "import time", "_core is pure"),
        ("_core/a.py", "from random import Random", "_core is pure"),
        ("_core/a.py", "from ..storage import X", "_core must not know storage"),
        ("_core/a.py", "def f():\n    from .. import actors", "_core must not know actors"),
        ("_core/a.py", "from .. import Backend", "_core must not know the door"),
        ("_core/a.py", "import claw_actors.storage", "_core must not know storage"),
        ("errors.py", "import logging", "errors is pure"),
        ("errors.py", "from ._core.a import B", "errors must not know _core"),
        ("actors/__init__.py", "from ..storage import X", "actors must not know storage"),
        ("actors/__init__.py", "from .._runtime import X", "actors must not know _runtime"),
        ("actors/__init__.py", "import threading", "threading belongs to storage"),
        ("actors/__init__.py", "import asyncio", "asyncio is used nowhere"),
        ("actors/__init__.py", "from trio._core import Task", "imports trio._core.Task"),
        ("actors/__init__.py", "from trio import _core", "imports trio._core"),
        ("actors/__init__.py", "trio._core.GLOBAL", "uses trio._core"),
        ("storage/__init__.py", "from .._runtime import X", "storage must not know _runtime"),
        ("storage/sqlite/__init__.py", "import pickle", "pickle is used nowhere"),
        (
            "storage/sqlite/__init__.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..._runtime import X",
            "storage must not know _runtime",
        ),
        ("_runtime/__init__.py", "import sqlite3", "sqlite3 belongs to storage"),
        ("_runtime/__init__.py", "from ..storage.sqlite import X", "a concrete backend"),
        ("_runtime/__init__.py", "from ..storage import sqlite", "a concrete backend"),
        ("_runtime/__init__.py", "from ..testing import X", "_runtime must not know testing"),
        ("__init__.py", "from .testing import X", "the door must not know testing"),
        ("cli/__init__.py", "from .._runtime import X", "cli must not know _runtime"),
        ("_runtime/__init__.py", "import click", "click is no library of _runtime"),
        ("utils.py", "", "utils is not on the map"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, line: str, why: str):
    """One bad line in an otherwise good package is named, and nothing else is."""
    source = build(tmp_path, {**GOOD, file: f"{GOOD.get(file, '')}\n{line}"})
    found = violations(source)
    assert found
    assert all(why in one for one in found), found


def test_a_cycle_is_found(tmp_path: Path):
    """The search for cycles finds one."""
    source = build(
        tmp_path,
        {"actors/a.py": "from ..storage import b", "storage/b.py": "from ..actors import a"},
    )
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(arrows(source)).prepare()
