"""Values and dead letters on SQLite: what they cost, and that every changed byte is found."""

from __future__ import annotations

import attrs
import pytest

from claw_actors.errors import InvalidInputError, StorageCorruptError
from claw_actors.storage.operations import Advance, Advanced, Create
from claw_actors.storage.records import DeadLetter
from claw_actors.storage.sqlite import belongings, rows
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome

LETTER = DeadLetter("topic", 6.5, "no such order", b'"payload"')
FULL = Advance(1, "one", 0, values=(("key", b'"value"'),), values_at=5.5, dead_letters=(LETTER,))
COLUMNS = {
    "claw_value": belongings.VALUE_COLUMNS,
    "claw_dead_letter": belongings.LETTER_COLUMNS,
}


@pytest.fixture
def full(storage):
    """Store two workflows, each with a value and a dead letter."""
    storage.commit([Create(a_row(id), (a_start(),)) for id in ("one", "two")])
    storage.commit([FULL, attrs.evolve(FULL, pk=2, id="two")])
    return storage


def reads(storage, id):
    """Return the reads of one workflow that meet each table."""
    return {
        "claw_value": [
            lambda: storage.list_values(id),
            lambda: storage.get_value(id, "key"),
        ],
        "claw_dead_letter": [lambda: storage.list_dead_letters(id, 0, 9)],
    }


def assert_only_one_is_damaged(storage, table):
    for one in COLUMNS:
        for read in reads(storage, "two")[one]:
            assert read()
    for read in reads(storage, "one")[table]:
        with pytest.raises(StorageCorruptError) as caught:
            read()
        assert "'one'" in caught.value.where
        assert table in caught.value.where
        assert "backup" in caught.value.advice


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, column)
        for table, columns in COLUMNS.items()
        for column in columns
        if column not in ("wf", "key")  # by these it is looked for
    ],
)
def test_a_changed_column_is_found(full, raw, table, column):
    """The read fails and names the workflow; its neighbour's rows can be read."""
    value = {"at": 99.5, "value": b"changed", "codec": 9, "crc": 5}.get(column, "changed")
    raw(f"UPDATE {table} SET {column} = ? WHERE wf = 1", value)
    assert_only_one_is_damaged(full, table)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_row_of_another_workflow_is_found(full, raw, table):
    """Whose it is, and under which key, is part of the checksum."""
    raw(f"DELETE FROM {table} WHERE wf = 1")
    raw(f"UPDATE {table} SET wf = 1 WHERE wf = 2")
    for read in reads(full, "one")[table]:
        with pytest.raises(StorageCorruptError):
            read()


def test_a_value_under_another_key_is_found(full, raw):
    """It is not taken for what was set under that one."""
    raw("UPDATE claw_value SET key = 'other' WHERE wf = 1")
    for read in (lambda: full.get_value("one", "other"), lambda: full.list_values("one")):
        with pytest.raises(StorageCorruptError):
            read()


@pytest.mark.parametrize("table", COLUMNS)
def test_an_encoding_of_a_newer_version_is_named(full, raw, table):
    """A row that is whole and means nothing to us is reported like a damaged one."""
    names = COLUMNS[table]
    (found,) = raw(f"SELECT {', '.join(names)} FROM {table} WHERE wf = 1")
    columns = tuple(9 if name == "codec" else v for name, v in zip(names, found, strict=True))
    crc = rows.seal(columns[:-2], columns[-2])
    raw(f"UPDATE {table} SET codec = 9, crc = ? WHERE wf = 1", crc)
    assert_only_one_is_damaged(full, table)
    with pytest.raises(StorageCorruptError, match="unknown encoding 9"):
        reads(full, "one")[table][0]()


def test_an_advance_with_nothing_of_this_runs_no_statement_for_it(full):
    """What plain progress costs is one INSERT, as it ever was."""
    statements = []
    connection = full._session.writer.connection
    connection.set_trace_callback(statements.append)
    full.commit([Advance(1, "one", 0, (an_outcome(f"t#{n}"),)) for n in range(64)])
    connection.set_trace_callback(None)
    assert len([one for one in statements if one.startswith("INSERT INTO claw_journal")]) == 64
    tables = ("claw_key", "claw_value", "claw_dead_letter", "claw_workflow", "SAVEPOINT")
    assert not [one for one in statements if any(table in one for table in tables)]


@pytest.mark.parametrize(
    "bad",
    [
        attrs.evolve(FULL, values=(("key", b"1"), ("other", "no bytes"))),
        attrs.evolve(FULL, values=(("\ud800", b"1"),)),
        attrs.evolve(FULL, values_at=float("nan")),
        attrs.evolve(FULL, dead_letters=(LETTER, attrs.evolve(LETTER, reason=None))),
        attrs.evolve(FULL, dead_letters=(attrs.evolve(LETTER, topic="\ud800"),)),
    ],
)
def test_one_that_sqlite_will_not_take_fails_alone(full, bad):
    """All of it is taken back; its neighbours commit."""
    good = Advance(1, "one", 0, (an_outcome(),))
    before, refusal, after = full.commit([good, attrs.evolve(bad, entries=good.entries), good])
    assert (before, after) == (Advanced(1), Advanced(2))
    assert isinstance(refusal, InvalidInputError)
    assert full.get_value("one", "key") == b'"value"'
    assert len(full.list_values("one")) == 1
    assert [letter.topic for letter in full.list_dead_letters("one", 0, 9)] == ["topic"]
