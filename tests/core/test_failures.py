"""An exception as a record: it is always made, and never too large."""

from __future__ import annotations

import pytest

from claw_actors._core.failures import (
    ErrorRecord,
    behind,
    consists_of,
    describe,
    leaves,
    type_name,
)
from claw_actors.errors import WorkflowFailure


class OrderRejectedError(WorkflowFailure):
    """An author's own."""

    class NestedError(ValueError):
        """Within a class."""


class BrokenError(Exception):
    def __str__(self):
        raise RuntimeError("and so does its message")


class MixinError:
    """No exception by itself."""


class MixedError(MixinError, KeyError):
    pass


def raised(error):
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_builtins_are_named_bare_and_others_with_their_module():
    """These names are stored and compared."""
    assert type_name(ValueError) == "ValueError"
    assert type_name(WorkflowFailure) == "claw_actors.errors.WorkflowFailure"
    assert type_name(OrderRejectedError.NestedError) == (
        f"{__name__}.OrderRejectedError.NestedError"
    )


def test_a_record_has_types_message_and_traceback():
    """The most specific class first, up to ``Exception``; the traceback names the line."""
    record = describe(raised(OrderRejectedError("out of stock")))
    assert record.types == (
        f"{__name__}.OrderRejectedError",
        "claw_actors.errors.WorkflowFailure",
        "claw_actors.errors.ClawError",
        "Exception",
    )
    assert record.message == "out of stock"
    assert "in raised" in record.traceback
    assert record.traceback.rstrip().endswith("OrderRejectedError: out of stock")


def test_classes_that_are_no_exceptions_are_left_out():
    """Nobody can catch them."""
    assert describe(MixedError("k")).types == (
        f"{__name__}.MixedError",
        "KeyError",
        "LookupError",
        "Exception",
    )


def test_an_instance_is_recognised_by_name():
    """By its class and each base; ``BaseException`` is every exception."""
    record = describe(OrderRejectedError())
    for cls in (OrderRejectedError, WorkflowFailure, Exception, BaseException):
        assert record.is_(cls)
    assert not record.is_(ValueError)
    assert not record.is_(KeyboardInterrupt)


def test_another_class_of_the_same_name_is_another():
    """The module is part of it."""
    stranger = type("ValueError", (Exception,), {"__module__": "somewhere"})
    assert not describe(ValueError()).is_(stranger)


def test_a_broken_str_loses_only_the_message():
    """The outcome of a task must not be lost for that."""
    record = describe(raised(BrokenError()))
    assert record.message == "<the exception's __str__ failed>"
    assert record.is_(BrokenError)
    assert "BrokenError" in record.traceback


def test_a_traceback_that_cannot_be_formatted_is_left_out(monkeypatch):
    """For the same reason."""

    def fail(error):
        raise RuntimeError("no traceback today")

    monkeypatch.setattr("traceback.format_exception", fail)
    assert describe(ValueError("v")) == ErrorRecord(("ValueError", "Exception"), "v", "")


def test_lone_surrogates_are_spelled_out():
    """They cannot be written as UTF-8."""
    record = describe(raised(OSError("a\udcffb")))
    assert record.message == "a\\udcffb"
    (record.message + record.traceback).encode()


def test_a_very_long_message_keeps_both_ends():
    """The start says where, the end says what."""
    record = describe(raised(ValueError("start" + "x" * 1_000_000 + "end")))
    assert record.message.startswith("start")
    assert record.message.endswith("end")
    assert "998008 characters left out" in record.message
    assert len(record.message) < 2_100
    assert len(record.traceback) < 8_100


def test_a_message_of_just_the_limit_is_kept_whole():
    """One more character is too many."""
    assert describe(ValueError("x" * 2_000)).message == "x" * 2_000
    assert len(describe(ValueError("x" * 2_001)).message) > 2_001


@pytest.mark.parametrize("text", ["x" * 2_002, "xy" * 5_000])
def test_what_is_said_to_be_left_out_is(text):
    """The figure adds up."""
    message = describe(ValueError(text)).message
    start, middle, end = message.split("\n")
    left_out = int(middle.split()[1])
    assert len(start) + left_out + len(end) == len(text)


def test_groups_are_described_with_their_parts():
    """And a group of groups, too."""
    group = ExceptionGroup("both", [ValueError("one"), ExceptionGroup("", [KeyError("two")])])
    record = describe(group)
    assert record.types == ("ExceptionGroup", "BaseExceptionGroup", "Exception")
    assert "ValueError: one" in record.traceback
    assert "KeyError: 'two'" in record.traceback


def test_a_very_deep_group_is_described():
    """Even if its traceback cannot be."""
    error = ValueError()
    for _ in range(500):
        error = ExceptionGroup("deep", [error])
    assert describe(error).is_(ExceptionGroup)


def test_base_exceptions_are_described():
    """With nothing above them but ``BaseException``."""
    assert describe(KeyboardInterrupt()).types == ("KeyboardInterrupt",)


def test_a_record_reads_like_an_exception():
    """Class and message, or what there is of them."""
    assert str(ErrorRecord(("ValueError",), "bad")) == "ValueError: bad"
    assert str(ErrorRecord(("ValueError",), "")) == "ValueError"
    assert str(ErrorRecord((), "bad")) == "unknown error: bad"


def test_leaves_of_a_plain_exception_is_itself():
    """A program need not ask whether it has a group."""
    error = ValueError()
    assert leaves(error) == [error]


def test_leaves_of_a_group_are_in_order_however_nested():
    """Base exceptions included."""
    one, two, three = ValueError(), KeyboardInterrupt(), KeyError()
    group = BaseExceptionGroup(
        "", [one, BaseExceptionGroup("", [two, ExceptionGroup("", [three])])]
    )
    assert leaves(group) == [one, two, three]


def test_an_exception_is_followed_through_groups_causes_and_contexts():
    """Each comes once, however often it is reached."""
    cause, context, leaf = ValueError("cause"), ValueError("context"), ValueError("leaf")
    group = ExceptionGroup("group", [leaf])
    group.__cause__, group.__context__, leaf.__context__ = cause, context, cause
    first, *others = behind(group)
    assert first is group
    assert sorted(str(one) for one in others) == ["cause", "context", "leaf"]


def test_a_group_consists_of_what_all_its_leaves_are():
    """One stranger is enough to make it something else; a plain exception is its own leaf."""
    group = ExceptionGroup("", [ValueError(), ExceptionGroup("", [KeyError()])])
    assert consists_of(group, (ValueError, LookupError))
    assert not consists_of(group, (ValueError,))
    assert consists_of(ValueError(), (ValueError,))
    assert not consists_of(KeyError(), (ValueError,))
