"""Sphinx configuration; every setting that is not obvious says why."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "claw_actors"
author = "claw_actors contributors"
project_copyright = f"2026, {author}"
release = version = installed_version("claw_actors")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib_trio",  # shows what is async, a context manager, an iterator
    "lifecycle",  # docs/_ext
    "records",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"claw_actors {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False
# "Attributes:" becomes a list inside the class: as directives of their own, attributes would
# stand twice, beside the annotated fields that autodoc finds.
napoleon_use_ivar = True
napoleon_attr_annotations = False  # they stand in the signature

autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# Not as they are written: of a field of a record that would be attrs' own code.
autodoc_preserve_defaults = False
