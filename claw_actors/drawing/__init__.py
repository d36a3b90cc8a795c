"""Pictures of workflows, as text: pure functions of what was read of them.

- ``timeline``: what was done when, as bars. ``outline``: the same as a tree of paths, to be drawn
  from top to bottom. ``text``: for a terminal. ``svg``: for a browser.
- ``mermaid``: what came after what, and who started whom, as diagrams.
- ``wording``: names, times and lengths, as they are written in a picture.

Nothing in here reads or writes anything. What names and texts hold is written so that it stays
text, whatever it is.
"""

from .mermaid import dag_as_mermaid as dag_as_mermaid
from .mermaid import tree_as_mermaid as tree_as_mermaid
from .svg import timeline_as_svg as timeline_as_svg
from .text import timeline_as_text as timeline_as_text
from .timeline import Bar as Bar
from .timeline import BarKind as BarKind
from .timeline import BarState as BarState
from .timeline import NewLife as NewLife
from .timeline import Timeline as Timeline
from .timeline import timeline_of as timeline_of

__all__ = [
    "Bar",
    "BarKind",
    "BarState",
    "NewLife",
    "Timeline",
    "dag_as_mermaid",
    "timeline_as_svg",
    "timeline_as_text",
    "timeline_of",
    "tree_as_mermaid",
]
