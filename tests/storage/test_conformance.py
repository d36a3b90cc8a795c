"""The public conformance suite, on the backends of the house."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from claw_actors.storage.memory import MemoryStorage
from claw_actors.storage.sqlite import SQLiteStorage
from claw_actors.testing import conformance
from claw_actors.testing.conformance import creating
from claw_actors.testing.conformance.case import case, cases_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", conformance.CASES, ids=str)
def test_memory_conforms(case):
    """The memory backend does what every backend must."""
    case(MemoryStorage)


@pytest.mark.parametrize("case", conformance.CASES, ids=str)
def test_sqlite_conforms(case, tmp_path: Path):
    """The SQLite backend does what every backend must."""
    case(lambda: SQLiteStorage(tmp_path / "workflows.db"))


def test_every_case_states_its_claim_in_one_line():
    """A claim is one line, and no two cases share a name."""
    assert all(case.claim.strip().count("\n") == 0 for case in conformance.CASES)
    assert all(case.claim.endswith(".") for case in conformance.CASES)
    assert len({str(case) for case in conformance.CASES}) == len(conformance.CASES)


def test_the_cases_of_a_module_are_found_in_order():
    """Cases are found by being defined, so that none is forgotten."""
    names = [str(case) for case in cases_of(creating)]
    assert names[:2] == [
        "a_created_workflow_reads_back_as_it_was_given",
        "keys_grow_in_order_of_creation",
    ]


def test_a_case_closes_the_backend_even_if_it_fails():
    """A failing case leaves nothing open behind it."""

    @case
    def fails(_backend):
        """Nothing holds."""
        raise AssertionError

    storage = MemoryStorage()
    with pytest.raises(AssertionError):
        fails(lambda: storage)
    assert storage.open().epoch == 2


def _run(*options: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )


RUN_ONE_CASE = """
from claw_actors.storage.memory import MemoryStorage
from claw_actors.testing.conformance import CASES
CASES[0](MemoryStorage)
"""


def test_the_suite_needs_no_pytest():
    """Where pytest cannot be imported the suite runs: a backend may be tested with anything."""
    # None in sys.modules makes the import fail.
    assert _run(code="import sys; sys.modules['pytest'] = None" + RUN_ONE_CASE).returncode == 0


def test_the_suite_refuses_to_run_without_assertions():
    """Under ``python -O`` every case would pass, so none does."""
    refused = _run("-O", code=RUN_ONE_CASE)
    assert refused.returncode == 1
    assert "run without -O" in refused.stderr
