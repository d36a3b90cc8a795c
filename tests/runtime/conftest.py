"""What the tests of the runtime share: a storage that outlives runtimes, and a wall clock to set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from claw_actors.storage.memory import MemoryStorage
from claw_actors.testing.clock import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from claw_actors._core.journal import Entry
    from claw_actors.storage.records import WorkflowRow


@attrs.define
class Wall:
    """A wall clock that follows virtual time, and can be set."""

    offset: float = EPOCH

    def __call__(self) -> float:
        return self.offset + trio.current_time()


@pytest.fixture
def wall(claw_environment) -> Wall:
    """A wall clock that can be set forward and back; use it with ``attrs.evolve``."""
    return Wall()


@pytest.fixture
def storage() -> MemoryStorage:
    """A storage that can be opened by one runtime after the other: a restart."""
    return MemoryStorage()


@pytest.fixture
def calls() -> list[object]:
    """Where task bodies note that they ran."""
    return []


@pytest.fixture
def journal_of() -> Callable[[MemoryStorage, str], tuple[Entry, ...]]:
    """Read a workflow's journal, start and voided entries included, past any runtime."""
    return lambda storage, id: storage._table.find(id).entries


@pytest.fixture
def row_of() -> Callable[[MemoryStorage, str], WorkflowRow]:
    """Read a workflow's row, past any runtime."""
    return lambda storage, id: storage._table.find(id).row
