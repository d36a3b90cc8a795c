"""Times and lengths as people read them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors.drawing.wording import instant, length, one_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (1.5, "1.5 s"),
        (59.99, "60 s"),
        (61, "1 min 1 s"),
        (3_660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_length_is_told_in_the_units_that_say_something(seconds, text):
    """Two at most."""
    assert length(seconds) == text


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_an_instant_is_the_calendars(at):
    """As the standard library has it, in all years that it knows."""
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=at)
    assert instant(at) == moment.isoformat().replace("+00:00", "Z")


def test_an_instant_may_lie_beyond_every_calendar():
    """A picture does not fail for it."""
    assert instant(1e18).endswith("Z")


def test_a_text_is_one_line():
    """What a terminal obeys is shown as what it is."""
    assert one_line("a\nb\x1b\u2028\ud800ü") == "a\\nb\\x1b\\u2028\\ud800ü"
