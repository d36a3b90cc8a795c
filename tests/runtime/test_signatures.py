"""Arguments as bytes, checked against the function that gets them."""

from __future__ import annotations

import datetime

import attrs
import pytest

from claw_actors._runtime.signatures import signature_of
from claw_actors.errors import (
    DefinitionError,
    InvalidArgumentsError,
    PayloadTooLargeError,
    SerializationError,
)
from claw_actors.storage.codec import Codec

CODEC = Codec()


@attrs.frozen
class Order:
    id: str
    amount: int


def charge(order: Order, currency: str = "EUR", *notes: str, at: datetime.date, **labels: int):
    raise NotImplementedError


def keyed(names: dict[int, str], members: set[str]) -> list[int]:
    raise NotImplementedError


def untyped(a, b=2):
    raise NotImplementedError


async def flow(ctx: object, order: Order) -> Order:
    raise NotImplementedError


def encode(fn, *args, **kwargs):
    return signature_of(fn, fn.__name__).encode_arguments(CODEC, args, kwargs)


def trip(fn, *args, **kwargs):
    return signature_of(fn, fn.__name__).decode_arguments(CODEC, encode(fn, *args, **kwargs))


DAY = datetime.date(2024, 2, 29)
ORDER = Order("o-1", 5)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((ORDER,), {"at": DAY}),
        ((ORDER, "CHF"), {"at": DAY}),
        ((ORDER, "CHF", "a", "b"), {"at": DAY}),
        ((ORDER,), {"at": DAY, "tenant": 3}),
        ((ORDER, "CHF", "a"), {"at": DAY, "tenant": 3, "zone": 4}),
    ],
)
def test_arguments_come_back_as_they_were_given(args, kwargs):
    """Positional, default, variable and named ones, each as its own type."""
    assert trip(charge, *args, **kwargs) == (args, kwargs)


def test_arguments_without_annotations_are_plain_json():
    """And come back as such."""
    assert trip(untyped, [1, {"x": None}]) == (([1, {"x": None}],), {})


def test_numbers_as_keys_and_sets_come_back():
    """Their JSON has text as keys, and arrays; the annotation knows better."""
    args = ({10: "ten", 9: "nine"}, {"b", "a"})
    assert trip(keyed, *args) == (args, {})


def test_the_same_call_gives_the_same_bytes():
    """However it is written: by position or by name, in whatever order."""
    assert encode(untyped, 1, b=3) == encode(untyped, b=3, a=1) == b'{"a":1,"b":3}'
    assert encode(keyed, {2: "b", 1: "a"}, {"x", "y", "z"}) == encode(
        keyed, {1: "a", 2: "b"}, {"z", "y", "x"}
    )
    assert encode(untyped, {"y": 1, "x": 2}) == b'{"a":{"x":2,"y":1}}'


def test_an_argument_left_to_its_default_is_not_stored():
    """So a call keeps its meaning: the default of the code that runs."""
    assert encode(untyped, 1) == b'{"a":1}'
    assert trip(untyped, 1) == ((1,), {})


def test_a_call_that_does_not_fit_is_refused():
    """With Python's own reason, naming the function."""
    with pytest.raises(InvalidArgumentsError, match=r"charge .* missing .*'at'") as caught:
        encode(charge, ORDER)
    assert caught.value.name == "charge"
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        (({1, 2},), {}, "argument 'a' of untyped"),
        ((1, ORDER), {}, "argument 'b' of untyped"),
    ],
)
def test_an_argument_that_is_no_json_is_named(args, kwargs, named):
    """Not just that something among them is wrong."""
    with pytest.raises(SerializationError, match=named) as caught:
        encode(untyped, *args, **kwargs)
    assert caught.value.what == named


def test_arguments_that_are_too_large_are_refused_all_together():
    """The limit is for the list of them."""
    with pytest.raises(PayloadTooLargeError) as caught:
        signature_of(untyped, "untyped").encode_arguments(Codec(10), ("x" * 5, "y" * 5), {})
    assert (caught.value.what, caught.value.limit_bytes) == ("arguments of untyped", 10)


def test_a_lone_surrogate_is_found_when_it_is_written():
    """Text that cannot be written as UTF-8."""
    with pytest.raises(SerializationError, match="argument 'b' of untyped"):
        encode(untyped, 1, "\ud800")


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((Order("o-1", "5"),), {"at": DAY}, "order"),
        ((ORDER, "CHF", 5), {"at": DAY}, "notes"),
        ((ORDER,), {"at": DAY, "tenant": "a"}, "labels"),
    ],
)
def test_an_argument_that_would_not_come_back_is_refused_at_the_call(args, kwargs, named):
    """Not only when a replay reads it: an annotation is a promise."""
    with pytest.raises(SerializationError, match=rf"argument '{named}' of charge"):
        encode(charge, *args, **kwargs)


def test_one_argument_over_the_limit_is_named():
    """The list of all of them is checked after each."""
    with pytest.raises(PayloadTooLargeError) as caught:
        signature_of(untyped, "untyped").encode_arguments(Codec(10), (1, "y" * 20), {})
    assert caught.value.what == "argument 'b' of untyped"


def test_stored_arguments_must_fit_the_types_of_today():
    """A changed annotation is found before the function runs."""
    with pytest.raises(SerializationError, match=r"argument 'order' of charge .*expected int"):
        signature_of(charge, "charge").decode_arguments(
            CODEC, b'{"order":{"id":"o","amount":"5"},"at":"2024-02-29"}'
        )


def test_a_stored_argument_must_still_be_a_parameter():
    """A parameter that was taken away is named."""
    with pytest.raises(SerializationError, match="'c' is not a parameter any more"):
        signature_of(untyped, "untyped").decode_arguments(CODEC, b'{"a":1,"c":2}')


def test_a_new_parameter_needs_a_default():
    """Old calls do not have it."""
    with pytest.raises(SerializationError, match="missing a required argument: 'a'"):
        signature_of(untyped, "untyped").decode_arguments(CODEC, b'{"b":1}')


def test_a_new_parameter_with_a_default_is_welcome():
    """Wherever it stands."""

    def grown(a: int, new: str = "n", b: int = 0):
        raise NotImplementedError

    args, kwargs = signature_of(grown, "grown").decode_arguments(CODEC, b'{"a":1,"b":2}')
    assert (args, kwargs) == ((1,), {"b": 2})


@pytest.mark.parametrize("data", [b"", b"[1]", b"5", b"{", b"\xff"])
def test_bytes_that_are_no_arguments_are_refused(data):
    """Damage is not taken for a call."""
    with pytest.raises(SerializationError, match="arguments of untyped"):
        signature_of(untyped, "untyped").decode_arguments(CODEC, data)


def test_a_workflow_is_called_without_its_context():
    """It is no argument that could be stored."""
    signature = signature_of(flow, "flow", skip_first=True)
    assert signature.encode_arguments(CODEC, (ORDER,), {}) == b'{"order":{"amount":5,"id":"o-1"}}'
    assert list(signature.types) == ["order"]
    assert signature.returns is Order


def test_a_function_without_annotations_returns_anything():
    """Plain JSON, that is."""
    assert signature_of(untyped, "untyped").returns is object


def test_a_signature_is_read_once():
    """Every call of a task asks for it."""
    assert signature_of(keyed, "keyed") is signature_of(keyed, "keyed")


def test_an_annotation_that_cannot_be_resolved_is_an_error_of_the_declaration():
    """It names the function and says what to do."""

    def broken(order: Missing):  # noqa: F821
        raise NotImplementedError

    with pytest.raises(DefinitionError, match=r"annotation of broken .*import what it names"):
        signature_of(broken, "broken")
