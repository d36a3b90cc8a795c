"""Values as strict JSON: what comes back as it was, and what is refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import os
import pathlib
import re
import subprocess
import sys
import typing
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors._core.failures import ErrorRecord, describe
from claw_actors.errors import PayloadTooLargeError, SerializationError
from claw_actors.storage.codec import MAX_PAYLOAD_BYTES, Codec, decode_error, encode_error

CODEC = Codec()
T = TypeVar("T")


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Size(enum.StrEnum):
    SMALL = "small"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


# Not as a class: where annotations are postponed, Python itself cannot see `NotRequired`.
Address = TypedDict("Address", {"street": str, "number": NotRequired[int]})  # noqa: UP013
Pair = collections.namedtuple("Pair", "left right")


class Stamped(NamedTuple):
    id: uuid.UUID
    at: dt.datetime | None


class Picky(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value):
        raise KeyError(value) if value == "x" else ZeroDivisionError


@attrs.frozen
class Item:
    name: str
    price: decimal.Decimal = decimal.Decimal(1)


@attrs.frozen
class Gift:
    text: str


@attrs.frozen
class Tree:
    value: int
    children: list[Tree] = attrs.field(factory=list)


@attrs.frozen
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Order:
    items: list[Item]
    by_name: dict[str, Item] | None = None
    paid: bool = False


@attrs.frozen
class Bag:
    """Counts as a collection, and is a record."""

    size: int = 0

    def __len__(self):
        return self.size

    def __iter__(self):
        return iter(())

    def __contains__(self, item):
        return False


class Custom:
    """No hooks: nothing says how to write it."""


class Hostile:
    @property
    def __class__(self):
        raise RuntimeError("even asking is an error")


UserId = typing.NewType("UserId", int)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1, microseconds=3)
ONE = uuid.UUID(int=1)


def label(value):
    """Name a parameter shortly, whatever it is; some cannot even be printed."""
    if isinstance(value, set | frozenset):
        return type(value).__name__  # whose order differs from process to process
    text = "huge" if isinstance(value, int) and abs(value) > 2**64 else ascii(value)
    return re.sub(r" at 0x[0-9a-f]+|0x[0-9a-f]+", "", text)[:30]


def trip(value, declared):
    """Return what comes back, after checking that it would a second time."""
    _, found = CODEC.round_trip(value, declared, "value", canonical=True)
    assert CODEC.round_trip(found, declared, "value", canonical=True)[1] == found
    return found


# -- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (None, None),
        (None, type(None)),
        (True, bool),
        (-(2**80), int),
        (1.5, float),
        (-0.0, float),
        ("שלום \U0001f980\x00\n", str),
        (b"\x00\xff", bytes),
        (b"", bytes),
        (NOON, dt.datetime),
        (NOON.replace(tzinfo=None), dt.datetime),
        (NOON.date(), dt.date),
        (DAY, dt.timedelta),
        (-DAY, dt.timedelta),
        (ONE, uuid.UUID),
        (decimal.Decimal("1.10"), decimal.Decimal),
        (decimal.Decimal("1e400"), decimal.Decimal),
        (pathlib.Path("/a/b c"), pathlib.Path),
        (Color.RED, Color),
        (Color.BLUE, Color),
        (Size.SMALL, Size),
        (Level.LOW, Level),
        (Access.READ | Access.WRITE, Access),
        ("a", Literal["a", "b"]),
        (5, Annotated[int, "a note"]),
        (UserId(5), UserId),
        (Item("a", decimal.Decimal("0.30")), Item),
        (Order([Item("a")], {"b": Item("b")}, paid=True), Order),
        (Tree(1, [Tree(2), Tree(3, [Tree(4)])]), Tree),
        (Box(NOON), Box[dt.datetime]),
        (Bag(3), Bag),
        (Point(1, 2.5), Point),
        (Pair(1, "a"), Pair),
        (Stamped(ONE, NOON), Stamped),
        ([Stamped(ONE, None)], list[Stamped]),
        ({"street": "a"}, Address),
        ({"street": "a", "number": 5}, Address),
        ([1, 2], list[int]),
        ([Point(1)], list[Point]),
        ([1, "a", None, [2.5]], list),
        ((1, "a"), tuple[int, str]),
        ((1, 2, 3), tuple[int, ...]),
        ((1, "a"), tuple),
        ({"a": 1}, dict[str, int]),
        ({"a": [1]}, dict),
        ({1: "one", -2: "two"}, dict[int, str]),
        ({1: {2: [3]}}, dict[int, dict[int, list[int]]]),
        ([{1: None}], list[dict[int, None]]),
        ({1: 2}, typing.Mapping[int, int]),
        ({ONE: 1}, dict[uuid.UUID, int]),
        ({Size.SMALL: 1}, dict[Size, int]),
        ({NOON: 1}, dict[dt.datetime, int]),
        ({b"x": 1}, dict[bytes, int]),
        (collections.Counter("aab"), collections.Counter[str]),
        (collections.defaultdict(int, a=1), collections.defaultdict[str, int]),
        (collections.deque([1]), collections.deque[int]),
        ({3, 1, 2}, set[int]),
        ({"a", 1}, set[int | str]),
        ({(1, 2)}, set[tuple[int, int]]),
        ({Gift("a"), Gift("b")}, set[Gift]),
        (frozenset({frozenset({1, 2})}), frozenset[frozenset[int]]),
        (frozenset("ab"), collections.abc.Set[str]),
        (set("ab"), collections.abc.MutableSet[str]),
        (set(), set),
        (None, int | None),
        (5, int | None),
        (1.5, float | None),
        (NOON, dt.datetime | None),
        ({1: 2}, dict[int, int] | None),
        ([1], list[int] | None),
        (5, int | str),
        ("5", int | str),
        (True, int | bool),
        (True, int | Literal[True]),
        (Item("a"), Item | Gift),
        (Gift("a"), Item | Gift | None),
        (Item("a"), Item | int),
        (5, Item | int),
        ({"a": [None, True]}, Any),
        ({"a": [None, True]}, object),
        ({"a": {"b": [1]}}, dict[str, Any]),
    ],
    ids=label,
)
def test_a_value_comes_back_as_its_declared_type(value, declared):
    """Equal, and of the same class."""
    found = trip(value, declared)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "declared", "expected"),
    [
        (1, float, 1.0),
        (1, float | None, 1.0),
        ((1, 2), list[int], [1, 2]),
        ([1, 2], tuple[int, int], (1, 2)),
        ((1, 2), Any, [1, 2]),
        (range(2), typing.Sequence[int], (0, 1)),
    ],
    ids=label,
)
def test_what_json_cannot_tell_apart_comes_back_as_declared(value, declared, expected):
    """The live run gets this, too, so live and replay agree."""
    found = trip(value, declared)
    assert found == expected
    assert type(found) is type(expected)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (True, int),
        (True, float),
        (1, bool),
        (5.0, int),
        ("5", int),
        ("false", bool),
        (5, str),
        (None, str),
        (5, type(None)),
        (5, None),
        (True, int | None),
        (True, int | str),
        (True, int | float),
        (1.5, int | str),
        (float("nan"), float),
        (float("inf"), Any),
        (10**400, float),
        (10**5_000, int),
        ("\ud800", str),
        ("\ud800", Any),
        (1j, complex),
        (bytearray(b"a"), bytearray),
        (NOON.time(), dt.time),
        (dt.timedelta.max, dt.timedelta),
        (Color.RED, int),
        (1, Color),
        ("c", Literal["a", "b"]),
        (Custom(), Custom),
        (Custom(), Any),
        (Item("a"), Gift),
        ({"name": "a", "price": "1"}, Item),
        (Item(5), Item),
        (Point(True), Point),
        ({"street": 5}, Address),
        ({"street": "a", "city": "b"}, Address),
        ({"number": 5}, Address),
        ([1], list[str]),
        ({"1": "a"}, dict[int, int]),
        ({True: 1}, dict[int, int]),
        ({" 1 ": 1}, dict[int, int]),
        ({"1_0": 1}, dict[int, int]),
        ({"٣": 1}, dict[int, int]),
        ({1.5: 1}, dict[float, int]),
        ({(1, 2): 1}, dict[tuple[int, int], int]),
        ({1: "a"}, Any),
        ([{"a": {2: 3}}], Any),
        ({1, 2}, Any),
        (Item("a"), Any),
        (Size.SMALL, Any),
        (b"a", object),
        (print, typing.Callable),
    ],
    ids=label,
)
def test_what_would_not_come_back_is_refused(value, declared):
    """With our own error, whatever cattrs or json said."""
    with pytest.raises(SerializationError, match=r"^value ") as caught:
        CODEC.round_trip(value, declared, "value")
    assert caught.value.what == "value"
    assert caught.value.reason
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (b'"abc"', list[str]),
        (b'{"a":1}', list[str]),
        (b'"abc"', tuple[str, ...]),
        (b'"ab"', set[str]),
        (b'"ab"', Point),
        (b"[]", dict),
        (b'[["a",1]]', dict),
        (b'""', dict[Any, Any]),
        (b"[]", dict[str, int]),
        (b"[]", dict[int, int]),
        (b'""', Bag),
        (b"[]", Bag),
        (b"5", Bag),
        (b"null", Item),
        (b"{}", Item),
        (b'{"size":1,"more":2}', Bag),
        (b'{"name":"a","price":1.5}', Item),
        (b'{"text":"a","name":"b"}', Item | Gift),
        (b"5", uuid.UUID),
        (b'"x"', uuid.UUID),
        (b'"x"', decimal.Decimal),
        (b'"1"', dt.timedelta),
        (b"5", dt.datetime),
        (b"5", Size),
        (b'"large"', Size),
        (b'"red"', Color),
        (b"true", Level),
        (b"5", bytes),
        (b"NaN", float),
        (b"NaN", Any),
        (b"[Infinity]", Any),
        (b"", Any),
        (b"{", Any),
        (b"1 2", int),
        (b"\xff", Any),
        (b"[" * 100_000, Any),
        (b"1" * 5_000, Any),
    ],
    ids=label,
)
def test_stored_bytes_that_do_not_fit_are_refused(data, declared):
    """No text becomes a list of its letters, no list becomes an object."""
    with pytest.raises(SerializationError):
        CODEC.decode(data, declared, "stored value")


def test_an_error_names_the_path_to_what_is_wrong():
    """However deep."""
    with pytest.raises(SerializationError) as caught:
        CODEC.decode(b'{"items":[{"name":"a"},{"name":5}]}', Order, "argument 'order'")
    assert "value.items[1].name" in caught.value.reason
    assert caught.value.type_name == f"{__name__}.Order"
    assert str(caught.value).startswith("argument 'order' (")


def test_an_unknown_key_is_named():
    """A misspelt field is found."""
    with pytest.raises(SerializationError, match="colour"):
        CODEC.decode(b'{"text":"a","colour":1}', Gift, "gift")


def test_a_missing_key_is_named():
    """So is one that was left out."""
    with pytest.raises(SerializationError, match="name"):
        CODEC.decode(b"{}", Item, "item")


def test_an_error_without_a_message_is_named_by_its_class():
    """An author's own classes may raise anything."""
    with pytest.raises(SerializationError) as caught:
        CODEC.decode(b"2", Picky, "picky")
    assert caught.value.reason == "ZeroDivisionError"


def test_a_key_error_says_more_than_the_key():
    """A bare ``'x'`` tells nobody anything."""
    with pytest.raises(SerializationError, match="unknown tag or missing key 'x'"):
        CODEC.decode(b'"x"', Picky, "picky")


def test_a_value_that_contains_itself_is_refused():
    """Declared or not."""
    loop = []
    loop.append(loop)
    tree = Tree(1)
    tree.children.append(tree)
    for value, declared in ((loop, Any), (loop, list), (tree, Tree)):
        with pytest.raises(SerializationError):
            CODEC.encode(value, declared, "loop")


def test_an_object_that_raises_when_asked_is_refused():
    """Nothing of an author's own classes gets past."""
    with pytest.raises(SerializationError):
        CODEC.encode(Hostile(), Item, "hostile")


@pytest.mark.parametrize("path", ["value['a'][1]", "value['a'][1]['b']"])
def test_where_nothing_is_declared_the_path_is_named_too(path):
    """And the error says what to do."""
    bad = {1} if path.endswith("[1]") else {"b": {1}}
    with pytest.raises(SerializationError) as caught:
        CODEC.encode({"a": [0, bad]}, Any, "result")
    assert f"{path} is of type set; annotate it" in caught.value.reason
    assert caught.value.type_name == "dict"


def test_an_annotation_that_is_no_class_is_named_as_it_is_written():
    """A union, an alias."""
    with pytest.raises(SerializationError) as caught:
        CODEC.decode(b"1.5", int | str, "x")
    assert caught.value.type_name == "int | str"


# -- size -----------------------------------------------------------------------------------------


def test_the_limit_is_in_bytes_and_belongs_to_what_is_allowed():
    """Not in characters."""
    codec = Codec(max_bytes=6)
    assert codec.encode("éé", str, "text") == b'"\xc3\xa9\xc3\xa9"'
    with pytest.raises(PayloadTooLargeError) as caught:
        codec.encode("ééx", str, "text")
    assert (caught.value.what, caught.value.size_bytes, caught.value.limit_bytes) == ("text", 7, 6)


def test_the_default_limit_is_one_mebibyte():
    """Quotes included."""
    assert MAX_PAYLOAD_BYTES == 2**20
    CODEC.encode("x" * (2**20 - 2), str, "text")
    with pytest.raises(PayloadTooLargeError):
        CODEC.encode("x" * (2**20 - 1), str, "text")


# -- properties -----------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_any_json_value_comes_back(value):
    """Undeclared, and exactly: -0.0 and 0.0, 1 and 1.0, True and 1 stay apart."""
    data, found = CODEC.round_trip(value, Any, "value")
    assert repr(found) == repr(value)
    data.decode()


@given(st.binary(max_size=30))
def test_any_bytes_are_decoded_or_refused(data):
    """And nothing else is ever raised."""
    for declared in (Any, Order, list[str], dict[int, int]):
        try:
            CODEC.decode(data, declared, "noise")
        except SerializationError:
            continue


@given(st.dictionaries(text, st.integers(), max_size=8), st.randoms())
def test_equal_objects_have_equal_canonical_bytes(value, random):
    """In whatever order their keys were set."""
    items = list(value.items())
    random.shuffle(items)
    for declared in (dict[str, int], Any):
        assert CODEC.encode(dict(items), declared, "v", canonical=True) == CODEC.encode(
            value, declared, "v", canonical=True
        )


@given(st.sets(st.integers() | text, max_size=8))
def test_equal_sets_have_equal_bytes(value):
    """In whatever order their elements were added."""
    again = set()
    for one in sorted(value, key=repr, reverse=True):
        again.add(one)
    assert CODEC.encode(again, set[int | str], "v") == CODEC.encode(value, set[int | str], "v")


def test_a_set_is_written_alike_by_every_process():
    """Python shuffles the order of text from process to process."""
    program = (
        "from collections.abc import MutableSet, Set\n"
        "from claw_actors.storage.codec import Codec\n"
        "for kind in (set, set[str], frozenset[str], Set[str], MutableSet[str]):\n"
        "    print(Codec().encode(set('abcdefgh'), kind, 'v').decode())"
    )
    written = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        written.update(run.stdout.split())
    assert written == {'["a","b","c","d","e","f","g","h"]'}


def test_the_stored_form_is_frozen():
    """Databases live longer than releases."""
    value = Order([Item("é", decimal.Decimal("1.50"))], None, paid=True)
    assert CODEC.encode(value, Order, "order").decode() == (
        '{"items":[{"name":"é","price":"1.50"}],"by_name":null,"paid":true}'
    )
    assert CODEC.encode(DAY, dt.timedelta, "span") == b"86400.000003"
    assert CODEC.encode(b"\x00\xff", bytes, "data") == b'"0RI"'
    assert CODEC.encode(NOON, dt.datetime, "at") == b'"2024-02-29T12:00:00.123456+00:00"'


# -- errors ---------------------------------------------------------------------------------------


def test_the_record_of_an_error_comes_back():
    """Types, message, traceback."""
    record = describe(ValueError("ünïcødé"))
    assert decode_error(encode_error(record)) == record


def test_a_record_made_by_hand_may_hold_anything():
    """Also text that is no text: it comes back as it was."""
    record = ErrorRecord(("a",), "\ud800\x00", "\udcff")
    data = encode_error(record)
    data.decode()
    assert decode_error(data) == record


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b'[["a"],"m"]', b'[["a"],"m",5]', b'["a","m",""]']
)
def test_bytes_that_are_no_record_are_refused(data):
    """By an error of ours."""
    with pytest.raises(SerializationError, match="a stored error"):
        decode_error(data)
