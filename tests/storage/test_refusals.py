"""Why a message could not be sent, or a child not be started, recorded and raised again."""

from __future__ import annotations

import pytest

from claw_actors._core.journal import Entry, EntryKind, EntryStatus, message
from claw_actors.errors import (
    DuplicateKeyError,
    HistoryPrunedError,
    NotFoundError,
    SerializationError,
    StorageCorruptError,
    WorkflowClosedError,
)
from claw_actors.storage.operations import Advance, Advanced, Created, Send, Sent
from claw_actors.storage.refusals import decode_refusal, encode_refusal
from claw_actors.testing.conformance.samples import a_child

REFUSALS = [
    NotFoundError("workflow", "order-1"),
    WorkflowClosedError("order-1", "completed"),
    StorageCorruptError("claw_workflow of x.db", "it fails its checksum", "restore a backup"),
    NotFoundError("workflow", "order-1", 5.0),
    HistoryPrunedError("order-1", "completed", 1.0, 2.0, ("workflow",)),
    DuplicateKeyError("order-1"),
    DuplicateKeyError("order-1", ("workflow", "parent")),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
def test_a_refusal_is_raised_again_as_it_was(refusal):
    """Class, message and attributes, in another object each time: tasks must not share one."""
    data = encode_refusal(refusal)
    again = decode_refusal(data)
    assert type(again) is type(refusal)
    assert (str(again), vars(again)) == (str(refusal), vars(refusal))
    assert again is not decode_refusal(data)


def test_these_bytes_are_stored_and_so_frozen():
    """A later version has to read them."""
    assert [encode_refusal(refusal) for refusal in REFUSALS] == [
        b'["not_found","workflow","order-1"]',
        b'["closed","order-1","completed"]',
        b'["corrupt","claw_workflow of x.db","it fails its checksum","restore a backup"]',
        b'["not_found","workflow","order-1",5.0]',
        b'["pruned","order-1","completed",1.0,2.0,"workflow"]',
        b'["duplicate","order-1"]',
        b'["duplicate","order-1","workflow","parent"]',
    ]


def test_text_that_is_no_unicode_is_kept_readable():
    """What describes damage may hold anything."""
    refusal = decode_refusal(encode_refusal(StorageCorruptError("a\ud800", "b", "c")))
    assert refusal.where == "a\ud800"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b'["other"]',
        b'["closed","a"]',
        b'["closed","a",5]',
        b"null",
        b'["duplicate"]',
        b'["duplicate",1]',
    ],
)
def test_what_is_no_refusal_is_told(data):
    """Damage, or the writing of a newer version."""
    with pytest.raises(SerializationError) as caught:
        decode_refusal(data)
    assert caught.value.what == "a stored refusal"


def entry(op, kind=EntryKind.SEND):
    return Entry(op, "send", kind, EntryStatus.OK, 0.0, value=b"kept")


def test_each_refusal_is_recorded_in_the_entry_of_its_message():
    """By the order of the entries that stand for messages; the others are as they were."""
    entries = (entry("a"), entry("b", EntryKind.TASK), entry("c"))
    sends = (Send("x", message("t", 0.0, None)),) * 2
    advance = Advance(1, "one", 1, entries, sends=sends)
    assert advance.recorded((None, None)) == entries
    first, task, second = advance.recorded((None, REFUSALS[0]))
    assert (first, task) == entries[:2]
    assert (second.status, second.value) == (EntryStatus.FAILED, encode_refusal(REFUSALS[0]))


@pytest.mark.parametrize("kinds", [(EntryKind.TASK,), (EntryKind.SEND, EntryKind.SEND)])
def test_messages_and_their_entries_must_be_as_many(kinds):
    """One without the other would be a defect of ours."""
    entries = tuple(entry(f"e{n}", kind) for n, kind in enumerate(kinds))
    advance = Advance(1, "one", 1, entries, sends=(Send("x", message("t", 0.0, None)),))
    with pytest.raises(AssertionError):
        advance.recorded((None,))


def test_refusals_of_children_are_recorded_beside_those_of_messages():
    """Each kind has its own order."""
    entries = (entry("a", EntryKind.CHILD), entry("b"), entry("c", EntryKind.CHILD))
    sends, children = (Send("x", message("t", 0.0, None)),), (a_child("c1"), a_child("c2"))
    advance = Advance(1, "one", 1, entries, sends=sends, children=children)
    first, send, second = advance.recorded((None,), (None, REFUSALS[3]))
    assert (first, send) == entries[:2]
    assert (second.status, second.value) == (EntryStatus.FAILED, encode_refusal(REFUSALS[3]))


def test_an_answer_tells_which_children_were_refused():
    """One that existed is none of them."""
    answer = Advanced(2, children=(Created(2, 0), REFUSALS[3], Created(3, 0, existed=True)))
    assert answer.refused_children == (None, REFUSALS[3], None)


def test_an_answer_tells_its_refusals_in_place():
    """Duplicates are none."""
    answer = Advanced(5, (Sent(1, 2), REFUSALS[0], Sent(1, 0, duplicate=True)))
    assert answer.refusals == (None, REFUSALS[0], None)
