"""Random programs that start other workflows: waited for at once or later, cancelled, abandoned.

They are resumed from each prefix of the parent's journal. What a crash at that moment would have
left of a child follows from it: nothing, if the child was not started; its end, if the parent was
told of it; otherwise the child may stand anywhere before its end, and here stands at its beginning.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from claw_actors import Context, MemoryStorage, Status, workflow
from claw_actors._core.journal import OUTSIDE, Entry, EntryKind, EntryStatus
from claw_actors._core.offspring import read_child
from claw_actors._runtime.environment import AttemptBegun
from claw_actors._runtime.leaving import Leaving
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.errors import WorkflowCancelledError, WorkflowFailedError
from claw_actors.storage.memory.journal import Journal
from claw_actors.storage.memory.keys import Keys

from . import programs
from .programs import LATEST_CANCEL_S, WEIGHT, Interpreter, Life, Maker, Op, Tally

__all__ = ["explore_family"]

FATES = ("wait", "wait", "cancel", "abandon")
ENDS = (WorkflowFailedError, WorkflowCancelledError)
# Of what other programs do: what children are started among, and what cuts them short.
AMONG = (
    "run", "nursery", "scope", "fail_after", "sleep", "cancel", "race", "guard", "swallow", "mark",
    "fail",
)  # fmt: skip
FAMILY: dict[str, float] = {name: WEIGHT[name] for name in AMONG} | {
    "child": 3,
    "start": 3,
    "result": 2,
    "stop": 0.6,
}


@attrs.define
class FamilyMaker(Maker):
    """Makes up a program in which children are worth something."""

    def make_child(self, depth: int, shielded: bool) -> Op:
        how = self.rng.choice(["plain", "plain", "slow", "late", "boom"])
        fate = self.rng.choice(FATES)
        return self.rng.random() < 0.25, how, fate, self.rng.random() < 0.8

    def make_start(self, depth: int, shielded: bool) -> Op:
        return self.make_child(depth, shielded)[:3]

    def make_result(self, depth: int, shielded: bool) -> Op:
        return self.rng.randint(0, 5), self.rng.random() < 0.8

    def make_stop(self, depth: int, shielded: bool) -> Op:
        return (self.rng.randint(0, 5),)


@workflow
async def kid(ctx: Context, fails: bool, how: str) -> int:
    """Be a child: two tasks, one after the other."""
    first = await ctx.run(programs.effect, 0, False, how)
    return first + await ctx.run(programs.effect, 0, fails, how)


@attrs.frozen
class FamilyInterpreter(Interpreter):
    """Runs a program that starts children.

    Attributes:
        handles: of those that it has started.
    """

    handles: list[Any] = attrs.field(factory=list)

    async def do_child(self, ctx, env, fails, how, fate, handled):
        try:
            got = await ctx.run_child(kid, fails, how, on_parent_close=fate)
            self.world.note(ctx, "child", got)
        except ENDS as error:
            self.world.note(ctx, "child", str(error))
            if not handled:
                raise

    async def do_start(self, ctx, env, fails, how, fate):
        self.handles.append(await ctx.start_child(kid, fails, how, on_parent_close=fate))
        self.world.note(ctx, "started", self.handles[-1].id)

    async def do_result(self, ctx, env, number, handled):
        if not self.handles:
            return
        handle = self.handles[number % len(self.handles)]
        try:
            self.world.note(ctx, "result", handle.id, await handle.result())
        except ENDS as error:
            self.world.note(ctx, "result", str(error))
            if not handled:
                raise

    async def do_stop(self, ctx, env, number):
        if self.handles:
            await self.handles[number % len(self.handles)].cancel()
            self.world.note(ctx, "stopped")


@attrs.define(slots=False)
class FamilyLife(Life):
    """From a journal, and what a crash has left of the children, to the end of the instance."""

    @property
    def end(self) -> int:
        """The number of the entry that says how it has ended; of children more may come after."""
        return max(entry.n for entry in self.journal if entry.kind is EntryKind.END)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the parent only, and let children run beside it."""
        consume, seal, opened = Sequencer._consume, Leaving.seal, programs.open_real_runtime
        with super().watched():
            noted, sealed = Sequencer._consume, Leaving.seal

            def consumed(sequencer, entry):
                (noted if sequencer.id == "a" else consume)(sequencer, entry)

            def left(leaving, why, **options):
                (sealed if leaving._sequencer.id == "a" else seal)(leaving, why, **options)

            def open_with_kids(storage, *, workflows, **options):
                return opened(storage, workflows=[*workflows, kid], **options)

            Sequencer._consume, Leaving.seal = consumed, left
            programs.open_real_runtime = open_with_kids
            try:
                yield
            finally:
                programs.open_real_runtime = opened

    def begun(self, attempt: AttemptBegun) -> None:
        if attempt.workflow_id == "a":
            super().begun(attempt)

    def prepare(self) -> Any:
        async def start(ctx: Context) -> str:
            await FamilyInterpreter(self.begin(ctx)).interpret(ctx, self.ops, [])
            return "completed"

        return workflow(name="program")(start)

    def check(self) -> None:
        own = [e for e in self.journal if e.kind not in OUTSIDE]
        recorded = Counter((e.op, e.ref if e.kind is EntryKind.NOTE else None) for e in own)
        if twice := [op for op, count in recorded.items() if count > 1]:
            self.problems.append(f"recorded twice: {twice}")

    def cut(self, kept: int) -> MemoryStorage:
        crashed = super().cut(kept)
        left = self.journal[:kept]
        started = {
            read_child(entry)[0]
            for entry in left
            if entry.kind is EntryKind.CHILD and entry.status is EntryStatus.OK
        }
        ended = {entry.name for entry in left if entry.kind is EntryKind.CHILD_END}
        table = crashed._table
        for pk, record in list(table._records.items()):
            id = record.row.id
            if id == "a" or id in ended:
                continue
            if id not in started:
                table.put(pk, None)
                continue
            row = attrs.evolve(record.row, status=Status.RUNNING, completed_at=None, reason=None)
            start = Journal.of(record.entries[:1])
            table.put(pk, attrs.evolve(record, row=row, journal=start, open_tasks={}, keys=Keys()))
        table.settle()
        return crashed

    def resume(self, kept: int, seed: int, **options: Any) -> Life:
        options = {"cancel_at": self.cancel_at, "passive": self.passive, **options}
        crashed = self.cut(kept)
        return FamilyLife(self.ops, seed, self.journal[:kept], storage=crashed, **options).run()


def is_write(journal: Sequence[Entry], n: int) -> bool:
    """Tell whether an entry is nothing but a write of its own.

    If who asked for it was cancelled meanwhile, it ended by this entry; where a crash has taken the
    entry, nothing says that the write was under way, and it is cut short at once. So what was done
    between the entry before and this one, none of it recorded, need not be done in the same order.
    """
    return n < len(journal) and journal[n].kind in {EntryKind.CHILD, EntryKind.SEND}


def explore_family(
    seed: int, tally: Tally, *, closes: float = 0.0, twice: float = 0.1, passive: bool = False
) -> None:
    """Run one random program, and resume it from every prefix of its parent's journal."""
    rng = random.Random(seed)
    ops = FamilyMaker(rng, FAMILY).body()
    cancel_at = rng.choice([2.0, 4.0, 7.0, *[LATEST_CANCEL_S] * 5])
    live_on = functools.partial(FamilyLife, ops, closes=closes, passive=passive)
    live = live_on(seed, cancel_at=cancel_at).run()
    tally.add(seed, live, "live")
    tally.counts["programs"] += 1
    tally.counts[live.result[0] if live.result else "none"] += 1
    for entry in live.journal:
        tally.counts[f"{entry.kind} entries"] += 1
    for kept in range(1, live.end + 1):
        tally.counts["prefixes"] += 1
        first = kept - 1 if is_write(live.journal, kept) else kept
        upto = min((length for n, length in live.marks if n >= first), default=len(live.trace))
        downtime = rng.choice([0, 0, 0.5, 1, 2, 50])
        found = live.resume(kept, seed * 1_000 + kept, closes=closes, downtime=downtime)
        tally.add(seed, found, f"prefix {kept}")
        tally.compare(seed, f"prefix {kept}", live.trace[:upto], found.trace[:upto])
        if rng.random() < twice:
            tally.counts["whole replays"] += 1
            # A request that came too late for its end would come in time for the end of this one.
            whole = found.resume(
                found.end, seed * 1_000 + kept + 400, cancel_at=programs.PATIENCE_S
            )
            tally.add(seed, whole, f"prefix {kept}, whole")
            tally.compare(seed, f"prefix {kept}, whole", found.trace, whole.trace)
            if (whole.result, whole.attempts) != (found.result, 0):
                tally.problems.append(f"program {seed}, prefix {kept}, whole: {whole.result}")
