"""The reference has everything that can be imported."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import claw_actors
from claw_actors import actors, storage, testing

PAGES = Path(__file__).parent / "reference"
DIRECTIVE = re.compile(
    r"^ *\.\. auto(class|data|exception|function|module):: ([\w.]+)((?:\n +:.*)*)", re.MULTILINE
)


def documented() -> list[object]:
    """Return every object that a page of the reference shows."""
    found: list[object] = []
    for page in sorted(PAGES.glob("*.md")):
        for kind, path, options in DIRECTIVE.findall(page.read_text("utf-8")):
            if kind == "module":
                module = importlib.import_module(path)
                found.append(module)
                if ":members:" in options:
                    found += [getattr(module, name) for name in module.__all__]
            else:
                module_name, _, name = path.rpartition(".")
                found.append(getattr(importlib.import_module(module_name), name))
    return found


def test_every_public_name_has_its_place_in_the_reference() -> None:
    """Of the package, of its actors, and of the modules for those who write backends and tests."""
    shown = documented()
    missing = [
        f"{module.__name__}.{name}"
        for module in (claw_actors, actors, storage, testing)
        for name in module.__all__
        if not any(one is getattr(module, name) for one in shown)
    ]
    assert missing == []


def test_a_missing_name_would_be_found() -> None:
    """The search above does not take everything for documented."""
    assert not any(one is Path for one in documented())
