"""Why a message could not be sent, recorded and raised again."""

from __future__ import annotations

import pytest

from claw_actors._core.journal import Entry, EntryKind, EntryStatus, message
from claw_actors.errors import (
    NotFoundError,
    SerializationError,
    StorageCorruptError,
    WorkflowClosedError,
)
from claw_actors.storage.operations import Advance, Advanced, Send, Sent
from claw_actors.storage.refusals import decode_refusal, encode_refusal

REFUSALS = [
    NotFoundError("workflow", "order-1"),
    WorkflowClosedError("order-1", "completed"),
    StorageCorruptError("claw_workflow of x.db", "it fails its checksum", "restore a backup"),
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
    ]


def test_text_that_is_no_unicode_is_kept_readable():
    """What describes damage may hold anything."""
    refusal = decode_refusal(encode_refusal(StorageCorruptError("a\ud800", "b", "c")))
    assert refusal.where == "a\ud800"


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{}", b"[]", b'["other"]', b'["closed","a"]', b'["closed","a",5]', b"null"],
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


def test_an_answer_tells_its_refusals_in_place():
    """Duplicates are none."""
    answer = Advanced(5, (Sent(1, 2), REFUSALS[0], Sent(1, 0, duplicate=True)))
    assert answer.refusals == (None, REFUSALS[0], None)
