"""Make ``.venv`` in the current directory, with pip in it; keep it if it is there and works.

Debian and Ubuntu put the part of Python that brings pip along into a package of its own. Without
it, pip comes from ``PIP_INDEX_URL`` or PyPI: the wheel whose SHA-256 the index states.
"""
# ruff: noqa: INP001, S310, S603 -- a script; it fetches from the index and runs what it made

from __future__ import annotations

import contextlib
import hashlib
import html
import http.client
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
import venv
from pathlib import Path

VENV = Path(".venv").absolute()
PYTHON = VENV / "bin" / "python"
WHEEL = re.compile(r"/(pip-(\d+(?:\.\d+)*)-py3-none-any\.whl)#sha256=([0-9a-f]{64})$")


def run(*command: str | Path) -> str:
    """Run a command; returns what it printed, or nothing if it failed."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return ""


def works() -> bool:
    """Tell whether pip is here, and installs into here: a moved environment leads elsewhere."""
    is_new = run(PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))").strip() == "True"
    return is_new and f" {VENV}{os.sep}" in run(VENV / "bin" / "pip", "--version")


def newest_pip(index: str, page: str) -> tuple[str, str, str]:
    """Choose from an index page the newest pip for this Python: its URL, file name and SHA-256."""
    found = []
    for anchor in re.findall(r"<a\s([^>]*)>", page):
        values = {key: html.unescape(text) for key, text in re.findall(r'([\w-]+)="(.*?)"', anchor)}
        wheel = WHEEL.search(values.get("href", ""))
        needs = re.match(r">=3\.(\d+)", values.get("data-requires-python", ">=3.0"))
        if wheel and needs and int(needs[1]) <= sys.version_info[1] and "data-yanked" not in values:
            version = [int(part) for part in wheel[2].split(".")]
            found.append((version, urllib.parse.urljoin(index, values["href"]), wheel[1], wheel[3]))
    if not found:
        raise SystemExit(f"{index} offers no pip for this Python")
    return max(found)[1:]


def fetch_pip() -> None:
    """Install pip into the environment from the package index."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    if "@" in index:  # not shown: it may hold a password
        raise SystemExit("PIP_INDEX_URL with a user name: not for this; install python3-venv")
    try:
        with urllib.request.urlopen(index, timeout=60) as answer:
            url, name, sha256 = newest_pip(index, answer.read().decode())
        with urllib.request.urlopen(url.partition("#")[0], timeout=60) as answer:
            wheel: bytes = answer.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SystemExit(f"cannot fetch pip from {index}: {error}") from None
    if hashlib.sha256(wheel).hexdigest() != sha256:
        raise SystemExit(f"{url}: what came is not what the index says it is")
    path = VENV / name
    path.write_bytes(wheel)
    # A wheel of pip runs from itself.
    subprocess.run([PYTHON, path / "pip", "install", "-q", "--no-index", path], check=True)
    path.unlink()


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 -- whatever runs it
        raise SystemExit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    if not works():
        venv.create(VENV, clear=True, symlinks=True)
        if not run(PYTHON, "-m", "ensurepip", "--default-pip"):
            fetch_pip()
