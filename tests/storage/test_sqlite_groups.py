"""Groups of operations on SQLite: what each one costs, and that one bad one fails alone."""

from __future__ import annotations

import enum

import attrs
import pytest

from claw_actors._core.lifecycle import Status
from claw_actors.errors import (
    DuplicateKeyError,
    InvalidInputError,
    NotFoundError,
    StaleWriteError,
    StorageCorruptError,
)
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Claim,
    Claimed,
    Create,
    Created,
    Delete,
    SaveTask,
    SaveWorkflow,
    Send,
    Sent,
)
from claw_actors.storage.records import RowChange
from claw_actors.storage.sqlite.journal import Head, Journal
from claw_actors.testing.conformance.samples import (
    a_cancel,
    a_message,
    a_row,
    a_send,
    a_start,
    a_timer,
    an_outcome,
    open_work,
)


@pytest.fixture
def trace(storage):
    """Collect the statements that the writing connection runs."""
    statements: list[str] = []
    storage._session.writer.connection.set_trace_callback(statements.append)
    yield statements
    storage._session.writer.connection.set_trace_callback(None)


def create(storage, *ids):
    return storage.commit([Create(a_row(id), (a_start(),)) for id in ids or ("one",)])


def advance(*ops, pk=1, id="one", life=0, **options):
    return Advance(pk, id, life, tuple(an_outcome(op) for op in ops), **options)


def entries(storage, pk=1):
    return storage.load([pk])[0].entries


# -- cost -------------------------------------------------------------------------------------


def test_a_finished_task_is_one_insert(storage, trace):
    """Beside the fence of the transaction, nothing but one INSERT per entry is run."""
    create(storage)
    trace.clear()
    assert storage.commit([advance("a", "b"), advance("c")]) == [Advanced(2), Advanced(3)]
    assert trace[0] == "BEGIN IMMEDIATE"
    assert trace[1].strip().startswith("UPDATE claw_meta")
    assert [statement.split(" (")[0] for statement in trace[2:-1]] == [
        "INSERT INTO claw_journal"
    ] * 3
    assert trace[-1] == "COMMIT"


def test_saved_tasks_are_written_together_at_the_end(storage, trace):
    """Looking for an outcome writes what is queued only if that may be the one."""
    create(storage)
    trace.clear()
    storage.commit([SaveTask("one", entry=an_outcome(op)) for op in ("a", "b", "c")])
    verbs = [statement.split()[0] for statement in trace[2:-1]]
    assert verbs == ["SELECT", "SELECT", "DELETE"] * 3 + ["INSERT"] * 3


def test_saving_a_task_costs_the_same_however_long_the_journal(storage):
    """Its outcome is looked for by an index, also when it is there."""
    steps = []

    def cost(operation):
        steps.clear()
        storage._session.writer.connection.set_progress_handler(lambda: steps.append(1), 1)
        storage.commit([operation])
        storage._session.writer.connection.set_progress_handler(None, 0)
        return len(steps)

    create(storage)
    storage.commit([SaveTask("one", entry=an_outcome("early"))])
    again = SaveTask("one", entry=an_outcome("early"))
    before = [cost(SaveTask("one", opened=open_work("x"))), cost(again)]
    storage.commit([advance(*(f"t#{n}" for n in range(1_000)))])
    after = [cost(SaveTask("one", opened=open_work("y"))), cost(again)]
    assert after == pytest.approx(before, rel=0.2)


def test_progress_never_writes_the_row(storage, trace, raw):
    """Even when nothing is known of the workflow, its row is read and not written."""
    create(storage)
    storage.close()
    storage.open()
    connection = storage._session.writer.connection
    connection.set_trace_callback(trace.append)
    before = raw("SELECT * FROM claw_workflow")
    trace.clear()
    storage.commit([advance("a")])
    touching = [statement for statement in trace if "claw_workflow" in statement]
    assert len(touching) == 1
    assert touching[0].startswith("SELECT ")
    assert raw("SELECT * FROM claw_workflow") == before


def test_a_thousand_steps_of_a_hundred_workflows_are_one_commit(storage, trace):
    """A group is one transaction, however large, and every journal is numbered without gaps."""
    ids = [f"w{number}" for number in range(100)]
    create(storage, *ids)
    trace.clear()
    group = [
        advance(f"t#{step}", pk=pk, id=id)
        for step in range(10)
        for pk, id in enumerate(ids, start=1)
    ]
    results = storage.commit(group)
    assert results == [Advanced(step + 1) for step in range(10) for _ in ids]
    assert trace.count("COMMIT") == 1
    assert all([e.n for e in entries(storage, pk)] == list(range(11)) for pk in range(1, 101))


def test_a_change_touches_only_the_columns_that_change(storage, trace):
    """Indexes over other columns stay out of it."""
    create(storage)
    trace.clear()
    storage.commit([advance(change=RowChange(reason="because", description=None))])
    (update,) = [statement for statement in trace if statement.startswith("UPDATE claw_workflow")]
    assert update.split(" SET ")[1].count("=") == 4  # revision, reason, crc, and the key


def test_a_wave_is_claimed_in_one_commit(storage, trace):
    """All rows of a claim are changed by one transaction."""
    create(storage, *(f"w{number}" for number in range(50)))
    trace.clear()
    (claimed,) = storage.commit([Claim(tuple((pk, 0) for pk in range(1, 51)), 5.0, counted=True)])
    assert len(claimed.rows) == 50
    assert trace.count("COMMIT") == 1


def test_an_empty_group_is_a_commit_of_nothing(storage):
    """It asks whether the storage is well, and changes no workflow."""
    assert storage.commit([]) == []


# -- numbers ----------------------------------------------------------------------------------


def test_numbers_go_on_where_the_stored_journal_ends(storage):
    """A new owner reads the last number, and counts on from there."""
    create(storage)
    storage.commit([advance("a", "b")])
    storage.close()
    storage.open()
    assert storage.commit([advance("c"), advance("d", expect_n=3)]) == [Advanced(3), Advanced(4)]


def test_only_so_many_journals_are_remembered(storage):
    """The head noted longest ago makes room, and is read again when it is needed."""
    journal = Journal(storage._session.writer.connection, max_heads=2)
    for pk in (1, 2, 3):
        journal.begin(pk, Head(run=1, life=0, n=0))
    assert [journal.known(pk) is not None for pk in (1, 2, 3)] == [False, True, True]


def test_a_forgotten_journal_with_queued_entries_is_read_after_them(storage, trace):
    """Numbers are never given twice, even when a head is forgotten within its group."""
    storage._session.writer._transaction._journal._max_heads = 1
    create(storage, "one", "two")
    trace.clear()
    steps = [advance("a"), advance("b", pk=2, id="two")] * 3
    assert storage.commit(steps) == [Advanced(n) for n in (1, 1, 2, 2, 3, 3)]
    assert trace.count("BEGIN IMMEDIATE") == 1, "the group was not done again one by one"


def test_what_is_sent_along_is_numbered_though_every_journal_is_forgotten(storage, trace):
    """To others and to itself, in turn, with room for the head of one journal only."""
    storage._session.writer._transaction._journal._max_heads = 1
    create(storage, "one", "two")
    trace.clear()
    sends = tuple(Send(id, a_message()) for id in ("two", "one", "two", "one"))
    entries_ = tuple(a_send(f"send#{n}") for n in range(4))
    sent = (Sent(2, 1), Sent(1, 5), Sent(2, 2), Sent(1, 6))
    operation = Advance(1, "one", 0, entries_, sends=sends)
    assert storage.commit([operation, advance("a")]) == [Advanced(4, sent), Advanced(7)]
    assert trace.count("BEGIN IMMEDIATE") == 1, "the group was not done again one by one"


def test_a_new_life_is_known_at_once(storage):
    """After a claim the old incarnation is fenced in the same group."""
    create(storage)
    results = storage.commit(
        [advance("a"), Claim(((1, 0),), 5.0, counted=False), advance("b"), advance("c", life=1)]
    )
    assert isinstance(results[2], StaleWriteError)
    assert (results[2].what, results[3]) == ("life", Advanced(2))


def test_a_claim_that_names_a_workflow_twice_counts_each(storage):
    """The second one must name the life that the first one made."""
    create(storage)
    (claimed,) = storage.commit([Claim(((1, 0), (1, 0), (1, 1)), 5.0, counted=True)])
    assert isinstance(claimed, Claimed)
    assert [row.life for row in claimed.rows] == [1, 2]
    assert storage.get_workflow("one").row == claimed.rows[1]


def test_keys_are_never_given_twice(storage):
    """The key of a deleted workflow, or of one that was refused, tells nobody else apart."""
    assert create(storage, "one", "two")[1] == Created(2, 0)
    storage.commit([Delete("two")])
    storage.close()
    storage.open()
    results = storage.commit([Create(a_row("one"), (a_start(),)), Create(a_row("3"), (a_start(),))])
    assert isinstance(results[0], DuplicateKeyError)
    assert results[1] == Created(3, 0)


def test_whole_times_and_minus_zero_come_back_as_they_are_stored(storage):
    """SQLite keeps neither the int in a float column nor the sign of zero; checksums agree."""
    row = attrs.evolve(a_row(), created_at=5, restarts=(1, -0.0), wake_at=-0.0)
    start = attrs.evolve(a_start(), at=-0.0, started_at=7)
    storage.commit([Create(row, (start,))])
    loaded = storage.load([1])[0]
    assert loaded.row.created_at == 5.0
    assert loaded.entries[0].started_at == 7.0


class Name(enum.StrEnum):
    ID = "from-an-enum"
    LABEL = "label"


class Number(enum.IntEnum):
    SEVEN = 7


class Seconds(float):
    """What numeric libraries make of a float."""


def test_subclasses_of_plain_types_are_stored_as_what_they_are(storage):
    """Enums, booleans and foreign floats read back plain, and their checksums agree."""
    row = attrs.evolve(
        a_row(Name.ID, metadata={Name.LABEL: Name.LABEL}),
        version=Number.SEVEN,
        recoveries=True,
        wake_at=Seconds(2.5),
    )
    entry = attrs.evolve(an_outcome(Name.LABEL), attempt=True, at=Seconds(2.5), after=Number.SEVEN)
    work = attrs.evolve(open_work(Name.ID), attempt=Number.SEVEN)
    storage.commit([Create(row, (a_start(), entry)), SaveTask(Name.ID, opened=work)])
    loaded = storage.load([1])[0]
    assert loaded.row == attrs.evolve(row, pk=1)
    assert type(loaded.row.id) is str
    assert loaded.row.id == "from-an-enum"
    assert loaded.entries[1] == attrs.evolve(entry, n=1)
    assert loaded.open_tasks == (work,)


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        Advance(1, "one", 0, (an_outcome("fine"), an_outcome("\ud800"))),
        Advance(1, "one", 0, (an_outcome("fine"), an_outcome("late", at=float("nan")))),
        Advance(1, "one", 0, (an_outcome("big", after=2**63),)),
        Advance(1, "one", 0, (an_outcome("fine"), an_outcome("text", value="no bytes"))),
        Advance(1, "one", 0, (an_outcome("fine"),), change=RowChange(restarts=(float("inf"),))),
        Advance(1, "one", 0, (an_outcome("fine"),), opened=(attrs.evolve(open_work(), name=None),)),
        SaveTask("one", opened=attrs.evolve(open_work(), attempt="many")),
        SaveWorkflow("one", 1, RowChange(description=5), (an_outcome("fine"),)),
        Create(attrs.evolve(a_row("new"), seed=2**64), (a_start(),)),
        Create(attrs.evolve(a_row("new"), version=1.0), (a_start(),)),
        Atomic((Create(a_row("new"), (a_start(),)), Send("one", an_outcome("\ud800")))),
        Advance(1, "one", 0, (a_send(),), sends=(Send("two", a_message("\ud800"), "k"),)),
    ],
    ids=lambda bad: type(bad).__name__,
)
def test_one_bad_operation_fails_alone(storage, bad):
    """What SQLite will not take is refused by itself; its neighbours commit, in order."""
    create(storage, "one", "two")
    results = storage.commit(
        [advance("before"), Send("two", a_cancel()), bad, advance("after", expect_n=1)]
    )
    assert isinstance(results[2], InvalidInputError)
    assert results[2].__cause__ is not None
    assert [results[0], results[3]] == [Advanced(1), Advanced(2)]
    assert [entry.op for entry in entries(storage)] == ["", "before", "after"]
    assert [entry.op for entry in entries(storage, 2)] == ["", "cancel"]
    assert storage.read_tasks("one")[1] == []
    assert storage.list_workflows(WorkflowFilter(include_total=True)).total == 2
    assert storage.get_workflow("one").row.revision == 1


def test_a_refusal_keeps_no_frames_alive(storage):
    """It is returned, so what was on the stack must not hang on it."""
    (refusal,) = storage.commit([advance("a")])
    assert isinstance(refusal, NotFoundError)
    assert refusal.__traceback__ is None


def test_an_atomic_that_is_refused_leaves_nothing_and_nobody_else_behind(storage):
    """All of it is taken back, its numbers too, and its neighbours commit."""
    create(storage)
    results = storage.commit(
        [
            advance("before"),
            Atomic(
                (
                    Create(a_row("new", metadata={"k": "v"}), (a_start(),)),
                    Send("one", a_timer()),
                    SaveWorkflow("one", 1, RowChange(description="x")),
                    Delete("none"),
                )
            ),
            advance("after"),
            Create(a_row("next"), (a_start(),)),
        ]
    )
    assert isinstance(results[1], NotFoundError)
    assert results[2:] == [Advanced(2), Created(2, 0)]
    assert [entry.op for entry in entries(storage)] == ["", "before", "after"]
    assert storage.list_workflows(WorkflowFilter(metadata={"k": "v"})).items == ()


def test_a_damaged_row_stops_only_its_own_operations(storage, raw, caplog):
    """Neighbours in the group commit; a claim leaves the damaged one out, and says so."""
    create(storage, "one", "two")
    storage.close()
    raw("UPDATE claw_workflow SET life = 7 WHERE pk = 1")
    storage.open()
    results = storage.commit(
        [
            advance("a"),
            Send("one", a_cancel()),
            advance("b", pk=2, id="two"),
            Claim(((1, 7), (2, 0)), 5.0, counted=False),
        ]
    )
    assert isinstance(results[0], StorageCorruptError)
    assert isinstance(results[1], StorageCorruptError)
    assert results[2] == Advanced(1)
    assert [row.id for row in results[3].rows] == ["two"]
    assert "left as it is: workflow 'one' in claw_workflow" in caplog.text


def test_a_bug_in_mid_group_leaves_no_half_group(storage):
    """Whatever is raised, the transaction is over and the storage goes on."""
    create(storage)
    with pytest.raises(AssertionError):
        storage.commit([advance("a"), SaveTask("one")])
    assert storage.commit([advance("b")]) == [Advanced(1)]
    assert [entry.op for entry in entries(storage)] == ["", "b"]


def test_labels_follow_the_row(storage):
    """A change of metadata is what filters find, from the same commit on."""
    storage.commit([Create(a_row(metadata={"a": "1", "b": "2"}), (a_start(),))])
    storage.commit([SaveWorkflow("one", 1, RowChange(metadata={"b": "2", "c": "3"}))])

    def found(**labels):
        return len(storage.list_workflows(WorkflowFilter(metadata=labels)).items)

    assert [found(a="1"), found(b="2"), found(c="3"), found(b="2", c="3")] == [0, 1, 1, 1]
    assert storage.get_workflow("one").row.metadata == {"b": "2", "c": "3"}


def test_status_is_stored_as_text(storage, raw):
    """Other programs can read it."""
    create(storage)
    assert raw("SELECT w.status, kind FROM claw_workflow AS w, claw_journal") == [
        (Status.PENDING.value, "start")
    ]
