"""The socket's file: private from its first moment, never in the way, gone with its owner."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
import trio

from claw_actors._runtime.control import address
from claw_actors._runtime.control.address import NotThere, connect, listening, peer_uid


@pytest.fixture
def place(tmp_path):
    return tmp_path / "claw.db.sock"


def left_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def meet(place) -> int:
    """Connect to who listens there, and return whose process that is."""
    stream = connect(str(place))
    async with stream:
        return peer_uid(stream)


async def test_a_socket_is_private_whatever_the_umask(place):
    """0600, and nothing else is left in the directory."""
    before = os.umask(0)
    try:
        with listening(str(place)):
            assert stat.S_IMODE(place.stat().st_mode) == 0o600
            assert left_in(place.parent) == [place.name]
            assert await meet(place) == os.geteuid()
    finally:
        os.umask(before)
    assert left_in(place.parent) == []


@pytest.mark.parametrize("name", ["n" * 240, "é" * 100])
async def test_no_name_and_no_directory_is_too_long(tmp_path, name):
    """The system itself takes no more than 108 bytes."""
    directory = tmp_path / ("d" * 200) / ("e" * 200)
    directory.mkdir(parents=True)
    place = directory / f"{name}.sock"
    with listening(str(place)):
        assert await meet(place) == os.geteuid()
    assert left_in(directory) == []


async def test_a_stale_socket_is_replaced(place):
    """What a killed owner has left answers nobody, and keeps nobody from listening."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(place))
    with pytest.raises(NotThere, match="does not answer"):
        connect(str(place))
    with listening(str(place)):
        assert await meet(place) == os.geteuid()
    with pytest.raises(NotThere, match="has no control socket"):
        connect(str(place))


async def test_a_crash_in_the_middle_of_binding_is_cleaned_up(place, monkeypatch):
    """The short name is always the same one."""

    def die(*_, **__):
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        with pytest.raises(OSError, match="killed"), listening(str(place)):
            pass
    assert len(left_in(place.parent)) == 1
    with listening(str(place)):
        assert left_in(place.parent) == [place.name]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
async def test_what_is_no_socket_stays(place, make):
    """A user's own file is not replaced, and not connected to."""
    make(place)
    with pytest.raises(FileExistsError, match="no socket"), listening(str(place)):
        pass
    with pytest.raises(OSError, match="no socket"):
        connect(str(place))
    assert left_in(place.parent) == [place.name]


async def test_a_link_is_not_followed(place):
    """It would lead the client elsewhere."""
    with listening(str(place)):
        link = place.with_name("link.sock")
        link.symlink_to(place)
        with pytest.raises(OSError, match="no socket"):
            connect(str(link))


async def test_the_socket_of_the_next_owner_is_left_alone(place):
    """An owner that lost the file and learns of it late does not shut the new one's door."""
    with listening(str(place)):
        later = listening(str(place))
        with later:
            pass
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as theirs:
            theirs.bind(str(place))
    assert left_in(place.parent) == [place.name]


async def test_a_full_backlog_is_worth_another_try(place, monkeypatch):
    """So many wait that nobody else can."""
    monkeypatch.setattr(address, "_BACKLOG", 0)
    with listening(str(place)):
        waiting = [connect(str(place))]
        with pytest.raises(NotThere):
            waiting.extend(connect(str(place)) for _ in range(10))
        for stream in waiting:
            await trio.aclose_forcefully(stream)


async def test_a_directory_that_is_gone_is_an_error_of_the_system(tmp_path):
    """Who cannot listen says so."""
    with pytest.raises(FileNotFoundError), listening(str(tmp_path / "gone" / "x.sock")):
        pass


async def test_who_may_not_connect_is_told(place, monkeypatch):
    """And no descriptor is left."""

    class Refused(socket.socket):
        def connect(self, address):
            raise PermissionError("not yours")

    with listening(str(place)):
        monkeypatch.setattr(socket, "socket", Refused)
        before = descriptors()
        with pytest.raises(PermissionError):
            connect(str(place))
        assert descriptors() == before


@pytest.mark.parametrize("name", ["SO_PEERCRED", "O_PATH"])
async def test_a_system_that_does_not_tell_peers_apart_is_refused(place, monkeypatch, name):
    """There both sides do without."""
    monkeypatch.delattr(socket if name == "SO_PEERCRED" else os, name)
    with pytest.raises(OSError, match="does not tell"), listening(str(place)):
        pass
    with pytest.raises(OSError, match="does not tell"):
        connect(str(place))
