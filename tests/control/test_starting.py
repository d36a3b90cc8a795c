"""Workflows that another process starts: by name, with JSON, checked by the owner who has the code."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    RuntimeConfig,
    errors,
    open_client,
    open_runtime,
    workflow,
)


@attrs.frozen
class Order:
    item: str
    count: int = 1


@workflow(name="sell")
async def sell_once(ctx: Context, order: Order) -> str:
    raise AssertionError("nobody starts the old one")


@workflow(name="sell", version=2)
async def sell(ctx: Context, order: Order, *notes: str) -> list[str]:
    """Show that the arguments have their types."""
    return [order.item] * order.count + list(notes)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "claw.db"


@asynccontextmanager
async def runtime_on(place, **config):
    with trio.fail_after(30):
        async with open_runtime(
            place, workflows=[sell_once, sell], config=RuntimeConfig(**config)
        ) as runtime:
            yield runtime


async def test_the_owner_starts_what_it_is_asked_for_once(place):
    """The newest version, with arguments of the declared types; the same again is the same one."""
    async with runtime_on(place), open_client(place) as client:
        for _ in range(2):
            id = await client.start(
                "sell", {"item": "a", "count": 2}, "x", id="one", metadata={"k": "v"}
            )
            assert id == "one"
        assert await client.result("one") == ["a", "a", "x"]
        state = await client.get("one")
        assert (state.version, state.metadata) == (2, {"k": "v"})
        made = await client.start("sell", Order("b"), description="by hand")
        assert await client.result(made) == ["b"]
        assert (await client.get(made)).description == "by hand"
        assert (await client.list()).items[0].id == made


async def test_what_does_not_fit_is_refused_by_the_owner(place):
    """By the same classes as in its own process, and nothing is stored."""
    async with runtime_on(place), open_client(place) as client:
        with pytest.raises(errors.UnknownWorkflowError) as unknown:
            await client.start("sel", id="one")
        assert unknown.value.known == ("sell@1", "sell@2")
        with pytest.raises(errors.InvalidArgumentsError, match="missing a required argument"):
            await client.start("sell", id="one")
        with pytest.raises(errors.InvalidArgumentsError, match="argument 'order' of sell"):
            await client.start("sell", {"item": "a", "count": "many"}, id="one")
        with pytest.raises(errors.InvalidInputError):
            await client.start("sell", {"item": "a"}, id="no id")
        with pytest.raises(errors.SerializationError):
            await client.start("sell", object(), id="one")
        with pytest.raises(errors.NotFoundError):
            await client.get("one")


async def test_an_id_that_is_taken_is_met_as_the_caller_says(place):
    """Attached to only if it is the same; refused; or replaced when it has ended."""
    async with runtime_on(place), open_client(place) as client:
        await client.start("sell", {"item": "a"}, id="one")
        assert await client.result("one") == ["a"]
        with pytest.raises(errors.DuplicateKeyError):
            await client.start("sell", {"item": "b"}, id="one")
        with pytest.raises(errors.DuplicateKeyError):
            await client.start("sell", {"item": "a"}, id="one", on_existing="raise")
        await client.start("sell", {"item": "b"}, id="one", on_existing="replace_closed")
        assert await client.result("one") == ["b"]
        with pytest.raises(errors.ControlRefusedError, match="on_existing"):
            await client.start("sell", {"item": "a"}, id="one", on_existing="perhaps")


async def test_without_an_owner_nothing_is_started(place):
    """Nobody there could tell whether the name and the arguments are right."""
    async with runtime_on(place):
        pass
    async with open_client(place) as client:
        with pytest.raises(errors.NoOwnerError, match="no program owns") as refused:
            await client.start("sell", {"item": "a"}, id="one")
        assert refused.value.path == str(place)
        with pytest.raises(errors.NotFoundError):
            await client.get("one")


@pytest.mark.parametrize("on_existing", ["attach", "raise"])
async def test_a_start_whose_answer_is_lost_is_asked_for_again_if_that_is_safe(
    place, lost, on_existing
):
    """Attached to, it is one workflow; to be raised, nobody knows whose it is."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        start = client.start("sell", {"item": "a"}, id="one", on_existing=on_existing)
        if on_existing == "attach":
            assert await start == "one"
        else:
            with pytest.raises(errors.RequestOutcomeUnknownError) as unknown:
                await start
            assert (unknown.value.operation, unknown.value.id) == ("start", "one")
        assert await client.result("one") == ["a"]
        assert runtime.statistics().started == 1


async def test_a_program_that_has_only_a_name_starts_it_by_that(open_claw_runtime):
    """In the process of the runtime, too: what a web form gives is checked like what a client gives."""
    async with open_claw_runtime(MemoryStorage(), workflows=[sell_once, sell]) as runtime:
        handle = await runtime.start_by_name("sell", [{"item": "a"}], id="one")
        assert await handle.result() == ["a"]
        runtime.close()
        with pytest.raises(errors.RuntimeClosedError):
            await runtime.start_by_name("sell", [{"item": "a"}])
