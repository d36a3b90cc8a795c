"""Errors as data: the same class, message and attributes on the other side, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors import Status, errors
from claw_actors._core.error_data import error_to_plain, plain_to_error
from claw_actors._core.failures import ErrorRecord
from claw_actors._core.supervision.policy import ChildCrash

SAMPLES = [
    errors.ClawError("plain"),
    errors.NotFoundError("workflow", "a"),
    errors.NotFoundError("workflow", "a", pruned_at=1.5),
    errors.DuplicateKeyError("a", ["workflow", "arguments"]),
    errors.StaleWriteError("a", "revision", 1, 2),
    errors.SerializationError("argument 'x'", "int", "expected int"),
    errors.PayloadTooLargeError("message", 5, 4),
    errors.StorageLockedError("x.db", "pid 1 on here", passing=True),
    errors.StorageCorruptError("x.db", "a bit has flipped", "restore a backup"),
    errors.InvalidInputError("limit", 0, "1 or more"),
    errors.UnknownWorkflowError("a", None, ["b@1"]),
    errors.InvalidTransitionError("a", Status.FAILED, "pause", "retry it"),
    errors.WorkflowFailedError("a", ErrorRecord(("ValueError", "Exception"), "no", "trace")),
    errors.WorkflowQuarantinedError("a", None),
    errors.RetryAfter(3.5),
    errors.RuntimeClosedError(),
    errors.NoOwnerError("a.db", "workflow 'x' cannot be started"),
    errors.RequestOutcomeUnknownError("cancel", "a", "it died"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_was(error):
    """By class, message, arguments and attributes, over JSON."""
    again = plain_to_error(json.loads(json.dumps(error_to_plain(error))))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_what_json_does_not_know_comes_as_text():
    """A number that is none, and records of others."""
    crash = ChildCrash("a", 1, ValueError("no"), 0.0)
    again = plain_to_error(error_to_plain(errors.RestartLimitExceededError("", [crash])))
    assert again.history == (repr(crash),)
    timeout = errors.TaskTimeoutError(float("inf"))
    assert plain_to_error(error_to_plain(timeout)).timeout_s == "inf"


def test_private_attributes_stay_where_they_are():
    """Neither told nor taken."""
    error = errors.NotFoundError("workflow", "a")
    error._secret = 1
    data = error_to_plain(error)
    assert "_secret" not in data["attributes"]
    data["attributes"]["__class__"] = "x"
    assert vars(plain_to_error(data)) == {
        "kind": "workflow",
        "id": "a",
        "pruned_at": None,
    }


@pytest.mark.parametrize(
    "name", ["NewerError", "InstanceSealed", "SystemExit", "__all__", "annotations", "Sequence"]
)
def test_a_class_that_is_none_of_ours_becomes_a_plain_error(name):
    """No other class can be named: neither a newer version's, nor one that ends a program."""
    again = plain_to_error({"type": name, "message": "m", "attributes": {}})
    assert type(again) is errors.ClawError
    assert str(again) == f"{name}: m"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "NotFoundError",
        {},
        {"type": "NotFoundError", "message": "m"},
        {"type": 1, "message": "m", "attributes": {}},
        {"type": "NotFoundError", "message": None, "attributes": {}},
        {"type": "NotFoundError", "message": "m", "attributes": []},
        {"type": "NotFoundError", "message": "m", "attributes": {}, "more": 1},
    ],
)
def test_what_is_no_error_is_refused(data):
    """Its shape is checked before anything is made of it."""
    with pytest.raises(ValueError, match="an error has"):
        plain_to_error(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["type", "message", "attributes"]), json_values))
def test_any_data_makes_an_error_or_a_value_error(data):
    """Nothing else comes out, whatever comes in."""
    try:
        error = plain_to_error(data)
    except ValueError:
        return
    assert isinstance(error, errors.ClawError)
