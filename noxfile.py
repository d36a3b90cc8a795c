"""The project's checks. Bare ``nox`` runs what CI runs, in the order written below.

Each session makes its own environment and installs what it needs; ``nox -r`` reuses them.
Arguments after ``--`` go to the tool: ``nox -s tests -- -k lifecycle -x``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.16"  # the first with `download_python`

nox.options.sessions = [
    *("lint", "typing", "tests", "other_pythons", "coverage", "docs", "demo", "container"),
    "torture",
]
# A Python that is not on this machine is skipped, and nox prints so; it is not downloaded.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"

# Where Python may not keep what it has compiled, each of the many processes of the tests would
# compile the whole package for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = ["3.11", "3.12", "3.13"]
if sys.version_info < (3, 11):  # noqa: UP036 -- nox itself runs on older ones
    raise SystemExit(f"claw_actors needs Python 3.11 or newer; this nox runs on {THIS_PYTHON}")


def look_into_pyenv() -> None:
    """Let nox find the Pythons that pyenv has installed and not switched on.

    For each of them pyenv puts a shim on the PATH that exists and does not run, so nox would
    skip Pythons that are there. What is on the PATH already still comes first.
    """
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [
        str(python.parent)
        for version in PYTHONS
        for python in sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    ]
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *found])


def runs(version: str) -> bool:
    """Tell whether a Python is here that runs, as a shim of pyenv perhaps does not."""
    pythons = (
        Path(directory) / f"python{version}" for directory in os.environ["PATH"].split(os.pathsep)
    )
    return any(
        subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
        for python in pythons
        if python.is_file()
    )


look_into_pyenv()

# Branches are counted while the newest of the other Pythons is tested, so that this takes no run of
# its own: `tests` takes the Python that nox runs on, `other_pythons` those between. `None`, where
# there is no other: this one again.
COVERED = next((one for one in reversed(PYTHONS) if one != THIS_PYTHON and runs(one)), None)

# One process for each core; the long tests first would be better, stealing is good enough.
SIDE_BY_SIDE = ("-q", "-n", "auto", "--dist", "worksteal")

# Programs to run as a user would, each with its arguments, in an empty directory.
EXAMPLES = {
    "hello.py": (),
    "backup.py": (),
    "order_saga.py": (),
    "agent_approval.py": (),
    "tcp_server.py": (),
    "device_loop.py": (),
}


def install(session: nox.Session, group: str, *, package: bool = True) -> None:
    """Install a dependency group of pyproject.toml, and the package itself in editable form."""
    what = nox.project.dependency_groups(PYPROJECT, group)
    session.install(*(("-e", ".") if package else ()), *what)


def concurrent_files(*directories: str) -> Iterator[str]:
    """Find the Python files that the rules of structured concurrency can be broken in.

    flake8-async takes a second for a few hundred lines, and half of them do not concern it.
    """
    for directory in directories:
        for path in Path(directory).rglob("*.py"):
            if re.search(r"\b(async|trio)\b", path.read_text("utf-8")):
                yield str(path)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, likely bugs, and the rules of structured concurrency."""
    install(session, "lint", package=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # ruff knows part of these. flake8 reads no pyproject.toml, so its settings stand here.
    # ASYNC900: an async generator that is no context manager is closed by nobody in particular.
    # ASYNC124 would refuse every task and workflow that has nothing to wait for; ASYNC109 as in
    # pyproject.toml. Selected is what is reported, enabled what is looked for at all.
    session.run(
        "flake8",
        "--isolated",
        *("--select=ASYNC1,ASYNC2,ASYNC900", "--enable=ASYNC1,ASYNC2,ASYNC900"),
        *("--extend-ignore=ASYNC109,ASYNC124", "--disable=ASYNC109,ASYNC124"),
        "--startable-in-context-manager=live",
        # Not the tests, which would take it minutes: ruff's part of the rules holds there.
        *sorted(concurrent_files("claw_actors", "examples")),
    )


@nox.session
def typing(session: nox.Session) -> None:
    """Strict under mypy and pyright; ``tests/typing`` is checked here and never run."""
    install(session, "typing")
    session.run("mypy")
    python = str(Path(session.bin) / "python")
    session.run("pyright", "--pythonpath", python)
    # What a user's type checker sees: every public name has a known type.
    session.run(
        "pyright", "--pythonpath", python, "--verifytypes", "claw_actors", "--ignoreexternal"
    )


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, on the Python that nox runs on."""
    install(session, "test")
    session.run("python", "-m", "pytest", *SIDE_BY_SIDE, *session.posargs)


@nox.session(python=[version for version in PYTHONS if version not in {THIS_PYTHON, COVERED}])
def other_pythons(session: nox.Session) -> None:
    """The test suite, on each Python between: ``nox -s other_pythons-3.12``."""
    tests(session)


@nox.session(python=COVERED)
def coverage(session: nox.Session) -> None:
    """The test suite, on the newest other Python, with every branch of the package accounted for."""
    install(session, "coverage")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *SIDE_BY_SIDE, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation builds without a warning, and its code runs."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html")
    # A page is read from top to bottom, by one process.
    session.run("python", "-m", "pytest", "docs", "-q", "-n", "auto", "--dist", "loadfile")
    session.log(f"open {ROOT / 'docs' / '_build' / 'html' / 'index.html'}")


@nox.session
def demo(session: nox.Session) -> None:
    """The examples do what they say, installed as a user would."""
    session.install(".")
    for name, arguments in EXAMPLES.items():
        directory = Path(session.create_tmp()) / Path(name).stem
        directory.mkdir(exist_ok=True)
        with session.chdir(directory):
            session.run("python", str(ROOT / "examples" / name), *arguments)


@nox.session
def container(session: nox.Session) -> None:
    """The image is built, run, killed and restarted: by docker, podman or buildah.

    Where none of them works, or there is no image to begin with, the reason is printed, and only
    the files are checked. CLAW_CONTAINER_ENGINE and CLAW_CONTAINER_BASE choose.
    """
    install(session, "container")
    session.run(
        *("python", "-m", "pytest", "tests/container", "-q", "-m", "container"), *session.posargs
    )


@nox.session
def torture(session: nox.Session) -> None:
    """Kill it and break its disk, again and again; ``nox -s torture -- long`` for a long time."""
    install(session, "test")
    arguments = [one for one in session.posargs if one != "long"]
    form = "long" if "long" in session.posargs else os.environ.get("CLAW_TORTURE", "short")
    session.log(f"the {form} form")
    # What measures comes by itself: others beside it would be measured, too.
    for marked, processes in (("slow and alone", "0"), ("slow and not alone", "auto")):
        session.run(
            *("python", "-m", "pytest", "tests", "-q", "-m", marked),
            *("-n", processes, "--dist", "worksteal"),
            *arguments,
            env={"CLAW_TORTURE": form},
            # Arguments may choose tests of one kind; then there are none of the other.
            success_codes=[0, 5] if arguments else [0],
        )
