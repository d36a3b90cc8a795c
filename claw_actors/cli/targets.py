"""What ``MODULE:NAME`` names in somebody's code, and how it is said that it cannot be had.

Modules are found as ``python -m`` finds them: also in the working directory.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import IO, Any, ClassVar, TypeAlias, cast

import click

from .. import Runtime, Workflow
from ..errors import DefinitionError
from .exits import Exit
from .output import printable, tell

__all__ = ["AnyWorkflow", "LoadError", "Service", "find_service", "find_workflows", "in_one_line"]

AnyWorkflow: TypeAlias = Workflow[..., object]

Service: TypeAlias = Callable[[Runtime], Awaitable[object]]
"""What runs beside the workflows."""


class LoadError(click.ClickException):
    """Somebody's code has raised when it was imported or called; its message is one line."""

    exit_code: ClassVar[int] = Exit.FAILED

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 -- as click calls it
        """Say it as errors are said."""
        tell(f"claw: {self.message}")


def find_workflows(target: str) -> list[AnyWorkflow]:
    """Import what ``MODULE:NAME`` names: a workflow, some of them, or a function that returns them.

    Raises:
        DefinitionError: there is no such module or name, or it is something else.
        LoadError: its code has raised.
    """
    return _workflows_of(target, _find(target))


def find_service(target: str) -> Service:
    """Import the async function that ``MODULE:NAME`` names.

    Raises:
        DefinitionError: there is no such module or name, or it is something else.
        LoadError: its code has raised.
    """
    found = _find(target)
    if not inspect.iscoroutinefunction(found):
        raise DefinitionError(f"{target} is no async function, to be called with the runtime")
    return cast("Service", found)


def _find(target: str) -> object:
    module_name, _, name = target.partition(":")
    if not module_name or not name or module_name.startswith("."):
        raise DefinitionError(f"{target!r} is not MODULE:NAME, such as app:workflows")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_of(error.name, module_name):
            raise DefinitionError(f"there is no module {error.name!r}") from error
        raise _load_error(target, error) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise DefinitionError(f"there is no {name!r} in the module {module_name!r}")
        found = getattr(found, part)
    return found


def _is_of(missing: str | None, module_name: str) -> bool:
    """Tell whether it is the module itself that is missing, not what it imports."""
    return missing is not None and f"{module_name}.".startswith(f"{missing}.")


def _workflows_of(target: str, found: object) -> list[AnyWorkflow]:
    if callable(found) and not isinstance(found, Workflow):
        try:
            found = found()
        except Exception as error:
            raise _load_error(target, error) from error
    if isinstance(found, Workflow):
        return [cast("AnyWorkflow", found)]
    if isinstance(found, Iterable):
        several = list(cast("Iterable[object]", found))
        if all(isinstance(one, Workflow) for one in several):
            return cast("list[AnyWorkflow]", several)
    raise DefinitionError(
        f"{target} is neither a workflow, nor a list of them, nor a function that returns one"
    )


def _load_error(target: str, error: Exception) -> LoadError:
    return LoadError(f"{printable(target)} cannot be loaded: {in_one_line(error)}")


def in_one_line(error: Exception) -> str:
    """Say what somebody's code has raised, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return printable(f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})")
