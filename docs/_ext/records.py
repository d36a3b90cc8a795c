"""Shows records as people would write them down.

- Fields may share one description, ``created_at, started_at: when …``. Sphinx takes a blank in the
  name of a field for the end of its type, so that of two names the first would become the type of
  the second.
- Signatures are shown with short names: ``JSON`` instead of all that it stands for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

AFTER_NAPOLEON = 600
_NAMES = re.compile(r"^(\s*):(ivar|param) ((?:[\w*\\]+, )+[\w*\\]+):")
_MODULE = re.compile(r"~(?:\w+\.)*")
_CLASS = re.compile(r"<class '([\w.]+)'>")
_JSON = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"


def join_names(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Take the blanks out of a list of names."""
    for index, line in enumerate(lines):
        lines[index] = _NAMES.sub(lambda found: found[0].replace(", ", ","), line)


def shorten(
    _app: Sphinx,
    _what: str,
    _name: str,
    _obj: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Say no more than the types are called, and defaults as they would be written."""
    if signature is not None:
        signature = _MODULE.sub("", signature)
        while _JSON in signature:  # it stands for itself, and so was unfolded more than once
            signature = signature.replace(_JSON, "JSON")
        signature = _CLASS.sub(r"\1", signature).replace("NOTHING", "{}")
    return signature, returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Register it."""
    app.connect("autodoc-process-docstring", join_names, priority=AFTER_NAPOLEON)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
