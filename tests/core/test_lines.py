"""Lines out of bytes: the same ones however they come in pieces, and never more than may be held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors._core.lines import LineBuffer, LineTooLong


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def drain(buffer: LineBuffer, found: list[bytes]) -> None:
    """Take what there is, up to what is refused."""
    while (line := buffer.take()) is not None:
        found.append(line)


@given(
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b""))), st.lists(st.integers())
)
def test_lines_do_not_depend_on_how_they_come(lines, cuts):
    """What is cut anywhere comes out as what was sent; what has no end waits."""
    buffer, found = LineBuffer(20), []
    for piece in pieces(b"".join(line + b"\n" for line in lines) + b"half", cuts):
        buffer.feed(piece)
        drain(buffer, found)
    assert found == lines
    assert len(buffer) == len(b"half")


@given(st.lists(st.binary(max_size=30)), st.integers(1, 10))
def test_any_bytes_give_lines_or_are_too_long(chunks, max_bytes):
    """Nothing else can happen, and nothing is lost or made up."""
    buffer, found, fed = LineBuffer(max_bytes), [], b""
    for chunk in chunks:
        buffer.feed(chunk)
        fed += chunk
        try:
            drain(buffer, found)
        except LineTooLong:
            rest = fed[sum(len(line) + 1 for line in found) :]
            assert len(rest.split(b"\n")[0]) > max_bytes
            return
        assert found == fed.split(b"\n")[:-1]
        assert all(len(line) <= max_bytes for line in found)
        assert len(buffer) <= max_bytes


@pytest.mark.parametrize(("sent", "fits"), [(b"12345\n", True), (b"123456\n", False)])
def test_the_limit_is_exact(sent, fits):
    """The end of the line is not counted."""
    buffer = LineBuffer(5)
    buffer.feed(sent)
    if fits:
        assert buffer.take() == b"12345"
    else:
        with pytest.raises(LineTooLong, match="longer than 5 bytes"):
            buffer.take()


def test_a_line_without_an_end_is_too_long_before_it_ends():
    """Nobody waits for the end of something that is refused anyway."""
    buffer = LineBuffer(5)
    buffer.feed(b"123456")
    with pytest.raises(LineTooLong):
        buffer.take()


def test_a_line_byte_by_byte_is_searched_once():
    """A slow sender costs no more than a fast one."""
    buffer = LineBuffer(100)
    for _ in range(50):
        buffer.feed(b"x")
        assert buffer.take() is None
        assert buffer._searched == len(buffer)
    buffer.feed(b"\n")
    assert buffer.take() == b"x" * 50
