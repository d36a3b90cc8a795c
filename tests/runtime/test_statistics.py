"""What a runtime tells of itself while it runs."""

from __future__ import annotations

import pytest
import trio

from claw_actors import Context, Retry, RuntimeConfig, SQLiteStorage, task, workflow

seen: list[tuple[int, int]] = []


@pytest.mark.parametrize("kind", ["async", "plain", "transactional"])
async def test_bodies_are_counted_while_they_run(open_claw_runtime, tmp_path, kind):
    """Of each kind, and not any more when they have ended, however they end."""

    def look() -> None:
        now = runtime.statistics()
        seen.append((now.running_tasks, now.attempts))
        if len(seen) == 1:
            raise ConnectionError

    async def body() -> None:
        look()

    def plain_body() -> None:
        look()

    def transactional_body(connection: object) -> None:
        look()

    retry = Retry(max_attempts=2, initial=1, jitter=0)
    bodies = {
        "async": task(retry=retry)(body),
        "plain": task(retry=retry)(plain_body),
        "transactional": task(transactional=True, retry=retry)(transactional_body),
    }

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(bodies[kind])

    seen.clear()
    async with open_claw_runtime(SQLiteStorage(tmp_path / "a.db"), workflows=[run]) as runtime:
        await (await runtime.start(run)).result()
        assert seen == [(1, 1), (1, 2)]
        assert runtime.statistics().running_tasks == 0


async def test_who_only_waits_is_counted_as_idle(open_claw_runtime, storage):
    """As long as it is in memory; and the time since the opening goes on."""

    @workflow
    async def patient(ctx: Context) -> None:
        await ctx.receive("go", bool)

    config = RuntimeConfig(idle_after=10)
    async with open_claw_runtime(storage, workflows=[patient], config=config) as runtime:
        for number in range(3):
            await runtime.start(patient, id=f"p-{number}")
        await trio.sleep(1)
        now = runtime.statistics()
        assert (now.active, now.idle, now.up_seconds) == (3, 3, pytest.approx(1, abs=0.01))
        await trio.sleep(20)
        now = runtime.statistics()
        assert (now.active, now.idle, now.up_seconds) == (0, 0, pytest.approx(21, abs=0.01))
