"""The image does what docs/containers.md says: built, run, killed, stopped, backed up, restored.

Nothing here without an engine; ``nox -s container`` prints why.
"""

from __future__ import annotations

import json
import re
import time

import pytest

from .engines import until

pytestmark = pytest.mark.container

GRACE_S = 5
"""What ``claw run`` gives running tasks when it is told to stop, by default."""


def sent(log: str) -> list[int]:
    """Return the letters that were sent, in order."""
    return [int(number) for number in re.findall(r"^letter (\d+) is sent$", log, re.MULTILINE)]


def wait_for(container, text: str) -> None:
    """Wait until a container has said something; what has ended says nothing more."""

    def has_said() -> bool:
        is_running = container.is_running()
        log = container.logs()
        assert text in log or is_running, log
        return text in log

    until(has_said, text)


def wait_for_letter(container, number: int) -> None:
    """Wait until the example has come so far."""
    wait_for(container, f"letter {number} is sent\n")


LOOK = """
import json, os, stat
paths = ["/data", *(os.path.join("/data", name) for name in os.listdir("/data"))]
found = {path: os.stat(path) for path in paths}
print(json.dumps({path: (oct(stat.S_IMODE(it.st_mode)), it.st_uid) for path, it in found.items()}))
"""


def modes(engine, volume) -> dict[str, list[object]]:
    """Return mode and owner of the volume and of all that lies in it."""
    return json.loads(engine.run(volume, "python", "-c", LOOK).stdout)


def test_the_image_says_how_it_is_run(engine, image):
    """Not as root, without a shell in between, on a volume, with a health check."""
    settings = engine.settings(image)
    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["claw"]
    assert list(settings["Volumes"]) == ["/data"]
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Healthcheck"]["Test"] == ["CMD", "claw", "doctor", "--quick"]


def test_a_killed_container_is_replaced_and_its_workflow_ends(start, engine, volume):
    """On the same volume: what was recorded is not done again, and the rest is."""
    first = start(LETTERS="10")
    wait_for_letter(first, 2)
    assert first.kill() == 137
    before = sent(first.logs())
    left = modes(engine, volume)
    assert left.pop("/data") == ["0o700", 10001]
    assert {"/data/claw.db", "/data/claw.db-wal", "/data/claw.db.lock"} <= set(left)
    assert all(one == ["0o600", 10001] for one in left.values()), left

    second = start(LETTERS="10")
    wait_for(second, "all 10 letters are sent\n")
    assert "recovered 1: mailing-of-10\n" in second.logs()
    after = sent(second.logs())
    # A letter whose outcome was being stored at the kill is sent again: at least once.
    assert after in (list(range(len(before) + 1, 11)), list(range(len(before), 11)))


def test_a_stopped_container_ends_within_the_grace(start):
    """SIGTERM reaches ``claw run``, which closes the database; the next one finds it so."""
    first = start(LETTERS="1000")
    wait_for_letter(first, 1)
    begun = time.monotonic()
    assert first.stop(60) == 0
    assert time.monotonic() - begun < GRACE_S + 2
    assert first.logs().splitlines()[-1] == "claw: /data/claw.db is closed"

    second = start(LETTERS="1000")
    wait_for_letter(second, len(sent(first.logs())) + 1)
    shown = json.loads(second.exec("claw", "show", "mailing-of-1000", "--json").stdout)
    assert (shown["status"], shown["life"], shown["recoveries"]) == ("running", 2, 0)


def test_commands_act_on_what_runs(start, engine, volume):
    """Beside it, as its user: they look, pause, check its health, and a second one is refused."""
    container = start(LETTERS="1000")
    wait_for_letter(container, 1)
    who = container.exec("python", "-c", "import os; print(os.getuid(), os.getgid())")
    assert who.stdout == "10001 10001\n"
    assert container.exec("claw", "doctor", "--quick").returncode == 0
    assert container.exec("claw", "pause", "mailing-of-1000").stdout == "mailing-of-1000: paused\n"
    [listed] = container.exec("claw", "list", "--json").stdout.splitlines()
    assert json.loads(listed)["status"] == "paused"

    # As of a second replica. Its socket, too, is in the volume.
    shown = engine.run(volume, "claw", "resume", "mailing-of-1000")
    assert shown.stdout == "mailing-of-1000: resumed\n"
    second = start(LETTERS="1000")
    assert second.exit_code() == 1
    last = second.logs().splitlines()[-1]
    assert re.match(r"claw: /data/claw\.db is owned by pid \d+ on ", last)
    assert container.is_running()


def test_a_backup_brings_back_what_a_broken_volume_has_lost(start, engine, volume):
    """The health check finds the damage; the backup is made beside the program that runs."""
    first = start(LETTERS="1000")
    wait_for_letter(first, 3)
    # So that it is known how far it was.
    assert first.exec("claw", "pause", "mailing-of-1000").returncode == 0
    assert first.exec("claw", "backup", "/data/monday.db").returncode == 0
    assert first.exec("claw", "resume", "mailing-of-1000").returncode == 0
    paused_at = int(
        json.loads(
            first.exec("claw", "value", "mailing-of-1000", "sent", "--db", "/data/monday.db").stdout
        )
    )
    wait_for_letter(first, paused_at + 2)
    first.stop(60)
    harm = "f = open('/data/claw.db', 'r+b'); f.seek(-200, 2); f.write(b'x' * 200)"
    assert engine.run(volume, "python", "-c", harm).returncode == 0
    ill = engine.run(volume, "claw", "doctor", "--storage-only")
    assert ill.returncode == 1, ill.stdout

    restored = engine.run(volume, "claw", "restore", "/data/monday.db", "--replace")
    assert restored.returncode == 0, restored.stderr
    assert engine.run(volume, "claw", "resume", "mailing-of-1000").returncode == 0
    second = start(LETTERS="1000")
    wait_for_letter(second, paused_at + 2)
    assert sent(second.logs())[0] == paused_at + 1


def test_a_volume_of_somebody_else_is_refused_in_one_line(start, engine, volume):
    """As a directory of the host is that nobody has given to the container's user."""
    # Not empty, or the next mount takes it for a new one.
    give = "import os; os.chown('/data', 0, 0); open('/data/notes', 'x')"
    assert engine.run(volume, "python", "-c", give, as_root=True).returncode == 0
    container = start()
    assert container.exit_code() == 1
    assert container.logs() == (
        "claw: storage /data/claw.db is unavailable: [Errno 13] Permission denied: '/data/claw.db'\n"
    )


def test_a_program_of_ones_own_takes_the_place_of_the_example(start, engine, image, tmp_path):
    """In three lines, and with what the image has: its user, its volume, its health check."""
    name = f"{image}-shop"
    lines = [
        f"FROM {image}",
        "COPY shop.py ./",
        'CMD ["run", "shop:hello", "--serve", "shop:serve"]',
    ]
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    (tmp_path / "shop.py").write_text(SHOP)
    engine.build(tmp_path, name)
    container = start(name)
    wait_for(container, "hello from 10001\n")
    settings, given = engine.settings(name), engine.settings(image)
    for kept in ("User", "Entrypoint", "Volumes", "StopSignal", "Healthcheck"):
        assert settings[kept] == given[kept]


SHOP = """
import os
from claw_actors import workflow

@workflow
async def hello(ctx):
    return f"hello from {os.getuid()}"

async def serve(runtime):
    handle = await runtime.start(hello, id="greeting")
    print(await handle.result(), flush=True)
"""
