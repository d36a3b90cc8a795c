"""What is given as text on the command line: JSON, and labels."""

from __future__ import annotations

import json
from typing import NoReturn

import click

__all__ = ["json_values", "labels", "read_json"]


def read_json(_context: object, _parameter: object, text: str) -> object:
    """Read one JSON value, as a callback of click."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no JSON ({error}); text stands in double quotes, as in '\"yes\"'"
        ) from None


def json_values(context: object, parameter: object, texts: tuple[str, ...]) -> list[object]:
    """Read several JSON values, as a callback of click."""
    return [read_json(context, parameter, text) for text in texts]


def labels(_context: object, _parameter: object, texts: tuple[str, ...]) -> dict[str, str]:
    """Read ``KEY=VALUE``, several of them, as a callback of click."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
