"""What every backend accepts, checked at the boundary so that all backends agree.

PostgreSQL refuses NUL in text and SQLite does not; SQLite stores NaN as NULL. Whatever some
backend would refuse or change is refused here, before anything is queued.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from ..errors import InvalidInputError

__all__ = [
    "MAX_DESCRIPTION_CHARS",
    "check_count",
    "check_free_text",
    "check_id",
    "check_key",
    "check_metadata",
    "check_number",
    "check_printable",
    "check_text",
    "check_time",
    "is_valid_id",
]

MAX_DESCRIPTION_CHARS = 1_000
MAX_TEXT_CHARS = 1_000
MAX_KEY_CHARS = 200
MAX_LABELS = 32
MAX_LABEL_KEY_CHARS = 64
MAX_LABEL_VALUE_CHARS = 256

MAX_EXACT = 2**53

_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}\Z")


def is_valid_id(value: object) -> bool:
    """Tell whether this may be the id of a workflow."""
    return isinstance(value, str) and _ID.match(value) is not None


def check_id(instance: object, attribute: object, value: Any) -> None:
    """Attrs validator: a workflow id."""
    if not is_valid_id(value):
        raise InvalidInputError("id", value, "1 to 200 characters of A-Z a-z 0-9 . _ : -")


def check_key(instance: object, attribute: object, value: Any) -> None:
    """Attrs validator: the key of a message or of a value."""
    check_printable(getattr(attribute, "name", "key"), value)


def check_printable(field: str, value: object) -> None:
    """Check a topic, or a key.

    Raises:
        InvalidInputError: it is too long, or not printable.
    """
    # Printable is neither NUL nor a lone surrogate, which some backends would refuse.
    if isinstance(value, str) and 1 <= len(value) <= MAX_KEY_CHARS and value.isprintable():
        return
    raise InvalidInputError(field, value, f"1 to {MAX_KEY_CHARS} characters of printable text")


def check_number(field: str, value: object, least: int, most: int) -> None:
    """Check a whole number of a query.

    Raises:
        InvalidInputError: it is none, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInputError(field, value, f"a whole number from {least:,} to {most:,}")


def _is_clean_text(value: object, limit: int) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= limit or "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def check_text(instance: object, attribute: object, value: Any) -> None:
    """Attrs validator: a name or a path."""
    if not _is_clean_text(value, MAX_TEXT_CHARS):
        raise InvalidInputError(
            getattr(attribute, "name", "text"),
            value,
            f"1 to {MAX_TEXT_CHARS} characters of text without NUL",
        )


def check_free_text(field: str, value: object, limit: int) -> None:
    """Check text that may be empty, or ``None``.

    Raises:
        InvalidInputError: it is too long, or some backend would refuse it.
    """
    if value is not None and value != "" and not _is_clean_text(value, limit):
        raise InvalidInputError(
            field, value, f"at most {limit:,} characters of text, none of them NUL"
        )


def check_time(instance: object, attribute: object, value: Any) -> None:
    """Attrs validator: POSIX seconds, or ``None``."""
    if value is None or (type(value) is float and math.isfinite(value)):
        return
    good = isinstance(value, int | float) and not isinstance(value, bool)
    # Backends keep times as floats; a whole number beyond what these hold exactly would change.
    exact = isinstance(value, float) or (good and abs(value) <= MAX_EXACT)
    if not good or not exact or not math.isfinite(value):
        raise InvalidInputError(
            getattr(attribute, "name", "time"), value, "POSIX seconds as a finite number"
        )


def check_count(minimum: int) -> Callable[[object, object, Any], None]:
    """Make an attrs validator: a whole number from ``minimum``, of no more than 64 bits."""

    def check(instance: object, attribute: object, value: Any) -> None:
        # What is right is told first and fast: a state has five of these, and is made often.
        if type(value) is int and minimum <= value < 2**63:
            return
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 2**63:
            raise InvalidInputError(
                getattr(attribute, "name", "count"),
                value,
                f"a whole number of at most 64 bits, from {minimum}",
            )

    return check


def check_metadata(instance: object, attribute: object, value: Any) -> None:
    """Attrs validator: labels, text to text, within the limits."""
    labels = cast("Mapping[object, object]", value)
    # The question after an abstract class costs more than all of the others.
    if not (type(value) is dict or isinstance(value, Mapping)) or len(labels) > MAX_LABELS:
        raise InvalidInputError("metadata", labels, f"a mapping of at most {MAX_LABELS} labels")
    for key, label in labels.items():
        if not _is_clean_text(key, MAX_LABEL_KEY_CHARS):
            raise InvalidInputError(
                "metadata key", key, f"1 to {MAX_LABEL_KEY_CHARS} characters of text without NUL"
            )
        if label != "" and not _is_clean_text(label, MAX_LABEL_VALUE_CHARS):
            raise InvalidInputError(
                f"metadata value of {key!r}",
                label,
                f"up to {MAX_LABEL_VALUE_CHARS} characters of text without NUL",
            )
