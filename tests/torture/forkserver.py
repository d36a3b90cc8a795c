"""Lives on request: one process that has imported everything forks a child per life.

A fresh interpreter takes 0.3 s to import what a life needs; a fork takes milliseconds, and the
child is as real a process. The server itself runs neither Trio nor a thread, so forking is safe.

It reads one JSON request per line and answers each with one line. A life that has ended stays a
zombie until it is reaped, so its pid can be killed without hitting somebody else.
"""

from __future__ import annotations

import faulthandler
import functools
import gc
import importlib
import json
import os
import signal
import sys
import traceback

import trio
from reaping import reap


def main() -> None:
    """Serve until the other end closes; then end whoever still lives."""
    living: set[int] = set()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        match json.loads(line):
            case {"spawn": program, "arguments": arguments, "log": log}:
                function = find(program)  # imported here, once, and not by every child
                pid = os.fork()
                if pid == 0:
                    live(function, arguments, log)
                living.add(pid)
                answer = pid
            case {"reap": pid, "within_s": within_s}:
                answer = reap(pid, within_s)
                if answer is not None:
                    living.discard(pid)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def find(program: str) -> object:
    """Import what is named ``module:function``."""
    module, _, name = program.partition(":")
    return getattr(importlib.import_module(module), name)


def live(function, arguments: dict[str, object], log: str) -> None:
    """Be a life: run a program, and leave without the server's own clean-up."""
    status = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        # Both, on one signal: what the threads do, and what Trio's own tasks wait for.
        signal.signal(signal.SIGUSR1, tell_tasks)
        faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
        # A fork copies Trio's random stream: without this every life has the same schedule.
        trio._core._run._r.seed(arguments.get("seed", os.getpid()))
        trio.run(functools.partial(function, **arguments))
        status = 0
    except SystemExit as leaving:
        status = leaving.code
    except BaseException:  # noqa: ASYNC103 - it leaves by _exit
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def tell_tasks(signum: object, frame: object) -> None:
    """Print where every Trio task stands."""
    waiting = [trio.lowlevel.current_root_task()]
    while waiting:
        task = waiting.pop()
        if task is None:
            continue
        print(f"-- Trio task {task.name}", file=sys.stderr)
        for at, line in task.iter_await_frames():
            place = f"{at.f_code.co_filename}:{line} in {at.f_code.co_name}"
            print(f"   {place}", file=sys.stderr)
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    sys.stderr.flush()


if __name__ == "__main__":
    main()
