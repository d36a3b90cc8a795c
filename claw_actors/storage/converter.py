"""The cattrs converter behind the codec, made strict.

cattrs is lax by default (``"false"`` becomes ``True``, ``5.9`` becomes ``5``, ``"abc"`` becomes a
list of three letters, unknown keys are dropped). Here a value fits its type, or is refused.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import threading
import types
import uuid
from collections import deque
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
    Set,
)
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import cattrs
import cattrs.gen
from cattrs.preconf.json import make_converter

__all__ = ["make_strict_converter"]


class _StrictError(ValueError):
    """A stored value is not of the declared type."""


def _refuse(expected: str, value: object) -> _StrictError:
    return _StrictError(f"expected {expected}, got {type(value).__name__}")


# -- primitive types --------------------------------------------------------------------------------

# cattrs asks these for subclasses, too: an enumeration of texts comes back as its member.


def _text(value: object, cls: type[str] = str) -> str:
    if not isinstance(value, str):
        raise _refuse("str", value)
    return value if cls is str else cls(value)


def _whole(value: object, cls: type[int] = int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse("int", value)
    return value if cls is int else cls(value)


def _float(value: object, cls: type[float] = float) -> float:
    # JSON writes 1.0 and 1 alike in other languages, and PEP 484 lets an int be a float.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse("float", value)
    return cls(value)


def _bool(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse("bool", value)
    return value


def _null(value: object, _: object) -> None:
    if value is not None:
        raise _refuse("null", value)


# -- shapes -----------------------------------------------------------------------------------------


def _class_of(declared: object) -> type | None:
    """Return the class behind an annotation such as ``list[int]``; ``None`` if there is none."""
    origin = get_origin(declared)
    return next((cls for cls in (origin, declared) if isinstance(cls, type)), None)


def _is_array(declared: object) -> bool:
    cls = _class_of(declared)
    if cls is None:
        return False
    # The abstract ones by name: text, flags and an author's own classes answer to them, too.
    return (
        issubclass(cls, list | tuple | deque)
        or cls in (Sequence, MutableSequence)
        or _is_set(declared)
    )


def _is_set(declared: object) -> bool:
    cls = _class_of(declared)
    return cls is not None and (issubclass(cls, set | frozenset) or cls in (Set, MutableSet))


def _is_plain_mapping(declared: object) -> bool:
    return _class_of(declared) in (dict, Mapping, MutableMapping)


def _is_untyped_mapping(declared: object) -> bool:
    return _is_plain_mapping(declared) and all(one is Any for one in get_args(declared))


def _is_int_keyed_mapping(declared: object) -> bool:
    return _is_plain_mapping(declared) and get_args(declared)[:1] == (int,)


def _may_be_bool(declared: object) -> bool:
    cls = _class_of(declared)
    if declared is Any or get_origin(declared) is Literal or cls is None:
        return True
    return cls in (bool, object) or issubclass(cls, enum.Enum)


def _is_int_and_not_bool(declared: object) -> bool:
    if get_origin(declared) not in (Union, types.UnionType):
        return False
    members = get_args(declared)
    return int in members and not any(_may_be_bool(member) for member in members)


def _object(value: object, _: object = None) -> dict[object, object]:
    if not isinstance(value, dict):
        raise _refuse("an object", value)
    return cast("dict[object, object]", value)


def _array(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise _refuse("an array", value)
    return cast("object", value)


def _int_key(key: object) -> int:
    # `int` reads " 1 ", "1_0" and digits of other scripts; what is written is none of these.
    number = int(_text(key))
    if str(number) != key:
        raise _StrictError(f"expected a whole number as key, got {key!r}")
    return number


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise _refuse("one of the union's types", value)
    return value


def _int_keyed(converter: cattrs.Converter, declared: Any) -> Callable[[object, Any], object]:
    structure = cast(
        "Callable[..., object]",
        cattrs.gen.make_mapping_structure_fn(declared, converter),  # pyright: ignore[reportUnknownMemberType]
    )
    return lambda value, _: structure(
        {_int_key(key): one for key, one in _object(value).items()}, declared
    )


def _is_named_tuple(declared: object) -> bool:
    cls = _class_of(declared)
    return cls is not None and issubclass(cls, tuple) and hasattr(declared, "_fields")


def _as_plain_tuple(cls: Any) -> Any:
    # cattrs takes annotations as they stand: text, where a module postpones their evaluation.
    hints = get_type_hints(cls)
    return types.GenericAlias(tuple, tuple(hints.get(name, Any) for name in cls._fields))


def _read_named_tuple(converter: cattrs.Converter, cls: Any) -> Callable[[object, Any], object]:
    plain = _as_plain_tuple(cls)
    return lambda value, _: cls(*converter.structure(value, plain))


def _write_named_tuple(converter: cattrs.Converter, cls: Any) -> Callable[[Any], object]:
    plain = _as_plain_tuple(cls)
    return lambda value: converter.unstructure(tuple(value), unstructure_as=plain)


def _shape_of(declared: object) -> Callable[[object], object] | None:
    """Return what must see a raw value of this type before cattrs does, if anything must."""
    if _is_array(declared):
        return _array
    if _is_int_and_not_bool(declared):
        return _no_bool
    return None


def _look_at_shapes(converter: cattrs.Converter) -> None:
    """Have a raw value's shape checked before whatever cattrs does with it."""
    asking = threading.local()

    def is_ours(declared: object) -> bool:
        if getattr(asking, "declared", None) is declared:
            asking.declared = None  # asked from `make`, which wants the hook behind this one
            return False
        return _shape_of(declared) is not None

    def make(declared: Any) -> Callable[[object, Any], object]:
        look = _shape_of(declared)
        assert look is not None
        asking.declared = declared
        structure = converter.get_structure_hook(declared, cache_result=False)
        return lambda value, _: cast("object", structure(look(value), declared))

    converter.register_structure_hook_factory(is_ours, make)


# -- the whole --------------------------------------------------------------------------------------


def make_strict_converter(sort_key: Callable[[object], str]) -> cattrs.Converter:
    """Make the converter.

    Args:
        sort_key: what the elements of a set are ordered by. Their order differs from process to
            process, and digests must not.
    """
    converter: cattrs.Converter = make_converter(forbid_extra_keys=True)
    converter.register_structure_hook(bool, _bool)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(float, _float)
    converter.register_structure_hook(type(None), _null)
    converter.register_structure_hook_func(lambda cls: cls is None, _null)
    # By predicate: a hook for the class `object` would serve every class that inherits from it.
    converter.register_structure_hook_func(lambda cls: cls is object, lambda value, _: value)
    _look_at_shapes(converter)
    converter.register_structure_hook_factory(
        _is_named_tuple, functools.partial(_read_named_tuple, converter)
    )
    converter.register_unstructure_hook_factory(
        _is_named_tuple, functools.partial(_write_named_tuple, converter)
    )
    converter.register_structure_hook_func(_is_untyped_mapping, _object)
    converter.register_structure_hook_factory(
        _is_int_keyed_mapping, functools.partial(_int_keyed, converter)
    )

    def structure_from_text(value: object, cls: Callable[[str], object]) -> object:
        return cls(_text(value))

    # Text keeps every digit; a JSON number would not.
    for text_type in (uuid.UUID, decimal.Decimal):
        converter.register_unstructure_hook(text_type, str)
        converter.register_structure_hook(text_type, structure_from_text)
    converter.register_unstructure_hook(datetime.timedelta, datetime.timedelta.total_seconds)
    converter.register_structure_hook(
        datetime.timedelta, lambda value, _: datetime.timedelta(seconds=_float(value))
    )

    def unstructure_set(value: Iterable[object]) -> list[object]:
        return sorted((cast("object", converter.unstructure(one)) for one in value), key=sort_key)

    converter.register_unstructure_hook_func(_is_set, unstructure_set)
    return converter
