"""How records look on stderr: nobody can forge one, and a terminal obeys none."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from claw_actors import WorkflowLogFilter
from claw_actors.cli.log_lines import JSONLines, TextLines, logging_to_stderr
from claw_actors.log_context import Subject, speaking_of

HEAD = "2026-01-02T03:04:05.678Z WARNING shop"

NASTY = "a\x1b[31mred\r\x9b\u2028\u202e\ud800 b"


def make(message="hello", *args, subject=None, **more):
    """Make a record as a logger does, at a certain time, and as a handler's filter leaves it."""
    record = logging.LogRecord(
        "shop", logging.WARNING, __file__, 1, message, args, more.pop("exc_info", None)
    )
    record.created = 1767323045.6789
    for name, value in more.items():
        setattr(record, name, value)
    if subject is not None:
        with speaking_of(subject):
            WorkflowLogFilter().filter(record)
    return record


def as_text(*args, **more) -> str:
    return TextLines().format(make(*args, **more))


def as_json(*args, **more):
    line = JSONLines().format(make(*args, **more))
    assert line.isascii()
    assert line.isprintable()
    return json.loads(line)


def test_a_record_says_when_how_bad_who_and_what():
    """In UTC; of what does not apply the text says nothing, and JSON null."""
    assert as_text("hello %s", "you") == f"{HEAD}: hello you"
    assert as_json("hello %s", "you") == {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "WARNING",
        "logger": "shop",
        "message": "hello you",
        "workflow": None,
        "run": None,
        "task": None,
        "attempt": None,
        "exception": None,
    }


def test_a_record_says_what_it_is_about():
    """The workflow, its run, the task and its attempt, as far as there are any."""
    subject = Subject("order-1", "order", 2)
    assert as_text(subject=subject) == f"{HEAD} [workflow=order-1 run=2]: hello"
    task = {"task_id": "nursery/weigh#2", "attempt": 3}
    assert as_text(subject=subject, **task) == (
        f"{HEAD} [workflow=order-1 run=2 task=nursery/weigh#2 attempt=3]: hello"
    )
    said = as_json(subject=subject, **task)
    assert [said[name] for name in ("workflow", "run", "task", "attempt")] == [
        *("order-1", 2, "nursery/weigh#2", 3)
    ]


def test_what_somebody_gives_as_extra_may_be_anything():
    """It is text then."""
    assert as_json(workflow_id={"a": 1}, run=None, attempt=1.5)["workflow"] == "{'a': 1}"
    assert as_text(workflow_id="a\nb", attempt=1.5) == f"{HEAD} [workflow=a\\nb attempt=1.5]: hello"


def test_no_message_can_forge_a_record():
    """A record begins at the beginning of a line; more of its message is indented."""
    forged = f"hello\n{HEAD}: forged\r{HEAD}: forged"
    first, *more = as_text("%s", forged).split("\n")
    assert first == f"{HEAD}: hello"
    assert more == [f"    {HEAD}: forged\\r{HEAD}: forged"]
    assert as_json("%s", forged)["message"] == forged


@pytest.mark.parametrize(
    "where",
    [
        {"message": NASTY},
        {"workflow_id": NASTY},
        {"task_id": NASTY},
        {"name": NASTY},
        {"stack_info": NASTY},
        {"exc_info": (ValueError, ValueError(NASTY), None)},
    ],
    ids=lambda where: next(iter(where)),
)
def test_a_terminal_obeys_nothing_of_a_record(where):
    """Wherever it comes from it is escaped, and can be read."""
    text = as_text(**where)
    assert "a\\x1b[31mred\\r\\x9b\\u2028\\u202e\\ud800 b" in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert NASTY in json.dumps(list(as_json(**where).values()), ensure_ascii=False).replace(
        "\\u001b", "\x1b"
    ).replace("\\r", "\r")


def test_a_traceback_can_be_read_below_its_record():
    """Its lines are indented, also those of the error's message; JSON has it as one text."""
    try:
        raise ValueError(f"no\n{HEAD}: forged")
    except ValueError:
        record = make(exc_info=sys.exc_info())
    first, *lines = TextLines().format(record).split("\n")
    assert first == f"{HEAD}: hello"
    assert lines[0] == "    Traceback (most recent call last):"
    assert lines[-2:] == ["    ValueError: no", f"    {HEAD}: forged"]
    said = json.loads(JSONLines().format(record))["exception"]
    assert said.startswith("Traceback (most recent call last):\n")
    assert said.endswith(f"\nValueError: no\n{HEAD}: forged")


def test_a_traceback_that_came_through_a_queue_is_there():
    """It is text by then; and a stack that was asked for stands below it."""
    more = {"exc_text": "Traceback: was", "stack_info": "Stack: is"}
    assert as_text(**more) == f"{HEAD}: hello\n    Traceback: was\n    Stack: is"
    assert as_json(**more)["exception"] == "Traceback: was\nStack: is"


def test_a_record_whose_arguments_do_not_fit_is_not_lost():
    """It says what it would have said, and why not."""
    why = "'%d', which cannot be formatted: TypeError("
    assert as_text("%d", "x").startswith(f"{HEAD}: {why}")
    assert as_json("%d", "x")["message"].startswith(why)


def test_after_the_block_logging_is_as_it_was(capsys):
    """Whatever was set up meanwhile."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    with logging_to_stderr(None, as_json=False) as set_up:
        set_up()
        assert root.level == logging.INFO
        logging.getLogger("shop").info("open")
    assert (root.handlers, root.level) == before
    assert capsys.readouterr().err.endswith("Z INFO shop: open\n")
