"""Names, times and lengths, as they are written in a picture."""

from __future__ import annotations

from typing import Final

__all__ = ["instant", "length", "one_line", "parts_of"]

MOST_PARTS: Final = 50
"""Of a path. Nobody nests as deep, but who saves tasks by hand may call them anything."""


MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400


def one_line(text: str) -> str:
    """Return a text on one line, without what a terminal would obey or XML refuse."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def instant(at: float) -> str:
    """Return POSIX seconds as a time that people read, in UTC."""
    days, seconds = divmod(int(at // 1), DAY_S)
    year, month, day = _date(days)
    hour, minute = seconds // HOUR_S, seconds % HOUR_S // MINUTE_S
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{seconds % MINUTE_S:02}Z"


def _date(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a number of days since 1970.

    After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", ``civil_from_days``: years
    that begin in March, in eras of 400. The standard library's own knows no year after 9999.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + 400 * era + (month <= 2)
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1


def length(seconds: float) -> str:
    """Return a length of time in the two largest units that say something."""
    if seconds < 1:
        return f"{1_000 * seconds:.0f} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    whole = int(seconds)
    if seconds < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    if seconds < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def parts_of(op: str) -> tuple[str, ...]:
    """Return the parts of an operation's path; of one that is too deep, the rest as the last one."""
    return tuple(map(one_line, op.split("/", MOST_PARTS - 1)))
