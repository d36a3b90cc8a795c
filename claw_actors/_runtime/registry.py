"""Workflows by name and version: the code that a runtime may run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from ..definitions import Workflow
from ..errors import DefinitionError, UnknownWorkflowError

__all__ = ["Registry"]


def _check_is_workflow(workflow: object) -> Workflow[..., object]:
    if isinstance(workflow, Workflow):
        return cast("Workflow[..., object]", workflow)
    raise DefinitionError(f"{workflow!r} is no workflow; declare it with @workflow")


class Registry:
    """What was passed as ``workflows=``; immutable once made."""

    def __init__(self, workflows: Iterable[Workflow[..., object]]) -> None:
        self._by_key: dict[tuple[str, int], Workflow[..., object]] = {}
        for workflow in workflows:
            _check_is_workflow(workflow)
            key = (workflow.name, workflow.version)
            if self._by_key.setdefault(key, workflow) is not workflow:
                raise DefinitionError(
                    f"two workflows are called {workflow.name}@{workflow.version};"
                    " give one another name or version"
                )

    def find(self, name: str, version: int) -> Workflow[..., object]:
        """Return the workflow of this name and version.

        Raises:
            UnknownWorkflowError: it is not registered.
        """
        try:
            return self._by_key[name, version]
        except KeyError:
            raise self.unknown(name, version) from None

    def knows(self, name: str, version: int) -> bool:
        """Tell whether there is a workflow of this name and version."""
        return (name, version) in self._by_key

    def unknown(self, name: str, version: int | None) -> UnknownWorkflowError:
        """Make the error that says that it is not registered, and what is."""
        return UnknownWorkflowError(name, version, self._known())

    def _known(self) -> list[str]:
        return [f"{name}@{version}" for name, version in sorted(self._by_key)]

    def newest(self, name: str) -> Workflow[..., object]:
        """Return the newest version of a workflow, of which one is registered."""
        return self._by_key[name, max(version for known, version in self._by_key if known == name)]

    def named(self, name: str) -> Workflow[..., object]:
        """Return the newest version of a workflow.

        Raises:
            UnknownWorkflowError: none of this name is registered.
        """
        if not any(known == name for known, _ in self._by_key):
            raise self.unknown(name, None)
        return self.newest(name)

    def check(self, workflow: object) -> None:
        """Make sure that this very workflow is registered.

        Raises:
            DefinitionError: it is no workflow.
            UnknownWorkflowError: it is not registered.
        """
        declared = _check_is_workflow(workflow)
        if self.find(declared.name, declared.version) is not declared:
            raise DefinitionError(
                f"another function is registered as {declared.name}@{declared.version}"
            )
