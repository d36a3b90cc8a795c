"""Waiting for the end of a forked process, as the servers that fork do; they have no event loop."""

from __future__ import annotations

import os
import time

POLL_S = 0.001


def reap(pid: int, within_s: float) -> int | None:
    """Wait for an end; its exit code, negative for a signal, ``None`` if it goes on."""
    give_up = time.monotonic() + within_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > give_up:
            return None
        time.sleep(POLL_S)
