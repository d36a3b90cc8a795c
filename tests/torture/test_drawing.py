"""Pictures of what random programs have recorded, as they are drawn of an operator's own."""

from __future__ import annotations

import logging
import random
import xml.etree.ElementTree as ET

import pytest

from claw_actors import Status, WorkflowState
from claw_actors._core.journal import EntryKind
from claw_actors.drawing import (
    BarState,
    dag_as_mermaid,
    timeline_as_svg,
    timeline_as_text,
    timeline_of,
)
from claw_actors.storage.codec import Codec
from claw_actors.storage.history import history_of

from .programs import UNDOING, Life, Maker

STATE = WorkflowState(id="a", name="program", status=Status.COMPLETED, created_at=0, completed_at=1)


@pytest.fixture(autouse=True)
def quiet():
    """Programs crash and are cancelled; nobody reads what is logged about that."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", range(700, 712))
def test_whatever_a_program_does_can_be_drawn(seed):
    """Each entry once, and each operation that counts, with its nurseries around it."""
    maker = Maker(random.Random(seed), UNDOING)
    life = Life(maker.body(), seed, plan=maker.make_plan(), closes=0.3, pauses=0.3).run()
    history = [history_of(Codec(), "a", 1, entry) for entry in life.journal]
    timeline = timeline_of(STATE, history, now=life.journal[-1].at)
    silent = {EntryKind.START, EntryKind.END, EntryKind.RESUME, EntryKind.CHILD_END}
    assert len(timeline.bars) == sum(entry.kind not in silent for entry in life.journal)
    tasks = [entry.op for entry in history if entry.kind is EntryKind.TASK]
    text = timeline_as_text(timeline)
    assert all(op.rpartition("/")[2] in text for op in tasks)
    ET.fromstring(timeline_as_svg(timeline))
    diagram = dag_as_mermaid(STATE, history)
    voided = sum(bar.state is BarState.VOID for bar in timeline.bars)
    asked = {EntryKind.TASK, EntryKind.TIMER, EntryKind.TIMEOUT, EntryKind.SEND, EntryKind.CHILD}
    assert diagram.count(":::") - 1 + voided >= sum(one.kind in asked for one in history)
