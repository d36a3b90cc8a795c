"""Pictures of any journal at all: none fails, none leaves an entry out, each is well-formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from claw_actors import (
    EntryKind,
    EntryStatus,
    ErrorRecord,
    HistoryEntry,
    Status,
    TaskState,
    TaskStatus,
    WorkflowState,
)
from claw_actors.drawing import (
    dag_as_mermaid,
    timeline_as_svg,
    timeline_as_text,
    timeline_of,
    tree_as_mermaid,
)

TIMES = st.floats(-1e12, 1e12)
NAMES = st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)
PARTS = st.sampled_from(["charge", "charge#2", "nursery", "pack", "end", "ü"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ERRORS = st.builds(ErrorRecord, st.tuples(NAMES) | st.just(()), NAMES)
CHILDREN = st.sampled_from(["kid-1", "kid-2"])


@st.composite
def journals(draw):
    """Entries with their numbers in order, and nothing else that has to be right."""
    entries = []
    for n in range(draw(st.integers(0, 12))):
        kind = EntryKind.START if n == 0 else draw(st.sampled_from(list(EntryKind)))
        is_child = kind in (EntryKind.CHILD, EntryKind.CHILD_END)
        entries.append(
            HistoryEntry(
                run=1,
                n=n,
                op=draw(PATHS | NAMES),
                name=draw(CHILDREN if is_child else NAMES),
                kind=kind,
                status=draw(st.sampled_from(list(EntryStatus))),
                at=draw(TIMES),
                after=draw(st.none() | st.integers(0, max(0, n - 1))),
                started_at=draw(st.none() | TIMES),
                attempt=draw(st.integers(0, 5)),
                life=draw(st.integers(0, 3)),
                ref=draw(st.none() | st.integers(0, n)),
                value=[draw(CHILDREN), "wait"] if is_child else draw(st.none() | NAMES),
                error=draw(st.none() | ERRORS),
            )
        )
    return entries


STATES = st.builds(
    WorkflowState,
    id=st.just("a"),
    name=NAMES,
    status=st.sampled_from(list(Status)),
    reason=st.none() | NAMES,
    created_at=st.none() | TIMES,
    completed_at=st.none() | TIMES,
    wake_at=st.none() | TIMES,
    parent=st.none() | st.just("a"),
)

TASKS = st.builds(
    TaskState,
    id=PATHS | NAMES,
    name=NAMES,
    status=st.sampled_from(list(TaskStatus)),
    attempt=st.integers(0, 5),
    depends_on=st.lists(PATHS, max_size=2).map(tuple),
    started_at=st.none() | TIMES,
    completed_at=st.none() | TIMES,
    due_at=st.none() | TIMES,
    error=st.none() | ERRORS,
)

UNDRAWN = {EntryKind.START, EntryKind.END, EntryKind.RESUME}


@given(STATES, journals(), st.lists(TASKS, max_size=3), TIMES, st.integers(1, 200))
def test_any_journal_can_be_drawn(state, journal, tasks, now, width):
    """Each entry has a bar of its own, unless it begins or ends something."""
    timeline = timeline_of(state, journal, tasks, now=now)
    open_tasks = [task for task in tasks if task.completed_at is None]
    kinds = Counter(entry.kind for entry in journal)
    at_least = sum(count for kind, count in kinds.items() if kind not in UNDRAWN)
    ends = min(kinds[EntryKind.CHILD], kinds[EntryKind.CHILD_END])
    drawn = len(timeline.bars) - len(open_tasks)
    assert at_least - ends <= drawn <= at_least + 1
    for bar in timeline.bars:
        end = bar.begin if bar.end is None else bar.end
        assert timeline.begin <= bar.begin <= end <= timeline.end
    for ascii_only in (False, True):
        text = timeline_as_text(timeline, width=width, ascii_only=ascii_only)
        assert "\x1b" not in text
        assert len(text.splitlines()) >= 2 + len(timeline.bars)
    svg = timeline_as_svg(timeline)
    titles = list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}title"))
    assert len(titles) >= len(timeline.bars)
    svg.encode()


@given(STATES, journals(), st.lists(TASKS, max_size=3))
def test_any_journal_has_an_order(state, journal, tasks):
    """Every node that a diagram's edges name is there, once."""
    lines = [line.strip() for line in dag_as_mermaid(state, journal, tasks).splitlines()]
    nodes = [
        line.split('"')[0].removeprefix("subgraph ").rstrip("[({>") for line in lines if '"' in line
    ]
    assert len(nodes) == len(set(nodes))
    edges = [line.replace("-.->", "-->").split(" --> ") for line in lines if "->" in line]
    assert {node for edge in edges for node in edge} <= set(nodes)
    assert lines.count("end") == sum(line.startswith("subgraph") for line in lines)


@given(st.lists(STATES, max_size=3, unique_by=lambda state: state.id))
def test_any_family_has_a_tree(states):
    """One node for each."""
    lines = tree_as_mermaid(states).splitlines()
    assert sum(line.startswith("  w") and "[" in line for line in lines) == len(states)


def test_a_path_may_be_as_deep_as_a_name_can_be(story):
    """From some depth on, what is left of it is one label."""
    deep = "/".join("a" * 500)
    story.task(deep, 1, 2)
    state = WorkflowState(id="a", name="a", created_at=0)
    timeline = timeline_of(state, story.entries, now=0)
    assert "/".join("a" * 451) in timeline_as_text(timeline)
    ET.fromstring(timeline_as_svg(timeline))
    assert f'["{"/".join("a" * 451)}"]' in dag_as_mermaid(state, story.entries)
