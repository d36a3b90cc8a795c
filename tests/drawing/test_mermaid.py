"""Diagrams: what came after what, and who has started whom."""

from __future__ import annotations

import pytest

from claw_actors import EntryKind, EntryStatus, Status
from claw_actors.drawing import dag_as_mermaid, tree_as_mermaid

from .conftest import Story, a_state, a_story, an_open_task

DAG = """\
flowchart TD
  n1["charge ×3"]:::ok
  subgraph n2["nursery"]
    n3["weigh"]:::ok
    subgraph n4["pack"]
      n5["wrap"]:::ok
      n6["print"]:::failed
      n5 --> n6
    end
  end
  n1 --> n2
  n7("sleep"):::ok
  n2 --> n7
  n8[["ship"]]:::ok
  n7 --> n8
  n9["refund running"]:::open
  n8 --> n9
  begin(["checkout@1"])
  finish(["running"]):::open
  begin --> n1
  n9 --> finish
"""


def body(diagram):
    return diagram[: diagram.index("  classDef")]


def test_the_diagram_of_a_workflow():
    """One thing after another; what a nursery does side by side is inside of it."""
    assert body(dag_as_mermaid(a_state(), a_story().entries, [an_open_task()])) == DAG


def test_what_nobody_asked_for_has_no_place_in_the_order():
    """And what a retry has voided is left out; it was done again."""
    story = Story()
    story.add("/message", EntryKind.MESSAGE, 1, name="m")
    story.task("a", 1, 2, EntryStatus.FAILED)
    story.add("/retry", EntryKind.NOTE, 3, EntryStatus.VOID, ref=2)
    story.add("limit", EntryKind.TIMEOUT, 5, after=0)
    story.add("send", EntryKind.SEND, 6, after=0)
    assert body(dag_as_mermaid(a_state(Status.FAILED), story.entries)) == (
        "flowchart TD\n"
        '  n1{{"limit"}}:::ok\n'
        '  n2>"send"]:::ok\n'
        "  n1 --> n2\n"
        '  begin(["checkout@1"])\n'
        '  finish(["failed"]):::failed\n'
        "  begin --> n1\n"
        "  n2 --> finish\n"
    )


def test_dependencies_are_dotted():
    """Those that are known: of tasks that have not ended, on tasks that are there."""
    story = Story()
    story.task("nursery/a", 0, 1)
    waits = an_open_task("nursery/b", depends_on=("nursery/a", "gone"))
    diagram = dag_as_mermaid(a_state(), story.entries, [waits])
    assert [line.strip() for line in diagram.splitlines() if "-.->" in line] == ["n2 -.-> n3"]


def test_a_dependency_may_have_any_name():
    """It is found by what it is called, however that has to be written."""
    story = Story()
    story.task("a\x1f", 0, 1)
    waits = an_open_task("b\n/" + "c/" * 60, depends_on=("a\x1f",))
    assert "  n1 -.-> " in dag_as_mermaid(a_state(), story.entries, [waits])


def test_a_workflow_that_has_done_nothing_has_a_beginning_and_an_end():
    """And an edge between them."""
    diagram = dag_as_mermaid(a_state(Status.COMPLETED), Story().entries)
    assert "  begin --> finish\n" in diagram


def test_the_tree_of_a_family():
    """Each with its id, its workflow and its status, below its parent."""
    states = [
        a_state(Status.WAITING, parent="elsewhere"),
        *(
            type(a_state())(id=f"kid-{n}", name="ship", status=status, parent="order-7")
            for n, status in enumerate([Status.COMPLETED, Status.QUARANTINED])
        ),
    ]
    assert body(tree_as_mermaid(states)) == (
        "flowchart TD\n"
        '  w0["order-7<br/>checkout@1<br/>waiting"]:::open\n'
        '  w1["kid-0<br/>ship@1<br/>completed"]:::ok\n'
        '  w2["kid-1<br/>ship@1<br/>quarantined"]:::parked\n'
        "  w0 --> w1\n"
        "  w0 --> w2\n"
    )


@pytest.mark.parametrize("hostile", ['"]:::x --> y', "end", "`**`", "#quot;<b>&", "%%{init}%%"])
def test_hostile_names_stay_labels(hostile):
    """Whatever means something to Mermaid is written as a number."""
    story = Story()
    story.task(hostile.replace("/", "|"), 0, 1)
    [line] = [
        line for line in dag_as_mermaid(a_state(), story.entries).splitlines() if "n1[" in line
    ]
    label = line.removeprefix('  n1["').removesuffix('"]:::ok')
    assert not set(label) & set('"<>&`%{}()[]')
