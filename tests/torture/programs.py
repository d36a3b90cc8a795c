"""Random programs of concurrent workflow code, run through the real runtime and resumed everywhere.

The order rule says that a replay does what the first run did. Here it is held against programs
that no author would write: nurseries in nurseries, shared variables that control flow depends on,
failures, races, maps, time-outs, cancellations by code and from outside, shielded, slow and
failing clean-up, swallowed cancellations, rollback, locks, channels and conditions that deadlock,
messages from outside at any moment and from itself, requests, dead letters, values.

A program is run once. Then it is resumed from every prefix of its journal, as after a crash at
that moment and some downtime, and sometimes crashed again, or closed and opened in mid-life. What
a resumed run must show:

- its trace begins with that of the first run, up to the last entry that was left;
- nothing recorded runs again, and nothing is recorded twice;
- it ends, and none of its writes was refused;
- a message is put aside once, or replied to once, and the last value that was set is the one shown;
- if it has not completed, what it had registered was rolled back, last first;
- a replay of its whole journal, but for the end, gives the same trace and result, and runs nothing.
"""

# flake8: noqa: ASYNC102 - the linter does not know that ctx.shield() shields

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import trio
import trio.testing

from claw_actors import (
    Context,
    MemoryStorage,
    RollbackHandler,
    Runtime,
    RuntimeConfig,
    Status,
    WorkflowFailure,
    task,
    workflow,
)
from claw_actors import open_runtime as open_real_runtime
from claw_actors._core.failures import leaves
from claw_actors._core.identity import Names
from claw_actors._core.journal import (
    CANCEL_OP,
    DEAD_LETTER_OP,
    MESSAGE_OP,
    PAUSE_OP,
    RESUME_OP,
    Entry,
    EntryKind,
    effective,
    message,
)
from claw_actors._core.requests import request_op
from claw_actors._core.rollback import ROLLBACK
from claw_actors._runtime.environment import AttemptBegun
from claw_actors._runtime.leaving import Leaving
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.errors import (
    DeadlineExceededError,
    NotFoundError,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from claw_actors.storage.executor import InlineExecutor
from claw_actors.storage.memory.journal import Journal
from claw_actors.storage.operations import Send
from claw_actors.testing.clock import EPOCH, virtual_environment
from claw_actors.testing.schedule import seeded_schedule

WEIGHT: dict[str, float] = {
    "run": 6,
    "nursery": 2.2,
    "scope": 1.4,
    "fail_after": 0.7,
    "move_on_at": 0.4,
    "sleep": 0.8,
    "cancel": 0.5,
    "race": 0.6,
    "map": 0.5,
    "guard": 1,
    "swallow": 0.3,
    "mark": 0.8,
    "fail": 0.15,
    "until": 0.2,
    "lock": 0.4,
    "send": 0.2,
    "receive": 0.15,
    "message": 1.4,
    "answer": 0.7,
    "post": 0.5,
    "show": 0.4,
}
RESTFUL: dict[str, float] = WEIGHT | {"run": 2, "sleep": 4, "until": 0.4, "scope": 2, "race": 1}
"""Of programs that wait more than they work."""
UNDOING: dict[str, float] = WEIGHT | {"undo": 4, "fail": 0.6}
"""Of programs that have much to roll back."""
BLOCKS = {"nursery", "scope", "fail_after", "move_on_at", "race", "map", "guard", "swallow", "lock"}
ENDLESS = {"cancel", "fail", "until", "lock", "send", "receive"}
MAX_DEPTH = 4
PATIENCE_S = 2_000.0
LATEST_CANCEL_S = 300.0

Op = tuple[Any, ...]
TOPICS = ["x", "y", "self"]
"""What messages are about; the last one only the program itself sends."""
FAILURES = (TaskFailedError, DeadlineExceededError, WorkflowFailure)


class Own(WorkflowFailure):
    """A failure on purpose."""


@attrs.define
class Maker:
    """Makes up a program: a tree of operations.

    Attributes:
        rng: what it is made of.
        weight: what it is made of more, and what less.
        left: how many operations it may still have.
    """

    rng: random.Random
    weight: dict[str, float] = attrs.field(factory=lambda: WEIGHT)
    left: int = 26

    def body(self, depth: int = 0, shielded: bool = False) -> list[Op]:
        ops: list[Op] = []
        for _ in range(self.rng.randint(2, 4) + (depth == 0) * 2):
            if self.left > 0:
                self.left -= 1
                pool = [name for name in self.weight if self.is_possible(name, depth, shielded)]
                [name] = self.rng.choices(pool, [self.weight[one] for one in pool])
                make = getattr(self, f"make_{name}", None)
                ops.append((name, *(make(depth + 1, shielded) if make else ())))
        return ops

    def is_possible(self, name: str, depth: int, shielded: bool) -> bool:
        # What may wait for ever must be open to a request to cancel.
        return not (depth >= MAX_DEPTH and name in BLOCKS) and not (shielded and name in ENDLESS)

    def bodies(self, depth: int, shielded: bool) -> list[list[Op]]:
        return [self.body(depth, shielded) for _ in range(self.rng.randint(2, 3))]

    def make_run(self, depth: int, shielded: bool) -> Op:
        how = self.rng.choice(["plain", "plain", "slow", "late", "boom"])
        return self.rng.choice("abc"), self.rng.random() < 0.12, how

    def make_nursery(self, depth: int, shielded: bool) -> Op:
        block = self.body(depth, shielded) if self.rng.random() < 0.5 else []
        return self.bodies(depth, shielded), block, self.rng.random() < 0.6

    def make_scope(self, depth: int, shielded: bool) -> Op:
        seconds = self.rng.choice([0, 1, 1, 2, 3, 5])
        return seconds, self.body(depth, shielded), self.rng.random() < 0.6

    make_fail_after = make_move_on_at = make_scope

    def make_sleep(self, depth: int, shielded: bool) -> Op:
        return (self.rng.randint(1, 3),)

    def make_cancel(self, depth: int, shielded: bool) -> Op:
        return (self.rng.randint(0, 5),)

    def make_race(self, depth: int, shielded: bool) -> Op:
        return self.bodies(depth, shielded), self.rng.random() < 0.4

    def make_map(self, depth: int, shielded: bool) -> Op:
        return self.rng.randint(0, 4), self.rng.choice([None, 1, 2]), self.rng.random() < 0.5

    def make_guard(self, depth: int, shielded: bool) -> Op:
        shield = self.rng.random() < 0.6
        return self.body(depth, shielded), self.body(depth, shield or shielded), shield

    def make_undo(self, depth: int, shielded: bool) -> Op:
        return self.rng.choice(["undo", "unbook"]), self.rng.random() < 0.3

    def make_swallow(self, depth: int, shielded: bool) -> Op:
        return (self.body(depth, shielded),)

    def make_message(self, depth: int, shielded: bool) -> Op:
        return self.rng.choice(TOPICS), self.make_patience(shielded), self.rng.random() < 0.6

    def make_answer(self, depth: int, shielded: bool) -> Op:
        return self.rng.choice(TOPICS), self.make_patience(shielded)

    def make_patience(self, shielded: bool) -> float | None:
        return self.rng.choice([0, 1, 2, 5] if shielded else [None, None, 0, 1, 2])

    def make_post(self, depth: int, shielded: bool) -> Op:
        return (self.rng.choice(["a", "a", "nobody"]),)

    def make_plan(self) -> list[Op]:
        """Say what is sent from outside: when, to which topic, what, and whether as a request."""
        times = sorted(
            self.rng.choice([0, 0, 1, 2, 3, 5, 8]) for _ in range(self.rng.randint(0, 6))
        )
        return [
            (
                at + self.rng.choice([0, 0.25]),
                self.rng.choice(TOPICS[:2]),
                self.rng.choice([1, 2, 3, "text"]),
                self.rng.random() < 0.4,
            )
            for at in times
        ]

    def make_lock(self, depth: int, shielded: bool) -> Op:
        return self.rng.randint(0, 1), self.body(depth, shielded)


@attrs.define
class World:
    """What the code of one incarnation shares, and what it does.

    Attributes:
        rng: decides what may differ from run to run: lengths and results of bodies.
        trace: what the code has done.
        shown: what it has shown last.
        locks, channel: shared by all contexts.
        handlers: what is to be rolled back, by name, in the order of registration.
    """

    rng: random.Random
    trace: list[Op] = attrs.field(factory=list)
    shown: int | None = None
    locks: list[Any] = attrs.field(factory=list)
    channel: Any = None
    handlers: list[tuple[str, RollbackHandler]] = attrs.field(factory=list)

    def note(self, ctx: Context, *what: object) -> None:
        self.trace.append((ctx._strand.path, len(self.trace), *what))


@task
async def effect(world: int, fails: bool, how: str) -> int:
    """Last some time and return something; both differ from run to run."""
    rng = WORLDS[world].rng
    try:
        if seconds := rng.choice([0, 0, 0.5, 1, 1, 2]):
            await trio.sleep(seconds)
        elif rng.random() < 0.5:
            await trio.lowlevel.checkpoint()
    except trio.Cancelled:
        if how == "late":
            return 9  # noqa: ASYNC104 - a body may
        if how == "boom":
            raise ValueError("clean-up failed") from None  # noqa: ASYNC104 - a body may
        if how == "slow":
            with trio.CancelScope(shield=True):
                await trio.sleep(rng.choice([0, 0.5, 1]))
        raise
    if fails and rng.random() < 0.7:
        raise ValueError("no")
    return rng.randrange(5)


WORLDS: dict[int, World] = {}
"""Bodies find the world of their run here, by a number."""


@attrs.frozen
class Interpreter:
    """Runs a program as workflow code."""

    world: World

    async def interpret(self, ctx: Context, ops: list[Op], env: list[Any]) -> None:
        for name, *arguments in ops:
            await getattr(self, f"do_{name}")(ctx, env, *arguments)

    def call(self, ctx: Context, name: str, fails: bool, how: str) -> Awaitable[int]:
        return ctx.run(effect.options(id=name), 0, fails, how)

    async def do_run(self, ctx, env, name, fails, how):
        result = await self.call(ctx, name, fails, how)
        self.world.note(ctx, "got", name, result)
        if result == 4:
            await self.call(ctx, "extra", False, "plain")
        if len(self.world.trace) % 6 == 5:  # control flow that depends on what is shared
            self.world.note(ctx, "branch", await self.call(ctx, "branch", False, "slow"))

    async def do_undo(self, ctx, env, name, discards):
        if discards and self.world.handlers:
            discarded, handler = self.world.handlers.pop(0)
            handler.discard()
            self.world.note(ctx, "discards", discarded)
        handler = ctx.on_rollback(effect.options(id=name), 0, False, "plain")
        self.world.handlers.append((name, handler))
        self.world.note(ctx, "registers", name)

    async def do_mark(self, ctx, env):
        self.world.note(ctx, "mark", ctx.now(), ctx.random.random())

    async def do_fail(self, ctx, env):
        self.world.note(ctx, "fails")
        raise Own("own")

    async def do_sleep(self, ctx, env, seconds):
        await ctx.sleep(seconds)
        self.world.note(ctx, "slept")

    async def do_until(self, ctx, env):
        before = len(self.world.trace)
        await ctx.wait_until(lambda: len(self.world.trace) > before)
        self.world.note(ctx, "until")

    async def do_lock(self, ctx, env, number, ops):
        lock = self.world.locks[number]
        if lock._owner is ctx._strand:
            return
        async with lock:
            self.world.note(ctx, "locked", number)
            await self.interpret(ctx, ops, env)

    async def do_send(self, ctx, env):
        await self.world.channel.send(len(self.world.trace))
        self.world.note(ctx, "sent")

    async def do_receive(self, ctx, env):
        self.world.note(ctx, "received", await self.world.channel.receive())

    async def do_message(self, ctx, env, topic, patience, is_number):
        try:
            got = await ctx.receive(topic, int if is_number else object, timeout=patience)
        except DeadlineExceededError:
            self.world.note(ctx, "no message", topic)
        else:
            self.world.note(ctx, "message", topic, got)

    async def do_answer(self, ctx, env, topic, patience):
        with suppress(DeadlineExceededError):
            request = await ctx.receive_request(topic, int, timeout=patience)
            self.world.note(ctx, "request", topic, request.payload)
            request.reply(len(self.world.trace))

    async def do_post(self, ctx, env, to):
        try:
            await ctx.send(to, "self", len(self.world.trace))
            self.world.note(ctx, "posted")
        except NotFoundError as error:
            self.world.note(ctx, str(error))

    async def do_show(self, ctx, env):
        ctx.set_value("v", len(self.world.trace))
        self.world.shown = len(self.world.trace)

    async def do_cancel(self, ctx, env, number):
        if env:
            self.world.note(ctx, "cancels")
            env[number % len(env)].cancel(reason="user")

    async def do_scope(self, ctx, env, seconds, ops, _):
        with ctx.move_on_after(seconds) as scope:
            await self.interpret(ctx, ops, [*env, scope])
        self.world.note(ctx, "scope", scope.cancelled_caught)

    async def do_move_on_at(self, ctx, env, seconds, ops, _):
        with ctx.move_on_at(ctx.now() + seconds - 1) as scope:
            await self.interpret(ctx, ops, [*env, scope])
        self.world.note(ctx, "scope at", scope.cancelled_caught)

    async def do_fail_after(self, ctx, env, seconds, ops, handled):
        try:
            with ctx.fail_after(seconds) as scope:
                await self.interpret(ctx, ops, [*env, scope])
        except DeadlineExceededError:
            self.world.note(ctx, "too slow")
            if not handled:
                raise

    async def do_nursery(self, ctx, env, children, block, handled):
        async def several() -> None:
            async with ctx.open_nursery() as nursery:
                within = [*env, nursery.cancel_scope]
                for ops in children:
                    nursery.start_soon(self.interpret, ops, within)
                if len(children) == 2:
                    nursery.run_soon(effect.options(id="beside"), 0, False, "plain")
                await self.interpret(ctx, block, within)
            self.world.note(ctx, "joined", nursery.cancel_scope.cancelled_caught)

        await self.caught(ctx, several, handled)

    async def do_race(self, ctx, env, lanes, first_success):
        def lane(ops: list[Op]) -> Callable[[Context], Awaitable[str]]:
            async def run(ctx: Context) -> str:
                await self.interpret(ctx, ops, env)
                return ctx._strand.path

            return run

        async def several() -> None:
            won = await ctx.race(*map(lane, lanes), first_success=first_success)
            self.world.note(ctx, "won", won)

        await self.caught(ctx, several, True)

    async def do_map(self, ctx, env, items, limit, collect):
        async def several() -> None:
            found = await ctx.map(each, [n == 3 for n in range(items)], limit, collect)
            self.world.note(ctx, "mapped", [getattr(one, "task_id", one) for one in found])

        await self.caught(ctx, several, True)

    async def caught(self, ctx, several, handled):
        try:
            await several()
        except BaseExceptionGroup as group:
            mine, rest = group.split(FAILURES)
            if mine:
                self.world.note(ctx, "caught", str(group), [repr(one) for one in leaves(mine)])
            if rest or not handled:
                raise

    async def do_guard(self, ctx, env, ops, clean_up, shield):
        try:
            await self.interpret(ctx, ops, env)
        except BaseException as error:
            self.world.note(ctx, "unwinds", type(error).__name__)
            raise
        finally:
            if shield:
                async with ctx.shield():
                    await self.interpret(ctx, clean_up, env)
            else:
                await self.interpret(ctx, clean_up, env)

    async def do_swallow(self, ctx, env, ops):
        try:
            await self.interpret(ctx, ops, env)
        except trio.Cancelled:  # noqa: ASYNC103 - this is what is tried
            self.world.note(ctx, "swallowed")


@task
async def each(fails: bool) -> int:
    """Be a map's."""
    return await effect.fn(0, fails, "plain")


@attrs.define
class Life:
    """From a journal to the end of the instance, through as many openings as it is closed.

    Attributes:
        ops: the program.
        seed: of the schedule, and of everything that may differ from run to run.
        entries: what a crash has left; nothing for a first run.
        plan: what is sent from outside: seconds, topic, payload, and whether it is a request.
        cancel_at: when somebody outside asks it to cancel itself, in seconds.
        closes: how likely it is to be closed and opened again, each time.
        downtime: seconds between the crash and the resumed run.
        passive: whether it leaves memory when it waits, sooner or later.
        pauses: how likely an operator pauses it and resumes it, each time.
    """

    ops: list[Op]
    seed: int
    entries: tuple[Entry, ...] = ()
    plan: list[Op] = attrs.field(factory=list)
    cancel_at: float = LATEST_CANCEL_S
    closes: float = 0.0
    downtime: float = 0.0
    passive: bool = False
    pauses: float = 0.0
    problems: list[str] = attrs.field(factory=list)
    trace: list[Op] = attrs.field(factory=list)
    marks: list[tuple[int, int]] = attrs.field(factory=list)
    attempts: int = 0
    closed: int = 0
    lives: int = 0
    passivated: int = 0
    paused: int = 0
    unwound: list[list[Op]] = attrs.field(factory=list)
    result: Op = ()
    is_loaded: bool = False
    sequencer: Sequencer | None = None
    storage: MemoryStorage = attrs.field(factory=MemoryStorage)
    rng: random.Random = attrs.field(init=False)

    def run(self) -> Life:
        self.rng = random.Random(self.seed)
        with seeded_schedule(self.seed), self.watched():
            trio.run(self.main, clock=trio.testing.MockClock(autojump_threshold=0))
        self.check()
        return self

    # -- the world around it ------------------------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let commits take time, and note how long the trace is at each delivery."""
        write, consume, seal = InlineExecutor.write, Sequencer._consume, Leaving.seal
        life = self

        async def slow_write(executor, fn, *args):
            with trio.CancelScope(shield=True):
                for _ in range(life.rng.randint(0, 3)):
                    await trio.lowlevel.checkpoint()
                if life.rng.random() < 0.2:
                    await trio.sleep(life.rng.choice([0.5, 1]))
            return await write(executor, fn, *args)

        def noted(sequencer, entry):
            if entry.n not in sequencer.upcoming.given_up:
                life.marks.append((entry.n, len(WORLDS[0].trace)))
            consume(sequencer, entry)

        def sealed(leaving, why, **options):
            # What it does while it is unwound is no part of what it has done. One that is sealed
            # before its code has begun has done nothing.
            if leaving.sealed is None and leaving._sequencer is life.sequencer:
                life.unwound.append(list(WORLDS[0].trace))
            seal(leaving, why, **options)

        InlineExecutor.write, Sequencer._consume, Leaving.seal = slow_write, noted, sealed
        try:
            yield
        finally:
            InlineExecutor.write, Sequencer._consume, Leaving.seal = write, consume, seal

    @property
    def journal(self) -> tuple[Entry, ...]:
        return self.storage._table.find("a").entries

    def begun(self, attempt: AttemptBegun) -> None:
        self.attempts += 1
        recorded = {e.op for e in effective(self.journal) if e.kind is EntryKind.TASK}
        if attempt.task_id in recorded:
            self.problems.append(f"{attempt.task_id} runs again")

    async def main(self) -> None:
        run = self.prepare()
        base = (self.entries[-1].at if self.entries else EPOCH) + self.downtime
        environment = attrs.evolve(
            virtual_environment(self.seed, start=base), on_attempt=self.begun
        )
        config = RuntimeConfig()
        if self.passive:
            config = RuntimeConfig(idle_after=self.rng.choice([0.0, 0.0, 0.3, 0.8, 1.3]))
        before: list[Op] = []
        with trio.move_on_after(PATIENCE_S) as limit:
            while not self.result:
                self.is_loaded = False
                async with open_real_runtime(
                    self.storage, workflows=[run], environment=environment, config=config
                ) as runtime:
                    await self.live(runtime, run, environment.wall)
                self.passivated += runtime.statistics().passivated
                trace = WORLDS[0].trace
                # Closed in mid-life, it is unwound: what counts is what it had done before.
                trace = trace if self.result else self.trace
                common = min(len(before), len(trace))
                if trace[:common] != before[:common]:
                    self.problems.append(f"not the trace before it was closed: {trace} {before}")
                before = max(before, trace, key=len)
        self.trace = list(WORLDS[0].trace)
        for trace in self.unwound if self.result else ():
            if self.trace[: len(trace)] != trace:
                self.problems.append(f"not the trace before it left: {self.trace} {trace}")
        if limit.cancelled_caught:
            self.problems.append("stuck")

    def prepare(self) -> Any:
        async def start(ctx: Context) -> str:
            world = self.begin(ctx)
            world.locks = [ctx.lock(), ctx.lock()]
            world.channel = ctx.channel(len(self.ops) % 2)
            await Interpreter(world).interpret(ctx, self.ops, [])
            return "completed"

        return workflow(name="program")(start)

    def begin(self, ctx: Context) -> World:
        """Take note of the incarnation that begins, and make it a world of its own."""
        self.is_loaded = True
        self.lives += 1
        self.sequencer = ctx._sequencer
        self.marks.clear()
        world = WORLDS[0] = World(self.rng)
        return world

    async def live(self, runtime: Runtime, run: Any, wall: Callable[[], float]) -> None:
        """Be the world outside: start it, cancel it at last, close it now and then."""
        if len(self.storage._table._records) == 0:
            await runtime.start(run, id="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.cancel_late, runtime, wall)
            nursery.start_soon(self.send_all, runtime, wall)
            nursery.start_soon(self.pause_now_and_then, runtime)
            with trio.CancelScope() as staying:
                if self.rng.random() < self.closes:
                    staying.deadline = trio.current_time() + self.rng.choice([0, 0.5, 1, 2, 4])
                self.result = await self.outcome(runtime)
            if staying.cancelled_caught:
                self.closed += 1
                if self.is_loaded:
                    left = len(self.unwound) == self.lives
                    self.trace = self.unwound[-1] if left else list(WORLDS[0].trace)
            nursery.cancel_scope.cancel()

    async def cancel_late(self, runtime: Runtime, wall: Callable[[], float]) -> None:
        await trio.sleep(max(0.0, EPOCH + self.cancel_at - wall()))
        if not any(entry.op == CANCEL_OP for entry in self.journal):
            with suppress(WorkflowClosedError):
                await runtime.cancel("a", "late")

    async def send_all(self, runtime: Runtime, wall: Callable[[], float]) -> None:
        """Send what is left of the plan."""
        sent = sum(e.kind is EntryKind.MESSAGE and e.name != "self" for e in self.journal)
        for number, (at, topic, payload, is_request) in enumerate(self.plan[sent:], start=sent):
            await trio.sleep(max(0.0, EPOCH + at - wall()))
            op = request_op(f"{number}") if is_request else MESSAGE_OP
            entry = message(topic, wall(), json.dumps(payload).encode(), op)
            try:
                # Without a key: what a crash has taken is sent again.
                await runtime._actor.submit(Send("a", entry))
            except WorkflowClosedError:
                return

    async def pause_now_and_then(self, runtime: Runtime) -> None:
        with suppress(WorkflowClosedError):
            await runtime.resume("a")  # closed while it was paused
            while self.rng.random() < self.pauses:
                await trio.sleep(self.rng.choice([0, 0.5, 1, 2]))
                await runtime.pause("a")
                self.paused += 1
                await trio.sleep(self.rng.choice([0, 0, 0.3, 3]))
                await runtime.resume("a")

    async def outcome(self, runtime: Runtime) -> Op:
        try:
            return ("completed", await runtime.result("a"))
        except WorkflowFailedError as failed:
            return ("failed", failed.error.types, failed.error.message)
        except WorkflowCancelledError as cancelled:
            return ("cancelled", cancelled.reason)

    # -- what must hold -----------------------------------------------------------------------------

    def check(self) -> None:
        own = [e for e in self.journal if e.kind is not EntryKind.MESSAGE]
        recorded = Counter((e.op, e.ref if e.kind is EntryKind.NOTE else None) for e in own)
        for often in (CANCEL_OP, PAUSE_OP, RESUME_OP):
            del recorded[(often, None)]
        if twice := [op for op, count in recorded.items() if count > 1]:
            self.problems.append(f"recorded twice: {twice}")
        record = self.storage._table.find("a")
        if len(record.dead_letters) != letters_in(self.journal):
            self.problems.append(f"{len(record.dead_letters)} dead letters")
        shown = record.values.get("v")
        if self.result and (shown and int(shown.value)) != WORLDS[0].shown:
            self.problems.append(f"shows {shown} instead of {WORLDS[0].shown}")
        names = Names(ROLLBACK)
        handlers = [names.next(name) for name, _ in reversed(WORLDS[0].handlers)]
        wanted = handlers if self.result and self.result[0] != "completed" else []
        if (done := [e.op for e in own if e.op.startswith(f"{ROLLBACK}/")]) != wanted:
            self.problems.append(f"rolled back {done} instead of {wanted}")

    def can_crash_at(self, kept: int) -> bool:
        """Tell whether a crash can leave so many entries: what it sends itself is in one commit."""
        return self.journal[kept].name != "self"

    def cut(self, kept: int) -> MemoryStorage:
        """Make a storage as a crash after so many entries would have left it."""
        crashed = self.storage.snapshot()
        record = crashed._table.find("a")
        row = attrs.evolve(record.row, status=Status.RUNNING, completed_at=None, reason=None)
        crashed._table._records[record.row.pk] = attrs.evolve(
            record,
            row=row,
            journal=Journal.of(record.journal.entries()[:kept]),
            open_tasks={},
            keys=type(record.keys)(),
            values={},
            dead_letters=record.dead_letters[: letters_in(self.journal[:kept])],
        )
        return crashed

    def resume(self, kept: int, seed: int, **options: Any) -> Life:
        """Run it again from what a crash after so many entries has left."""
        options = {
            "cancel_at": self.cancel_at,
            "plan": self.plan,
            "passive": self.passive,
            "pauses": self.pauses,
            **options,
        }
        return Life(self.ops, seed, self.journal[:kept], storage=self.cut(kept), **options).run()


def letters_in(journal: tuple[Entry, ...]) -> int:
    """Count the dead letters that a journal knows of."""
    return sum(entry.op == DEAD_LETTER_OP for entry in journal)


@attrs.define
class Tally:
    """What was tried, and what was found.

    Attributes:
        counts: programs, prefixes, and so on.
        problems: what did not hold, each with how to see it again.
    """

    counts: Counter[str] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)

    def add(self, seed: int, life: Life, what: str) -> None:
        self.counts["lives"] += 1
        self.counts["closed in mid-life"] += life.closed
        self.counts["passivated"] += life.passivated
        self.counts["paused"] += life.paused
        for problem in life.problems:
            self.problems.append(f"program {seed}, {what}: {problem}"[:1_500])

    def compare(self, seed: int, what: str, expected: list[Op], found: list[Op]) -> None:
        if expected != found:
            pairs = zip(expected, found, strict=False)
            place = next((n for n, (a, b) in enumerate(pairs) if a != b), len(found))
            self.problems.append(
                f"program {seed}, {what}: at {place} the first run had"
                f" {expected[place : place + 2]}, and now {found[place : place + 2]}"[:1_500]
            )


def explore_program(
    seed: int,
    tally: Tally,
    *,
    closes: float = 0.0,
    twice: float = 0.1,
    passive: bool = False,
    pauses: float = 0.0,
    undoing: bool = False,
) -> None:
    """Run one random program, and resume it from every prefix of its journal."""
    rng = random.Random(seed)
    maker = Maker(rng, UNDOING if undoing else RESTFUL if passive else WEIGHT)
    ops, plan = maker.body(), maker.make_plan()
    cancel_at = rng.choice([2.0, 4.0, 7.0, *[LATEST_CANCEL_S] * 5])
    options = {
        "plan": plan,
        "cancel_at": cancel_at,
        "closes": closes,
        "passive": passive,
        "pauses": pauses,
    }
    live = Life(ops, seed, **options).run()
    tally.add(seed, live, "live")
    tally.counts["programs"] += 1
    tally.counts["entries"] += len(live.journal)
    tally.counts[live.result[0] if live.result else "none"] += 1
    for entry in live.journal:
        tally.counts[f"{entry.kind} entries"] += 1
        if entry.kind is EntryKind.NOTE:
            tally.counts[f"{entry.op} notes"] += 1
        tally.counts["rollback entries"] += entry.op.startswith(f"{ROLLBACK}/")

    def resumed(life: Life, kept: int, again: int) -> Life:
        tally.counts["prefixes"] += 1
        upto = min((length for n, length in life.marks if n >= kept), default=len(life.trace))
        downtime = rng.choice([0, 0, 0.5, 1, 2, 50])
        found = life.resume(kept, again, closes=closes, downtime=downtime)
        tally.add(seed, found, f"prefix {kept}")
        tally.compare(seed, f"prefix {kept}", life.trace[:upto], found.trace[:upto])
        return found

    for kept in filter(live.can_crash_at, range(1, len(live.journal))):
        found = resumed(live, kept, seed * 1_000 + kept)
        if rng.random() < twice:
            tally.counts["whole replays"] += 1
            # What came too late for its end would come in time for the end of this one.
            again = seed * 1_000 + kept + 400
            whole = found.resume(len(found.journal) - 1, again, cancel_at=PATIENCE_S, plan=[])
            tally.add(seed, whole, f"prefix {kept}, whole")
            tally.compare(seed, f"prefix {kept}, whole", found.trace, whole.trace)
            if (whole.result, whole.attempts) != (found.result, 0):
                tally.problems.append(f"program {seed}, prefix {kept}, whole: {whole.result}")
            places = list(filter(found.can_crash_at, range(1, len(found.journal))))
            resumed(found, rng.choice(places), seed * 1_000 + kept + 500)
