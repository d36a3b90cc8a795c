"""What is printed."""

from __future__ import annotations

import json

import pytest

from claw_actors.cli.output import print_fields, print_table, printable, several, utc


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("plain", "plain"),
        ("häß lich", "häß lich"),
        ("a\nb\t\x1b[0m\u2028\u202e", "a\\nb\\t\\x1b[0m\\u2028\\u202e"),
        (3, "3"),
        ({"a": (1, None)}, '{"a": [1, null]}'),
    ],
)
def test_text_is_shown_on_one_line_and_obeyed_by_no_terminal(value, text):
    """What people write is shown as it is."""
    assert printable(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0, "1970-01-01T00:00:00Z"), (1.9e9, "2030-03-17T17:46:40Z"), (1e300, "1e+300")],
)
def test_times_are_utc(seconds, text):
    """Also one that no calendar has."""
    assert utc(seconds) == text


def test_a_table_is_as_wide_as_what_is_in_it(capsys):
    """Nothing is cut, and no line ends with blanks."""
    print_table(("ID", "WHY"), [("x" * 200, None), ("y", "because")])
    assert capsys.readouterr().out.splitlines() == [
        f"ID{' ' * 198}  WHY",
        "x" * 200,
        f"y{' ' * 199}  because",
    ]


def test_fields_without_a_value_are_left_out(capsys):
    """Names are aligned; nothing is printed of nothing."""
    print_fields({"a": 1, "long name": json.dumps("x"), "none": None})
    assert capsys.readouterr().out == 'a          1\nlong name  "x"\n'
    print_fields({})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (2_000, "2,000 rows")]
)
def test_one_thing_is_one_thing(count, told):
    """All other numbers are several."""
    assert several(count, "row") == told
