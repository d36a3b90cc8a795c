"""The ledger objects to every breach of the promise: it is fed forged lives, one breach each."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from .body import Body, Record, Row
from .ledger import Ledger, Plan
from .witness import Note, What

pytestmark = pytest.mark.slow

PLANS = {"w": Plan(("step", "step#2"), end="7", attempts={"step#2": 2})}


def a_record(n: int, op: str, kind: str = "task", **more: object) -> Record:
    return attrs.evolve(Record("w", 1, n, op, kind, "ok", 1, int(kind == "task"), 0), **more)


@attrs.define
class Story:
    """Two lives of one workflow, killed between them; true until something is changed."""

    notes_1: list[Note] = attrs.field(
        factory=lambda: [
            Note(0, What.OPENED),
            Note(0, What.ACCEPTED, "w"),
            Note(0, What.STARTED, "w", "step", 1),
            Note(0, What.ENDED, "w", "step", 1),
            Note(0, What.STARTED, "w", "step#2", 1),
            Note(0, What.ENDED, "w", "step#2", 1),
        ]
    )
    body_1: Body = attrs.field(
        factory=lambda: Body(
            workflows={"w": Row(1, "running", 1, 1, 1, 0)},
            records={1: a_record(0, "", "start"), 2: a_record(1, "step")},
            attempts={("w", "step#2"): 1},
            commits=3,
            epoch=1,
            mark=3,
        )
    )
    notes_2: list[Note] = attrs.field(
        factory=lambda: [
            Note(1, What.OPENED),
            Note(1, What.STARTED, "w", "step#2", 2),
            Note(1, What.ENDED, "w", "step#2", 2),
            Note(1, What.FINISHED, "w", text="7"),
        ]
    )
    body_2: Body = attrs.field(
        factory=lambda: Body(
            workflows={"w": Row(1, "completed", 2, 3, 1, 0)},
            records={
                1: a_record(0, "", "start"),
                2: a_record(1, "step"),
                3: a_record(2, "step#2", life=2, attempt=2),
                4: a_record(3, "end", "end", life=2, value=b"7"),
            },
            commits=6,
            epoch=2,
            mark=6,
        )
    )

    def tell(self) -> list[str]:
        """Return what the ledger has to say."""
        ledger = Ledger(PLANS)
        wrong = ledger.observe(self.notes_1, self.body_1)
        wrong += ledger.observe(self.notes_2, self.body_2)
        return wrong + [f"unfinished: {id}" for id in ledger.unfinished()]


def test_a_true_story_is_believed():
    """Nothing is wrong with two lives of which the second goes on where the first was killed."""
    assert Story().tell() == []


def started(process: int, op: str, attempt: int = 1) -> Note:
    return Note(process, What.STARTED, "w", op, attempt)


def with_row(body: Body, **changes: object) -> None:
    body.workflows["w"] = attrs.evolve(body.workflows["w"], **changes)


FORGERIES: dict[str, tuple[Callable[[Story], object], str]] = {
    "a recorded task runs again": (
        lambda story: story.notes_2.append(started(1, "step")),
        "ran again after it was recorded",
    ),
    "a body runs twice in one life": (
        lambda story: story.notes_1.append(started(0, "step#2")),
        "ran twice in one life",
    ),
    "a body runs more often than its process died": (
        lambda story: story.notes_1.extend([started(0, "step"), started(0, "step")]),
        "ran more than 1 + 0 times",
    ),
    "an attempt that had ended is made again": (
        lambda story: story.notes_2.append(started(1, "step#2", 1)),
        "an attempt that had ended was made again",
    ),
    "there are more attempts than allowed": (
        lambda story: story.notes_1.append(started(0, "step", 2)),
        "more attempts than its policy allows",
    ),
    "an attempt that had ended is forgotten": (
        lambda story: (
            story.body_2.records.pop(3),
            story.body_2.records.pop(4),
            with_row(story.body_2, status="running"),
        ),
        "acknowledged and lost: the attempt before",
    ),
    "an acknowledged outcome was never stored": (
        lambda story: story.body_1.records.pop(2),
        "acknowledged and lost: step, before",
    ),
    "a record disappears": (
        lambda story: story.body_2.records.pop(2),
        "a record is gone, or changed",
    ),
    "a record changes": (
        lambda story: story.body_2.records.update({2: a_record(1, "step", crc=1)}),
        "a record is gone, or changed",
    ),
    "an accepted workflow was never stored": (
        lambda story: story.notes_1.append(Note(0, What.ACCEPTED, "other")),
        "acknowledged and lost: the start of other",
    ),
    "a workflow disappears": (lambda story: story.body_2.workflows.pop("w"), "w is gone"),
    "an acknowledged end was never stored": (
        lambda story: with_row(story.body_2, status="running"),
        "acknowledged and lost: the end of w",
    ),
    "a result is wrong": (
        lambda story: story.notes_2.append(Note(1, What.FINISHED, "w", text="8")),
        "a wrong result",
    ),
    "a stored result is wrong": (
        lambda story: story.body_2.records.update({4: a_record(3, "end", "end", value=b"8")}),
        "a wrong result is stored",
    ),
    "an operation has two outcomes": (
        lambda story: story.body_1.records.update({5: a_record(2, "step")}),
        "two outcomes of one operation",
    ),
    "a number is left out": (
        lambda story: story.body_2.records.update({5: a_record(5, "step#3")}),
        "the journal has a gap",
    ),
    "a record tells of an effect that never was": (
        lambda story: story.notes_1.remove(Note(0, What.ENDED, "w", "step", 1)),
        "recorded without having run to its end",
    ),
    "a life goes down": (lambda story: with_row(story.body_2, life=0), "went back"),
    "a row changes behind its revision": (
        lambda story: with_row(story.body_2, revision=1),
        "went back",
    ),
    "an end is undone": (
        lambda story: with_row(story.body_1, status="cancelled"),
        "went back",
    ),
    "the mark is ahead": (
        lambda story: setattr(story, "body_2", attrs.evolve(story.body_2, mark=7)),
        "7 commits were acknowledged, 6 are there",
    ),
    "commits go down": (
        lambda story: setattr(story, "body_2", attrs.evolve(story.body_2, commits=2, mark=2)),
        "commits or epoch went down",
    ),
    "something is damaged": (
        lambda story: setattr(story, "body_2", attrs.evolve(story.body_2, damage=("page 3",))),
        "damage: page 3",
    ),
    "somebody unknown runs": (
        lambda story: story.notes_1.append(Note(0, What.STARTED, "nobody", "step", 1)),
        "ran for a workflow that nobody knows",
    ),
    "an accepted workflow stays where it is": (
        lambda story: (story.notes_2.pop(), with_row(story.body_2, status="pending")),
        "unfinished: w",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_objected_to(name):
    """Each breach is called by its name."""
    forge, objection = FORGERIES[name]
    story = Story()
    forge(story)
    assert any(objection in text for text in story.tell()), story.tell()
