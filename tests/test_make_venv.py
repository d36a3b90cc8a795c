"""``.ci/make_venv.py`` makes an environment with pip, also where Python comes without it."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "make_venv.py"
ENOUGH = f"&gt;=3.{sys.version_info[1]}"
TOO_NEW = f"&gt;=3.{sys.version_info[1] + 1}"

# What stands for pip: it "installs" itself as a program that says who and where it is.
PIP = """
import os, sys
path = os.path.join(sys.prefix, "bin", "pip")
with open(path, "w") as file:
    file.write(f"#!{sys.executable}\\nimport sys\\nprint('pip VERSION from', sys.prefix + '/lib')\\n")
os.chmod(path, 0o755)
"""


def wheel(version: str) -> bytes:
    """Make a wheel of the program that stands for pip."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("pip/__main__.py", PIP.replace("VERSION", version))
    return data.getvalue()


class Index:
    """A package index on this machine, for as long as it is served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        (root / "simple" / "pip").mkdir(parents=True)
        (root / "files").mkdir()

    def offer(self, version: str, more: str = "", *, sha256: str | None = None) -> None:
        """Add a pip to the page, with more attributes."""
        name, data = f"pip-{version}-py3-none-any.whl", wheel(version)
        (self.root / "files" / name).write_bytes(data)
        stated = sha256 or hashlib.sha256(data).hexdigest()
        with (self.root / "simple" / "pip" / "index.html").open("a") as page:
            page.write(f'<a href="../../files/{name}#sha256={stated}" {more}>{name}</a><br>\n')


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Says nothing about what it serves."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "index")
    handler = functools.partial(QuietHandler, directory=str(index.root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        index.url = f"http://127.0.0.1:{server.server_port}/simple"
        yield index
        server.shutdown()
        thread.join()


@pytest.fixture
def make(tmp_path: Path, index: Index):
    """Run the script as on a Python without ensurepip; in a directory of its own."""
    masked = tmp_path / "masked" / "ensurepip"
    masked.mkdir(parents=True)
    (masked / "__init__.py").write_text("raise ImportError")
    home = tmp_path / "home"
    home.mkdir()

    def run(url: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(masked.parent),
            "PIP_INDEX_URL": url or index.url,
        }
        return subprocess.run(
            [sys.executable, SCRIPT],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    run.home = home
    run.pip = home / ".venv" / "bin" / "pip"
    return run


def says(pip: Path) -> str:
    return subprocess.run([pip, "--version"], capture_output=True, text=True, check=True).stdout


def test_without_ensurepip_the_newest_fitting_pip_comes_from_the_index(make, index):
    """Neither one that was withdrawn, nor one that needs a newer Python, nor the largest text."""
    index.offer("9.0", f'data-requires-python="{ENOUGH}"')
    index.offer("24.10")
    index.offer("24.9")
    index.offer("25.0", 'data-yanked="broken"')
    index.offer("26.0", f'data-requires-python="{TOO_NEW}"')
    made = make()
    assert (made.returncode, made.stderr) == (0, "")
    assert says(make.pip) == f"pip 24.10 from {make.home}/.venv/lib\n"


def test_an_environment_that_works_is_kept(make, index):
    """The second time, nothing is made and nothing is fetched."""
    index.offer("1.0")
    make()
    (make.home / ".venv" / "kept").touch()
    assert make("http://127.0.0.1:1/nobody").returncode == 0
    assert (make.home / ".venv" / "kept").exists()


@pytest.mark.parametrize("damage", ["no python", "no pip", "moved", "a file"])
def test_an_environment_that_does_not_work_is_made_anew(make, index, damage):
    """Half of one, or one that was moved and leads to where it was."""
    index.offer("1.0")
    venv = make.home / ".venv"
    if damage != "a file":
        make()
    match damage:
        case "no python":
            (venv / "bin" / "python").unlink()
        case "no pip":
            make.pip.unlink()
        case "moved":
            make.pip.write_text(make.pip.read_text().replace("sys.prefix", "'/elsewhere'"))
        case _:
            (venv / "bin").mkdir(parents=True)
            (venv / "bin" / "pip").write_text("left behind")
    assert make().returncode == 0
    assert says(make.pip) == f"pip 1.0 from {venv}/lib\n"


def test_a_pip_that_is_not_what_the_index_says_is_refused(make, index):
    """It is not run, and the status says so."""
    index.offer("1.0", sha256="0" * 64)
    made = make()
    assert made.returncode == 1
    assert "what came is not what the index says" in made.stderr
    assert not make.pip.exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/simple", "Connection refused"),
        ("nonsense", "unknown url type"),
        ("http://127.0.0.1:port/simple", "nonnumeric port"),
    ],
)
def test_an_index_that_cannot_be_reached_is_named(make, url, reason):
    """One line, and no traceback."""
    made = make(url)
    assert made.returncode == 1
    assert made.stderr.startswith(f"cannot fetch pip from {url}/pip/: ")
    assert reason in made.stderr
    assert made.stderr.count("\n") == 1


def test_an_index_without_a_fitting_pip_is_named(make, index):
    """Rather than taking one that does not run here."""
    index.offer("1.0", f'data-requires-python="{TOO_NEW}"')
    made = make()
    assert (made.returncode, made.stderr) == (
        1,
        f"{index.url}/pip/ offers no pip for this Python\n",
    )


def test_a_password_for_the_index_is_not_shown(make):
    """It is refused before anything that could quote it."""
    made = make("http://user:secret@127.0.0.1/simple")
    assert made.returncode == 1
    assert "install python3-venv" in made.stderr
    assert "secret" not in made.stderr + made.stdout
