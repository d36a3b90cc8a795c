"""What every backend must do: run these cases on yours.

Each case is a callable that takes a function which makes a backend: a new one, not open, on an
empty place. It asserts one claim, which is its docstring. With pytest::

    import pytest
    from claw_actors.testing import conformance

    @pytest.mark.parametrize("case", conformance.CASES, ids=str)
    def test_my_backend_conforms(case, tmp_path):
        case(lambda: MyBackend(tmp_path / "workflows"))

For messages that show the values that differ, put this into ``conftest.py``::

    pytest.register_assert_rewrite("claw_actors.testing.conformance")

The cases, by topic:

- ``creating``, ``advancing``, ``claiming``, ``sending``, ``steering``, ``saving``, ``deleting``,
  ``pruning``:
  the operations.
- ``messaging``, ``publishing``, ``discarding``, ``continuing``, ``parenting``: what an
  ``Advance`` brings along.
- ``reporting``: what a parent is told of its children.
- ``grouping``: several of them in one commit, and ``Atomic``. ``transacting``: with an author's
  own SQL.
- ``finding``, ``listing``, ``counting``, ``recovering``, ``journals``: the reads.
- ``values``: what must come back as it was given.
- ``lifetimes``, ``threads``: opening and closing; reads beside a commit.

``case``, ``samples`` and ``driving`` are what they are written with. Nothing here needs pytest.
"""

from . import (
    advancing,
    claiming,
    continuing,
    counting,
    creating,
    deleting,
    discarding,
    finding,
    grouping,
    journals,
    lifetimes,
    listing,
    messaging,
    parenting,
    pruning,
    publishing,
    recovering,
    reporting,
    saving,
    sending,
    steering,
    threads,
    transacting,
    values,
)
from .case import Case as Case
from .case import cases_of

__all__ = ["CASES", "Case"]

CASES: tuple[Case, ...] = cases_of(
    creating,
    advancing,
    claiming,
    sending,
    messaging,
    publishing,
    discarding,
    continuing,
    steering,
    parenting,
    reporting,
    saving,
    transacting,
    deleting,
    pruning,
    grouping,
    finding,
    listing,
    counting,
    recovering,
    journals,
    values,
    lifetimes,
    threads,
)
"""All cases; ``str(case)`` is its name, as an id for a parametrised test."""
