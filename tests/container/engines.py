"""What builds and runs images: docker or podman, or buildah where neither has what it needs.

buildah has no running containers of its own: each command is a child of it, in the container's files
but in this machine's processes and network, on a directory that stands for the volume.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

IMAGE = "localhost/claw-actors-tested"

DEBIAN = "localhost/claw-actors-debian"
"""A base made here, where none can be fetched; it is kept for the next time."""

# As in compose.yaml, which test_files.py compares.
CONFINED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--init"),
)

ENDING = re.compile(r"^(subprocess exited .*|Error: exit status \d+)\n", re.MULTILINE)

TIMEOUT_S = 300
"""Only for what hangs; building and fetching take their time."""


class EngineError(Exception):
    """A command of the engine has failed."""


def call(*command: str | Path, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
    """Run a command, and return what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        **options,
    )
    if check and done.returncode != 0:
        raise EngineError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def until(condition, what: str, timeout_s: float = 60) -> None:
    """Wait for another process."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} within {timeout_s} s"
        time.sleep(0.05)


def why_unusable(program: str) -> str | None:
    """Say why an engine cannot be used here; ``None`` if it can."""
    if shutil.which(program) is None:
        return f"{program} is not installed"
    if program == "buildah" and os.geteuid() != 0:
        return "buildah runs commands without an engine for root only"
    done = call(program, "info", check=False)
    # docker's client says nothing wrong of itself where no daemon answers.
    if done.returncode != 0 or "Cannot connect" in done.stderr:
        return f"{program}: {(done.stderr.strip() or 'it does not answer').splitlines()[-1]}"
    return None


class Engine:
    """docker and podman, whose commands are the same."""

    def __init__(self, program: str) -> None:
        self.program = program

    def build(self, directory: Path, name: str, *options: str) -> None:
        """Build an image."""
        # podman's own format has no health check.
        form = ("--format", "docker") if self.program == "podman" else ()
        call(self.program, "build", *form, *options, "-t", name, directory)

    def has(self, image: str) -> bool:
        """Tell whether an image is here."""
        return call(self.program, "image", "inspect", image, check=False).returncode == 0

    def pull(self, image: str) -> str | None:
        """Fetch an image; returns why that was not possible."""
        done = call(self.program, "pull", image, check=False)
        return (done.stderr.strip().splitlines() or ["?"])[-1] if done.returncode else None

    def take(self, root: Path, name: str) -> None:
        """Make an image of a directory."""
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            call(self.program, "import", "-", name, stdin=tar.stdout)

    def settings(self, image: str) -> dict[str, object]:
        """Return what an image says of how it is to be run."""
        [about] = json.loads(call(self.program, "image", "inspect", image).stdout)
        config = about["Config"]
        config.setdefault("Healthcheck", about.get("HealthCheck") or about.get("Healthcheck"))
        return config

    def volume(self) -> Volume:
        """Make an empty volume."""
        return Volume(self)

    def start(self, volume: Volume, image: str = IMAGE, **environment: str) -> Container:
        """Start the program of an image on a volume."""
        return Container(self, volume, image, environment)

    def run(
        self, volume: Volume, *command: str, as_root: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run another program in a container of its own, without what the image begins with."""
        program, *arguments = command
        how = ("--user", "0:0") if as_root else CONFINED
        mount = ("-v", f"{volume.name}:/data", "--entrypoint", program)
        return call(self.program, "run", "--rm", *how, *mount, IMAGE, *arguments, check=False)


class Volume:
    """A named volume."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, f"claw-{uuid.uuid4().hex}"
        call(engine.program, "volume", "create", self.name)

    def remove(self) -> None:
        """Forget it, and what is in it."""
        call(self.engine.program, "volume", "rm", "-f", self.name)


class Container:
    """One container, running."""

    def __init__(self, engine: Engine, volume: Volume, image: str, environment: dict) -> None:
        self.program, self.name = engine.program, f"claw-{uuid.uuid4().hex}"
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        mount = ("-v", f"{volume.name}:/data")
        call(self.program, "run", "-d", "--name", self.name, *CONFINED, *mount, *variables, image)

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside its program."""
        return call(self.program, "exec", self.name, *command, check=False)

    def logs(self) -> str:
        """Return all that it has said until now."""
        done = call(self.program, "logs", self.name)
        return done.stdout + done.stderr

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        state = call(self.program, "inspect", "-f", "{{.State.Running}}", self.name)
        return state.stdout.strip() == "true"

    def exit_code(self) -> int:
        """Wait until it has ended by itself."""
        until(lambda: not self.is_running(), "the container ends")
        state = call(self.program, "inspect", "-f", "{{.State.ExitCode}}", self.name)
        return int(state.stdout)

    def kill(self) -> int:
        """Send it SIGKILL; returns its exit code."""
        call(self.program, "kill", "--signal", "KILL", self.name)
        return self.exit_code()

    def stop(self, timeout_s: int) -> int:
        """Ask it to stop, and kill it if it takes too long; returns its exit code."""
        call(self.program, "stop", "-t", str(timeout_s), self.name)
        return self.exit_code()

    def remove(self) -> None:
        """Leave nothing of it."""
        call(self.program, "rm", "-f", self.name)


# -- buildah ----------------------------------------------------------------------------------------


class Buildah(Engine):
    """No engine at all: the image is real, and so are its files, its user and its processes."""

    ISOLATION = ("--isolation", "chroot")

    def build(self, directory: Path, name: str, *options: str) -> None:
        """Build an image."""
        how = (*self.ISOLATION, "--layers", "--format", "docker")
        call(self.program, "bud", *how, *options, "-t", name, directory)

    def has(self, image: str) -> bool:
        """Tell whether an image is here."""
        return call(self.program, "inspect", "--type", "image", image, check=False).returncode == 0

    def take(self, root: Path, name: str) -> None:
        """Make an image of a directory."""
        container = call(self.program, "from", "scratch").stdout.strip()
        call(self.program, "add", "-q", container, root, "/")
        call(self.program, "commit", "-q", "--rm", container, name)

    def settings(self, image: str) -> dict[str, object]:
        """Return what an image says of how it is to be run."""
        about = json.loads(call(self.program, "inspect", "--type", "image", image).stdout)
        return about["Docker"]["config"]

    def volume(self) -> Directory:
        """Make a directory that is as a named volume is when it is mounted first."""
        return Directory(self)

    def start(self, volume: Volume, image: str = IMAGE, **environment: str) -> Container:
        """Start the program of an image on a volume."""
        settings = self.settings(image)
        return Children(
            self, volume, image, [*settings["Entrypoint"], *settings["Cmd"]], environment
        )

    def run(
        self, volume: Volume, *command: str, as_root: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run another program in a container of its own, without what the image begins with."""
        container = self.container(IMAGE)
        options = ("--user", "0:0") if as_root else ()
        try:
            return call(*self.command(container, volume, command, *options), check=False)
        finally:
            call(self.program, "rm", container)

    def container(self, image: str) -> str:
        """Make the files of a container."""
        container = call(self.program, "from", "--pull-never", image).stdout.strip()
        # What the image says of a volume would win over the directory.
        call(self.program, "config", "--volume", "/data-", container)
        return container

    def command(self, container: str, volume: Directory, command, *options: str) -> list[str]:
        """Say how a command is run in a container."""
        mount = ("-v", f"{volume.path}:/data")
        return [
            *(self.program, "run", *self.ISOLATION, *mount, *options),
            *(container, "--", *command),
        ]


class Directory(Volume):
    """A directory in the place of a volume."""

    def __init__(self, engine: Buildah) -> None:
        self._parent = tempfile.TemporaryDirectory(prefix="claw-volume-")
        self.path = Path(self._parent.name, "data")
        container = engine.container(IMAGE)
        try:
            root = call(engine.program, "mount", container).stdout.strip()
            call("cp", "--archive", Path(root, "data"), self.path)
        finally:
            call(engine.program, "rm", container)

    def remove(self) -> None:
        """Forget it, and what is in it."""
        self._parent.cleanup()


class Children(Container):
    """The files of a container, and its program as our grandchild."""

    def __init__(
        self,
        engine: Buildah,
        volume: Directory,
        image: str,
        command: list[str],
        environment: dict[str, str],
    ) -> None:
        self._engine, self._volume, self._argv = engine, volume, command
        self._container = engine.container(image)
        self._log = tempfile.NamedTemporaryFile(prefix="claw-log-")  # noqa: SIM115 -- see remove
        options = [f"--env={name}={value}" for name, value in environment.items()]
        self._process = subprocess.Popen(
            engine.command(self._container, volume, command, *options),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside its program."""
        return call(*self._engine.command(self._container, self._volume, command), check=False)

    def logs(self) -> str:
        """Return all that it has said until now, without what buildah says at the end."""
        return ENDING.sub("", self._said())

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def exit_code(self) -> int:
        """Wait until it has ended by itself."""
        code = self._process.wait(60)
        return 128 + signal.SIGKILL if "subprocess exited on killed" in self._said() else code

    def kill(self) -> int:
        """Send it SIGKILL; returns its exit code."""
        os.kill(self._find(), signal.SIGKILL)
        return self.exit_code()

    def stop(self, timeout_s: int) -> int:
        """Ask it to stop, and kill it if it takes too long; returns its exit code."""
        os.kill(self._find(), signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.kill() if self.is_running() else self.exit_code()

    def remove(self) -> None:
        """Leave nothing of it."""
        if self.is_running():
            # Not buildah, without which the program would go on.
            self.kill()
        self._log.close()
        call(self._engine.program, "rm", self._container)

    def _said(self) -> str:
        return Path(self._log.name).read_text("utf-8")

    def _find(self) -> int:
        """Find the program below the processes of buildah: the last of its line."""
        pid = self._process.pid
        while children := [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in Path(thread, "children").read_text("ascii").split()
        ]:
            [pid] = children
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert argv[-len(self._argv) : -1] == [part.encode() for part in self._argv[1:]], argv
        return pid
