"""Negative controls of the conformance suite: each mistake fails the case that is there for it.

Every class here is the memory backend with one mistake. A suite that lets one of them pass
proves nothing.
"""

from __future__ import annotations

import contextlib
import re
import threading
import unicodedata
from pathlib import Path

import attrs
import pytest

from claw_actors._core.journal import EntryKind, effective
from claw_actors._core.lifecycle import TERMINAL, UNFINISHED, Event, Status
from claw_actors.errors import (
    ClawError,
    DuplicateKeyError,
    NotFoundError,
    StaleWriteError,
    WorkflowClosedError,
)
from claw_actors.storage import family
from claw_actors.storage.memory import MemoryStorage, removal, transaction
from claw_actors.storage.memory.journal import Journal
from claw_actors.storage.memory.keys import Keys
from claw_actors.storage.memory.table import Table
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Claim,
    Claimed,
    Create,
    Created,
    Delete,
    Forget,
    Saved,
    SaveTask,
    SaveWorkflow,
    Send,
    Sent,
    Steer,
    Steered,
    Transact,
    Transacted,
    Trim,
    Trimmed,
)
from claw_actors.storage.records import JournalPage, Loaded, RowChange
from claw_actors.testing import conformance


class Translating(MemoryStorage):
    """Commits something else than it was told."""

    def translate(self, operation):
        return operation

    def commit(self, group):
        return super().commit([self.translate(operation) for operation in group])


# -- writes -------------------------------------------------------------------------------------


class IgnoresLife(Translating):
    def translate(self, operation):
        record = self._table.get(getattr(operation, "pk", 0))
        if isinstance(operation, Advance) and record is not None:
            return attrs.evolve(operation, life=record.row.life)
        return operation


class IgnoresExpectedNumber(Translating):
    def translate(self, operation):
        if isinstance(operation, Advance):
            return attrs.evolve(operation, expect_n=None)
        return operation


class TouchesRowOnProgress(Translating):
    def translate(self, operation):
        if isinstance(operation, Advance) and operation.change is None:
            return attrs.evolve(operation, change=RowChange())
        return operation


class KeepsClosedWork(Translating):
    def translate(self, operation):
        return attrs.evolve(operation, closed=()) if isinstance(operation, Advance) else operation


class ForgetsDetails(Translating):
    def translate(self, operation):
        if isinstance(operation, SaveTask) and operation.opened is not None:
            return attrs.evolve(operation, opened=attrs.evolve(operation.opened, details=None))
        return operation


class RunsAndForgets(MemoryStorage):
    """Says that it is transactional, and records nothing."""

    transactional = True

    def commit(self, group):
        results = []
        for one in group:
            if isinstance(one, Transact):
                [entry] = one.advance.entries
                results.append(Transacted(attrs.evolve(entry, n=1, value=one.run(None))))
            else:
                results += super().commit([one])
        return results


class RunsBeforeItLooks(MemoryStorage):
    """Calls the function, and refuses it then."""

    def commit(self, group):
        for one in group:
            if isinstance(one, Transact):
                with contextlib.suppress(ValueError):
                    one.run(None)
        return super().commit(group)


class CountsEveryClaim(Translating):
    def translate(self, operation):
        return attrs.evolve(operation, counted=True) if isinstance(operation, Claim) else operation


class SortsClaims(Translating):
    def translate(self, operation):
        if isinstance(operation, Claim):
            return attrs.evolve(operation, lives=tuple(sorted(operation.lives)))
        return operation


class IgnoresRevision(Translating):
    def translate(self, operation):
        if isinstance(operation, SaveWorkflow) and self._table.has(operation.id):
            revision = self._table.find(operation.id).row.revision
            return attrs.evolve(operation, expect_revision=revision)
        return operation


class DeletesAtOnce(Translating):
    def translate(self, operation):
        return attrs.evolve(operation, limit=10**9) if isinstance(operation, Delete) else operation


class FoldsText(Translating):
    def translate(self, operation):
        if isinstance(operation, Create):
            name = unicodedata.normalize("NFC", operation.row.name)
            return attrs.evolve(operation, row=attrs.evolve(operation.row, name=name))
        return operation


class TakesEmptyForNothing(Translating):
    def translate(self, operation):
        if isinstance(operation, Create):
            entries = [
                attrs.evolve(entry, value=entry.value or None) for entry in operation.entries
            ]
            return attrs.evolve(operation, entries=tuple(entries))
        return operation


class RoundsTimes(Translating):
    def translate(self, operation):
        if isinstance(operation, Create):
            row = attrs.evolve(operation.row, created_at=round(operation.row.created_at, 6))
            return attrs.evolve(operation, row=row)
        return operation


class ChangesItsArguments(MemoryStorage):
    def commit(self, group):
        results = super().commit(group)
        group.clear()
        return results


class AnswersInReverse(MemoryStorage):
    def commit(self, group):
        return super().commit(group)[::-1]


class Answering(MemoryStorage):
    """Answers single operations itself."""

    def commit(self, group):
        return [self.answer(operation) for operation in group]

    def answer(self, operation):
        [result] = super().commit([operation])
        return result


class DoesHalfAnAtomic(Answering):
    def answer(self, operation):
        if not isinstance(operation, Atomic):
            return super().answer(operation)
        results = [super(DoesHalfAnAtomic, self).answer(part) for part in operation.operations]
        refusals = [result for result in results if isinstance(result, ClawError)]
        return refusals[0] if refusals else tuple(results)


class FailsTogether(MemoryStorage):
    def commit(self, group):
        trial = self.snapshot()
        trial.open()
        refusals = [one for one in trial.commit(group) if isinstance(one, ClawError)]
        return [refusals[0] for _ in group] if refusals else super().commit(group)


class OverwritesOutcomes(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, SaveTask) and isinstance(result, StaleWriteError):
            return Saved(self.get_workflow(operation.workflow_id).row.revision)
        return result


class RecordsAgain(Answering):
    def answer(self, operation):
        if isinstance(operation, SaveTask) and operation.entry is not None:
            row = self.get_workflow(operation.workflow_id).row
            super().answer(Advance(row.pk, operation.workflow_id, row.life, (operation.entry,)))
            return Saved(row.revision)
        return super().answer(operation)


class WakesNobody(Answering):
    def answer(self, operation):
        if not isinstance(operation, Send) or not self._table.has(operation.id):
            return super().answer(operation)
        row = self._table.find(operation.id).row
        if row.status in TERMINAL:
            return WorkflowClosedError(operation.id, row.status)
        advance = Advance(row.pk, operation.id, row.life, (operation.entry,))
        return Sent(row.pk, super().answer(advance).n)


class ForgetsKeys(Translating):
    def translate(self, operation):
        return attrs.evolve(operation, key=None) if isinstance(operation, Send) else operation


class FoldsKeys(Translating):
    def translate(self, operation):
        if isinstance(operation, Send) and operation.key is not None:
            return attrs.evolve(operation, key=operation.key.casefold())
        return operation


class SharesKeys(Answering):
    def __init__(self):
        super().__init__()
        self._seen = set()

    def answer(self, operation):
        if not isinstance(operation, Send) or operation.key is None:
            return super().answer(operation)
        if operation.key in self._seen:
            return Sent(self._table.find(operation.id).row.pk, 0, duplicate=True)
        self._seen.add(operation.key)
        return super().answer(operation)


class TakesKeysOfTheRefused(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Send) and operation.key and self._table.has(operation.id):
            record = self._table.find(operation.id)
            if operation.key not in record.keys:
                keys = record.keys.add(operation.key)
                self._table.put(record.row.pk, attrs.evolve(record, keys=keys))
        return result


class RefusesDuplicatesAtTheEnd(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(result, Sent) and result.duplicate:
            row = self._table.find(operation.id).row
            if row.status in TERMINAL:
                return WorkflowClosedError(operation.id, row.status)
        return result


class WakesForDuplicates(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(result, Sent) and result.duplicate:
            row = self._table.find(operation.id).row
            change = RowChange(wake_at=operation.entry.at)
            super().answer(Advance(row.pk, operation.id, row.life, change=change))
        return result


class ForgetsKeysWhenClosed(MemoryStorage):
    def close(self, *, clean=True):
        super().close(clean=clean)
        for record in list(self._table.newest_first(None)):
            self._table.put(record.row.pk, attrs.evolve(record, keys=Keys()))


class KeepsKeysOfTheDeleted(Answering):
    def __init__(self):
        super().__init__()
        self._deleted = {}

    def answer(self, operation):
        if isinstance(operation, Delete) and self._table.has(operation.id):
            self._deleted[operation.id] = self._table.find(operation.id).keys
        result = super().answer(operation)
        if isinstance(operation, Create) and operation.row.id in self._deleted:
            record = self._table.find(operation.row.id)
            keys = self._deleted[operation.row.id]
            self._table.put(record.row.pk, attrs.evolve(record, keys=keys))
        return result


class OverwritesPauses(Translating):
    def translate(self, operation):
        record = self._table.get(getattr(operation, "pk", 0))
        if isinstance(operation, Advance) and record is not None and operation.change:
            change = operation.change.apply(record.row)
            row = attrs.evolve(record.row, status=change.status)
            self._table.put(record.row.pk, attrs.evolve(record, row=row))
        return operation


class PausesOnlyTheFirst(Answering):
    def answer(self, operation):
        if isinstance(operation, Steer):
            children = self._table._children
            self._table._children = {}
            try:
                return super().answer(operation)
            finally:
                self._table._children = children
        return super().answer(operation)


class PausesTheAbandoned(Answering):
    def answer(self, operation):
        if isinstance(operation, Steer):
            for record in list(self._table.newest_first(None)):
                row = attrs.evolve(record.row, on_close="wait")
                self._table.put(record.row.pk, attrs.evolve(record, row=row))
        return super().answer(operation)


class PausesAgain(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(result, Steered) and not result.changed:
            row = self._table.find(operation.id).row
            super().answer(Advance(row.pk, operation.id, row.life, (operation.entry,)))
        return result


class EndsInTheSameLife(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(result, Steered) and operation.event is Event.TERMINATE:
            record = self._table.find(operation.id)
            row = attrs.evolve(record.row, life=record.row.life - 1)
            self._table.put(row.pk, attrs.evolve(record, row=row))
        return result


class ContinuesTheJournal(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Advance) and operation.continued and isinstance(result, Advanced):
            record = self._table.get(operation.pk)
            journal = Journal.of(
                tuple(attrs.evolve(one, n=n + 1) for n, one in enumerate(record.entries))
            )
            self._table.put(operation.pk, attrs.evolve(record, journal=journal))
        return result


class ForgetsWithTheRun(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Advance) and operation.continued and isinstance(result, Advanced):
            record = self._table.get(operation.pk)
            self._table.put(operation.pk, attrs.evolve(record, keys=Keys(), values={}))
        return result


class ContinuesInTheSameLife(Translating):
    def translate(self, operation):
        if isinstance(operation, Advance) and operation.continued:
            change = attrs.evolve(operation.change, life=operation.life)
            return attrs.evolve(operation, change=change)
        return operation


class TrimsForEver(Answering):
    def answer(self, operation):
        return Trimmed(done=False) if isinstance(operation, Trim) else super().answer(operation)


class SendsNothingAlong(Answering):
    def answer(self, operation):
        if not isinstance(operation, Advance) or not operation.sends:
            return super().answer(operation)
        n = super().answer(attrs.evolve(operation, sends=())).n
        return Advanced(
            n, tuple(Sent(self._table.find(one.id).row.pk, 1) for one in operation.sends)
        )


class SendsAlong(Answering):
    """Does what is sent along by operations of its own."""

    def answer(self, operation):
        if not isinstance(operation, Advance) or not operation.sends:
            return super().answer(operation)
        return self.advance(operation)

    def advance(self, operation):
        answered = self.progress(operation)
        if isinstance(answered, ClawError):
            return answered
        sent = tuple(self.answer(send) for send in operation.sends)
        return Advanced(answered.n, sent)

    def progress(self, operation):
        return super().answer(attrs.evolve(operation, sends=()))


class RecordsEveryMessageAsTaken(SendsAlong):
    pass


class SendsFirst(SendsAlong):
    def advance(self, operation):
        sent = tuple(self.answer(send) for send in operation.sends)
        refusals = [one if isinstance(one, ClawError) else None for one in sent]
        entries = operation.recorded(refusals)
        answered = self.progress(attrs.evolve(operation, entries=entries))
        return answered if isinstance(answered, ClawError) else Advanced(answered.n, sent)


class SendsBehindTheGroup(MemoryStorage):
    def commit(self, group):
        results = super().commit(
            [attrs.evolve(one, sends=()) if isinstance(one, Advance) else one for one in group]
        )
        return [
            attrs.evolve(result, sent=tuple(super(SendsBehindTheGroup, self).commit(one.sends)))
            if isinstance(one, Advance) and isinstance(result, Advanced)
            else result
            for one, result in zip(group, results, strict=True)
        ]


class SendsInReverse(SendsAlong):
    def advance(self, operation):
        answered = self.progress(operation)
        if isinstance(answered, ClawError):
            return answered
        sent = [self.answer(send) for send in operation.sends[::-1]]
        return Advanced(answered.n, tuple(sent[::-1]))


class RefusesWithItsMessages(Answering):
    def answer(self, operation):
        if isinstance(operation, Advance) and operation.sends:
            trial = self.snapshot()
            trial.open()
            [result] = trial.commit([operation])
            if isinstance(result, Advanced) and any(result.refusals):
                return next(one for one in result.refusals if one is not None)
        return super().answer(operation)


class SendsAlongWithoutKeys(Translating):
    def translate(self, operation):
        if not isinstance(operation, Advance):
            return operation
        sends = tuple(attrs.evolve(send, key=None) for send in operation.sends)
        return attrs.evolve(operation, sends=sends)


class SendsAlongToTheSleeping(SendsAlong):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Advance) and isinstance(result, Advanced):
            for send, sent in zip(operation.sends, result.sent, strict=True):
                if isinstance(sent, Sent) and sent.pk != operation.pk:
                    change = RowChange(wake_at=9_000.0)
                    life = self._table.find(send.id).row.life
                    super().answer(Advance(sent.pk, send.id, life, change=change))
        return result


class CountsItsOwnMessages(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Advance) and operation.sends and isinstance(result, Advanced):
            return attrs.evolve(result, n=self._table.get(operation.pk).last_n)
        return result


class StartsNoChildren(Answering):
    def answer(self, operation):
        if not isinstance(operation, Advance) or not operation.children:
            return super().answer(operation)
        answer = super().answer(attrs.evolve(operation, children=()))
        children = tuple(Created(99 + n, 0) for n in range(len(operation.children)))
        return attrs.evolve(answer, children=children)


class StartsChildren(Answering):
    """Starts children by operations of their own."""

    def answer(self, operation):
        if not isinstance(operation, Advance) or not operation.children:
            return super().answer(operation)
        children = tuple(super(StartsChildren, self).answer(one) for one in operation.children)
        answer = super().answer(attrs.evolve(operation, children=()))
        return attrs.evolve(answer, children=children) if isinstance(answer, Advanced) else answer


class StartsChildrenInReverse(Answering):
    def answer(self, operation):
        if not isinstance(operation, Advance) or not operation.children:
            return super().answer(operation)
        answer = super().answer(attrs.evolve(operation, children=operation.children[::-1]))
        return attrs.evolve(answer, children=answer.children[::-1])


class ForgetsParents(Translating):
    def translate(self, operation):
        if not isinstance(operation, Advance):
            return operation
        return attrs.evolve(operation, children=tuple(map(self.orphaned, operation.children)))

    def orphaned(self, create):
        return attrs.evolve(create, row=attrs.evolve(create.row, parent=None))


class Judging(MemoryStorage):
    """Judges otherwise what binds a child to its parent: by functions of these names."""

    def commit(self, group):
        names = {name for name, one in vars(type(self)).items() if isinstance(one, staticmethod)}
        ours = {name: getattr(self, name) for name in names}
        kept = {name: getattr(transaction, name) for name in ours}
        try:
            vars(transaction).update(ours)
            return super().commit(group)
        finally:
            vars(transaction).update(kept)


class TakesAnyoneForTheChild(Judging):
    @staticmethod
    def differences(*_):
        return []


class TakesNobodyForTheChild(Judging):
    @staticmethod
    def differences(*_):
        return ["parent"]


class IgnoresWhoStartedTheChild(Judging):
    @staticmethod
    def differences(create, row, start, _):
        return family.differences(create, row, start, True)


class TellsNobody(Judging):
    @staticmethod
    def end_of_child(*_):
        return None


class TellsTheDeaf(Judging):
    @staticmethod
    def hears(*_):
        return True


class TellsOnlyWhatRuns(Judging):
    @staticmethod
    def hears(parent, _):
        return parent.status in UNFINISHED


class TellsOfEveryEnd(Judging):
    @staticmethod
    def end_of_child(row, entries):
        ended = attrs.evolve(row, parent_op="k-one/x", status=Status.COMPLETED)
        return family.end_of_child(ended, entries)

    @staticmethod
    def hears(*_):
        return True


class TellsNoErrors(Judging):
    @staticmethod
    def end_of_child(row, entries):
        return family.end_of_child(row, [attrs.evolve(entry, value=None) for entry in entries])


class ReportsToTheSleeping(Judging):
    @staticmethod
    def _made_due(record, _):
        return record


class SaysNothingOfTheStuck(Judging):
    @staticmethod
    def is_told_of_quarantine(*_):
        return False


class SaysItForEver(Judging):
    @staticmethod
    def is_told_of_quarantine(_, after):
        return family.is_stuck(after)


class SaysItOfEveryParent(Judging):
    @staticmethod
    def reason_of_parent(parent, stuck):
        return family.reason_of_parent(attrs.evolve(parent, status=Status.RUNNING), stuck)


class TellsOfRefusedEnds(Answering):
    def answer(self, operation):
        if isinstance(operation, Advance) and operation.change is not None:
            record = self._table.get(operation.pk)
            return super().answer(attrs.evolve(operation, life=record.row.life, expect_n=None))
        return super().answer(operation)


class TellsBehindTheGroup(Judging):
    """Puts what is told of ends in front of what was sent before."""

    def commit(self, group):
        ends = [one for one in group if isinstance(one, Advance) and one.change is not None]
        rest = [one for one in group if one not in ends]
        results = {id(one): result for one, result in zip(ends, super().commit(ends), strict=True)}
        results |= {id(one): result for one, result in zip(rest, super().commit(rest), strict=True)}
        return [results[id(one)] for one in group]


class KeepsReasons(Translating):
    def commit(self, group):
        reasons = {
            pk: record.row.reason
            for operation in group
            if isinstance(operation, Claim)
            for pk, _ in operation.lives
            if (record := self._table.get(pk)) is not None
        }
        return [
            attrs.evolve(
                result,
                rows=tuple(attrs.evolve(row, reason=reasons[row.pk]) for row in result.rows),
            )
            if isinstance(result, Claimed)
            else result
            for result in super().commit(group)
        ]


class KeepsFirstValues(Translating):
    def translate(self, operation):
        if isinstance(operation, Advance) and self._table.get(operation.pk) is not None:
            there = self._table.get(operation.pk).values
            values = tuple(pair for pair in operation.values if pair[0] not in there)
            return attrs.evolve(operation, values=values)
        return operation


class FoldsKeysOfValues(Translating):
    def translate(self, operation):
        if isinstance(operation, Advance):
            values = tuple((key.casefold(), value) for key, value in operation.values)
            return attrs.evolve(operation, values=values)
        return operation


class SetsThoughRefused(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Advance) and isinstance(result, StaleWriteError):
            life = self._table.get(operation.pk).row.life
            late = attrs.evolve(operation, life=life, entries=(), expect_n=None)
            super().answer(late)
        return result


class ListsValuesAsSet(MemoryStorage):
    def list_values(self, workflow_id):
        super().list_values(workflow_id)
        return list(self._table.find(workflow_id).values.values())


class HidesValuesAtTheEnd(MemoryStorage):
    def get_value(self, workflow_id, key):
        value = super().get_value(workflow_id, key)
        return None if self._table.find(workflow_id).row.status in TERMINAL else value


class SharesBelongings(MemoryStorage):
    """Has one place for the values and the dead letters of all."""

    def list_values(self, workflow_id):
        super().list_values(workflow_id)
        values = {}
        for record in self._table.oldest_first(0):
            values.update(record.values)
        return [values[key] for key in sorted(values)]

    def get_value(self, workflow_id, key):
        return {one.key: one.value for one in self.list_values(workflow_id)}.get(key)

    def list_dead_letters(self, workflow_id, after, limit):
        super().list_dead_letters(workflow_id, after, limit)
        letters = [one for record in self._table.oldest_first(0) for one in record.dead_letters]
        return [attrs.evolve(one, seq=n) for n, one in enumerate(letters, start=1)][after:][:limit]


class InheritsBelongings(Answering):
    """Gives a namesake what the late one had."""

    def __init__(self):
        super().__init__()
        self._late = {}

    def answer(self, operation):
        if isinstance(operation, Delete) and self._table.has(operation.id):
            self._late[operation.id] = self._table.find(operation.id)
        result = super().answer(operation)
        if isinstance(operation, Create) and (late := self._late.get(operation.row.id)):
            record = self._table.find(operation.row.id)
            record = attrs.evolve(record, values=late.values, dead_letters=late.dead_letters)
            self._table.put(record.row.pk, record)
        return result


class HasNothingOfNobody(MemoryStorage):
    def get_value(self, workflow_id, key):
        return super().get_value(workflow_id, key) if self._table.has(workflow_id) else None

    def list_values(self, workflow_id):
        return super().list_values(workflow_id) if self._table.has(workflow_id) else []

    def list_dead_letters(self, workflow_id, after, limit):
        if not self._table.has(workflow_id):
            return []
        return super().list_dead_letters(workflow_id, after, limit)


class HidesWhatWasVoided(MemoryStorage):
    def read_journal(self, workflow_id, after, limit):
        page = super().read_journal(workflow_id, after, limit)
        return attrs.evolve(page, entries=tuple(effective(page.entries)))


class RepeatsTheLastEntry(MemoryStorage):
    def read_journal(self, workflow_id, after, limit):
        return super().read_journal(workflow_id, (after[0], max(after[1] - 1, 0)), limit)


class StopsAtLargeValues(MemoryStorage):
    def read_journal(self, workflow_id, after, limit):
        page = super().read_journal(workflow_id, after, limit)
        return attrs.evolve(page, entries=() if after[1] else page.entries[:3])


class TakesRunsForOne(MemoryStorage):
    def read_journal(self, workflow_id, after, limit):
        later = (after[0] + 1, after[1]) if after[0] else after
        return super().read_journal(workflow_id, later, limit)


class HasAJournalOfNobody(MemoryStorage):
    def read_journal(self, workflow_id, after, limit):
        if not self._table.has(workflow_id):
            return JournalPage(1, ())
        return super().read_journal(workflow_id, after, limit)


class DropsSameLetters(Translating):
    def translate(self, operation):
        if not isinstance(operation, Advance) or self._table.get(operation.pk) is None:
            return operation
        there = {one.topic for one in self._table.get(operation.pk).dead_letters}
        fresh = tuple(one for one in operation.dead_letters if one.topic not in there)
        return attrs.evolve(operation, dead_letters=fresh)


class TakesNoPayloadForEmpty(Translating):
    def translate(self, operation):
        if not isinstance(operation, Advance):
            return operation
        letters = [attrs.evolve(one, payload=one.payload or b"") for one in operation.dead_letters]
        return attrs.evolve(operation, dead_letters=tuple(letters))


class TakesAfterForFrom(MemoryStorage):
    def list_dead_letters(self, workflow_id, after, limit):
        return super().list_dead_letters(workflow_id, max(after - 1, 0), limit)


class TakesNumbersOfLetters(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(operation, Advance) and isinstance(result, Advanced):
            record = self._table.get(operation.pk)
            kept = record.dead_letters[: len(record.dead_letters) - len(operation.dead_letters)]
            letters = (*kept, *operation.dead_letters)
            self._table.put(operation.pk, attrs.evolve(record, dead_letters=letters))
        return result


class LosesLettersWhenAbandoned(MemoryStorage):
    def abandon(self):
        super().abandon()
        for record in list(self._table.newest_first(None)):
            self._table.put(record.row.pk, attrs.evolve(record, dead_letters=()))


class SendsToTheDead(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(result, WorkflowClosedError):
            return Sent(self._table.find(operation.id).row.pk, 1)
        return result


class ReplacesDuplicates(Answering):
    def answer(self, operation):
        result = super().answer(operation)
        if isinstance(result, DuplicateKeyError):
            super().answer(Delete(operation.row.id))
            return super().answer(operation)
        return result


# -- state --------------------------------------------------------------------------------------


class WithTable(MemoryStorage):
    """Has another table."""

    table = Table

    def __init__(self):
        super().__init__()
        self._table = self.table()


class ReusesKeys(WithTable):
    class table(Table):  # noqa: N801
        def next_pk(self):
            return max(self._order, default=0) + 1


class AdoptsByName(WithTable):
    class table(Table):  # noqa: N801
        def row(self, record):
            return record.row


class AdoptsTheChildrenOfOthers(WithTable):
    class table(Table):  # noqa: N801
        def get_visible(self, pk):
            found = super().get_visible(pk)
            if found is None and self.has("one"):
                return self.find("one")
            return found


class ShowsTombstones(MemoryStorage):
    def load(self, pks):
        half = [self._table.get(pk) for pk in self._table.half_deleted()]
        rest = [
            Loaded(row=record.row, entries=(), open_tasks=())
            for record in half
            if record.row.pk in pks
        ]
        return [*super().load(pks), *rest]


class ForgetsTombstones(MemoryStorage):
    def open(self):
        return attrs.evolve(super().open(), unfinished_deletes=())


class IsAlwaysClean(MemoryStorage):
    def open(self):
        return attrs.evolve(super().open(), clean=True)


class ForgetsWhenAbandoned(MemoryStorage):
    def abandon(self):
        super().abandon()
        self._table = Table()


class LetsAnyoneIn(MemoryStorage):
    def open(self):
        self.close()
        return super().open()


class LosesLabelsWhenTidied(MemoryStorage):
    def tidy(self):
        for item in self.list_workflows(WorkflowFilter()).items:
            change = RowChange(metadata={})
            self.commit([SaveWorkflow(item.row.id, item.row.revision, change)])


# -- reads --------------------------------------------------------------------------------------


class EndsThoughVoided(MemoryStorage):
    def get_workflow(self, id):
        stored = super().get_workflow(id)
        [loaded] = self.load([stored.row.pk])
        ends = [entry for entry in loaded.entries if entry.kind is EntryKind.END]
        return attrs.evolve(stored, end=ends[-1] if ends else None)


class ShowsVoidedTasks(MemoryStorage):
    def read_tasks(self, workflow_id, op=None):
        _, work = super().read_tasks(workflow_id, op)
        [loaded] = self.load([super().get_workflow(workflow_id).row.pk])
        tasks = [entry for entry in loaded.entries if entry.kind is EntryKind.TASK]
        return [entry for entry in tasks if op in (None, entry.op)], work


class SortsRows(MemoryStorage):
    def read_rows(self, ids):
        return super().read_rows(sorted(ids))


class SortsLoads(MemoryStorage):
    def load(self, pks):
        return super().load(sorted(pks))


class Searching(MemoryStorage):
    """Looks for something else than it was asked for."""

    def translate(self, query):
        return query

    def list_workflows(self, query):
        return super().list_workflows(self.translate(query))


class IncludesTheEndOfWindows(Searching):
    def translate(self, query):
        if query.created_before is None:
            return query
        return attrs.evolve(query, created_before=query.created_before + 1e-6)


class TakesNoneOfForAny(Searching):
    def translate(self, query):
        return attrs.evolve(query, status=query.status or None, name=query.name or None)


class LooksAtOneLabel(Searching):
    def translate(self, query):
        return attrs.evolve(query, metadata=dict(list(query.metadata.items())[:1]))


class TakesPrefixesForPatterns(Searching):
    def list_workflows(self, query):
        if query.id_prefix is None:
            return super().list_workflows(query)
        pattern = re.escape(query.id_prefix).replace("_", ".").replace("%", ".*")
        everything = super().list_workflows(attrs.evolve(query, id_prefix=None))
        items = [item for item in everything.items if re.match(pattern, item.row.id, re.IGNORECASE)]
        return attrs.evolve(everything, items=tuple(items), total=len(items))


class CountsThePage(MemoryStorage):
    def list_workflows(self, query):
        listing = super().list_workflows(query)
        return attrs.evolve(listing, total=listing.total and len(listing.items))


class ListsOldestFirst(MemoryStorage):
    def list_workflows(self, query):
        listing = super().list_workflows(query)
        return attrs.evolve(listing, items=listing.items[::-1])


class TakesCursorsForOffsets(Searching):
    def translate(self, query):
        if query.after is None:
            return query
        return attrs.evolve(query, after=None, offset=query.offset + query.limit)


class AlwaysSaysMore(MemoryStorage):
    def list_workflows(self, query):
        listing = super().list_workflows(query)
        return attrs.evolve(listing, more=len(listing.items) == query.limit)


class ListsPayloadsUnasked(Searching):
    def translate(self, query):
        return attrs.evolve(query, include_payloads=True)


class Counting(MemoryStorage):
    """Counts what it is told to, with all of its rows."""

    def counted(self, rows, counts):
        raise NotImplementedError

    def count_workflows(self):
        counts = super().count_workflows()
        return self.counted([one.row for one in self._table._records.values()], counts)


class CountsHalfDeletedOnes(Counting):
    def counted(self, rows, counts):
        by_status = {status: sum(row.status is status for row in rows) for status in Status}
        return attrs.evolve(counts, by_status=by_status)


class CountsOnlyWhatItHas(Counting):
    def counted(self, rows, counts):
        by_status = {status: count for status, count in counts.by_status.items() if count}
        return attrs.evolve(counts, by_status=by_status)


class CountsOnlyUnfinishedOnes(Counting):
    def counted(self, rows, counts):
        by_status = {
            status: 0 if status in TERMINAL else count for status, count in counts.by_status.items()
        }
        return attrs.evolve(counts, by_status=by_status)


class TakesTheEarliestForTheFirst(Counting):
    def counted(self, rows, counts):
        oldest = {
            status: min(row.created_at for row in rows if row.status is status)
            for status in counts.oldest
        }
        return attrs.evolve(counts, oldest=oldest)


class TakesWhatIsPausedForDue(Counting):
    def counted(self, rows, counts):
        due = [row.wake_at for row in rows if row.id is not None and row.wake_at is not None]
        return attrs.evolve(counts, next_due=min(due, default=None))


class RecoversOnlyWhatIsDue(MemoryStorage):
    def list_unfinished(self, after_pk, due_by, limit):
        page = super().list_unfinished(after_pk, due_by, limit)
        rows = [row for row in page.rows if row.wake_at is None or row.wake_at <= due_by]
        return attrs.evolve(page, rows=tuple(rows))


class SkipsARowPerPage(MemoryStorage):
    def list_unfinished(self, after_pk, due_by, limit):
        page = super().list_unfinished(after_pk, due_by, limit)
        return attrs.evolve(page, last_pk=page.last_pk + 1)


class LosesTies(MemoryStorage):
    def list_wake_times(self, after, limit):
        return super().list_wake_times((after[0], 10**9), limit)


class WaitsSinceItsCreation(MemoryStorage):
    def list_wake_times(self, after, limit):
        return [
            attrs.evolve(one, since=self.get_workflow(one.id).row.created_at)
            for one in super().list_wake_times(after, limit)
        ]


# -- threads ------------------------------------------------------------------------------------


class CommitsOneByOne(MemoryStorage):
    """Shows the first half of a commit, and goes on when somebody has seen it."""

    def __init__(self):
        super().__init__()
        self._read = threading.Semaphore(0)

    def commit(self, group):
        results = []
        for operation in group:
            results += super().commit([operation])
            if len(group) > 1 and threading.active_count() > 1:
                self._read.acquire(timeout=1)
        return results

    def load(self, pks):
        loaded = super().load(pks)
        self._read.release()
        return loaded

    def list_workflows(self, query):
        listing = super().list_workflows(query)
        self._read.release()
        return listing


class ReadsThePast(MemoryStorage):
    """Reads journals from before the last commit."""

    def __init__(self):
        super().__init__()
        self._past = self.snapshot()

    def commit(self, group):
        past = self.snapshot()
        past.open()
        self._past = past
        return super().commit(group)

    def load(self, pks):
        return self._past.load(pks) or super().load(pks)


class PrunesAnything(MemoryStorage):
    def commit(self, group):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(removal, "family_ended_at", lambda rows: 0.0)
            return super().commit(group)


class PrunesForgetfully(MemoryStorage):
    """As a deletion does."""

    def commit(self, group):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Table, "remember", lambda self, id, remembered: None)
            return super().commit(group)


class PrunesTheBound(MemoryStorage):
    """Each workflow by itself."""

    def commit(self, group):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Table, "is_bound", lambda self, record: False)
            patch.setattr(Table, "bound_family", lambda self, record: [record])
            return super().commit(group)


class AppendsToThePruned(MemoryStorage):
    """As if it remembered the end of a journal that is gone."""

    def commit(self, group):
        return [
            Advanced(1)
            if isinstance(one, Advance) and isinstance(answer, NotFoundError)
            else answer
            for one, answer in zip(group, super().commit(group), strict=True)
        ]


class PrunesWithoutLimit(MemoryStorage):
    def commit(self, group):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(removal, "how_many_fit", lambda sizes, limit: len(list(sizes)))
            return super().commit(group)


class ForgetsTheNewest(Translating):
    def translate(self, operation):
        if isinstance(operation, Forget):
            return attrs.evolve(operation, limit=99)
        return operation


class ListsOneWindow(MemoryStorage):
    def list_ended(self, before_pk, limit):
        return attrs.evolve(super().list_ended(before_pk, limit), last_pk=0)


CONTROLS = [
    (IgnoresLife, "another_life_is_refused"),
    (IgnoresExpectedNumber, "a_journal_that_has_grown_is_refused_where_it_matters"),
    (TouchesRowOnProgress, "progress_alone_leaves_the_row_untouched"),
    (KeepsClosedWork, "open_work_is_closed_with_its_outcome"),
    (ForgetsDetails, "every_field_of_open_work_is_kept"),
    (RunsAndForgets, "a_transaction_is_recorded_with_its_value_or_not_done"),
    (RunsBeforeItLooks, "a_transaction_that_raises_leaves_no_trace"),
    (CountsEveryClaim, "only_a_counted_claim_is_a_recovery"),
    (SortsClaims, "a_wave_is_answered_in_the_order_asked_for"),
    (IgnoresRevision, "a_save_on_another_revision_is_refused"),
    (DeletesAtOnce, "deleting_goes_in_bounded_pieces"),
    (FoldsText, "text_of_any_language_is_kept"),
    (TakesEmptyForNothing, "empty_is_not_nothing"),
    (RoundsTimes, "extreme_numbers_are_kept"),
    (ChangesItsArguments, "operations_are_not_changed"),
    (AnswersInReverse, "answers_come_in_the_order_of_the_operations"),
    (DoesHalfAnAtomic, "atomic_is_all_or_nothing"),
    (FailsTogether, "a_refused_operation_fails_alone"),
    (OverwritesOutcomes, "a_recorded_task_is_never_changed"),
    (RecordsAgain, "the_same_outcome_again_does_nothing"),
    (WakesNobody, "a_waiting_workflow_becomes_due"),
    (SendsToTheDead, "a_workflow_that_has_ended_takes_nothing"),
    (ForgetsKeys, "a_key_is_taken_once"),
    (ForgetsKeys, "a_key_is_taken_once_in_a_group_too"),
    (WakesForDuplicates, "a_key_is_taken_once"),
    (SharesKeys, "keys_belong_to_their_workflow"),
    (FoldsKeys, "keys_are_compared_as_they_are"),
    (RefusesDuplicatesAtTheEnd, "a_key_is_remembered_after_the_end"),
    (ForgetsKeysWhenClosed, "keys_survive_the_owner"),
    (TakesKeysOfTheRefused, "a_refused_message_takes_no_key"),
    (KeepsKeysOfTheDeleted, "keys_are_deleted_with_their_workflow"),
    (OverwritesPauses, "a_pause_outlasts_what_its_incarnation_writes"),
    (PausesOnlyTheFirst, "a_family_is_steered_as_one"),
    (PausesTheAbandoned, "who_was_abandoned_is_left_alone"),
    (PausesAgain, "asking_for_what_is_so_already_changes_nothing"),
    (EndsInTheSameLife, "a_terminated_workflow_ends_in_the_next_life"),
    (EndsInTheSameLife, "an_end_fences_within_its_group"),
    (ContinuesTheJournal, "a_next_run_begins_with_what_it_is_given"),
    (ForgetsWithTheRun, "what_belongs_to_the_workflow_outlives_its_runs"),
    (ContinuesInTheSameLife, "nothing_of_the_old_life_comes_into_the_next_run"),
    (IgnoresExpectedNumber, "a_run_to_which_something_was_added_does_not_end"),
    (TrimsForEver, "trimming_goes_in_bounded_pieces_and_can_be_repeated"),
    (SendsNothingAlong, "what_an_advance_sends_arrives"),
    (RecordsEveryMessageAsTaken, "a_refused_message_is_recorded_as_such"),
    (RefusesWithItsMessages, "a_refused_message_stops_no_neighbour"),
    (SendsFirst, "a_refused_advance_sends_nothing"),
    (SendsFirst, "one_that_sends_to_itself_is_told_behind_its_own_entries"),
    (SendsFirst, "one_that_sends_to_itself_is_told_as_what_it_becomes"),
    (SendsBehindTheGroup, "two_that_send_to_each_other_agree_on_the_order"),
    (SendsInReverse, "messages_take_their_place_among_others"),
    (SendsAlongWithoutKeys, "a_key_drops_a_message_that_was_sent_before"),
    (SendsAlongToTheSleeping, "a_waiting_recipient_becomes_due"),
    (SendsNothingAlong, "one_that_is_paused_or_quarantined_keeps_messages"),
    (CountsItsOwnMessages, "one_that_sends_to_itself_is_told_behind_its_own_entries"),
    (KeepsReasons, "only_the_reason_of_what_was_pending_is_over"),
    (ForgetsParents, "a_child_is_started_with_its_parents_progress"),
    (StartsChildrenInReverse, "several_children_are_started_in_order"),
    (ForgetsParents, "several_children_are_started_in_order"),
    (StartsChildren, "a_taken_id_refuses_the_child_alone"),
    (StartsChildren, "a_refused_advance_starts_nobody"),
    (TakesAnyoneForTheChild, "children_and_messages_go_together"),
    (TakesNobodyForTheChild, "a_child_that_was_started_before_is_that_one"),
    (TakesAnyoneForTheChild, "what_differs_is_another_child"),
    (TakesAnyoneForTheChild, "what_was_not_started_by_a_workflow_is_no_child"),
    (IgnoresWhoStartedTheChild, "a_namesake_of_the_parent_has_its_own_children"),
    (AdoptsByName, "children_outlive_a_deleted_parent"),
    (StartsNoChildren, "a_child_can_be_started_anew_once_it_was_deleted"),
    (TellsNobody, "the_end_of_a_child_is_told_to_its_parent"),
    (TellsNoErrors, "a_failed_child_tells_its_error"),
    (ReportsToTheSleeping, "a_parent_that_waits_becomes_due"),
    (TellsTheDeaf, "who_cannot_hear_is_told_nothing"),
    (TellsOnlyWhatRuns, "who_cannot_hear_is_told_nothing"),
    (AdoptsTheChildrenOfOthers, "a_parent_that_is_gone_refuses_nothing"),
    (TellsTheDeaf, "another_run_of_the_parent_is_told_nothing"),
    (TellsOfEveryEnd, "only_an_end_is_told"),
    (TellsOfEveryEnd, "who_was_not_started_by_a_workflow_tells_nobody"),
    (TellsOfRefusedEnds, "a_refused_end_is_told_to_nobody"),
    (TellsBehindTheGroup, "ends_take_their_place_among_what_arrives"),
    (SaysNothingOfTheStuck, "a_parent_says_which_child_is_stuck"),
    (SaysItOfEveryParent, "only_a_parent_that_goes_on_says_so"),
    (SaysItForEver, "a_stuck_child_that_ends_is_told_like_any_other"),
    (TellsNobody, "one_that_is_terminated_is_told_like_any_other"),
    (SaysItForEver, "one_that_is_terminated_is_stuck_no_more"),
    (KeepsFirstValues, "a_value_is_what_was_set_last"),
    (ListsValuesAsSet, "values_are_listed_by_key"),
    (FoldsKeysOfValues, "values_are_kept_byte_for_byte"),
    (SharesBelongings, "values_belong_to_their_workflow"),
    (HidesValuesAtTheEnd, "values_can_be_read_after_the_end"),
    (SetsThoughRefused, "a_refused_advance_sets_nothing"),
    (InheritsBelongings, "values_are_deleted_with_their_workflow"),
    (HasNothingOfNobody, "values_of_nobody_are_refused"),
    (HidesWhatWasVoided, "a_journal_is_read_from_its_start_to_its_end"),
    (RepeatsTheLastEntry, "a_journal_comes_in_pages"),
    (StopsAtLargeValues, "large_values_of_a_journal_are_all_read"),
    (TakesRunsForOne, "a_journal_goes_on_with_the_next_run"),
    (HasAJournalOfNobody, "a_journal_of_nobody_is_not_found"),
    (DropsSameLetters, "dead_letters_are_kept_in_their_order"),
    (TakesAfterForFrom, "dead_letters_come_in_pages"),
    (SharesBelongings, "dead_letters_belong_to_their_workflow"),
    (TakesNoPayloadForEmpty, "dead_letters_are_kept_byte_for_byte"),
    (TakesNumbersOfLetters, "a_number_that_a_dead_letter_brings_is_ignored"),
    (LosesLettersWhenAbandoned, "dead_letters_survive_the_owner"),
    (SetsThoughRefused, "a_refused_advance_discards_nothing"),
    (InheritsBelongings, "dead_letters_are_deleted_with_their_workflow"),
    (HasNothingOfNobody, "dead_letters_of_nobody_are_refused"),
    (PrunesAnything, "what_has_not_ended_is_never_pruned"),
    (PrunesForgetfully, "a_pruned_id_is_not_used_again_unawares"),
    (PrunesForgetfully, "who_asks_for_a_pruned_one_is_told"),
    (PrunesForgetfully, "a_pruning_cut_short_is_told_to_the_next_owner"),
    (PrunesForgetfully, "a_child_is_not_started_under_a_pruned_id"),
    (PrunesTheBound, "a_family_goes_as_a_whole"),
    (PrunesTheBound, "a_child_that_goes_on_keeps_its_family"),
    (PrunesTheBound, "a_parent_that_goes_on_keeps_its_children"),
    (PrunesTheBound, "a_large_family_goes_in_pieces_but_at_once"),
    (PrunesWithoutLimit, "a_pruning_takes_what_fits_into_its_limit"),
    (AppendsToThePruned, "nothing_is_appended_to_a_pruned_one"),
    (ForgetsTheNewest, "ids_are_forgotten_oldest_first"),
    (ListsOneWindow, "ended_ones_are_listed_in_windows"),
    (ReplacesDuplicates, "a_taken_id_is_refused"),
    (ReusesKeys, "keys_are_never_reused"),
    (AdoptsByName, "children_are_not_adopted_by_a_namesake"),
    (ShowsTombstones, "a_half_deleted_workflow_is_gone_too"),
    (ForgetsTombstones, "a_deletion_cut_short_is_told_to_the_next_owner"),
    (IsAlwaysClean, "a_clean_end_is_told_from_another"),
    (ForgetsWhenAbandoned, "what_was_committed_survives_every_end"),
    (LetsAnyoneIn, "it_has_one_owner"),
    (LosesLabelsWhenTidied, "tidying_changes_nothing"),
    (EndsThoughVoided, "a_voided_end_is_none"),
    (ShowsVoidedTasks, "voided_outcomes_are_left_out_of_tasks_and_kept_in_the_journal"),
    (SortsRows, "rows_come_as_they_are_asked_for"),
    (SortsLoads, "loads_come_in_the_order_asked_for"),
    (IncludesTheEndOfWindows, "windows_include_their_start_and_not_their_end"),
    (TakesNoneOfForAny, "an_empty_choice_matches_nothing"),
    (LooksAtOneLabel, "labels_must_all_be_there"),
    (TakesPrefixesForPatterns, "a_prefix_is_taken_literally"),
    (CountsThePage, "a_total_counts_all_that_match"),
    (ListsOldestFirst, "a_list_is_newest_first"),
    (TakesCursorsForOffsets, "pages_by_cursor_are_stable"),
    (AlwaysSaysMore, "a_full_last_page_is_the_last"),
    (ListsPayloadsUnasked, "payloads_are_listed_on_request"),
    (CountsHalfDeletedOnes, "half_deleted_workflows_are_not_counted"),
    (CountsOnlyWhatItHas, "an_empty_storage_counts_nothing"),
    (CountsOnlyUnfinishedOnes, "workflows_are_counted_by_status"),
    (TakesTheEarliestForTheFirst, "of_those_that_have_not_ended_the_first_is_told"),
    (TakesWhatIsPausedForDue, "the_next_that_is_due_is_told"),
    (RecoversOnlyWhatIsDue, "recovery_sees_what_must_go_on"),
    (SkipsARowPerPage, "claiming_between_pages_loses_nobody"),
    (LosesTies, "wake_time_pages_cover_everything_once"),
    (WaitsSinceItsCreation, "wake_times_say_since_when"),
    (CommitsOneByOne, "one_load_sees_whole_commits"),
    (CommitsOneByOne, "one_list_sees_whole_commits"),
    (ReadsThePast, "a_read_sees_every_commit_that_returned_before_it"),
]


@pytest.mark.parametrize(("mistaken", "name"), CONTROLS)
def test_a_mistake_is_caught_by_its_case(mistaken, name):
    """The case that is named fails, and on an assertion of its own."""
    [case] = [case for case in conformance.CASES if str(case) == name]
    case(MemoryStorage)
    with pytest.raises(AssertionError) as caught:
        case(mistaken)
    assert Path(caught.traceback[-1].path).parent == Path(conformance.__file__).parent
