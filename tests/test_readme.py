"""The README shows what is in the repository, and what CI runs."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks in one language."""
    return [part.partition("```")[0] for part in README.split(f"```{language}\n")[1:]]


def test_the_example_in_the_readme_is_the_program_that_runs():
    """Word for word, so that running examples/hello.py runs the README."""
    assert blocks("python") == [(ROOT / "examples" / "hello.py").read_text("utf-8")]


def test_the_commands_in_the_readme_are_the_ones_that_ci_runs():
    """Each is one line, and CI runs that line."""
    commands = [block.strip() for block in blocks("sh")]
    runner = (ROOT / ".ci" / "run").read_text("utf-8")
    assert len(commands) == 2
    assert [command for command in commands if f"'{command}'" not in runner] == []
