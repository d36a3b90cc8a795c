"""What users set, and what the world is."""

from __future__ import annotations

import time

import attrs
import pytest

from claw_actors._runtime.config import RuntimeConfig
from claw_actors._runtime.environment import Environment
from claw_actors.errors import InvalidInputError
from claw_actors.testing.clock import virtual_environment


def test_the_defaults_are_those_of_the_documentation():
    """A changed default is a changed promise."""
    assert attrs.asdict(RuntimeConfig()) == {
        **attrs.asdict(RuntimeConfig()),
        "max_payload_bytes": 1_048_576,
        "max_journal_entries": 50_000,
        "max_threads": 40,
        "grace": 5.0,
        "max_recoveries": 3,
        "recovery_wave": 500,
    }


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(RuntimeConfig)])
@pytest.mark.parametrize("value", [-1, float("nan"), "1", None])
def test_every_setting_is_checked_by_name(field, value):
    """None of them is taken as it comes."""
    with pytest.raises(InvalidInputError) as caught:
        RuntimeConfig(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "least"),
    [
        ("max_payload_bytes", 64),
        ("max_journal_entries", 10),
        ("max_threads", 1),
        ("grace", 0),
        ("max_recoveries", 2),
        ("recovery_wave", 1),
    ],
)
def test_the_least_value_is_accepted_and_one_less_is_not(field, least):
    """The bound belongs to what is allowed."""
    assert getattr(RuntimeConfig(**{field: least}), field) == least
    with pytest.raises(InvalidInputError):
        RuntimeConfig(**{field: least - 1})


def test_counts_are_whole_numbers():
    """Half a thread is none."""
    with pytest.raises(InvalidInputError, match="a whole number"):
        RuntimeConfig(max_threads=1.5)


def test_the_world_outside_is_the_real_one_by_default():
    """Wall clock, the system's randomness, threads."""
    world = Environment()
    before = time.time()
    assert before <= world.wall() <= time.time()
    assert world.random.random() != Environment().random.random()
    assert not world.inline


async def test_the_world_of_tests_is_repeatable(autojump_clock):
    """Time follows the mock clock, randomness the seed, and no thread runs."""
    worlds = virtual_environment(7), virtual_environment(7)
    assert [world.random.random() for world in worlds] == [0.32383276483316237] * 2
    assert worlds[0].wall() == 1_700_000_000.0
    assert worlds[0].inline
