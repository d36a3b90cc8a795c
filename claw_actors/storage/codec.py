"""Values as strict JSON, by cattrs: no lax coercion, unknown keys refused, no pickle anywhere.

What is encoded is always decoded again before it is believed: a value is good only if it survives the round trip, and the live run gets the
round-tripped one, so that live and replay agree.
"""

from __future__ import annotations

import json
from typing import Any, cast

import attrs
import cattrs
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError

from .._core.failures import ErrorRecord, type_name
from ..errors import DefinitionError, PayloadTooLargeError, SerializationError
from .converter import make_strict_converter

__all__ = ["MAX_PAYLOAD_BYTES", "Codec", "decode_error", "encode_error"]

MAX_PAYLOAD_BYTES = 1_048_576
"""The default limit of one encoded value: 1 MiB."""

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_sorting_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


# Python's own would let NaN and Infinity pass.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_converter = make_strict_converter(_encoder.encode)


def _reason(error: BaseException) -> str:
    """Say in one line what cattrs found, naming the path to it."""
    if isinstance(error, BaseValidationError | ForbiddenExtraKeysError):
        return "; ".join(cattrs.transform_error(error, path="value"))
    if isinstance(error, KeyError):
        return f"unknown tag or missing key {error}"
    return str(error) or type(error).__name__


def _is_untyped(declared: object) -> bool:
    """Tell whether an annotation says nothing: then it is plain JSON only."""
    return declared is Any or declared is object


def _name_of(declared: object) -> str:
    return type_name(declared) if isinstance(declared, type) else str(declared)


def _check_plain(value: object, path: str) -> None:
    """Refuse, where no type is declared, what would come back as something else."""
    if isinstance(value, dict):
        for key, one in cast("dict[object, object]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"{path} has the key {key!r}; annotate it, as in dict[int, str]")
            _check_plain(one, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, one in enumerate(cast("list[object]", value)):
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
            if _is_untyped(declared):
                _check_plain(value, "value")
                return value
            return cast("object", _converter.unstructure(value, unstructure_as=declared))
        # Hooks and properties of an author's own classes may raise anything.
        except Exception as error:
            named = type_name(type(value)) if _is_untyped(declared) else _name_of(declared)
            raise SerializationError(what, named, _reason(error)) from error

    def from_plain(self, raw: object, declared: Any, what: str) -> object:
        """Turn what JSON knows into a value of a declared type.

        Raises:
            SerializationError: it does not fit.
        """
        if _is_untyped(declared):
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
        plain = self.to_plain(value, declared, what)
        return self.encode_plain(plain, what, named=type_name(type(value)), canonical=canonical)

    def encode_plain(
        self, plain: object, what: str, *, named: str = "JSON", canonical: bool = False
    ) -> bytes:
        """Encode what :meth:`to_plain` returned, or what was put together from that.

        Args:
            plain: the value.
            what, canonical: as for :meth:`encode`.
            named: the type that errors name.

        Raises:
            SerializationError: it cannot be written.
            PayloadTooLargeError: it is over the limit.
        """
        try:
            data = (_sorting_encoder if canonical else _encoder).encode(plain).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(what, named, _reason(error)) from error
        if len(data) > self.max_bytes:
            raise PayloadTooLargeError(what, len(data), self.max_bytes)
        return data

    def encode_sent(self, value: object, what: str) -> bytes:
        """Encode a value for a receiver whose declared type is not known here, by its own type.

        Raises:
            SerializationError: it cannot be written.
            PayloadTooLargeError: it is over the limit.
        """
        return self.encode(value, type(value), what)

    def check_type(self, declared: Any, what: str) -> None:
        """Make sure that values of a type can be read at all.

        Raises:
            DefinitionError: none can: it is not the value that does not fit.
        """
        try:
            _converter.get_structure_hook(declared)
        except Exception as error:  # annotations of an author's own classes may raise anything
            raise DefinitionError(
                f"{what} cannot be read as {_name_of(declared)}: {_reason(error)}"
            ) from error

    def decode(self, data: bytes, declared: Any, what: str) -> object:
        """Decode what :meth:`encode` wrote.

        Raises:
            SerializationError: the bytes are no JSON, or do not fit the declared type.
        """
        try:
            raw = cast("object", _decoder.decode(data.decode()))
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
    text = _encoder.encode([error.types, error.message, error.traceback])
    # A record made by hand may hold a lone surrogate. Its escape is one of JSON's, too.
    return text.encode("utf-8", "backslashreplace")


def decode_error(data: bytes) -> ErrorRecord:
    """Decode what :func:`encode_error` wrote.

    Raises:
        SerializationError: the bytes are something else.
    """
    try:
        types, message, trace = _converter.structure(
            _decoder.decode(data.decode()), tuple[tuple[str, ...], str, str]
        )
    except Exception as error:
        raise SerializationError("a stored error", "ErrorRecord", _reason(error)) from error
    return ErrorRecord(types, message, trace)
