"""The command ``claw`` itself: which commands it has, and what it imports for them."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

from claw_actors.cli.program import ROOMS, program

from .conftest import spawn


@pytest.mark.parametrize("room", ROOMS)
def test_each_command_is_where_the_program_looks_for_it(room: str):
    """No more and no fewer: a command that the program does not know cannot be called."""
    module = importlib.import_module(f"claw_actors.cli.{room}")
    assert sorted(command.name for command in module.COMMANDS) == sorted(ROOMS[room])


def test_a_name_is_one_command():
    """The second of that name would never be reached."""
    names = [name for names in ROOMS.values() for name in names]
    assert len(names) == len(set(names))


def test_help_names_every_command_and_what_it_is_for(claw):
    """Although none of them is imported before it is asked for."""
    lines = claw("--help").stdout.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[lines.index("Commands:") + 1 :])
    assert list(told) == sorted(name for names in ROOMS.values() for name in names)
    assert told["list"] == "List workflows, newest first."


def test_a_command_that_there_is_not_is_named(claw):
    """As in any program made with click."""
    done = claw("fly", code=2)
    assert "No such command 'fly'" in done.stderr


def test_a_look_imports_nothing_that_it_does_not_need(place):
    """Whoever waits for a list does not wait for other commands, nor for what only an owner needs."""
    code = """
import sys
from claw_actors.cli.program import program
program(["list"], standalone_mode=False)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    listed, _, imported = done.stdout.rstrip().rpartition("\n")
    modules = {name.removeprefix("claw_actors.cli.") for name in imported.split()}
    assert "done" in listed
    assert modules & set(ROOMS) == {"looking"}
    assert modules.isdisjoint({"sqlite_utils", "hypothesis", "pytest", "claw_actors.testing"})


@pytest.mark.parametrize(
    ("met", "code"),
    [
        (BrokenPipeError(), 141),
        (ExceptionGroup("", [BrokenPipeError(), BrokenPipeError()]), 141),
        (ExceptionGroup("", [BrokenPipeError(), ValueError()]), None),
        (ExceptionGroup("", [ValueError()]), None),
    ],
    ids=str,
)
def test_a_reader_who_has_left_is_no_failure(place, monkeypatch, met, code):
    """Also where it was printed from within a nursery; a defect beside it is not hidden."""

    def print_table(*of: object) -> None:
        raise met

    monkeypatch.setattr("claw_actors.cli.looking.print_table", print_table)
    done = CliRunner().invoke(program, ["list"], prog_name="claw")
    assert (done.output, done.exit_code) == ("", code or 1)
    assert (done.exception is met) == (code is None)


def test_output_that_nobody_reads_ends_a_command_quietly(place):
    """As `head` does to its neighbour: the code is a shell's for signal 13, and not that of a failure."""
    with spawn("export") as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, "")
