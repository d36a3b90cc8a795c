"""Ids that a shell completes."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from claw_actors.cli.program import program


def completions(*arguments: str, word: str) -> list[tuple[str, str | None]]:
    """Complete a word behind some others."""
    shell = ShellComplete(program, {}, "claw", "_CLAW_COMPLETE")
    return [(one.value, one.help) for one in shell.get_completions(list(arguments), word)]


@pytest.mark.parametrize("command", ["show", "tasks", "value", "watch", "cancel", "fork", "delete"])
def test_ids_are_completed_with_their_status(place, command):
    """Newest first."""
    assert completions(command, word="p") == [("paused", "paused"), ("poisoned", "quarantined")]


def test_the_database_is_the_one_that_the_line_names(place):
    """Whatever the settings say."""
    place.rename(place.with_name("other.db"))
    assert completions("show", word="d") == []
    assert completions("show", "--db", "other.db", word="d") == [("done", "completed")]


def test_where_no_database_is_named_nothing_is_completed(place, monkeypatch):
    """And nothing is said."""
    monkeypatch.delenv("CLAW_STORAGE_TYPE")
    assert completions("show", word="d") == []
