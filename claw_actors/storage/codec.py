"""Values as strict JSON, by cattrs: no lax coercion, unknown keys refused, no pickle anywhere.

cattrs is lax by default (``"false"`` becomes ``True``, ``5.9`` becomes ``5``, unknown keys are
dropped), so the primitive types get strict hooks. What is encoded is always decoded again before
it is believed: a value is good only if it survives the round trip, and the live run gets the
round-tripped one, so that live and replay agree.
"""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.preconf.json import make_converter

from .._core.failures import ErrorRecord, type_name
from ..errors import PayloadTooLargeError, SerializationError

__all__ = ["MAX_PAYLOAD_BYTES", "Codec", "decode_error", "encode_error"]

MAX_PAYLOAD_BYTES = 1_048_576
"""The default limit of one encoded value: 1 MiB."""

UNTYPED = (Any, object)
"""Annotations that say nothing; plain JSON only."""

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_sorting_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


class _StrictError(ValueError):
    """A stored value is not of the declared primitive type."""


def _strict(name: str, accept: Callable[[object], bool]) -> Callable[[object, type], Any]:
    def structure(value: object, _: type) -> object:
        if not accept(value):
            raise _StrictError(f"expected {name}, got {type(value).__name__}")
        return value

    return structure


def _structure_float(value: object, _: type) -> float:
    # JSON writes 1.0 and 1 alike in other languages, and PEP 484 lets an int be a float.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _StrictError(f"expected float, got {type(value).__name__}")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _StrictError(f"expected str, got {type(value).__name__}")
    return value


def _keys_are_int(cls: object) -> bool:
    origin = get_origin(cls)
    if not (isinstance(origin, type) and issubclass(origin, Mapping)):
        return False
    return get_args(cls)[:1] == (int,)


def _sorted_set(converter: cattrs.Converter) -> Callable[[Any], list[object]]:
    # The order of a set of strings differs from process to process; digests must not.
    def unstructure(value: Any) -> list[object]:
        return sorted((converter.unstructure(one) for one in value), key=_encoder.encode)

    return unstructure


def _make_converter() -> cattrs.Converter:
    converter: cattrs.Converter = make_converter(forbid_extra_keys=True)
    converter.register_structure_hook(bool, _strict("bool", lambda v: isinstance(v, bool)))
    converter.register_structure_hook(
        int, _strict("int", lambda v: isinstance(v, int) and not isinstance(v, bool))
    )
    converter.register_structure_hook(str, lambda value, _: _text(value))
    converter.register_structure_hook(float, _structure_float)

    def int_keyed(cls: Any) -> Callable[[Any, Any], Any]:
        value_type = get_args(cls)[1]

        def structure(value: Any, _: Any) -> dict[int, Any]:
            if not isinstance(value, dict):
                raise _StrictError(f"expected an object, got {type(value).__name__}")
            return {int(key): converter.structure(one, value_type) for key, one in value.items()}

        return structure

    converter.register_structure_hook_factory(_keys_are_int, int_keyed)
    # By predicate: a hook for the class `object` would serve every class that inherits from it.
    converter.register_structure_hook_func(lambda cls: cls is object, lambda value, _: value)
    converter.register_structure_hook(type(None), _strict("null", lambda v: v is None))
    # Text keeps every digit; a JSON number would not.
    for text_type in (uuid.UUID, decimal.Decimal):
        converter.register_unstructure_hook(text_type, str)
        converter.register_structure_hook(text_type, lambda value, cls: cls(_text(value)))
    converter.register_unstructure_hook(datetime.timedelta, lambda span: span.total_seconds())
    converter.register_structure_hook(
        datetime.timedelta,
        lambda value, _: datetime.timedelta(seconds=_structure_float(value, float)),
    )
    for kind in (set, frozenset):
        converter.register_unstructure_hook(kind, _sorted_set(converter))
        converter.register_unstructure_hook_func(
            lambda cls, kind=kind: get_origin(cls) is kind, _sorted_set(converter)
        )
    return converter


_converter = _make_converter()


def _reason(error: BaseException) -> str:
    """Say in one line what cattrs found, naming the path to it."""
    if isinstance(error, BaseValidationError | ForbiddenExtraKeysError):
        return "; ".join(cattrs.transform_error(error, path="value"))
    if isinstance(error, KeyError):
        return f"unknown tag or missing key {error}"
    return str(error) or type(error).__name__


def _name_of(declared: object) -> str:
    return type_name(declared) if isinstance(declared, type) else str(declared)


def _check_plain(value: object, path: str) -> None:
    """Refuse, where no type is declared, what would come back as something else."""
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{path} has the key {key!r}; annotate it, as in dict[int, str]")
            _check_plain(one, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            _check_plain(one, f"{path}[{index}]")
    elif value is not None and type(value) not in (bool, int, float, str):
        raise TypeError(
            f"{path} is of type {type_name(type(value))}; annotate it with its type, so that it"
            " can be read back as one"
        )


@attrs.frozen
class Codec:
    """Encodes and decodes values against declared types.

    Attributes:
        max_bytes: the limit of one encoded value.
    """

    max_bytes: int = MAX_PAYLOAD_BYTES

    def to_plain(self, value: object, declared: object, what: str) -> object:
        """Turn a value of a declared type into what JSON knows.

        Raises:
            SerializationError: it cannot be, or does not fit the declared type.
        """
        try:
            if declared in UNTYPED:
                _check_plain(value, "value")
                return value
            return cast("object", _converter.unstructure(value, unstructure_as=declared))
        # Hooks and properties of an author's own classes may raise anything.
        except Exception as error:
            named = type_name(type(value)) if declared in UNTYPED else _name_of(declared)
            raise SerializationError(what, named, _reason(error)) from error

    def from_plain(self, raw: object, declared: Any, what: str) -> object:
        """Turn what JSON knows into a value of a declared type.

        Raises:
            SerializationError: it does not fit.
        """
        if declared in UNTYPED:
            return raw
        try:
            return cast("object", _converter.structure(raw, declared))
        except Exception as error:
            raise SerializationError(what, _name_of(declared), _reason(error)) from error

    def encode(
        self, value: object, declared: object, what: str, *, canonical: bool = False
    ) -> bytes:
        """Encode a value of a declared type as UTF-8 JSON.

        Args:
            value: the value.
            declared: its annotation; ``Any`` if there is none.
            what: how to name it in errors, such as ``"argument 'order' of charge_card"``.
            canonical: sort keys, so that equal values give equal bytes.

        Raises:
            SerializationError: it cannot be written, or does not fit the declared type.
            PayloadTooLargeError: it is over the limit.
        """
        raw = self.to_plain(value, declared, what)
        try:
            data = (_sorting_encoder if canonical else _encoder).encode(raw).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(what, type_name(type(value)), _reason(error)) from error
        if len(data) > self.max_bytes:
            raise PayloadTooLargeError(what, len(data), self.max_bytes)
        return data

    def decode(self, data: bytes, declared: Any, what: str) -> object:
        """Decode what :meth:`encode` wrote.

        Raises:
            SerializationError: the bytes are no JSON, or do not fit the declared type.
        """
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SerializationError(what, _name_of(declared), _reason(error)) from error
        return self.from_plain(raw, declared, what)

    def round_trip(
        self, value: object, declared: Any, what: str, *, canonical: bool = False
    ) -> tuple[bytes, object]:
        """Encode a value and decode it again: what a replay would see.

        Raises:
            SerializationError: it does not survive.
            PayloadTooLargeError: it is over the limit.
        """
        data = self.encode(value, declared, what, canonical=canonical)
        return data, self.decode(data, declared, what)


def encode_error(error: ErrorRecord) -> bytes:
    """Encode the record of an exception; it is bounded by its making."""
    return _encoder.encode([error.types, error.message, error.traceback]).encode()


def decode_error(data: bytes) -> ErrorRecord:
    """Decode what :func:`encode_error` wrote.

    Raises:
        SerializationError: the bytes are something else.
    """
    try:
        types, message, trace = _converter.structure(
            json.loads(data), tuple[tuple[str, ...], str, str]
        )
    except Exception as error:
        raise SerializationError("a stored error", "ErrorRecord", _reason(error)) from error
    return ErrorRecord(types, message, trace)
