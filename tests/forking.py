"""Runs the command ``claw`` on request: a process that has imported all of it forks one for each.

A fresh interpreter takes half a second to import what a command needs; a fork takes milliseconds, and
the child is as real a process. This one has no thread and no event loop, so forking is safe.

It reads one JSON request a line and answers each with one line. Who has ended stays a zombie until it
is reaped, so that nobody else gets its pid.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
import urllib.parse  # noqa: F401 -- imported late, perhaps by a user who may not read it

import sqlite_utils  # noqa: F401 -- the same
import trio
from reaping import reap

from claw_actors.cli import main
from claw_actors.cli.program import ROOMS


def serve() -> None:
    """Serve until the other end closes; then end whoever still lives."""
    for room in ROOMS:
        importlib.import_module(f"claw_actors.cli.{room}")
    living: set[int] = set()
    for line in sys.stdin:
        match json.loads(line):
            case {"spawn": request}:
                answer = os.fork()
                if answer == 0:
                    be(**request)
                living.add(answer)
            case {"reap": pid, "within_s": within_s}:
                answer = reap(pid, within_s)
                if answer is not None:
                    living.discard(pid)
        print(json.dumps(answer), flush=True)
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def be(
    arguments: list[str],
    directory: str,
    environment: dict[str, str],
    out: str,
    err: str,
    uid: int | None,
) -> None:
    """Be a command, as a shell would run it in that directory."""
    code = 70
    try:
        for descriptor, name in ((1, out), (2, err)):
            os.dup2(os.open(name, os.O_WRONLY | os.O_TRUNC), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        if uid is not None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        # A fork copies Trio's random stream: without this every process has the same schedule.
        trio._core._run._r.seed(os.getpid())
        sys.argv[1:] = arguments
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: ASYNC103 -- it leaves by _exit
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
