"""Backups and restores from the command line."""

from __future__ import annotations

import pytest


def test_a_backup_is_made_and_restored(claw, claw_json, place):
    """The database before is kept, and what is not in the backup is counted."""
    made = claw("backup", "copy.db")
    assert made.stdout.startswith(f"{place.with_name('copy.db')}: 5 workflows, ")
    assert made.stderr.splitlines()[-1].startswith("copied 100 % (")
    claw("delete", "done")
    refused = claw("restore", "copy.db", code=1)
    assert "it exists" in refused.stderr
    restored = claw("restore", "copy.db", "--replace").stdout.splitlines()
    assert restored[0].startswith(f"{place}: 5 workflows, ")
    assert restored[1].startswith(f"what was there before lies in {place}.replaced; ")
    assert len(claw_json("list")) == 5


def test_a_backup_is_restored_to_where_nothing_was(claw, claw_json):
    """Then there is nothing to say of a database before."""
    (made,) = claw_json("backup", "copy.db")
    (restored,) = claw_json("restore", "copy.db", "--db", "new.db")
    assert (restored["replaced"], restored["lost_commits"]) == (None, 0)
    assert restored["rows"] == made["rows"] > 5
    assert len(claw("restore", "copy.db", "--db", "newer.db").stdout.splitlines()) == 1
    assert len(claw_json("list", "--db", "new.db")) == 5


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("backup", "claw.db"), "it exists"),
        (("backup", "copy.db", "--db", "missing.db"), "missing.db"),
        (("restore", "missing.db", "--db", "new.db"), "missing.db"),
    ],
)
def test_what_cannot_be_copied_is_a_failure(claw, arguments, why):
    """One line says why."""
    done = claw(*arguments, code=1)
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
