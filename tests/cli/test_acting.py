"""Commands that act, where nobody owns the database: stored for the next owner."""

from __future__ import annotations

import fcntl

import pytest


def status(claw_json, id):
    """Read where a workflow stands, and why."""
    (state,) = claw_json("show", id)
    return state["status"], state["reason"]


@pytest.mark.parametrize(
    ("arguments", "says", "before", "after"),
    [
        (("pause", "waiting", "--reason", "fire"), "paused", ("waiting", None), ("paused", "fire")),
        (("resume", "paused"), "resumed", ("paused", "the printer is on fire"), ("pending", None)),
        (("retry", "failed"), "goes on", ("failed", None), ("pending", None)),
        (
            ("terminate", "waiting", "--reason", "over"),
            "terminated",
            ("waiting", None),
            ("cancelled", "over"),
        ),
    ],
)
def test_a_workflow_is_where_it_was_put(claw, claw_json, arguments, says, before, after):
    """And a line says so."""
    id = arguments[1]
    assert status(claw_json, id) == before
    assert claw(*arguments).stdout == f"{id}: {says}\n"
    assert status(claw_json, id) == after


def test_a_cancel_is_requested(claw_json):
    """The workflow's code is asked when somebody runs it."""
    assert claw_json("cancel", "waiting", "--reason", "no") == [
        {"id": "waiting", "done": "cancel requested"}
    ]


@pytest.mark.parametrize("payload", ['{"a": [1, null]}', '"text"', "-1", "true"])
def test_any_json_is_sent(claw, payload):
    """A negative number is no option."""
    assert claw("send", "waiting", "approval", payload, "--key", "k").stdout == "waiting: sent\n"


@pytest.mark.parametrize("payload", ["yes", "NaN", ""])
def test_what_is_no_json_is_not_sent(claw, payload):
    """The usual reason is said: text needs quotes."""
    assert "text stands in double quotes" in claw("send", "waiting", "t", payload, code=2).stderr


def test_a_fork_prints_the_new_id(claw, claw_json):
    """Alone on its line, for a script; it can be given, too."""
    made = claw("fork", "done", "--at", "weigh").stdout.strip()
    assert status(claw_json, made) == ("pending", None)
    assert claw_json("fork", "done", "--at", "weigh", "--id", "again") == [
        {"id": "again", "done": "forked", "from": "done"}
    ]
    assert claw("fork", "done", "--at", "lift", code=3).stderr == (
        "claw: no task has the id 'lift'\n"
    )
    assert "exists" in claw("fork", "done", "--at", "weigh", "--id", "again", code=1).stderr


def test_delete_takes_what_has_not_ended_only_by_force(claw):
    """Without, it is as it was."""
    refused = claw("delete", "waiting", code=1)
    assert refused.stderr.startswith("claw: workflow 'waiting' is waiting: ")
    claw("show", "waiting")
    assert claw("delete", "waiting", "--force").stdout == "waiting: deleted\n"
    claw("show", "waiting", code=3)


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "nobody", "topic", "1"),
        *((operation, "nobody") for operation in ("cancel", "pause", "resume", "terminate")),
        *((operation, "nobody") for operation in ("retry", "delete")),
        ("fork", "nobody", "--at", "weigh"),
    ],
)
def test_nothing_is_done_to_what_is_not_there(claw, arguments):
    """One line, and its own code."""
    done = claw(*arguments, code=3)
    assert (done.stdout, done.stderr) == ("", "claw: no workflow has the id 'nobody'\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "done", "topic", "1"),
        ("cancel", "done"),
        ("pause", "done"),
        ("resume", "done"),
        ("terminate", "done"),
        ("retry", "done"),
    ],
)
def test_what_is_not_possible_has_failed(claw, arguments):
    """And says where the workflow stands."""
    done = claw(*arguments, code=1)
    assert done.stdout == ""
    assert "completed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_owner_that_does_not_answer_is_named(claw, place):
    """When the time is over, with its own code; nothing was done."""
    with open(f"{place}.lock", "w+") as lock:  # noqa: PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("pid 1 on elsewhere since noon")
        lock.flush()
        done = claw("cancel", "waiting", "--timeout", "0.05", code=4)
    assert done.stderr.startswith("claw: claw.db is owned by pid 1 on elsewhere since noon")


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_a_time_that_is_none_is_refused(claw, seconds):
    """Before anything is tried."""
    claw("cancel", "waiting", "--timeout", seconds, code=2)
