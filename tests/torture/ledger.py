"""The ledger: everything that was ever seen of one database, and what must never come after it.

It is fed after each death with what the life noted (the witness) and with what it left (the
body), and answers with what is wrong. It knows nothing of how the engine works; only its promise:

1. what was acknowledged is there, and what was there stays there, unchanged;
2. one outcome per operation of a run; entries are numbered 0, 1, 2 …;
3. a recorded task never runs again; an unrecorded one runs at most once per life and attempt, so
   at most 1 + deaths times;
4. lives and revisions never go down; what has ended has ended;
5. a record tells of an effect: its body ran to its end before;
6. SQLite's own check and every checksum are content, and the mark is not ahead of the commits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from .body import Body, Record, Row
from .witness import Note, What

TERMINAL = frozenset({"completed", "failed", "cancelled"})


@attrs.frozen
class Plan:
    """What a workflow does if nothing disturbs it.

    Attributes:
        ops: its operations, in order.
        attempts: how many attempts of a task its policy allows; 1 where it is not named.
        end: what ``result`` says at the end.
    """

    ops: tuple[str, ...]
    end: str
    attempts: dict[str, int] = attrs.field(factory=dict)


@attrs.define
class Ledger:
    """Watches one database over all of its lives.

    Attributes:
        plans: by workflow id.
    """

    plans: dict[str, Plan]
    accepted: set[str] = attrs.field(factory=set)
    finished: dict[str, str] = attrs.field(factory=dict)
    _ended: set[tuple[str, str, int]] = attrs.field(factory=set)
    _starts: Counter[tuple[str, str, int]] = attrs.field(factory=Counter)
    _last: Body = attrs.field(factory=Body)
    _deaths: int = 0

    def observe(self, notes: Sequence[Note], body: Body) -> list[str]:
        """Take note of one life and of what it left; return what is wrong with it."""
        wrong = [f"damage: {text}" for text in body.damage]
        outcomes = outcomes_of(body)
        self._ended |= {
            (note.workflow, note.op, note.attempt) for note in notes if note.what is What.ENDED
        }
        wrong += self._check_files(body)
        wrong += self._check_records(body, outcomes)
        wrong += self._check_rows(body)
        wrong += self._check_starts(notes, body, outcomes)
        wrong += self._check_acknowledged(notes, body, outcomes)
        self._last = body
        self._deaths += 1
        return wrong

    def unfinished(self) -> list[str]:
        """Name what was accepted and neither ended nor was visibly parked."""
        rows = self._last.workflows
        settled = TERMINAL | {"quarantined"}
        return [id for id in sorted(self.accepted) if id in rows and rows[id].status not in settled]

    def done(self) -> set[int]:
        """Return the keys of what has ended and was looked at since."""
        return {row.pk for row in self._last.workflows.values() if row.status in TERMINAL}

    @property
    def body(self) -> Body:
        """What the last life left."""
        return self._last

    # -- what is stored -----------------------------------------------------------------------------

    def _check_files(self, body: Body) -> list[str]:
        wrong = []
        if body.mark > body.commits:
            wrong.append(f"{body.mark} commits were acknowledged, {body.commits} are there")
        if body.commits < self._last.commits or body.epoch < self._last.epoch:
            wrong.append("commits or epoch went down")
        return wrong

    def _check_records(self, body: Body, outcomes: dict[tuple[str, str], Record]) -> list[str]:
        wrong = []
        for position, record in self._last.records.items():
            if body.records.get(position) != record:
                wrong.append(f"a record is gone, or changed: {record}")
        numbers: dict[tuple[str, int], int] = {}
        seen: set[tuple[str, int, str]] = set()
        for _, record in sorted(body.records.items()):
            run = (record.workflow, record.run)
            if record.n != numbers.get(run, -1) + 1:
                wrong.append(f"the journal has a gap before {record}")
            numbers[run] = record.n
            if record.kind == "end" and not self._is_right(record):
                wrong.append(f"a wrong result is stored: {record}")
            if (*run, record.op) in seen:
                wrong.append(f"two outcomes of one operation: {record}")
            seen.add((*run, record.op))
        for (workflow, op), record in outcomes.items():
            if record.kind == "task" and (workflow, op, record.attempt) not in self._ended:
                wrong.append(f"recorded without having run to its end: {record}")
        return wrong

    def _is_right(self, end: Record) -> bool:
        wanted = self.plans[end.workflow].end
        if end.status != "ok":
            return end.status == wanted
        return end.value is not None and end.value.decode() == wanted

    def _check_rows(self, body: Body) -> list[str]:
        wrong = []
        for id, before in self._last.workflows.items():
            after = body.workflows.get(id)
            if after is None:
                wrong.append(f"{id} is gone")
            elif went_back(before, after):
                wrong.append(f"{id} went back from {before} to {after}")
        return wrong

    # -- what was done ------------------------------------------------------------------------------

    def _check_starts(
        self, notes: Sequence[Note], body: Body, outcomes: dict[tuple[str, str], Record]
    ) -> list[str]:
        wrong = []
        known = outcomes_of(self._last)
        here: Counter[tuple[str, str, int]] = Counter()
        for note in notes:
            if note.what is not What.STARTED:
                continue
            task, one = (note.workflow, note.op), (note.workflow, note.op, note.attempt)
            here[one] += 1
            self._starts[one] += 1
            if task in known:
                wrong.append(f"ran again after it was recorded: {note}")
            if note.attempt <= self._last.attempts.get(task, 0):
                wrong.append(f"an attempt that had ended was made again: {note}")
            if here[one] > 1:
                wrong.append(f"ran twice in one life: {note}")
            if self._starts[one] > 1 + self._deaths:
                wrong.append(f"ran more than 1 + {self._deaths} times: {note}")
            plan = self.plans.get(note.workflow)
            if plan is None:
                wrong.append(f"ran for a workflow that nobody knows: {note}")
                continue
            if note.attempt > plan.attempts.get(note.op, 1):
                wrong.append(f"more attempts than its policy allows: {note}")
            if note.attempt - 1 > body.attempts.get(task, 0) and task not in outcomes:
                wrong.append(f"acknowledged and lost: the attempt before {note}")
            wrong += [
                f"acknowledged and lost: {op}, before {note}"
                for op in plan.ops[: plan.ops.index(note.op)]
                if (note.workflow, op) not in outcomes
            ]
        return wrong

    def _check_acknowledged(
        self, notes: Sequence[Note], body: Body, outcomes: dict[tuple[str, str], Record]
    ) -> list[str]:
        wrong = []
        for note in notes:
            match note.what:
                case What.ACCEPTED:
                    self.accepted.add(note.workflow)
                case What.FINISHED:
                    before = self.finished.setdefault(note.workflow, note.text)
                    if note.text != before or note.text != self.plans[note.workflow].end:
                        wrong.append(f"a wrong result: {note}, once {before}")
                    row = body.workflows.get(note.workflow)
                    if row is None or row.status not in TERMINAL:
                        wrong.append(f"acknowledged and lost: the end of {note.workflow}")
                case What.STARTED | What.ENDED | What.OPENED:
                    pass
        wrong += [
            f"acknowledged and lost: the start of {id}"
            for id in self.accepted
            if id not in body.workflows
        ]
        return wrong


def outcomes_of(body: Body) -> dict[tuple[str, str], Record]:
    """Return what has an outcome in its workflow's present run, by workflow and operation."""
    runs = {id: row.run for id, row in body.workflows.items()}
    return {
        (record.workflow, record.op): record
        for record in body.records.values()
        if record.run == runs.get(record.workflow)
    }


def went_back(before: Row, after: Row) -> bool:
    """Tell whether something that only grows has shrunk, or an end has been undone."""
    if before.status in TERMINAL:
        return after != before
    return (
        after.pk != before.pk
        or after.life < before.life
        or after.revision < before.revision
        or after.run < before.run
        # The revision counts changes of the row: another row has another one.
        or (after.revision == before.revision and after != before)
    )
