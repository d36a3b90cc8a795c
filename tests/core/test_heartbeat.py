"""The text that a heartbeat is stored as."""

from __future__ import annotations

import json

import pytest

from claw_actors._core.heartbeat import Heartbeat


@pytest.mark.parametrize(
    "details", [b"null", b"3", b'{"done":[1,2],"at":"a, b"}', '"ä,]"'.encode()]
)
@pytest.mark.parametrize("at", [0.0, 1_763_920_000.123456, 1e-7])
def test_a_heartbeat_comes_back_from_its_text(at, details):
    """Which is JSON, for who looks at the table."""
    text = Heartbeat(at, details).to_text()
    assert json.loads(text) == [at, json.loads(details)]
    assert Heartbeat.from_text(text) == Heartbeat(at, details)
