"""How far it is: told to a person on one line, and to a log now and then."""

from __future__ import annotations

import io

import pytest

from claw_actors.cli.copying import telling_copied
from claw_actors.cli.desk import Desk
from claw_actors.cli.exporting import telling_exported
from claw_actors.cli.progress import Progress, telling_progress
from claw_actors.cli.pruning import telling_pruned


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_person_sees_one_line_that_changes():
    """What comes next stands on the next one."""
    progress = Progress(Terminal())
    progress.tell("one")
    progress.tell("two")
    progress.end()
    progress.end()
    assert progress.stream.getvalue() == "\rone\rtwo\n"


def test_a_log_gets_a_line_each_time():
    """And no empty one at the end."""
    progress = Progress(io.StringIO())
    progress.tell("one")
    progress.tell("two")
    progress.end()
    assert progress.stream.getvalue() == "one\ntwo\n"


def test_the_line_is_left_whatever_happens(monkeypatch):
    """What is said of the error does not stand behind it."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(OSError, match="full"), telling_progress() as progress:
        progress.tell("half")
        raise OSError("full")
    assert stream.getvalue() == "\rhalf\n"


def test_of_a_copy_a_log_is_told_each_tenth():
    """It is not flooded."""
    progress = Progress(io.StringIO())
    copied = telling_copied(progress)
    for page in range(1, 1_001):
        copied(page, 1_000)
    lines = progress.stream.getvalue().splitlines()
    assert lines[0] == "copied   0 % (1 of 1,000 pages)"
    assert lines[-1] == "copied 100 % (1,000 of 1,000 pages)"
    assert len(lines) == 11


def test_of_a_copy_a_person_is_told_each_hundredth():
    """Once."""
    progress = Progress(Terminal())
    copied = telling_copied(progress)
    for page in (1, 2, 3, 3):
        copied(page, 3)
    assert progress.stream.getvalue() == (
        "\rcopied  33 % (1 of 3 pages)\rcopied  66 % (2 of 3 pages)\rcopied 100 % (3 of 3 pages)"
    )


def test_a_copy_of_nothing_is_no_division_by_zero():
    """An empty file has no pages."""
    progress = Progress(io.StringIO())
    telling_copied(progress)(0, 0)
    assert "0 of 0" in progress.stream.getvalue()


def test_of_an_export_it_is_told_now_and_then():
    """After each thousand."""
    progress = Progress(io.StringIO())
    exported = telling_exported(progress)
    for number in range(1, 2_001):
        exported(number)
    said = progress.stream.getvalue()
    assert said == "exported 1,000 workflows\nexported 2,000 workflows\n"


@pytest.mark.parametrize(
    ("stream", "dry_run", "said"),
    [
        (Terminal(), False, "\rpruned 2\rpruned 3"),
        (Terminal(), True, ""),
        (io.StringIO(), False, ""),
    ],
)
def test_of_a_pruning_only_a_person_is_told(stream, dry_run, said):
    """A log asks no more than how many they were, and a dry run prints them."""
    desk = Desk(path="claw.db", as_json=False)
    pruned = telling_pruned(desk, Progress(stream), dry_run=dry_run)
    pruned(["a", "b"])
    pruned(["c"])
    assert stream.getvalue() == said
