"""Dockerfile, .dockerignore and compose.yaml agree with each other and with the package."""

from __future__ import annotations

import fnmatch
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from claw_actors import RuntimeConfig, load_config
from claw_actors.cli.targets import find_service, find_workflows

from .engines import CONFINED

pytestmark = pytest.mark.container

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Read the Dockerfile: its instructions, each on one line."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    whole = lines.replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in whole.splitlines() if line]


def said(name: str) -> str:
    """Return the last instruction of a kind: that of the image, not of the stage before."""
    return [value for kind, value in instructions() if kind == name][-1]


@pytest.fixture(scope="module")
def app() -> dict[str, object]:
    """The service of compose.yaml."""
    yaml = importlib.import_module("yaml")  # of this session alone
    [service] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"].values()
    return service


def test_the_service_writes_to_the_volume_alone(app):
    """The volume of the image, which has the database of its settings."""
    [volume] = app["volumes"]
    assert volume == f"data:{said('VOLUME')}"
    environment = dict(part.split("=", 1) for part in shlex.split(said("ENV")))
    config = load_config(environment={**environment, **app["environment"]})
    assert config.storage.type == "sqlite"
    assert Path(config.storage.sqlite.path).parent == Path(said("VOLUME"))


def test_a_stop_leaves_more_time_than_the_grace(app):
    """Here, and by the defaults of docker and of the library."""
    environment = {"CLAW_RUNTIME_GRACE": app["environment"]["CLAW_RUNTIME_GRACE"]}
    grace = load_config(environment=environment).runtime.grace
    assert int(app["stop_grace_period"].removesuffix("s")) >= grace + 5
    assert RuntimeConfig().grace + 5 <= 10
    assert said("STOPSIGNAL") == "SIGTERM"


def test_what_the_image_says_is_not_said_again(app):
    """User, health check and program are the image's, so they cannot differ."""
    assert not {"user", "healthcheck", "command", "entrypoint", "stop_signal"} & set(app)
    user, group = said("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_service_is_confined_as_the_tested_container_is(app):
    """So what is tested is what runs."""
    options = [
        *(["--read-only"] if app["read_only"] else []),
        *(part for path in app["tmpfs"] for part in ("--tmpfs", path)),
        *(part for name in app["cap_drop"] for part in ("--cap-drop", name)),
        *("--security-opt", app["security_opt"][0].partition(":")[0]),
        *(["--init"] if app["init"] else []),
    ]
    assert tuple(options) == CONFINED
    assert app["security_opt"] == ["no-new-privileges:true"]


def test_the_program_of_the_image_is_there(monkeypatch):
    """What ``claw run`` is to import is what is copied."""
    entrypoint, command = json.loads(said("ENTRYPOINT")), json.loads(said("CMD"))
    assert [*entrypoint, command[0]] == ["claw", "run"]
    copied = ROOT / said("COPY").split()[0]
    monkeypatch.syspath_prepend(str(copied.parent))
    _, workflows, _, serve = command
    assert find_workflows(workflows)
    assert find_service(serve)


def test_what_is_copied_is_let_through_and_nothing_else():
    """``.dockerignore`` names what the Dockerfile copies."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = [line[1:] for line in ignored if line.startswith("!")]
    copied = [
        source
        for kind, value in instructions()
        if kind == "COPY" and not value.startswith("--from")
        for source in shlex.split(value)[:-1]
    ]
    assert sorted(let_through) == sorted(copied)
    assert all((ROOT / path).exists() for path in let_through)
    assert "*" in ignored
    assert not any(fnmatch.fnmatch("orders.db", pattern) for pattern in let_through)


def test_the_base_can_be_chosen():
    """Both stages begin with it, so the environment fits the Python that runs it."""
    bases = [value.split()[0] for kind, value in instructions() if kind == "FROM"]
    assert bases == ["${BASE}", "${BASE}"]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim", instructions()[0][1])
