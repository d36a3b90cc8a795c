"""Changed bytes: every one is found when it is read, and harms only the record it is in."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import attrs
import pytest

from claw_actors._core.journal import EntryStatus, message
from claw_actors._core.lifecycle import Status
from claw_actors.errors import ClawError, StorageCorruptError
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import Advance, Advanced, Create, SaveWorkflow, Send
from claw_actors.storage.records import RowChange
from claw_actors.storage.refusals import decode_refusal
from claw_actors.storage.sqlite import SQLiteStorage, rows
from claw_actors.testing.conformance.samples import (
    a_child,
    a_child_entry,
    a_row,
    a_send,
    a_start,
    an_end,
    an_outcome,
    open_work,
)

MARKER = b"a value that can be found in the file"


@pytest.fixture
def two(storage, path):
    """Store two workflows with everything that has a checksum, and close the file."""
    row = attrs.evolve(a_row(), description=MARKER.decode())
    entry = attrs.evolve(an_outcome(value=MARKER), digest=b"0123456789abcdef", started_at=1.5)
    work = attrs.evolve(open_work("retry"), error=MARKER, depends_on=("a", "b"), details="[1.5,3]")
    storage.commit(
        [
            Create(row, (a_start(), entry, an_end(MARKER))),
            Create(a_row("two"), (a_start(),)),
            Advance(1, "one", 0, opened=(work,)),
        ]
    )
    storage.close()
    return storage


def columns(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return [
            (name, kind)
            for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
            if (table, name) not in {("claw_journal", "pos"), ("claw_workflow", "pk")}
        ]


CHECKED = {
    "claw_workflow": set(rows.WORKFLOW_COLUMNS) - {"pk", "id"},
    "claw_journal": set(rows.ENTRY_COLUMNS) - {"wf", "run", "n"},
    "claw_task": set(rows.TASK_COLUMNS) - {"wf", "run"},
}


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table, names in CHECKED.items() for column in sorted(names)],
)
def test_a_changed_column_is_found(two, path, raw, table, column):
    """Any change of any column of any payload table fails its checksum, and names its workflow."""
    ((kind,),) = [[kind] for name, kind in columns(path, table) if name == column]
    value = {"TEXT": "changed", "INTEGER": 99, "REAL": 99.5, "BLOB": b"changed"}[kind]
    where = {"claw_workflow": "id = 'one'", "claw_journal": "wf = 1 AND n = 1"}.get(table, "wf = 1")
    raw(f'UPDATE {table} SET "{column}" = ? WHERE {where}', value)
    two.open()
    damage, fine = two.load([1, 2])
    assert isinstance(damage, StorageCorruptError)
    assert "'one'" in damage.where
    assert table in damage.where
    assert "backup" in damage.advice
    assert fine.row.id == "two"


@pytest.mark.parametrize("seed", range(4))
def test_every_flipped_bit_of_a_payload_is_found_or_harmless(two, path, seed):
    """Wherever a bit of the stored values flips, nobody reads another value than was written."""
    random_ = random.Random(seed)
    original = path.read_bytes()
    places = [i for i in range(len(original)) if original.startswith(MARKER, i)]
    assert len(places) == 4  # row, outcome, end, open work
    for place in places:
        for _ in range(5):
            # The neighbourhood holds the header and the other columns of the same row.
            position = place + random_.randrange(-120, len(MARKER) + 20)
            damaged = bytearray(original)
            damaged[position] ^= 1 << random_.randrange(8)
            path.write_bytes(damaged)
            assert not reads_wrongly(path)


def reads_wrongly(path) -> bool:
    """Tell whether something is read back that was never written."""
    storage = SQLiteStorage(path)
    try:
        storage.open()
        found = storage.load([1])
        tasks = storage.read_tasks("one")
    except ClawError:
        return False
    finally:
        storage.abandon()
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        path.with_name(path.name + ".mark").unlink(missing_ok=True)
    loaded = found[0] if found else None
    if loaded is None or isinstance(loaded, StorageCorruptError):
        return False
    return not (
        loaded.row.description == MARKER.decode()
        and [entry.value for entry in loaded.entries] == [b"[]", MARKER, MARKER]
        and [work.error for work in loaded.open_tasks] == [MARKER]
        and len(tasks[0]) == 1
    )


def test_text_that_is_no_text_is_found(two, raw):
    """Bytes that are not UTF-8 reach the checksum, and do not end the whole read."""
    raw("UPDATE claw_journal SET name = CAST(x'ff41' AS TEXT) WHERE wf = 1 AND n = 1")
    two.open()
    damage, _ = two.load([1, 2])
    assert isinstance(damage, StorageCorruptError)


def test_a_message_to_a_damaged_workflow_is_an_outcome_for_its_sender(two, raw):
    """Recorded with the reason, and read back as it was: one damaged one harms no other."""
    raw("UPDATE claw_workflow SET reason = 'changed' WHERE pk = 1")
    two.open()
    sends = (Send("one", message("topic", 1.0, None), "k"),)
    [answer] = two.commit([Advance(2, "two", 0, (a_send(),), sends=sends)])
    [refusal] = answer.sent
    assert isinstance(refusal, StorageCorruptError)
    assert refusal.__traceback__ is None
    [loaded] = two.load([2])
    assert loaded.entries[1].status is EntryStatus.FAILED
    assert vars(decode_refusal(loaded.entries[1].value)) == vars(refusal)


def starting(pk=2, id="two", child="one"):
    """Make a workflow start a child whose id is taken."""
    return Advance(pk, id, 0, (a_child_entry(),), children=(a_child(child, parent=id),))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE claw_workflow SET reason = 'changed' WHERE pk = 1",
        "UPDATE claw_journal SET value = x'00' WHERE wf = 1 AND n = 0",
        "DELETE FROM claw_journal WHERE wf = 1 AND n = 0",
    ],
)
def test_a_child_whose_id_belongs_to_a_damaged_workflow_is_refused(two, raw, damage):
    """Nobody can tell whether it is that one; it is an outcome for who starts it."""
    raw(damage)
    two.open()
    [answer] = two.commit([starting()])
    [refusal] = answer.children
    assert isinstance(refusal, StorageCorruptError)
    assert refusal.__traceback__ is None
    [loaded] = two.load([2])
    assert vars(decode_refusal(loaded.entries[1].value)) == vars(refusal)


def a_family(two):
    """Let the second one start two children."""
    two.open()
    children = (a_child("a", parent="two"), a_child("b", parent="two"))
    entries_ = tuple(a_child_entry(f"c#{n}") for n in range(2))
    change = RowChange(status=Status.RUNNING)
    [answer] = two.commit([Advance(2, "two", 0, entries_, change=change, children=children)])
    return [created.pk for created in answer.children]


def test_a_child_ends_although_its_parent_is_damaged(two, raw, caplog):
    """Nobody is told, and it is logged."""
    child, _ = a_family(two)
    two.close()
    raw("UPDATE claw_workflow SET reason = 'changed' WHERE pk = 2")
    two.open()
    change = RowChange(status=Status.COMPLETED)
    [answer] = two.commit([Advance(child, "a", 1, (an_end(),), change=change)])
    assert answer == Advanced(1)
    assert "not told of the end of a child" in caplog.text
    assert two.get_workflow("a").row.status is Status.COMPLETED


def test_a_damaged_child_is_not_named_as_the_one_that_is_stuck(two, raw):
    """What it says cannot be trusted; the parent does not go on saying it either."""
    first, second = a_family(two)
    stuck = RowChange(status=Status.QUARANTINED, reason="it crashed")
    two.commit([Advance(pk, id, 1, change=stuck) for pk, id in ((first, "a"), (second, "b"))])
    assert two.get_workflow("two").row.reason == "child 'a' is quarantined: it crashed"
    two.close()
    raw(f"UPDATE claw_workflow SET reason = 'changed' WHERE pk = {first}")
    two.open()
    two.commit([Advance(second, "b", 1, change=RowChange(status=Status.PENDING))])
    assert two.get_workflow("two").row.reason is None


def reseal(raw, table, where, **changes):
    """Change columns and the checksum with them, as a faulty program would."""
    names = {"claw_workflow": rows.WORKFLOW_COLUMNS, "claw_journal": rows.ENTRY_COLUMNS}[table]
    quoted = ", ".join(f'"{name}"' for name in names)
    (found,) = raw(f"SELECT {quoted} FROM {table} WHERE {where}")
    values = {**dict(zip(names, found, strict=True)), **changes}
    ordered = tuple(values[name] for name in names)
    crc = (
        rows.seal(ordered[:-1])
        if table == "claw_workflow"
        else rows._seal_entry(ordered[:-2], ordered[-2])
    )
    for name, value in {**changes, "crc": crc}.items():
        raw(f'UPDATE {table} SET "{name}" = ? WHERE {where}', value)


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("claw_workflow", {"status": "enchanted"}),
        ("claw_workflow", {"metadata": "{"}),
        ("claw_journal", {"kind": "enchantment"}),
        ("claw_journal", {"status": "enchanted"}),
        ("claw_journal", {"codec": 9}),
    ],
)
def test_what_this_version_does_not_know_is_named(two, raw, table, changes):
    """A record that is whole and means nothing to us is reported like a damaged one."""
    where = "id = 'one'" if table == "claw_workflow" else "wf = 1 AND n = 1"
    reseal(raw, table, where, **changes)
    two.open()
    damage, _ = two.load([1, 2])
    assert isinstance(damage, StorageCorruptError)


def test_a_time_that_is_no_number_is_damage():
    """A damaged header can turn a time into text: that has no checksum."""
    values = rows.entry_values(1, 1, 1, an_outcome())
    with pytest.raises(StorageCorruptError):
        rows.read_entry((*values[:11], "soon", *values[12:]), "one", "here")


def test_a_payload_that_is_no_bytes_has_no_checksum():
    """A damaged header can turn a value into a number, too."""
    assert rows.seal((1,), 5) == rows.NO_CHECKSUM


def test_an_empty_value_is_not_none():
    """The checksum tells them apart."""
    assert rows.seal((1,), b"") != rows.seal((1,), None)


@pytest.mark.parametrize(("n", "gap"), [(0, 0), (1, 1)])
def test_an_entry_that_vanished_is_found(two, raw, n, gap):
    """No checksum tells of a missing row; the numbers do."""
    raw("DELETE FROM claw_journal WHERE wf = 1 AND n = ?", n)
    two.open()
    (damage,) = two.load([1])
    assert isinstance(damage, StorageCorruptError)
    assert damage.reason == f"entry {gap} is missing"
    with pytest.raises(StorageCorruptError, match=f"entry {gap} is missing"):
        two.read_journal("one", (0, 0), 9)


def test_a_journal_that_vanished_is_found(two, raw):
    """A workflow has at least its start."""
    raw("DELETE FROM claw_journal WHERE wf = 1")
    two.open()
    (damage,) = two.load([1])
    assert isinstance(damage, StorageCorruptError)
    for read in (two.get_workflow, lambda id: two.read_journal(id, (0, 0), 9)):
        with pytest.raises(StorageCorruptError, match="entry 0 is missing"):
            read("one")


def test_single_reads_raise(two, raw):
    """Who asks for one workflow gets its damage as an error."""
    raw("UPDATE claw_workflow SET name = 'x' WHERE pk = 1")
    two.open()
    for read in (two.get_workflow, two.read_tasks):
        with pytest.raises(StorageCorruptError, match="claw_workflow"):
            read("one")


def test_rows_come_with_the_damage_of_each(two, raw):
    """One damaged workflow must not hide the others, which are to be woken."""
    raw("UPDATE claw_workflow SET name = 'x' WHERE pk = 1")
    two.open()
    damage, row = two.read_rows(["one", "two"])
    assert isinstance(damage, StorageCorruptError)
    assert row == two.get_workflow("two").row


def test_lists_leave_damaged_workflows_out_and_log_them(two, raw, caplog):
    """One damaged workflow must not hide the others."""
    raw("UPDATE claw_workflow SET name = 'x' WHERE pk = 1")
    two.open()
    listing = two.list_workflows(WorkflowFilter(include_total=True))
    assert [item.row.id for item in listing.items] == ["two"]
    assert "left out of a list: workflow 'one' in claw_workflow" in caplog.text


def test_lists_leave_out_damaged_payloads_only_when_they_read_them(two, raw, caplog):
    """A list without payloads does not need them."""
    raw("UPDATE claw_journal SET value = x'00' WHERE wf = 1 AND n = 0")
    two.open()
    assert len(two.list_workflows(WorkflowFilter()).items) == 2
    with_payloads = two.list_workflows(WorkflowFilter(include_payloads=True))
    assert [item.row.id for item in with_payloads.items] == ["two"]
    assert "claw_journal" in caplog.text


def test_a_page_of_nothing_but_damage_is_not_the_last_one(two, raw):
    """Paging goes on past damaged workflows, or those behind them would be hidden."""
    raw("UPDATE claw_workflow SET name = 'x' WHERE pk = 2")
    two.open()
    page = two.list_workflows(WorkflowFilter(limit=1))
    assert [item.row.id for item in page.items] == ["one"]
    assert not page.more


def test_recovery_reports_damaged_workflows(two, raw):
    """They are looked at like the others, and the page goes on behind them."""
    raw("UPDATE claw_workflow SET name = 'x' WHERE pk = 1")
    two.open()
    first = two.list_unfinished(0, 0.0, 1)
    assert (first.rows, first.last_pk, first.more) == ((), 1, True)
    assert "'one'" in first.damaged[0].where
    assert first.damaged[0].__traceback__ is None
    second = two.list_unfinished(first.last_pk, 0.0, 1)
    assert [row.id for row in second.rows] == ["two"]


def test_a_damaged_workflow_can_be_written_off_and_not_written_on(two, raw):
    """Nothing is built on damage."""
    raw("UPDATE claw_workflow SET name = 'x' WHERE pk = 1")
    two.open()
    change = RowChange(status=Status.QUARANTINED)
    (refusal,) = two.commit([SaveWorkflow("one", 1, change)])
    assert isinstance(refusal, StorageCorruptError)
