"""What the documentation says that the log says: each line that it quotes is one that is logged.

The lines are read from the source. That they are really logged the tests of coverage see to: none of
these calls is left out by all tests.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import attrs
import pytest

import claw_actors

SOURCE = Path(claw_actors.__file__).parent
DOCS = SOURCE.parent / "docs"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


@attrs.frozen
class Template:
    """What a call to a logger, or an error, says.

    Attributes:
        logger: of which; ``None`` for an error.
        parts: what stands between the places that are filled in.
    """

    logger: str | None
    parts: tuple[str, ...]

    @property
    def pattern(self) -> str:
        return ".*".join(map(re.escape, self.parts))


def logger_of(tree: ast.Module) -> set[str]:
    """The names of loggers that a module asks for."""
    return {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "getLogger"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def logged(tree: ast.Module) -> list[Template]:
    """What a module says to its logger."""
    names = logger_of(tree)
    name = names.pop() if len(names) == 1 else None
    found = []
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if call.func.attr not in LEVELS or "log" not in ast.unparse(call.func.value):
            continue
        texts = [one.value for one in call.args if isinstance(one, ast.Constant)]
        found += [
            Template(name, tuple(re.split(r"%[.\d]*[a-z]", text)))
            for text in texts[:1]
            if isinstance(text, str)
        ]
    return found


def raised(tree: ast.Module) -> list[Template]:
    """What the errors of a module say, where something is filled in."""
    return [
        Template(None, tuple("".join(map(_filled, text.values)).split("\0")))
        for text in ast.walk(tree)
        if isinstance(text, ast.JoinedStr)
    ]


def _filled(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "\0"


TREES = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
LOGGERS = {name for tree in TREES.values() for name in logger_of(tree)}
LOGGED = [one for tree in TREES.values() for one in logged(tree)]
RAISED = [
    one for path, tree in TREES.items() if path.parent.name == "errors" for one in raised(tree)
]


def quotes_of(table: str) -> list[str]:
    """The texts in quotes in the first column of a table."""
    rows = re.findall(r"^\| (\".*?) \|", table, re.MULTILINE)
    return [quote for row in rows for quote in re.findall(r'"(.*?)"', row)]


def says(quote: str, templates: list[Template]) -> bool:
    """Tell whether one of them can say this; "…" stands for what is filled in."""
    parts = [part.strip() for part in quote.split("…")]
    pattern = ".*".join(map(re.escape, parts))
    return any(re.search(pattern, " … ".join(one.parts)) for one in templates)


PAGE = (DOCS / "troubleshooting.md").read_text("utf-8")
TABLE = PAGE.partition("\n## The log\n")[2].partition("\n## ")[0]
IN_PROSE = (
    "running workflows wait for it",
    "is available again",
    "is open again",
    "storage failed",
    "was cancelled … s ago and still runs; it waits here",
    "left as it is",
)
"""Elsewhere on that page it is said where a quote is from; these are from the log."""


@pytest.mark.parametrize("quote", [*quotes_of(TABLE), *IN_PROSE])
def test_what_is_looked_up_in_the_log_is_logged(quote):
    """A reader searches for these words; an error's own may be filled in."""
    assert says(quote, LOGGED + RAISED)


@pytest.mark.parametrize("quote", IN_PROSE)
def test_the_quotes_of_the_prose_stand_there(quote):
    """What is gone from the page need not be held."""
    assert f'"{quote}"' in re.sub(r"\s+", " ", PAGE)


@pytest.mark.parametrize("quote", ["crashed, and is gone", "here … it waits", "waits here: left"])
def test_what_is_not_logged_is_noticed(quote):
    """Another wording, another order, or the end of one and the beginning of another."""
    assert not says(quote, LOGGED + RAISED)


def examples() -> list[tuple[str, str]]:
    """The lines of logs that pages show: each with its logger."""
    pages = "\n".join(path.read_text("utf-8") for path in sorted(DOCS.glob("*.md")))
    blocks = re.findall(r"^```text\n(.*?)^```", pages, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    form = re.compile(r"(?:\S+Z [A-Z]+ )?(claw_actors\.\w+)(?: \[.*?\])?: (.*)")
    return [(match[1], match[2]) for line in lines if (match := form.fullmatch(line))]


@pytest.mark.parametrize(("logger", "line"), examples())
def test_a_line_that_is_shown_is_one_that_is_logged(logger, line):
    """By that logger, and from its first word to its last."""
    templates = [one for one in LOGGED if one.logger == logger]
    # What is filled in last may be left out, where there is nothing of it.
    assert any(re.fullmatch(one.pattern, line) for one in templates), templates


def test_there_are_lines_to_look_at():
    """The readers above have found what there is."""
    assert len(examples()) >= 8
    assert len(quotes_of(TABLE)) >= 14
    assert len(LOGGED) >= 40
    assert len({one.logger for one in LOGGED}) >= 8


def test_the_page_about_logging_names_every_logger():
    """And no other one."""
    page = (DOCS / "logging.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(claw_actors\.\w+)` \|", page, re.MULTILINE)) == LOGGERS


@pytest.mark.parametrize("page", ["recovery.md", "troubleshooting.md", "logging.md"])
def test_no_page_names_a_logger_that_is_none(page):
    """Whoever sets its level would wonder."""
    text = (DOCS / page).read_text("utf-8")
    named = set(re.findall(r"`(claw_actors\.[a-z]+)`", text))
    packages = {f"claw_actors.{path.name}" for path in SOURCE.iterdir()}
    modules = {f"claw_actors.{path.stem}" for path in SOURCE.glob("*.py")}
    assert named - packages - modules <= LOGGERS | {"claw_actors.testing"}
