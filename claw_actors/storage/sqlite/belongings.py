"""The rows of what a workflow has beside its journal: values and dead letters."""

from __future__ import annotations

from typing import Final

from ..records import DeadLetter, StoredValue
from .rows import JSON_CODEC, Values, damaged, fit, seal, seconds

__all__ = [
    "LETTER_COLUMNS",
    "VALUE_COLUMNS",
    "letter_values",
    "read_letter",
    "read_value",
    "value_values",
]

VALUE_COLUMNS: Final = ("wf", "key", "at", "codec", "value", "crc")
LETTER_COLUMNS: Final = ("wf", "topic", "at", "reason", "codec", "value", "crc")

_VALUE_TYPES: Final = (int, str, float, int)
_LETTER_TYPES: Final = (int, str, float, str, int)


def value_values(pk: int, value: StoredValue) -> Values:
    """Make the values of ``VALUE_COLUMNS``."""
    columns = fit((pk, value.key, seconds(value.at), JSON_CODEC), _VALUE_TYPES)
    return (*columns, value.value, seal(columns, value.value))


def read_value(values: Values, id: str, where: str) -> StoredValue:
    """Read a row of ``VALUE_COLUMNS`` of the workflow with this id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    *columns, value, crc = values
    _, key, at, codec = columns
    if seal(tuple(columns), value) != crc:
        raise damaged("claw_value", id, where, f"value {key!r} fails its checksum")
    if codec != JSON_CODEC:
        raise damaged("claw_value", id, where, f"value {key!r} is in the unknown encoding {codec}")
    return StoredValue(key, value, at)


def letter_values(pk: int, letter: DeadLetter) -> Values:
    """Make the values of ``LETTER_COLUMNS``; SQLite gives the number."""
    columns = fit((pk, letter.topic, seconds(letter.at), letter.reason, JSON_CODEC), _LETTER_TYPES)
    return (*columns, letter.payload, seal(columns, letter.payload))


def read_letter(values: Values, id: str, where: str) -> DeadLetter:
    """Read the number and then ``LETTER_COLUMNS`` of a dead letter of the workflow with this id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    seq, *columns, payload, crc = values
    _, topic, at, reason, codec = columns
    if seal(tuple(columns), payload) != crc:
        raise damaged("claw_dead_letter", id, where, f"letter {seq} fails its checksum")
    if codec != JSON_CODEC:
        reason = f"letter {seq} is in the unknown encoding {codec}"
        raise damaged("claw_dead_letter", id, where, reason)
    return DeadLetter(topic, at, reason, payload, seq)
