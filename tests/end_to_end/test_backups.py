"""Backups of a database that somebody writes to as fast as it can, and what becomes of a copy."""

from __future__ import annotations

import signal

import pytest

from .app import STARTERS

ATTEMPTS = 20


def accepted(site) -> set[str]:
    """Read which workflows were accepted, by the ledger of the program that has started them."""
    return {deed.split()[1] for deed in site.ledger() if deed.startswith("accepted ")}


def ids(site, *arguments: str) -> set[str]:
    """Read which workflows are in a database."""
    return {str(one["id"]) for one in site.all(1_000, *arguments)}


@pytest.mark.parametrize(
    ("rounds", "before"), [(3, 100), pytest.param(4, 1_000, marks=pytest.mark.slow)]
)
def test_a_backup_under_full_load_has_all_that_was_acknowledged_before(site, rounds, before):
    """Whole, while it is written to; and restored to another place, all of its workflows go on."""
    owner = site.run(serve="flat_out", STEP_S="3600")
    site.until(lambda: len(accepted(site)) > before, "under load", owner)
    copies = []
    for number in range(rounds):
        known = accepted(site)
        (report,) = site.records("backup", f"copy-{number}.db")
        assert report["workflows"] >= len(known)
        copies.append(known)
        site.until(lambda known=known: accepted(site) > known, "still under load", owner)
    assert owner.kill() == -signal.SIGKILL
    told = accepted(site)
    for number, known in enumerate(copies):
        found = ids(site, "--db", f"copy-{number}.db")
        assert known <= found
        # Of those that were being started, none was noted yet; so there are no others.
        assert len(found - told) <= STARTERS
        assert not site.records("doctor", "--db", f"copy-{number}.db")[0]["problems"]

    last = f"copy-{rounds - 1}.db"
    site.claw("restore", last, "--db", "new/claw.db")
    site.environment["CLAW_STORAGE_SQLITE_PATH"] = "new/claw.db"
    assert ids(site) == ids(site, "--db", last)
    owner = site.run(STEP_S="0")
    site.until(lambda: site.statuses().keys() == {"completed"}, "completed", owner)
    site.stop(owner)
    assert ids(site) == ids(site, "--db", last)
    assert set(site.ledger()) == {f"accepted {id}" for id in told} | {f"{id} 0" for id in ids(site)}


def test_a_backup_that_is_killed_leaves_nothing_half_under_its_name(site):
    """Killed on the way there is no copy, and the next one of that name is made as if nothing was."""
    owner = site.run("approve:200")
    copy, left = site.directory / "copy.db", []
    partial = copy.with_name("copy.db.partial")
    for _ in range(ATTEMPTS):
        backup = site.spawn("backup", copy.name)
        site.until(lambda: partial.exists() or copy.exists(), "copying")
        if backup.kill() == -signal.SIGKILL and not copy.exists():
            left.append(partial.exists())
            if len(left) == 3:
                break
        elif copy.exists():  # it was faster
            partial.unlink(missing_ok=True)  # its other name, for a moment
            assert not site.records("doctor", "--db", copy.name)[0]["problems"]
            copy.unlink()
    assert any(left), "no backup was killed on its way"
    (report,) = site.records("backup", copy.name)
    assert report["workflows"] == 200
    assert not partial.exists()
    site.stop(owner)
