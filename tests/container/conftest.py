"""The image, built once, and what runs it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from .engines import DEBIAN, IMAGE, Buildah, Engine, call, why_unusable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Find an engine: CLAW_CONTAINER_ENGINE, or the first one that answers."""
    wanted = os.environ.get("CLAW_CONTAINER_ENGINE")
    reasons = []
    for program in [wanted] if wanted else ["docker", "podman", "buildah"]:
        reason = why_unusable(program)
        if reason is None:
            return Buildah(program) if program == "buildah" else Engine(program)
        reasons.append(reason)
    pytest.skip(f"no container is built: {'; '.join(reasons)}")


@pytest.fixture(scope="session")
def base(engine) -> str | None:
    """Find the image to begin with; ``None`` is that of the Dockerfile.

    CLAW_CONTAINER_BASE names another one. Where the Dockerfile's cannot be fetched, a bare Debian
    is made.
    """
    named = os.environ.get("CLAW_CONTAINER_BASE")
    if named:
        return named
    default = next(
        line.removeprefix("ARG BASE=")
        for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines()
        if line.startswith("ARG BASE=")
    )
    if engine.has(default):
        return None
    if engine.has(DEBIAN):
        return DEBIAN
    reason = engine.pull(default)
    if reason is None:
        return None
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        pytest.skip(f"no container is built: {default} cannot be fetched ({reason})")
    with tempfile.TemporaryDirectory(prefix="claw-debian-") as directory:
        root = Path(directory, "root")
        included = "--include=python3,ca-certificates"
        done = call("debootstrap", "--variant=minbase", included, "bookworm", root, check=False)
        if done.returncode != 0:
            pytest.skip(f"no container is built: neither {default} nor Debian can be fetched")
        engine.take(root, DEBIAN)
    return DEBIAN


@pytest.fixture(scope="session")
def image(engine, base) -> str:
    """Build the image, as docs/containers.md says."""
    options = [] if base is None else [f"--build-arg=BASE={base}"]
    if index := os.environ.get("PIP_INDEX_URL"):
        options.append(f"--build-arg=PIP_INDEX_URL={index}")
    if certificates := os.environ.get("SSL_CERT_FILE"):
        options.append(f"--secret=id=ca,src={certificates}")
    engine.build(ROOT, IMAGE, *options)
    return IMAGE


@pytest.fixture
def volume(engine, image):
    """An empty volume."""
    one = engine.volume()
    yield one
    one.remove()


@pytest.fixture
def start(engine, volume):
    """Start containers, and leave none."""
    started = []

    def begin(image: str = IMAGE, **environment: str):
        started.append(engine.start(volume, image, **environment))
        return started[-1]

    yield begin
    for one in started:
        one.remove()
