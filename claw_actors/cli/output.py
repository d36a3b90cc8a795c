"""What is printed: one JSON object a line for programs, plain text for people.

Text from storage is shown on one line, and without control characters: a terminal obeys them,
and what a workflow failed with is not its operator's to trust. Nothing is ever cut.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import attrs
import click

__all__ = [
    "as_line",
    "plain",
    "print_fields",
    "print_json",
    "print_table",
    "printable",
    "several",
    "tell",
    "utc",
]


def plain(value: object) -> object:
    """Return a record as JSON knows it."""
    if attrs.has(type(value)):
        names = [
            field.name for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(value)))
        ]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in cast("Mapping[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in cast("Sequence[object]", value)]
    return value


def as_line(record: object) -> str:
    """Return a record as one line of JSON, with its end."""
    return json.dumps(record, allow_nan=False, default=plain) + "\n"


def print_json(record: object) -> None:
    """Print a record as one line of JSON."""
    click.echo(as_line(record), nl=False)


def printable(value: object) -> str:
    """Return something as text on one line, without what a terminal would obey."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def several(count: int, noun: str) -> str:
    """Return a number of things, such as "1 workflow" or "2,000 workflows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def utc(seconds: float | None) -> str:
    """Return POSIX seconds as a time that people read; nothing for ``None``."""
    if seconds is None:
        return ""
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return str(seconds)  # some year that the calendar does not have
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their headings, as wide as they are."""
    lines = [tuple(columns), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line; those without a value are left out."""
    texts = {name: text for name, value in fields.items() if (text := printable(value))}
    width = max(map(len, texts), default=0)
    for name, text in texts.items():
        click.echo(f"{name.ljust(width)}  {text}")


def tell(text: str) -> None:
    """Say something to a person, beside what is printed."""
    click.echo(text, err=True)
