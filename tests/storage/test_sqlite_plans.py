"""How SQLite means to run our statements: by index, and without sorting what is in order."""

from __future__ import annotations

import pytest

from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import Create
from claw_actors.storage.sqlite import counting, ended, listing, pruning, remembered, statements
from claw_actors.storage.sqlite.many import these
from claw_actors.testing.conformance.samples import a_row, a_start


@pytest.fixture
def plan(storage):
    """Explain a statement on a storage that holds something."""
    storage.commit([Create(a_row(f"w{n}"), (a_start(),)) for n in range(20)])
    connection = storage._session.writer.connection

    def explain(sql, parameters=()):
        rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        return [row[3] for row in rows]

    return explain


def using(plan, index):
    """Tell whether some step of a plan searches by this index."""
    return any(step.startswith("SEARCH") and index in step for step in plan)


def sorts(plan):
    """Tell whether more than the page itself, a bounded list, is put in order."""
    found = plan[: plan.index("SCAN page")] if "SCAN page" in plan else plan
    return any("TEMP B-TREE" in step for step in found)


def scans(plan):
    """Return the tables that are walked from end to end; a page of keys is none."""
    fine = ("SCAN page", "SCAN CONSTANT ROW")
    return [step for step in plan if step.startswith("SCAN") and step not in fine]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (WorkflowFilter(status="running"), "claw_workflow_status (status=?)"),
        (WorkflowFilter(status=["running", "failed"]), "claw_workflow_status (status=?)"),
        (WorkflowFilter(status="running", after=9), "claw_workflow_status (status=? AND pk<?)"),
        (WorkflowFilter(parent="w1"), "claw_workflow_parent (parent=?)"),
        (WorkflowFilter(parent="w1", status="running"), "claw_workflow_parent (parent=?)"),
        (WorkflowFilter(metadata={"k": "v"}), "PRIMARY KEY (key=? AND value=?)"),
        (WorkflowFilter(metadata={"k": "v"}, after=9), "PRIMARY KEY (key=? AND value=? AND wf<?)"),
        (WorkflowFilter(metadata={"k": "v", "l": "w"}, status="running"), "(key=? AND value=?)"),
    ],
)
def test_a_page_is_walked_in_order_by_its_index(plan, query, index):
    """Nothing is scanned or sorted: a page costs a page, however many workflows there are."""
    found = plan(*listing.page(query))
    assert using(found, index), found
    assert not scans(found), found
    assert not sorts(found), found


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (WorkflowFilter(created_after=5.0), "claw_workflow_created (created_at>?)"),
        (WorkflowFilter(created_after=5.0, status="running"), "claw_workflow_created"),
        (
            WorkflowFilter(created_after=5.0, created_before=6.0),
            "claw_workflow_created (created_at>? AND created_at<?)",
        ),
        (WorkflowFilter(id_prefix="w"), "sqlite_autoindex_claw_workflow_1 (id>? AND id<?)"),
    ],
)
def test_a_window_is_found_by_its_index(plan, query, index):
    """Only what lies in the window is read."""
    found = plan(*listing.page(query))
    assert using(found, index), found
    assert not scans(found), found


def test_a_page_of_everything_is_a_walk_along_the_keys(plan):
    """The newest come first without sorting."""
    assert not sorts(plan(*listing.page(WorkflowFilter())))


def test_totals_by_status_come_from_an_index_alone(plan):
    """Counting a status reads no row."""
    found = plan(*listing.count(WorkflowFilter(status=["running", "failed"])))
    assert any("COVERING INDEX claw_workflow_status (status=?)" in step for step in found), found
    assert not scans(found), found


def test_recovery_reads_what_it_brings_back_and_no_more(plan):
    """Pending and running ones by status, waiting ones by their time."""
    found = plan(statements.SELECT_UNFINISHED, {"after": 0, "due_by": 5.0, "limit": 10})
    by_status = [s for s in found if "claw_workflow_status (status=? AND pk>?)" in s]
    assert len(by_status) == 2
    assert using(found, "claw_workflow_wake (wake_at<?)"), found
    assert not scans(found), found


def test_the_next_wake_times_come_in_order_from_their_index(plan):
    """The timer's question costs what it answers."""
    found = plan(statements.SELECT_WAKE_TIMES, {"wake_at": 0.0, "pk": 0, "limit": 10})
    assert using(found, "claw_workflow_wake (wake_at>?)"), found
    assert using(found, "claw_journal_run (wf=? AND run=?)"), found
    assert not sorts(found), found


@pytest.mark.parametrize(
    ("sql", "parameters", "index"),
    [
        (statements.SELECT_ENTRIES, (1, 1), "claw_journal_run (wf=? AND run=?)"),
        (statements.SELECT_LAST_N, (1, 1), "claw_journal_run (wf=? AND run=?)"),
        (statements.SELECT_START, (1, 1), "claw_journal_run (wf=? AND run=? AND n=?)"),
        (statements.SELECT_ENDS, (1, 1), "claw_journal_end (wf=? AND run=?)"),
        (statements.SELECT_SAVED, (1, 1, "a"), "claw_journal_saved (wf=? AND run=? AND op=?)"),
        (statements.SELECT_REVISION, ("w1",), "sqlite_autoindex_claw_workflow_1 (id=?)"),
        (statements.SELECT_TASKS, (1, 1), "sqlite_autoindex_claw_task_1 (wf=? AND run=?)"),
        (statements.SELECT_KEY, (1, "k"), "PRIMARY KEY (wf=? AND key=?)"),
        (statements.SELECT_VALUE, (1, "k"), "sqlite_autoindex_claw_value_1 (wf=? AND key=?)"),
        (statements.SELECT_VALUES, (1,), "sqlite_autoindex_claw_value_1 (wf=?)"),
        (statements.SELECT_LETTERS, (1, 0, 9), "claw_dead_letter_wf (wf=? AND rowid>?)"),
        (statements.SELECT_TOMBSTONES, (), "sqlite_autoindex_claw_workflow_1 (id=?)"),
        *((delete, {"wf": 1, "limit": 10}, "(wf=?") for delete, _ in statements.DELETE_PIECES),
        *((left, {"wf": 1}, "(wf=?") for _, left in statements.DELETE_PIECES),
    ],
)
def test_what_hangs_on_a_workflow_is_found_by_its_key(plan, sql, parameters, index):
    """Nothing is scanned or sorted to load, to end or to delete one workflow."""
    found = plan(sql, parameters)
    assert using(found, index), found
    assert not scans(found), found
    assert not sorts(found), found


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (pruning._SELECT_THESE, "INTEGER PRIMARY KEY"),
        (pruning._SELECT_BELOW, "claw_workflow_parent (parent=?)"),
        (pruning._SELECT_SIZES, "claw_journal_run (wf=?)"),
        (remembered._SELECT_DIGESTS, "claw_journal_run (wf=? AND run=? AND n=?)"),
        (ended._SELECT_KIN, "claw_workflow_parent (parent=?)"),
        (pruning._DELETE_THESE[0], "claw_journal_run (wf=?)"),
        *((delete, "(wf=?") for delete in pruning._DELETE_THESE[1:-1]),
        (pruning._DELETE_THESE[-1], "INTEGER PRIMARY KEY"),
    ],
)
def test_many_are_pruned_by_their_keys(plan, sql, index):
    """Only the list of keys itself is walked; whatever else is there costs nothing."""
    found = plan(sql, these([1, 2, 3]) | ({"enough": 9} if ":enough" in sql else {}))
    assert using(found, index), found
    inner = ("VIRTUAL TABLE", "(subquery-")
    assert not [step for step in scans(found) if not any(one in step for one in inner)], found


def test_a_window_is_a_walk_along_the_keys(plan):
    """What comes before or after it is not looked at."""
    found = plan(ended._SELECT_WINDOW, (9, 5))
    assert using(found, "INTEGER PRIMARY KEY (rowid<?)"), found
    assert not scans(found), found
    assert not sorts(found), found


def test_workflows_are_counted_by_index(plan):
    """No row of a workflow is read for it, and nothing is sorted."""
    assert plan(counting.COUNT) == ["SCAN claw_workflow USING COVERING INDEX claw_workflow_status"]
    found = plan(counting.COUNT_HALF_DELETED)
    assert any("sqlite_autoindex_claw_workflow_1 (id=?)" in step for step in found), found
    [first] = plan(counting.FIRST, ("running",))
    assert "USING INDEX claw_workflow_status (status=?)" in first
    [due] = plan(counting.NEXT_DUE)
    assert "claw_workflow_wake" in due
