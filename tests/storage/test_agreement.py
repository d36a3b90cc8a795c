"""Memory and SQLite agree: random operations in random groups, the same answers and state.

Hypothesis draws operations that mostly fit what is stored (right lives, right revisions), so that
refusals stay the spice and not the meal. After every step everything that can be read is compared.
"""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from claw_actors._core.journal import Entry, EntryKind, EntryStatus, OpenTask, message
from claw_actors._core.lifecycle import TERMINAL, Event, Status
from claw_actors.errors import ClawError, NotFoundError
from claw_actors.storage.memory import MemoryStorage
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Claim,
    Create,
    Delete,
    Deleted,
    Forget,
    GiveBack,
    GivenBack,
    Prune,
    Pruned,
    SaveTask,
    SaveWorkflow,
    Send,
    Steer,
    Trim,
)
from claw_actors.storage.records import DeadLetter, RowChange, WorkflowRow
from claw_actors.storage.sqlite import SQLiteStorage
from claw_actors.testing.conformance.driving import image
from claw_actors.testing.conformance.samples import (
    a_child,
    a_child_entry,
    a_row,
    a_send,
    a_start,
    a_timer,
    a_void,
    an_end,
    an_outcome,
)

IDS = ("a", "a_b", "A", "b")
OPS = ("x", "x#2", "X")
KEYS = ("k", "K", "click 9")
MAX_GROUP = 4
TIMES = (0.0, 1.5, 2.0, 1e9)

ids = st.sampled_from(IDS)
times = st.sampled_from(TIMES)
maybe_times = st.none() | times
statuses = st.sampled_from(Status)
terminal = st.sampled_from(sorted(TERMINAL))
texts = st.none() | st.sampled_from(("", "why", "Ünïcødé"))
payloads = st.none() | st.sampled_from((b"", b"1", b"\x00\xff"))
labels = st.sampled_from(({}, {"k": "v"}, {"k": "V", "K": "v"}, {"k": "", "j": "v"}))
op_sets = st.sets(st.sampled_from(OPS), max_size=2).map(sorted)


COLUMNS = {
    "status": statuses,
    "reason": texts,
    "recoveries": st.integers(0, 3),
    "restarts": st.sampled_from(((), (1.5,), (1.5, 2.0))),
    "wake_at": maybe_times,
    "started_at": maybe_times,
    "completed_at": maybe_times,
    "description": texts,
    "metadata": labels,
    "name": st.sampled_from(("n", "m")),
    "version": st.integers(1, 2),
    "life": st.integers(0, 2),
}
column_sets = st.sets(st.sampled_from(sorted(COLUMNS)), max_size=3).map(sorted)
rows = st.builds(
    WorkflowRow,
    id=ids,
    name=COLUMNS["name"],
    version=COLUMNS["version"],
    status=statuses,
    run=st.integers(1, 2),
    run_key=st.just("k"),
    seed=st.just(2**63 - 1),
    life=st.integers(0, 1),
    wake_at=maybe_times,
    created_at=times,
    completed_at=maybe_times,
    parent=st.none() | ids,
    parent_op=st.sampled_from((None, "k/x", "j/x")),
    on_close=st.sampled_from(("wait", "wait", "abandon")),
    metadata=labels,
)
starts = st.builds(
    lambda value, digest: attrs.evolve(a_start(value), digest=digest),
    payloads,
    st.sampled_from((None, b"1", b"2")),
)
outcomes = st.builds(
    Entry,
    op=st.just(""),
    name=st.just("x"),
    kind=st.just(EntryKind.TASK),
    status=st.sampled_from((EntryStatus.OK, EntryStatus.FAILED)),
    at=st.sampled_from((1.5, 2.0)),
    after=st.integers(0, 3),
    value=st.sampled_from((None, b"1")),
)
work = st.builds(
    OpenTask,
    op=st.just(""),
    name=st.just("x"),
    status=st.sampled_from(("pending", "retrying")),
    attempt=st.integers(0, 2),
    due_at=maybe_times,
    depends_on=st.sampled_from(((), ("x", "y"))),
    error=payloads,
    details=st.sampled_from((None, "[1.5,null]", '[2.0,{"done":3}]')),
)
requests = st.one_of(
    st.builds(message, st.sampled_from(("t", "u")), times, payloads),
    st.builds(
        Entry,
        op=st.just("cancel"),
        name=st.just("cancel"),
        kind=st.just(EntryKind.CANCEL),
        status=st.just(EntryStatus.OK),
        at=times,
        value=payloads,
    ),
)
keys = st.none() | st.sampled_from(KEYS)
value_lists = st.just([]) | st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from((b"", b"1", b"\x00\xff"))), max_size=3
)
letters = st.lists(
    st.builds(DeadLetter, st.sampled_from(("t", "ü")), times, st.just("why"), payloads), max_size=1
)


@st.composite
def changes(draw):
    """Draw a change of some columns."""
    return RowChange(**{name: draw(COLUMNS[name]) for name in draw(column_sets)})


def an_entry(draw, last_n, fresh):
    """Draw an entry of any kind; a task's is that of a task which has none."""
    after = draw(st.integers(0, last_n + 1))
    match draw(st.sampled_from(("task", "task", "timer", "end", "void", "cancel"))):
        case "task":
            return attrs.evolve(draw(outcomes), op=f"t#{next(fresh)}")
        case "timer":
            return a_timer(draw(st.sampled_from(OPS)), after=after)
        case "end":
            return an_end(draw(payloads), after=after)
        case "void":
            return a_void(max(after, 1))
        case _:
            return draw(requests)


def some_entries(draw, last_n, fresh, max_size):
    """Draw a few entries."""
    size = draw(st.integers(0, max_size))
    return tuple(an_entry(draw, last_n, fresh) for _ in range(size))


@attrs.frozen
class Known:
    """What the machine knows when it draws a group.

    Attributes:
        loaded: every workflow, as the memory backend has it.
        dead: keys of those that have dead letters.
        gone: keys whose deletion has begun, or ended.
        fresh: numbers for ops that no task has had: two outcomes of one task are a caller's bug.
    """

    loaded: tuple
    gone: tuple
    dead: frozenset
    fresh: count

    @property
    def targets(self):
        """Draw a workflow, mostly one that is there: its key, id, life, last number, revision."""
        there = [
            (one.row.pk, one.row.id, one.row.life, one.entries[-1].n, one.row.revision)
            for one in self.loaded
        ]
        lost = [(pk, "a", 0, 0, 1) for pk in (*self.gone, 999)]
        return st.sampled_from([*there, *there, *there, *there, *lost])

    @property
    def ids(self):
        """Draw an id, mostly of a workflow that is there."""
        there = [one.row.id for one in self.loaded]
        return st.sampled_from([*there, *there, *there, *IDS])


def mostly(draw, right, wrong):
    """Draw the right value three times out of four."""
    return right if draw(st.sampled_from((True, True, True, False))) else draw(wrong)


@st.composite
def creates(draw, known):
    row, start = draw(rows), draw(starts)
    return Create(row, (start, *some_entries(draw, 2, known.fresh, 2)))


@st.composite
def advances(draw, known):
    pk, id, life, last_n, _ = draw(known.targets)
    opened = draw(op_sets)
    return Advance(
        pk,
        id,
        mostly(draw, life, st.integers(0, 3)),
        some_entries(draw, last_n, known.fresh, 3),
        tuple(attrs.evolve(draw(work), op=op) for op in opened),
        tuple(op for op in draw(op_sets) if op not in opened),
        draw(st.none() | changes()),
        draw(st.sampled_from((None, None, last_n, last_n + 1))),
        values=tuple(draw(value_lists)),
        values_at=draw(times),
        # One at most, and only where there is none: see `deletes`.
        dead_letters=tuple(draw(letters)) if pk not in known.dead else (),
    )


@st.composite
def advances_that_send(draw, known):
    """Draw an advance with messages to others and to itself, its entries among others."""
    advance = draw(advances(known))
    sent = draw(st.lists(sends(known), min_size=1, max_size=3))
    entries = draw(st.permutations((*advance.entries, *[a_send()] * len(sent))))
    return attrs.evolve(advance, entries=tuple(entries), sends=tuple(sent))


@st.composite
def advances_that_start(draw, known):
    """Draw an advance that starts children, some of them not for the first time."""
    advance = draw(advances_that_send(known) if draw(st.booleans()) else advances(known))
    started = tuple(
        a_child(
            draw(ids),
            parent=advance.id,
            name=draw(COLUMNS["name"]),
            value=draw(st.sampled_from((b"1", b"2"))),
            run_key=draw(st.sampled_from("kkj")),
            on_close=draw(st.sampled_from(("wait", "abandon"))),
        )
        for _ in range(draw(st.integers(1, 2)))
    )
    entries = draw(st.permutations((*advance.entries, *[a_child_entry()] * len(started))))
    return attrs.evolve(advance, entries=tuple(entries), children=started)


@st.composite
def claims(draw, known):
    wave = draw(st.lists(known.targets, max_size=4))
    lives = tuple((pk, mostly(draw, life, st.integers(0, 2))) for pk, _, life, _, _ in wave)
    return Claim(lives, draw(times), draw(st.booleans()))


@st.composite
def sends(draw, known):
    return Send(draw(known.ids), draw(requests), draw(keys))


@st.composite
def workflow_saves(draw, known):
    _, id, _, last_n, revision = draw(known.targets)
    entries = some_entries(draw, last_n, known.fresh, 2)
    return SaveWorkflow(id, mostly(draw, revision, st.integers(0, 4)), draw(changes()), entries)


@st.composite
def task_saves(draw, known):
    id = draw(known.ids)
    tasks = {
        entry.op
        for one in known.loaded
        if one.row.id == id
        for entry in one.entries
        if entry.kind is EntryKind.TASK
    }
    op = draw(st.sampled_from(sorted({*OPS, *tasks})))
    if draw(st.booleans()):
        return SaveTask(id, opened=attrs.evolve(draw(work), op=op))
    return SaveTask(id, entry=attrs.evolve(draw(outcomes), op=op))


@st.composite
def deletes(draw, known):
    # Never below the number of ops, of keys, or of the dead letters that one group may bring:
    # whether anything but entries counts as a piece is a backend's own choice.
    assert max(len(OPS), len(KEYS)) <= MAX_GROUP
    limit = draw(st.sampled_from((MAX_GROUP, MAX_GROUP + 1, 5_000)))
    if known.gone and draw(st.booleans()):
        return Delete("", draw(st.sampled_from(known.gone)), limit)
    return Delete(draw(known.ids), limit=limit)


@st.composite
def next_runs(draw, known):
    """Draw an advance that begins the next run of its workflow."""
    pk, id, life, last_n, _ = draw(known.targets)
    runs = {one.row.pk: one.row.run for one in known.loaded}
    change = draw(changes())
    change = attrs.evolve(
        change, run=runs.get(pk, 1) + 1, run_key="l", seed=draw(st.integers(0, 9))
    )
    carried = draw(st.lists(st.builds(message, st.just("t"), times, payloads), max_size=2))
    return Advance(
        pk,
        id,
        mostly(draw, life, st.integers(0, 3)),
        change=change,
        expect_n=draw(st.sampled_from((None, last_n, last_n + 1))),
        continued=(a_start(draw(payloads)), *carried),
    )


def once_each(operations):
    """Leave out what begins a run that an operation before it begins.

    All of a group are drawn from what was there before it. Nobody begins a run in which it is
    already, and backends need not agree on what comes of that.
    """
    begun = set()
    for one in operations:
        if getattr(one, "continued", ()):
            run = (one.pk, one.change.run)
            if run in begun:
                continue
            begun.add(run)
        yield one


@st.composite
def trims(draw, known):
    # Large enough to be done at once: memory always is.
    return Trim(draw(known.targets)[0])


@st.composite
def steers(draw, known):
    event = draw(st.sampled_from((Event.PAUSE, Event.RESUME, Event.TERMINATE)))
    kind = EntryKind.END if event is Event.TERMINATE else EntryKind(event.value)
    entry = Entry(f"/{kind}", kind.value, kind, EntryStatus.CANCELLED, draw(times))
    return Steer(draw(known.ids), event, entry, draw(texts))


# All of them: which of those that were pruned at once are forgotten first is a backend's choice.
forgets = st.builds(Forget, times)
gifts = st.builds(GiveBack, st.integers(1, 9))


@st.composite
def prunings(draw, known):
    """Draw ends of some, a pruning of several, and what comes too late for those that went."""
    there = [one.row for one in known.loaded]
    chosen = (
        draw(st.lists(st.sampled_from(there), min_size=1, unique_by=lambda row: row.pk))
        if there
        else []
    )
    ends = [
        SaveWorkflow(
            row.id,
            row.revision,
            RowChange(status=draw(terminal), completed_at=draw(maybe_times)),
            some_entries(draw, 0, known.fresh, 1),
        )
        for row in draw(st.permutations(chosen))
    ]
    pks = tuple(row.pk for row in chosen)
    before = draw(st.sampled_from((2e9, 2e9, 2e9, *TIMES[1:])))
    prune = Prune(
        pks, before, draw(times), draw(st.sampled_from((MAX_GROUP, MAX_GROUP + 1, 5_000)))
    )
    late = [
        Advance(row.pk, row.id, row.life, (an_entry(draw, 0, known.fresh),))
        for row in chosen
        if draw(st.booleans())
    ]
    again = [
        Create(attrs.evolve(draw(rows), id=row.id), (draw(starts),), again=draw(st.booleans()))
        for row in chosen
        if draw(st.booleans())
    ]
    return [*ends, prune, *late, *(draw(st.lists(forgets, max_size=1))), *again]


def operations(known):
    """Draw any operation."""
    parts = st.one_of(
        creates(known), workflow_saves(known), task_saves(known), deletes(known), sends(known)
    )
    atomic = st.lists(parts, max_size=4).map(lambda chosen: Atomic(tuple(chosen)))
    advancing = (
        advances(known),
        advances(known),
        advances_that_send(known),
        advances_that_start(known),
    )
    return st.one_of(
        *advancing,
        claims(known),
        steers(known),
        next_runs(known),
        trims(known),
        gifts,
        parts,
        atomic,
    )


filters = st.builds(
    WorkflowFilter,
    status=st.none() | st.sets(statuses, max_size=3),
    name=st.none() | st.sets(st.sampled_from(("n", "m")), max_size=2),
    id_prefix=st.none() | st.sampled_from(("", "a", "a_", "A", "%", "b")),
    version=st.none() | st.integers(1, 2),
    parent=st.none() | ids,
    metadata=st.just({}) | labels,
    created_after=maybe_times,
    created_before=maybe_times,
    completed_after=maybe_times,
    completed_before=maybe_times,
    limit=st.integers(1, 4),
    offset=st.integers(0, 2),
    after=st.none() | st.integers(0, 10),
    include_total=st.booleans(),
    include_payloads=st.booleans(),
)


def comparable(result):
    """Return an answer, or of a refusal its class, message and attributes."""
    if isinstance(result, ClawError):
        return type(result), str(result), vars(result)
    if isinstance(result, Advanced):
        return result.n, [comparable(one) for one in result.sent]
    if isinstance(result, GivenBack):  # how much is free is a backend's own
        return GivenBack
    return result


def deletions(results):
    """Yield the key of every deletion that has begun, those within an ``Atomic`` too."""
    for result in results:
        if isinstance(result, Deleted):
            yield result.pk
        elif isinstance(result, Pruned):
            yield from result.unfinished
        elif isinstance(result, tuple):
            yield from deletions(result)


def all_ended(backend, limit):
    """Return what has ended; whether a window counts half deleted ones is a backend's choice."""
    found, before_pk = [], 2**62
    while before_pk:
        page = backend.list_ended(before_pk, limit)
        found += page.items
        before_pk = page.last_pk
    return found


def missing(backend, id):
    """Return what is said of a workflow that is not there; ``None`` if it is."""
    try:
        backend.get_workflow(id)
    except NotFoundError as error:
        return comparable(error)
    return None


class Agreement(RuleBasedStateMachine):
    """A memory storage and another one that are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.memory = MemoryStorage()
        self.other = self.make_other(Path(self.directory.name) / "workflows.db")
        self.gone: list[int] = []
        self.fresh = count()

    @staticmethod
    def make_other(path):
        return SQLiteStorage(path)

    @initialize(statuses=st.tuples(statuses, statuses))
    def open(self, statuses):
        """Begin with two workflows, so that the first operations have something to meet."""
        assert self.memory.open() == self.other.open()
        parent, child = IDS[:2]
        group = [
            Create(a_row(parent, status=statuses[0], wake_at=1.5), (a_start(),)),
            Create(a_row(child, status=statuses[1], parent=parent), (a_start(), an_outcome("x"))),
        ]
        assert self.other.commit(group) == self.memory.commit(group)

    def known(self):
        pks = [row.row.pk for row in image(self.memory).listed]
        loaded = tuple(self.memory.load(pks))
        dead = (one.row.pk for one in loaded if self.memory.list_dead_letters(one.row.id, 0, 1))
        return Known(loaded, tuple(self.gone), frozenset(dead), self.fresh)

    @rule(data=st.data())
    def commit(self, data):
        for _ in range(2):  # writing is what matters: twice as often as reopening, and cheaper
            drawn = data.draw(st.lists(operations(self.known()), min_size=1, max_size=MAX_GROUP))
            # At once: in how many pieces a deletion goes depends on what is left of earlier runs.
            self.commit_both(
                [
                    part
                    for one in once_each(drawn)
                    for part in ((one, Trim(one.pk)) if getattr(one, "continued", ()) else (one,))
                ]
            )

    @rule(data=st.data())
    def prune(self, data):
        self.commit_both(data.draw(prunings(self.known())))

    def commit_both(self, group):
        expected = self.memory.commit(group)
        found = self.other.commit(group)
        assert [comparable(one) for one in found] == [comparable(one) for one in expected]
        self.gone += deletions(expected)

    @rule(query=filters, after_pk=st.integers(0, 5), at=times, limit=st.integers(1, 3))
    def read_pages(self, query, after_pk, at, limit):
        assert self.other.list_workflows(query) == self.memory.list_workflows(query)
        assert self.other.count_workflows() == self.memory.count_workflows()
        assert self.other.list_wake_times((at, after_pk), limit) == (
            self.memory.list_wake_times((at, after_pk), limit)
        )
        ids = [one.row.id for one in image(self.memory).listed]
        assert self.other.read_rows(ids) == self.memory.read_rows(ids)
        expected = self.memory.list_unfinished(after_pk, at, limit)
        found = self.other.list_unfinished(after_pk, at, limit)
        # A backend may need another, empty page to see that there is no more.
        assert (found.rows, found.damaged) == (expected.rows, expected.damaged)

    @rule(clean=st.booleans())
    def reopen(self, clean):
        for backend in (self.memory, self.other):
            if clean:
                backend.close()
            else:
                backend.abandon()
        assert self.other.open() == self.memory.open()

    @invariant()
    def all_that_can_be_read_is_equal(self):
        expected = image(self.memory)
        assert image(self.other) == expected
        for item, (outcomes, work) in zip(expected.listed, expected.tasks, strict=True):
            for op in {*OPS, *(task.op for task in outcomes), *(task.op for task in work)}:
                assert self.other.read_tasks(item.row.id, op) == (
                    self.memory.read_tasks(item.row.id, op)
                )
            for key in KEYS:
                assert self.other.get_value(item.row.id, key) == (
                    self.memory.get_value(item.row.id, key)
                )

    @invariant()
    def what_has_ended_is_equal(self):
        assert all_ended(self.other, 2) == all_ended(self.memory, 2)

    @invariant()
    def what_is_gone_is_remembered_alike(self):
        for id in IDS:
            assert missing(self.other, id) == missing(self.memory, id)

    def teardown(self):
        self.other.close()
        self.directory.cleanup()


EXAMPLES = 15
AGREEMENT = settings(
    max_examples=EXAMPLES,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Disagreement(Agreement):
    """A memory storage and one with one rare mistake."""

    @staticmethod
    def make_other(_path):
        return ForgetfulStorage()


class ForgetfulStorage(MemoryStorage):
    """Takes an end that was voided for one, in one of its reads."""

    def get_workflow(self, id):
        stored = super().get_workflow(id)
        [loaded] = self.load([stored.row.pk])
        ends = [entry for entry in loaded.entries if entry.kind is EntryKind.END]
        return attrs.evolve(stored, end=ends[-1] if ends else None)


def test_memory_and_sqlite_agree():
    """Whatever is written, in whatever groups and lives, both answer and hold the same."""
    run_state_machine_as_test(Agreement, settings=AGREEMENT)


def test_a_rare_disagreement_is_found():
    """The same search, with a mistake planted in the other one, does not pass."""
    # It ends with the first one found, so it may look for longer: the search must be able to.
    no_report = settings(
        AGREEMENT, phases=(Phase.generate,), print_blob=False, max_examples=20 * EXAMPLES
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Disagreement, settings=no_report)
