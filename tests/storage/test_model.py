"""What users' records accept; the same for every backend."""

from __future__ import annotations

import attrs
import pytest

from claw_actors._core.journal import message
from claw_actors._core.lifecycle import Status, TaskStatus
from claw_actors.errors import InvalidInputError
from claw_actors.storage.model import TaskState, WorkflowFilter, WorkflowState
from claw_actors.storage.operations import Send
from claw_actors.storage.records import UNCHANGED, RowChange, WorkflowRow
from claw_actors.storage.validation import check_time, is_valid_id

RECORDS = {WorkflowState: {"id": "a", "name": "b"}, TaskState: {"id": "a", "name": "b"}}
RECORDS[WorkflowFilter] = {}
COUNTS = [
    (WorkflowState, "version", 1),
    (WorkflowState, "run", 1),
    (WorkflowState, "revision", 0),
    (WorkflowState, "life", 0),
    (WorkflowState, "recoveries", 0),
    (TaskState, "attempt", 0),
    (WorkflowFilter, "version", 0),
    (WorkflowFilter, "offset", 0),
    (WorkflowFilter, "after", 0),
]
TIMES = [
    (cls, field.name)
    for cls in RECORDS
    for field in attrs.fields(cls)
    if field.validator is check_time
]


def make(cls, **fields):
    return cls(**{**RECORDS[cls], **fields})


def refused(cls, field, value):
    with pytest.raises(InvalidInputError) as caught:
        make(cls, **{field: value})
    return caught.value


@pytest.mark.parametrize("id", ["a", "order-1", "A.b_c:d-9", "x" * 200])
def test_these_are_ids(id):
    """Letters, digits and . _ : -"""
    assert WorkflowState(id=id, name="n").id == id
    assert is_valid_id(id)


@pytest.mark.parametrize("id", ["", "a/b", "a b", "é", "a\n", "a\0", "x" * 201, 5, None, b"a"])
def test_these_are_not(id):
    """Neither as an id nor as a parent's; a workflow without a parent has ``None``."""
    assert refused(WorkflowState, "id", id).field == "id"
    if id is not None:
        assert refused(WorkflowState, "parent", id).field == "id"


@pytest.mark.parametrize(
    ("cls", "field"), [(WorkflowState, "name"), (TaskState, "id"), (TaskState, "name")]
)
@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "x" * 1_001, 5, None], ids=ascii)
def test_a_name_is_text_of_limited_length(cls, field, value):
    """Without NUL, and such that it can be written as UTF-8."""
    assert refused(cls, field, value).field == field
    assert getattr(make(cls, **{field: "é" * 1_000}), field) == "é" * 1_000


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 1_001, 5], ids=ascii)
def test_a_description_is_free_text_of_limited_length(value):
    """It may be empty, or none."""
    assert refused(WorkflowState, "description", value).field == "description"
    for good in (None, "", "x" * 1_000):
        assert make(WorkflowState, description=good).description == good


@pytest.mark.parametrize(("cls", "field"), TIMES)
@pytest.mark.parametrize(
    "value", ["now", True, float("nan"), float("inf"), 10**400, 2**53 + 1, -(2**60)], ids=ascii
)
def test_a_time_is_a_finite_number_of_seconds(cls, field, value):
    """A whole one must be one that a float holds exactly."""
    assert refused(cls, field, value).field == field


@pytest.mark.parametrize(("cls", "field"), TIMES)
@pytest.mark.parametrize("value", [None, 0, 1.5, -1e300, 2**53])
def test_these_are_times(cls, field, value):
    """Before 1970 and after us."""
    assert getattr(make(cls, **{field: value}), field) == value


class Number(int):
    """A whole number with a name."""


@pytest.mark.parametrize(("cls", "field", "least"), COUNTS)
def test_a_count_is_a_whole_number_of_64_bits(cls, field, least):
    """From its least value; a number of an author's own type is one, too."""
    for value in (least - 1, Number(least - 1), 2**63, True, 1.0, "1"):
        assert refused(cls, field, value).field == field
    for value in (least, Number(least), 2**63 - 1):
        assert getattr(make(cls, **{field: value}), field) == value


@pytest.mark.parametrize("value", [0, 1_001, True, 1.0, "9", None])
def test_a_page_has_a_limit(value):
    """From 1 to 1,000."""
    assert refused(WorkflowFilter, "limit", value).field == "limit"
    assert [WorkflowFilter(limit=n).limit for n in (1, 1_000)] == [1, 1_000]


@pytest.mark.parametrize(
    ("labels", "field"),
    [
        ("a", "metadata"),
        ([("a", "b")], "metadata"),
        (None, "metadata"),
        ({str(n): "" for n in range(33)}, "metadata"),
        ({"": "a"}, "metadata key"),
        ({"x" * 65: "a"}, "metadata key"),
        ({"a\0": "a"}, "metadata key"),
        ({5: "a"}, "metadata key"),
        ({"a": "x" * 257}, "metadata value of 'a'"),
        ({"a": "\ud800"}, "metadata value of 'a'"),
        ({"a": None}, "metadata value of 'a'"),
    ],
    ids=lambda value: ascii(value)[:30],
)
@pytest.mark.parametrize("cls", [WorkflowState, WorkflowFilter])
def test_labels_are_limited_in_number_and_length(cls, labels, field):
    """And they are text."""
    assert refused(cls, "metadata", labels).field == field


def test_labels_at_their_limits_are_accepted():
    """An empty value is a value."""
    labels = {f"{n:064}": "x" * 256 for n in range(31)} | {"empty": ""}
    assert make(WorkflowState, metadata=labels).metadata == labels


@pytest.mark.parametrize(
    ("cls", "status"), [(WorkflowState, Status), (TaskState, TaskStatus), (WorkflowFilter, Status)]
)
@pytest.mark.parametrize("value", ["done", 5, "COMPLETED"])
def test_an_unknown_status_is_refused_with_those_there_are(cls, status, value):
    """By our own error."""
    given = [value] if cls is WorkflowFilter else value
    error = refused(cls, "status", given)
    assert error.field == "status"
    assert all(one in error.allowed for one in status)


def test_a_status_may_be_given_by_its_word():
    """It becomes a status."""
    assert make(WorkflowState, status="failed").status is Status.FAILED
    assert make(TaskState, status="retrying").status is TaskStatus.RETRYING


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        ("failed", {Status.FAILED}),
        (Status.FAILED, {Status.FAILED}),
        (["failed", Status.PAUSED], {Status.FAILED, Status.PAUSED}),
        ([], set()),
    ],
)
def test_a_filter_takes_one_status_or_several(given, wanted):
    """No status at all is something else than none asked for."""
    assert WorkflowFilter(status=given).status == wanted


@pytest.mark.parametrize(
    ("given", "wanted"), [(None, None), ("a", {"a"}), (["a", "b"], {"a", "b"})]
)
def test_a_filter_takes_one_name_or_several(given, wanted):
    """A name is no collection of letters."""
    assert WorkflowFilter(name=given).name == wanted


@pytest.mark.parametrize("key", [None, "k", "click 9", "a/b%", "é", "x" * 200, "𝄞" * 200])
def test_these_are_keys_of_messages(key):
    """Any printable text; and a message needs none."""
    assert Send("a", message("topic", 0.0, None), key).key == key


@pytest.mark.parametrize("key", ["", "a\n", "a\0", "\ud800", "x" * 201, 5, b"a"])
def test_these_are_no_keys_of_messages(key):
    """They are refused when the operation is made, before anything is queued."""
    with pytest.raises(InvalidInputError) as caught:
        Send("a", message("topic", 0.0, None), key)
    assert caught.value.field == "key"
    assert "200" in caught.value.allowed


@pytest.mark.parametrize(
    ("given", "wanted"), [((), ()), ("ab", ("ab",)), (["a", "b"], ("a", "b")), ({"a": 1}, ("a",))]
)
def test_a_task_depends_on_ids(given, wanted):
    """One of them is one, not its letters."""
    assert make(TaskState, depends_on=given).depends_on == wanted


def test_what_a_task_depends_on_is_text():
    """Like ids themselves."""
    with pytest.raises(InvalidInputError):
        make(TaskState, depends_on=["a", 5])


def test_a_change_sets_what_it_names_and_counts():
    """``None`` is a value; what is not named stays."""
    row = WorkflowRow(
        id="a",
        name="n",
        version=1,
        status=Status.RUNNING,
        reason="r",
        wake_at=5.0,
        run_key="k",
        seed=1,
        created_at=0.0,
    )
    changed = RowChange(status=Status.PAUSED, wake_at=None).apply(row)
    assert changed == attrs.evolve(row, status=Status.PAUSED, wake_at=None, revision=2)
    assert RowChange().apply(row) == attrs.evolve(row, revision=2)
    assert repr(UNCHANGED) == "UNCHANGED"
