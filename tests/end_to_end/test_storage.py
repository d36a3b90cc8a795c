"""What lies on the disk: which files, whose, and none at all where workflows are kept in memory."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

FILES = ("claw.db", "claw.db-shm", "claw.db-wal", "claw.db.lock", "claw.db.mark", "claw.db.sock")


def test_these_files_are_made_and_no_others_and_they_are_nobody_elses(site):
    """While a program runs, and after it; a directory is made for them if it alone is missing."""
    owner = site.run("approve:1", CLAW_STORAGE_SQLITE_PATH="data/claw.db")
    site.environment["CLAW_STORAGE_SQLITE_PATH"] = "data/claw.db"
    site.until(lambda: site.ledger().total() == 1, "waiting", owner)
    assert site.files() == {"data": "700"} | {f"data/{name}": "600" for name in FILES}
    site.stop(owner)
    left = dict.fromkeys(("claw.db", "claw.db.lock", "claw.db.mark"), "600")
    assert site.files() == {"data": "700"} | {f"data/{name}": one for name, one in left.items()}


def test_memory_and_sqlite_are_switched_by_settings_alone(site):
    """The same program: by a file, by the environment, which counts more, and back again."""
    del site.environment["CLAW_STORAGE_TYPE"]
    owner = site.run("approve:1")
    assert owner.out.read_text().startswith("running memory\n")
    assert site.stop(owner).splitlines()[-1] == "claw: memory is closed"
    assert site.files() == {}
    assert "no database is named" in site.claw("list", code=2)

    settings = '[storage]\ntype = "sqlite"\n[storage.sqlite]\npath = "mine.db"\n'
    (site.directory / "claw.toml").write_text(settings)
    for told in ("running mine.db\nall", "running mine.db\nrecovered 1: approve-00000\nall"):
        owner = site.run("approve:1")
        assert owner.out.read_text().startswith(told)
        site.until(lambda: site.records("list")[0]["status"] == "running", "running", owner)
        site.stop(owner)

    owner = site.run("approve:1", CLAW_STORAGE_TYPE="memory")
    assert owner.out.read_text().startswith("running memory\n")
    site.claw("send", "approve-00000", "answer", "true")  # the one in the file, which nobody owns
    site.stop(owner)
    assert set(site.files()) == {"mine.db", "mine.db.lock", "mine.db.mark"}
    owner = site.run()
    site.until(lambda: site.statuses() == {"completed": 1}, "completed", owner)
    site.stop(owner)


# -- start-up that fails -----------------------------------------------------------------------------


def refusal(site, *arguments: str, code: int, uid: int | None = None) -> str:
    """See a command refuse, in one line."""
    said = site.claw(*arguments, code=code, uid=uid)
    assert len(said.splitlines()) == 1, said
    assert said.startswith("claw: ")
    return said


RUN = ("run", "app:workflows")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('[storage]\ntype = "postgres"', "storage.type"),
        ("[storage", "it is no TOML"),
        ('[storage]\nkind = "sqlite"', "storage.kind"),
        ("[runtime]\ngrace = -1", "runtime.grace"),
    ],
)
def test_settings_that_are_not_possible_are_named(site, settings, why):
    """With their file; nothing is made."""
    del site.environment["CLAW_STORAGE_TYPE"]
    (site.directory / "claw.toml").write_text(settings)
    said = refusal(site, *RUN, code=2)
    assert "claw.toml" in said
    assert why in said
    assert site.files() == {}


def test_what_cannot_be_opened_is_named_with_its_reason(site):
    """One line, a code, and the file is as it was."""
    directory = site.directory
    (directory / "text.db").write_text("this is no database\n" * 100)
    (directory / "folder.db").mkdir()
    for name, why in (
        ("text.db", "file is not a database"),
        ("folder.db", "it is a directory; name a file in it"),
        ("no/such/claw.db", "does not exist; create it first"),
    ):
        said = refusal(site, *RUN, "--db", name, code=1)
        assert name in said
        assert why in said
    assert (directory / "text.db").read_text() == "this is no database\n" * 100


def test_a_database_of_a_newer_version_is_left_alone(site):
    """It is told which version it is, and which one this program knows."""
    site.stop(site.run("approve:1"))
    database = site.directory / "claw.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = database.read_bytes()
    for arguments in (RUN, ("list",), ("cancel", "approve-00000"), ("backup", "copy.db")):
        assert "99" in refusal(site, *arguments, code=1)
    assert database.read_bytes() == before


def test_a_second_program_is_told_who_owns_the_database(site):
    """Its first one goes on."""
    owner = site.run("approve:1")
    site.claw("backup", "copy.db")
    for arguments in (RUN, ("restore", "copy.db", "--replace")):
        said = refusal(site, *arguments, code=1)
        assert f"is owned by pid {owner.pid} on " in said
    site.stop(owner)


@pytest.fixture
def small_disk(site) -> Iterator[Path]:
    """Mount a disk of a megabyte in the working directory."""
    disk = site.directory / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "claw_actors", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    site.environment["CLAW_STORAGE_SQLITE_PATH"] = "disk/claw.db"
    yield disk
    site.close()
    subprocess.run(["umount", disk], check=True)


def fill_up(disk: Path, but_bytes: int = 0) -> Path:
    """Leave no more room than this; return the file that has it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"0" * 512):
            pass
    os.truncate(ballast, ballast.stat().st_size - but_bytes)
    return ballast


def test_a_program_that_starts_on_a_full_disk_says_so_and_goes_on_later(site, small_disk):
    """One line and a code, whether there is a database already or not; nothing is damaged."""
    ballast = fill_up(small_disk, but_bytes=8_192)  # for the name of the owner
    assert "full (SQLITE_FULL)" in refusal(site, *RUN, code=1)
    ballast.unlink()
    site.stop(site.run("approve:1"))
    ballast = fill_up(small_disk)
    assert "No space left on device" in refusal(site, *RUN, code=1)
    assert "-shm, could not be made: is the disk full?" in refusal(site, "list", code=1)
    ballast.unlink()
    site.claw("send", "approve-00000", "answer", "true")
    owner = site.run()
    site.until(lambda: site.statuses() == {"completed": 1}, "completed", owner)
    site.stop(owner)


# -- whose files they are ----------------------------------------------------------------------------

NOBODY = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@as_root
def test_somebody_without_rights_runs_nothing_and_is_told_which_are_missing(open_site):
    """A directory, or a file, that is another's: one line names it, and nothing has changed."""
    site, directory = open_site, open_site.directory
    site.stop(site.run("approve:1"))
    (directory / "closed").mkdir(0o700)
    before = site.files()

    def refused(*arguments: str) -> str:
        return refusal(site, *arguments, code=1, uid=NOBODY)

    for arguments in (RUN, ("doctor",)):
        assert f"Permission denied: '{directory}/claw.db.lock'" in refused(*arguments)
    for arguments in (("list",), ("cancel", "approve-00000"), ("backup", "copy.db")):
        assert f"; user {NOBODY} may not read it\n" in refused(*arguments)
    (directory / "claw.db").chmod(0o644)
    directory.chmod(0o755)
    assert f"; user {NOBODY} may not make its -wal and -shm in {directory}\n" in refused("list")
    assert f"Permission denied: '{directory}/new.db.lock'" in refused(*RUN, "--db", "new.db")
    assert f"Permission denied: '{directory}/data'" in refused(*RUN, "--db", "data/new.db")
    assert f"Permission denied: '{directory}/closed/new.db" in refused(
        *RUN, "--db", "closed/new.db"
    )
    (directory / "claw.db").chmod(0o600)
    assert site.files() == before


@as_root
def test_a_command_works_in_a_directory_that_its_user_may_not_enter(open_site):
    """`sudo -u shop claw list --db ...`, typed in the home directory of somebody else."""
    site, database = open_site, open_site.directory.parent / "claw.db"
    site.stop(site.run("approve:1", uid=NOBODY, CLAW_STORAGE_SQLITE_PATH=str(database)))
    site.directory.chmod(0o700)
    assert "approve-00000" in site.claw("list", "--db", database, uid=NOBODY)


@as_root
def test_what_root_does_beside_a_service_takes_nothing_away_from_it(open_site):
    """The files remain the service's: it goes on, whether root looked while it ran or did not."""
    site = open_site
    owner = site.run("approve:1", uid=NOBODY)
    site.until(lambda: site.ledger().total() == 1, "waiting", owner)

    def look() -> None:
        for arguments in (("list",), ("doctor",), ("show", "approve-00000")):
            site.claw(*arguments)
        of = {path.name: path.stat().st_uid for path in site.directory.glob("claw.db*")}
        assert set(of.values()) == {NOBODY}, of

    look()
    said = refusal(site, "cancel", "approve-00000", code=1)
    assert f"a process of user {NOBODY} answers there" in said
    site.stop(owner)
    look()
    site.claw("send", "approve-00000", "answer", "true")
    look()
    owner = site.run(uid=NOBODY)
    site.claw("watch", "approve-00000", "--timeout", "60", uid=NOBODY)
    site.stop(owner)
