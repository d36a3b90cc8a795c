"""What actors cost, beside what Trio itself costs; and that lives leave nothing behind.

Processor time is measured, not the clock on the wall, and each figure is taken in turns with that
of a bare memory channel: on a busy machine both grow. Noise only adds, so of a few tries the best
counts.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import tracemalloc

import pytest
import trio
import trio.testing

from claw_actors.actors import Actor, Backoff, ChildSpec, MailboxSpec, open_supervisor

pytestmark = pytest.mark.slow

TRIES = 7
MESSAGES = 5_000

TELL_US = 10.0
ASK_US = 60.0

IS_LONG = os.environ.get("CLAW_TORTURE") == "long"

ACTORS = 10_000 if IS_LONG else 4_000
BYTES_EACH = 8 * 1024

CYCLES = 10_000 if IS_LONG else 2_000
"""Crashes and restarts, looked at in parts."""
PARTS = 5
LEAK_BYTES = 16 if IS_LONG else 64
"""For each life: less than an object, and a place to keep it. What is seen is noise, which is the
same however many lives there were."""


class Echo(Actor[object, object]):
    """Answers what it is asked; told of an event, it waits for that."""

    async def receive(self, message: object) -> object:
        if isinstance(message, trio.Event):
            await message.wait()
        return message


# -- time -------------------------------------------------------------------------------------------


def per_message_us(began_s: float) -> float:
    return (time.process_time() - began_s) / MESSAGES * 1e6


async def time_tell(ref) -> float:
    """Tell an actor that is busy with something else."""
    busy = trio.Event()
    ref.tell_nowait(busy)
    await trio.testing.wait_all_tasks_blocked()
    began = time.process_time()
    for number in range(MESSAGES):
        await ref.tell(number)
    took_us = per_message_us(began)
    busy.set()
    await trio.testing.wait_all_tasks_blocked()
    return took_us


async def time_send() -> float:
    """Send into a memory channel that nobody receives from just now."""
    send, receive = trio.open_memory_channel[int](MESSAGES)
    with send, receive:
        began = time.process_time()
        for number in range(MESSAGES):
            await send.send(number)
        return per_message_us(began)


async def time_ask(ref) -> float:
    """Ask, and have the answer, again and again."""
    began = time.process_time()
    for number in range(MESSAGES):
        await ref.ask(number)
    return per_message_us(began)


async def time_two_channels() -> float:
    """Send a request and receive the answer over another channel."""
    to, requests = trio.open_memory_channel[int](1)
    answers, back = trio.open_memory_channel[int](1)

    async def answer() -> None:
        async with answers:
            async for request in requests:
                await answers.send(request)

    began = time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        async with to:
            for number in range(MESSAGES):
                await to.send(number)
                await back.receive()
    return per_message_us(began)


@pytest.mark.alone
def test_telling_and_asking_cost_microseconds(tell):
    """Under 10 µs to tell, under 60 µs to ask and be answered.

    On a machine that is so busy that Trio alone takes as long, not much more than that.
    """

    async def measure() -> tuple[list[float], ...]:
        figures: tuple[list[float], ...] = ([], [], [], [])
        echo = ChildSpec("echo", Echo, mailbox=MailboxSpec(capacity=MESSAGES))
        async with open_supervisor(echo) as supervisor:
            ref = supervisor.find("echo")
            for _ in range(TRIES):
                figures[0].append(await time_tell(ref))
                figures[1].append(await time_send())
                figures[2].append(await time_ask(ref))
                figures[3].append(await time_two_channels())
        return figures

    told, sent, asked, over_two = map(min, trio.run(measure))
    tell(f"tell {told:.1f} µs (into a memory channel {sent:.1f} µs, × {told / sent:.1f})")
    tell(f"ask {asked:.1f} µs (over two channels {over_two:.1f} µs, × {asked / over_two:.1f})")
    assert told < max(TELL_US, 1.5 * sent)
    assert asked < max(ASK_US, 1.5 * over_two)


# -- memory -----------------------------------------------------------------------------------------


def test_an_idle_actor_costs_little_memory(tell):
    """Under 8 KB each, of thousands of them; what a bare Trio task costs beside it."""

    async def measure() -> tuple[float, float]:
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            async with trio.open_nursery() as nursery:
                for _ in range(ACTORS):
                    nursery.start_soon(trio.sleep_forever)
                await trio.testing.wait_all_tasks_blocked()
                gc.collect()
                bare = tracemalloc.get_traced_memory()[0] - before
                nursery.cancel_scope.cancel()
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            async with open_supervisor(stop_together=True) as supervisor:
                for number in range(ACTORS):
                    supervisor.start_child_soon(ChildSpec(f"echo-{number}", Echo))
                await trio.testing.wait_all_tasks_blocked()
                assert supervisor.count_children() == {"up": ACTORS}
                gc.collect()
                ours = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        return ours / ACTORS, bare / ACTORS

    ours, bare = trio.run(measure)
    tell(f"an idle actor {ours:,.0f} bytes (a bare Trio task {bare:,.0f})")
    assert ours < BYTES_EACH


# -- leaks ------------------------------------------------------------------------------------------


async def crash_on(supervisor, ref, times: int) -> None:
    """Crash an actor, over and over, as soon as it is back."""
    for _ in range(times):
        with ref.monitor() as monitor:
            ref.tell_nowait(None)
            await monitor.wait()
        while ref.statistics().state != "up":
            await trio.lowlevel.checkpoint()


def forget_past_deadlines() -> None:
    """Have Trio forget deadlines that count no more: it keeps up to a thousand, with their scopes."""
    trio._core._run.GLOBAL_RUN_CONTEXT.runner.deadlines._prune()


class Fragile(Actor[None, None]):
    """Breaks when it is touched; watches a healthy sibling, as such actors do."""

    async def on_start(self) -> None:
        self.watch(self.supervisor.find("healthy"))

    async def receive(self, message: None) -> None:
        raise ValueError


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_crashes_and_restarts_leave_nothing_behind(strategy, tell, caplog):
    """After all of them there are as many bytes, Trio tasks and threads as after the first part."""
    caplog.set_level("CRITICAL", "claw_actors")

    async def measure() -> list[tuple[int, int, int]]:
        looks: list[tuple[int, int, int]] = []
        spec = ChildSpec("fragile", Fragile, backoff=Backoff(initial=0))
        async with open_supervisor(
            ChildSpec("healthy", Echo), spec, strategy=strategy, max_restarts=10**9, within=0.01
        ) as supervisor:
            ref = supervisor.find("fragile")
            for _ in range(PARTS):
                await crash_on(supervisor, ref, CYCLES // PARTS)
                await trio.sleep(0.02)
                await crash_on(supervisor, ref, 1)  # forgets what is out of the window
                forget_past_deadlines()
                gc.collect()
                looks.append(
                    (
                        tracemalloc.get_traced_memory()[0],
                        trio.lowlevel.current_statistics().tasks_living,
                        threading.active_count(),
                    )
                )
        assert ref.statistics().crashes == CYCLES + PARTS
        return looks

    began = time.perf_counter()
    tracemalloc.start()
    try:
        looks = trio.run(measure)
    finally:
        tracemalloc.stop()
    growth = looks[-1][0] - looks[0][0]
    each = growth / (CYCLES * (PARTS - 1) / PARTS)
    tell(f"{CYCLES:,} restarts {strategy}: {each:+.1f} bytes each,")
    tell(f"{(time.perf_counter() - began) / CYCLES * 1e6:.0f} µs each, under tracemalloc")
    assert each < LEAK_BYTES
    assert len({tasks for _, tasks, _ in looks}) == 1
    assert len({threads for _, _, threads in looks}) == 1


def test_a_leak_of_a_few_bytes_would_be_noticed():
    """Control: the same look at something that keeps one small object for each life."""
    kept = []
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept.extend(bytearray(64) for _ in range(CYCLES))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / CYCLES > LEAK_BYTES


def test_mailboxes_of_actors_that_come_and_go_are_freed(tell):
    """Temporary actors, one after the other, some asked, some told, some stopped."""

    async def come_and_go(supervisor, number: int) -> None:
        ref = await supervisor.start_child(ChildSpec("guest", Echo, restart="temporary"))
        if number % 2:
            await ref.ask(number)
        else:
            ref.tell_nowait(number)
        await supervisor.stop_child("guest")

    async def measure() -> tuple[int, int]:
        async with open_supervisor() as supervisor:
            looks = []
            for part in range(2):
                for number in range(CYCLES // 2):
                    await come_and_go(supervisor, number)
                forget_past_deadlines()
                gc.collect()
                looks.append(tracemalloc.get_traced_memory()[0])
                assert len(supervisor) == 0, part
        return looks[0], looks[1]

    tracemalloc.start()
    try:
        first, second = trio.run(measure)
    finally:
        tracemalloc.stop()
    each = (second - first) / (CYCLES / 2)
    tell(f"an actor that came and went left {each:+.1f} bytes")
    assert each < LEAK_BYTES
