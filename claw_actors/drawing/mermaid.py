"""Diagrams as Mermaid: what came after what in a workflow, and which workflows it has started.

The order follows from paths: the operations of one context happen one after another, and a nursery
is a step of the context that has opened it, with its children side by side. In a path they take
turns: an operation or a nursery, a child of that, an operation of the child.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

from .._core.journal import EntryKind
from .timeline import voided_in
from .wording import one_line, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..storage.history import HistoryEntry
    from ..storage.model import TaskState, WorkflowState

__all__ = ["dag_as_mermaid", "tree_as_mermaid"]

PLAIN: Final = frozenset(" -_./:,@+×")
"""Besides letters and digits, what means nothing in a label; all else is written as its number."""

CLASSES: Final = """\
classDef ok fill:#dafbe1,stroke:#2da44e,color:#1f2328
classDef failed fill:#ffebe9,stroke:#cf222e,color:#1f2328
classDef cancelled fill:#fff8c5,stroke:#9a6700,color:#1f2328
classDef open fill:#ddf4ff,stroke:#0969da,color:#1f2328
classDef parked fill:#fbefff,stroke:#8250df,color:#1f2328"""

SHAPES: Final = {
    EntryKind.TASK: ('["', '"]'),
    EntryKind.TIMER: ('("', '")'),
    EntryKind.TIMEOUT: ('{{"', '"}}'),
    EntryKind.SEND: ('>"', '"]'),
    EntryKind.CHILD: ('[["', '"]]'),
}
"""What code has asked for, and what stands before and behind its label.

The rest comes from outside, and has no place in the order of the code.
"""

_OF_STATUS: Final = {
    "completed": "ok",
    "failed": "failed",
    "cancelled": "cancelled",
    "quarantined": "parked",
    "paused": "parked",
}


# -- one workflow -----------------------------------------------------------------------------------


@attrs.frozen
class _Step:
    """An operation.

    Attributes:
        n: its number in the journal; what has not ended comes last.
        label: what stands in the diagram.
        style: how it went.
        shape: what stands before and behind the label.
    """

    n: float
    label: str
    style: str
    shape: tuple[str, str]


@attrs.define
class _Place:
    """A path: an operation, or a nursery with children; a child is one with operations."""

    steps: list[_Step] = attrs.field(factory=list[_Step])
    below: dict[str, _Place] = attrs.field(factory=dict[str, "_Place"])

    def first_n(self) -> float:
        """Return the number of the first thing in it that has ended."""
        own = [step.n for step in self.steps]
        return min(own + [place.first_n() for place in self.below.values()], default=math.inf)


def dag_as_mermaid(
    state: WorkflowState, history: Sequence[HistoryEntry], tasks: Iterable[TaskState] = ()
) -> str:
    """Draw in which order a workflow's code has asked for what, as a Mermaid flowchart.

    Nurseries are subgraphs, whose children go side by side. What a retry has voided is left out.

    Args:
        state: the workflow.
        history: the entries of its present run, in order.
        tasks: its tasks; of these, those that have not ended are added.
    """
    root = _Place()
    voided = voided_in(history)
    for entry in history:
        if entry.kind in SHAPES and entry.n not in voided:
            _place_of(root, entry.op).steps.append(_step_of(entry))
    open_tasks = [task for task in tasks if task.completed_at is None]
    for task in open_tasks:
        _place_of(root, task.id).steps.append(_open_step(task))
    drawing = _Drawing()
    first, last = drawing.context(root, "  ")
    name = f"{state.name}@{state.version}"
    lines = ["flowchart TD", *drawing.lines]
    lines.append(f'  begin(["{_quoted(name)}"])')
    lines.append(f'  finish(["{_quoted(str(state.status))}"]):::{_style_of(state)}')
    lines += [f"  begin --> {node}" for node in first] or ["  begin --> finish"]
    lines += [f"  {node} --> finish" for node in last]
    lines += [
        f"  {drawing.names[_path_of(dependency)]} -.-> {drawing.names[_path_of(task.id)]}"
        for task in open_tasks
        for dependency in task.depends_on
        if _path_of(dependency) in drawing.names
    ]
    return "\n".join([*lines, *(f"  {line}" for line in CLASSES.splitlines()), ""])


def _path_of(op: str) -> str:
    """Return the path under which an operation is drawn."""
    return "/".join(parts_of(op))


def _place_of(root: _Place, op: str) -> _Place:
    place = root
    for part in parts_of(op):
        place = place.below.setdefault(part, _Place())
    return place


def _step_of(entry: HistoryEntry) -> _Step:
    label = parts_of(entry.op)[-1]
    if entry.attempt > 1:
        label = f"{label} ×{entry.attempt}"
    return _Step(entry.n, label, str(entry.status), SHAPES[entry.kind])


def _open_step(task: TaskState) -> _Step:
    label = f"{parts_of(task.id)[-1]} {task.status}"
    return _Step(math.inf, label, "open", SHAPES[EntryKind.TASK])


@attrs.define
class _Drawing:
    """The lines drawn so far.

    Attributes:
        lines: of the diagram.
        names: of nodes, by the paths of their operations.
    """

    lines: list[str] = attrs.field(factory=list[str])
    names: dict[str, str] = attrs.field(factory=dict[str, str])
    _count: int = 0

    def context(self, context: _Place, indent: str, path: str = "") -> tuple[list[str], list[str]]:
        """Draw the operations of a context, one after another.

        Returns:
            The nodes that it begins with, and those that it ends with.
        """
        first: list[str] = []
        last: list[str] = []
        for label, place in sorted(context.below.items(), key=lambda one: one[1].first_n()):
            for begins, ends in self._parts(place, label, f"{path}/{label}", indent):
                first = first or begins
                self.lines += [f"{indent}{one} --> {other}" for one in last for other in begins]
                last = ends
        return first, last

    def _parts(
        self, place: _Place, label: str, path: str, indent: str
    ) -> Iterator[tuple[list[str], list[str]]]:
        """Draw what stands under one path: operations, and a nursery."""
        for step in place.steps:
            node = self._node(step, path, indent)
            yield [node], [node]
        if place.below:
            name = self._name()
            self.lines.append(f'{indent}subgraph {name}["{_quoted(label)}"]')
            # Children have no order; what began last is drawn last.
            for child, below in sorted(place.below.items(), key=lambda one: one[1].first_n()):
                for step in below.steps:
                    self._node(step, f"{path}/{child}", f"{indent}  ")
                if below.below:
                    self._child(below, child, f"{path}/{child}", f"{indent}  ")
            self.lines.append(f"{indent}end")
            yield [name], [name]

    def _child(self, child: _Place, label: str, path: str, indent: str) -> None:
        self.lines.append(f'{indent}subgraph {self._name()}["{_quoted(label)}"]')
        self.context(child, f"{indent}  ", path)
        self.lines.append(f"{indent}end")

    def _node(self, step: _Step, path: str, indent: str) -> str:
        name = self._name()
        self.names[path.removeprefix("/")] = name
        before, behind = step.shape
        self.lines.append(f"{indent}{name}{before}{_quoted(step.label)}{behind}:::{step.style}")
        return name

    def _name(self) -> str:
        self._count += 1
        return f"n{self._count}"


# -- a family ---------------------------------------------------------------------------------------


def tree_as_mermaid(states: Iterable[WorkflowState]) -> str:
    """Draw which workflow has started which, as a Mermaid flowchart.

    Args:
        states: a workflow and those below it, each of which says who its parent is.
    """
    known = list(states)
    names = {state.id: f"w{n}" for n, state in enumerate(known)}
    lines = ["flowchart TD"]
    for state in known:
        label = f"{_quoted(state.id)}<br/>{_quoted(f'{state.name}@{state.version}')}"
        label = f"{label}<br/>{_quoted(str(state.status))}"
        lines.append(f'  {names[state.id]}["{label}"]:::{_style_of(state)}')
    lines += [
        f"  {names[state.parent]} --> {names[state.id]}"
        for state in known
        if state.parent is not None and state.parent in names
    ]
    return "\n".join([*lines, *(f"  {line}" for line in CLASSES.splitlines()), ""])


def _style_of(state: WorkflowState) -> str:
    return _OF_STATUS.get(str(state.status), "open")


def _quoted(text: str) -> str:
    """Write a text so that Mermaid takes it for nothing else."""
    return "".join(
        one if one in PLAIN or (one.isalnum() and one.isascii()) else f"#{ord(one)};"
        for one in one_line(text)
    )
