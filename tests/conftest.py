"""What all tests share: the fixtures that users get, too, and what the slow ones need."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# How long a machine takes that is busy with something else says nothing about what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = ["claw_actors.testing.fixtures"]


def pytest_configure() -> None:
    """Heed Ctrl-C, which a shell has its background jobs ignore: some tests raise it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Tell whether there is time: ``CLAW_TORTURE=long``."""
    form = os.environ.get("CLAW_TORTURE", "short")
    assert form in {"short", "long"}, "CLAW_TORTURE is short or long"
    return form == "long"


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]):
    """Print a figure so that it is seen in a run that passes, too."""

    def say(text: str) -> None:
        with capsys.disabled():
            # Not stdout: one of several processes talks to pytest-xdist there.
            print(f"\n  {text}", end="", flush=True, file=sys.stderr)

    return say
