"""A client beside a runtime, after it, and before it: reads by itself, acts through whoever owns."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager

import pytest
import trio

from claw_actors import (
    Context,
    RuntimeConfig,
    Status,
    WorkflowFilter,
    WorkflowState,
    errors,
    open_client,
    open_runtime,
    open_storage,
    task,
    workflow,
)
from claw_actors._core.journal import message
from claw_actors._runtime.control import owner, visit
from claw_actors._runtime.control.address import connect
from claw_actors._runtime.control.requests import Cancel
from claw_actors._runtime.control.server import ControlServer
from claw_actors.storage.actor import StorageActor
from claw_actors.storage.operations import Send
from claw_actors.storage.sqlite import SQLiteStorage


@task
async def pick(order: int) -> int:
    """Do a bit of work."""
    return order * 2


@workflow
async def ship(ctx: Context, order: int) -> int:
    """Work, and wait for a word."""
    picked = await ctx.run(pick, order)
    return picked if await ctx.receive("go", bool) else 0


@workflow
async def fail(ctx: Context) -> None:
    """Fail on purpose."""
    raise errors.WorkflowFailure("on purpose")


@workflow
async def crash(ctx: Context) -> None:
    """Crash at once."""
    raise ValueError("broken")


@workflow
async def sell(ctx: Context) -> str:
    """Show something, and answer a question."""
    ctx.set_value("stock", {"shoes": 2})
    question = await ctx.receive_request("may-i", int)
    question.reply(question.payload + 1)
    return "sold"


WORKFLOWS = [ship, fail, crash, sell]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data" / "claw.db"


def socket_of(place) -> bool:
    return place.with_name(place.name + ".sock").is_socket()


@asynccontextmanager
async def runtime_on(place, **config):
    with trio.fail_after(30):
        async with open_runtime(
            place, workflows=WORKFLOWS, config=RuntimeConfig(**config)
        ) as runtime:
            yield runtime


async def until(look) -> None:
    """Ask again and again until the answer is yes."""
    with trio.fail_after(10):
        while not await look():  # noqa: ASYNC110 - no event tells another process
            await trio.sleep(0.005)


async def act_on_all(client) -> None:
    """Do everything that can be done to a workflow, each to another one."""
    await client.send("sent", "go", True)
    await client.cancel("cancelled", "enough")
    await client.terminate("terminated", "really")
    await client.pause("paused", "later")
    await client.pause("resumed")
    await client.resume("resumed")
    await client.retry("quarantined")
    await client.delete("done", force=True)
    assert await client.fork("sent", at="pick", new_id="forked") == "forked"
    assert len(await client.fork("sent", at="pick")) == 36


IDS = ("sent", "cancelled", "terminated", "paused", "resumed", "done")


async def begin_all(runtime) -> None:
    for id in IDS:
        await runtime.start(ship, 21, id=id)
    handle = await runtime.start(crash, id="quarantined")
    with pytest.raises(errors.WorkflowQuarantinedError):
        await handle.result()
    for id in IDS:
        await until((await runtime.get(id)).tasks)


async def check_all(client) -> None:
    """See that all of it has happened."""
    assert await client.result("sent") == 42
    with pytest.raises(errors.WorkflowCancelledError) as cancelled:
        await client.result("cancelled")
    assert cancelled.value.reason == "enough"
    with pytest.raises(errors.WorkflowCancelledError) as terminated:
        await client.result("terminated")
    assert terminated.value.reason == "really"
    state = await client.get("paused")
    assert (state.status, state.reason) == (Status.PAUSED, "later")
    with pytest.raises(errors.WorkflowQuarantinedError):
        await client.result("quarantined")
    with pytest.raises(errors.NotFoundError):
        await client.get("done")
    assert [each.id for each in await client.tasks("sent")] == ["pick"]
    await client.send("resumed", "go", False)
    assert await client.result("resumed") == 0
    await client.send("forked", "go", True)
    assert await client.result("forked") == 42
    page = await client.list(WorkflowFilter(id_prefix="re"))
    assert [each.id for each in page.items] == ["resumed"]


async def test_everything_is_done_by_the_owner(place):
    """Through its socket, and its instances see it at once."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        await begin_all(runtime)
        await act_on_all(client)
        await check_all(client)
        assert runtime.statistics().sent >= 1
        assert repr(client) == f"<Client of {str(place)!r}>"


async def test_everything_is_done_in_a_visit(place):
    """Where nobody owns the database, the same is stored, and the next owner goes on from it."""
    async with runtime_on(place) as runtime:
        await begin_all(runtime)
    async with open_client(place) as client:
        await act_on_all(client)
        async with runtime_on(place) as runtime:
            assert runtime.recovery_report.unknown == ()
            await check_all(client)


async def test_a_visit_tells_what_cannot_be_done(place):
    """As the owner would, by the same class."""
    async with runtime_on(place) as runtime:
        await runtime.start(ship, 1, id="a")
    async with open_client(place) as client:
        with pytest.raises(errors.NotFoundError):
            await client.cancel("zz")
        with pytest.raises(errors.InvalidTransitionError, match="force=True"):
            await client.delete("a")
        with pytest.raises(errors.InvalidTransitionError):
            await client.retry("a")
    async with open_storage(place) as storage:
        assert (await storage.get_workflow("a")).status is not Status.CANCELLED


async def test_the_owner_tells_what_cannot_be_done(place):
    """With the attributes that a program decides by."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        await runtime.start(fail, id="a")
        with pytest.raises(errors.WorkflowFailedError) as failed:
            await client.result("a")
        assert failed.value.error.is_(errors.WorkflowFailure)
        with pytest.raises(errors.WorkflowClosedError) as closed:
            await client.cancel("a")
        assert (closed.value.id, closed.value.status) == ("a", "failed")


async def test_code_that_is_gone_is_the_owners_matter(place):
    """An owner refuses to retry what it has no code for; a visitor leaves it to the owner."""
    async with runtime_on(place) as runtime:
        await runtime.start(fail, id="a")
        with pytest.raises(errors.WorkflowFailedError):
            await runtime.result("a")
    async with open_client(place) as client:
        async with open_runtime(place, workflows=[ship]):
            with pytest.raises(errors.UnknownWorkflowError) as unknown:
                await client.retry("a")
            assert unknown.value.known == ("ship@1",)
        await client.retry("a")
        async with open_runtime(place, workflows=[ship]) as runtime:
            assert runtime.recovery_report.unknown == ("a",)
            assert (await client.get("a")).status is Status.PENDING


async def test_what_is_not_possible_is_refused_before_anybody_is_asked(place):
    """Ids, payloads and times."""
    async with runtime_on(place), open_client(place, max_payload_bytes=100) as client:
        with pytest.raises(errors.InvalidInputError):
            await client.cancel("no id")
        with pytest.raises(errors.SerializationError):
            await client.send("a", "t", object())
        with pytest.raises(errors.PayloadTooLargeError):
            await client.send("a", "t", "x" * 100)
    with pytest.raises(errors.InvalidInputError):
        async with open_client(place, timeout=-1):
            raise AssertionError


async def test_a_place_without_a_database_is_refused_at_once(tmp_path):
    """And nothing is made."""
    with pytest.raises(errors.StorageUnavailableError, match="no such file"):
        async with open_client(tmp_path / "x.db"):
            raise AssertionError
    assert list(tmp_path.iterdir()) == []


async def test_results_can_be_waited_for(place):
    """Whatever the end, and without one for as long as the caller likes."""
    async with open_storage(place) as storage:
        for status in (Status.FAILED, Status.QUARANTINED, Status.RUNNING):
            await storage.create_workflow(WorkflowState(id=status, name="x", status=status))
    async with open_client(place) as client:
        with pytest.raises(errors.WorkflowFailedError, match="no error was recorded"):
            await client.result("failed")
        with pytest.raises(errors.WorkflowQuarantinedError):
            await client.result("quarantined")
        with trio.move_on_after(0.2) as scope:
            await client.result("running")
        assert scope.cancelled_caught


# -- values and replies -------------------------------------------------------------------------


async def test_values_are_read_beside_the_owner_and_after_it(place):
    """Without anybody's help; those of replies are nobody's business."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        await runtime.start(sell, id="a")
        assert await client.wait_value("a", "stock") == {"shoes": 2}
        assert await client.ask("a", "may-i", 1) == 2
        assert await client.result("a") == "sold"
    async with open_client(place) as client:
        assert await client.value("a", "stock") == {"shoes": 2}
        assert await client.values("a") == {"stock": {"shoes": 2}}
        with pytest.raises(errors.NotFoundError) as missing:
            await client.value("a", "colour")
        assert (missing.value.kind, missing.value.id) == ("value", "colour")
        with pytest.raises(errors.InvalidInputError):
            await client.value("a", "")
        with pytest.raises(errors.WorkflowClosedError):
            await client.wait_value("a", "colour")


async def test_a_question_may_be_asked_before_anybody_runs(place):
    """The visit stores it, and the answer comes with the next owner; the same key, the same answer."""
    async with runtime_on(place) as runtime:
        await runtime.start(sell, id="a")
        await runtime.wait_value("a", "stock")
    answers = []
    async with open_client(place) as client:

        async def ask():
            answers.append(await client.ask("a", "may-i", 41, idempotency_key="k"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.5)
            async with runtime_on(place) as runtime:
                assert await runtime.result("a") == "sold"
        await ask()
        assert answers == [42, 42]
        with pytest.raises(errors.InvalidInputError):
            await client.ask("a", "may-i", 1, idempotency_key="")
    async with runtime_on(place) as runtime:
        assert await runtime.ask("a", "may-i", 41, int, idempotency_key="k") == 42


async def test_a_question_of_the_wrong_type_is_refused_by_the_workflow(place):
    """As it is for those who ask the runtime."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        await runtime.start(sell, id="a")
        with pytest.raises(errors.RequestRefusedError):
            await client.ask("a", "may-i", "please")


async def test_who_waits_for_a_parked_workflow_is_told(place):
    """It will not answer."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        handle = await runtime.start(crash, id="a")
        with pytest.raises(errors.WorkflowQuarantinedError):
            await handle.result()
        with pytest.raises(errors.WorkflowQuarantinedError):
            await client.wait_value("a", "stock")


async def test_a_visitor_sees_no_change():
    """Nothing but itself happens while it is there."""
    assert not visit._Nobody().value_change_of("a").is_set()


# -- owners that cannot be asked ----------------------------------------------------------------


async def test_an_owner_without_a_socket_is_named_when_the_time_is_up(place):
    """The client does not write beside it, and says who has the file."""
    async with runtime_on(place, control=False) as runtime:
        assert not socket_of(place)
        await runtime.start(ship, 1, id="a")
        async with open_client(place, timeout=0.2) as client:
            assert (await client.get("a")).id == "a"
            began = trio.current_time()
            with pytest.raises(errors.OwnerUnreachableError, match="has no control socket") as told:
                await client.cancel("a")
            assert 0.2 <= trio.current_time() - began < 5
            assert told.value.holder.startswith(f"pid {os.getpid()} on ")


async def test_an_owner_that_leaves_is_waited_for(place):
    """The request is done as soon as the database is free."""
    async with runtime_on(place, control=False) as runtime:
        await runtime.start(ship, 1, id="a")
    async with open_client(place) as client, trio.open_nursery() as nursery:
        owner = SQLiteStorage(place)
        owner.open()
        nursery.start_soon(client.cancel, "a", "late")
        await trio.sleep(0.2)
        owner.close()
    async with runtime_on(place) as runtime:
        with pytest.raises(errors.WorkflowCancelledError, match="late"):
            await runtime.result("a")


async def test_two_visitors_take_turns(place):
    """Each of many finds the database free in the end."""
    async with runtime_on(place) as runtime:
        await runtime.start(ship, 100, id="a")
    async with (
        open_client(place) as one,
        open_client(place) as other,
        trio.open_nursery() as nursery,
    ):
        for index in range(4):
            nursery.start_soon(one.send, "a", "note", index)
            nursery.start_soon(other.send, "a", "note", index)
    storage = SQLiteStorage(place)
    storage.open()
    [loaded] = storage.load([1])
    storage.close()
    notes = [entry.value for entry in loaded.entries if entry.value in (b"0", b"1", b"2", b"3")]
    assert sorted(notes) == [b"0", b"0", b"1", b"1", b"2", b"2", b"3", b"3"]


@pytest.mark.parametrize("committed", [False, True])
async def test_a_visitor_that_dies_leaves_all_of_it_or_nothing(place, committed):
    """Killed before or after its commit, it has sent nothing, or what it was to send, once."""
    async with runtime_on(place) as runtime:
        await runtime.start(ship, 1, id="a")
    visitor = SQLiteStorage.visiting(place)
    visitor.open()
    send = Send("a", message("go", 0.0, b"true"), "key")
    if committed:
        visitor.commit([send])
    visitor.abandon()
    async with runtime_on(place) as runtime, open_client(place) as client:
        # Whoever did not hear of it sends it again.
        await client.send("a", "go", True, idempotency_key="key")
        assert runtime.statistics().sent == (0 if committed else 1)
        assert await runtime.result("a") == 2


async def test_a_runtime_that_opens_waits_for_a_visitor(place):
    """It is not refused because somebody has just looked in."""
    async with runtime_on(place) as runtime:
        await runtime.start(ship, 1, id="a")
    visitor = SQLiteStorage.visiting(place)
    visitor.open()

    async def leave():
        await trio.sleep(0.3)
        visitor.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        began = trio.current_time()
        async with runtime_on(place):
            assert trio.current_time() - began >= 0.3


# -- conversations that break --------------------------------------------------------------------


async def test_a_message_whose_answer_is_lost_is_sent_again_and_taken_once(place, lost):
    """It has a key in any case."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        await runtime.start(ship, 1, id="a")
        await client.send("a", "note", 1)
        assert lost == [{"done": None}]
        assert runtime.statistics().sent == 1
        lost.clear()
        with pytest.raises(errors.RequestOutcomeUnknownError) as unknown:
            await client.pause("a")
        assert (unknown.value.operation, unknown.value.id) == ("pause", "a")
        assert (await client.get("a")).status is Status.PAUSED


async def test_a_message_that_is_never_answered_is_given_up_in_time(place, monkeypatch):
    """The client says that it does not know."""

    async def lose_all(asking):
        asking._sent = True
        raise asking.failure("its owner hung up")

    monkeypatch.setattr(owner._Asking, "ask", lose_all)
    async with runtime_on(place), open_client(place, timeout=0.2) as client:
        began = trio.current_time()
        with pytest.raises(errors.RequestOutcomeUnknownError):
            await client.send("a", "note", 1)
        assert 0.2 <= trio.current_time() - began < 5


async def test_a_client_that_is_cancelled_in_the_middle_leaves_nothing_behind(place, monkeypatch):
    """Its request is withdrawn, and the owner serves the next one."""
    hold, begun = trio.Event(), trio.Event()
    real = StorageActor.submit

    async def slow(actor, operation, **options):
        begun.set()
        await hold.wait()
        return await real(actor, operation, **options)

    async with runtime_on(place) as runtime, open_client(place) as client:
        await runtime.start(ship, 1, id="a")
        with monkeypatch.context() as patch:
            patch.setattr(StorageActor, "submit", slow)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.terminate, "a")
                await begun.wait()
                nursery.cancel_scope.cancel()
            await trio.sleep(0.1)
            hold.set()
        assert not (await client.get("a")).status.is_terminal
        await client.terminate("a")
        assert (await client.get("a")).status is Status.CANCELLED


async def test_an_owner_that_closes_sends_its_clients_on(place, monkeypatch):
    """Who was not served by then is served by a visit."""
    real, begun = ControlServer._do, trio.Event()

    async def slow(server, request):
        begun.set()
        await trio.sleep(5)
        return await real(server, request)

    monkeypatch.setattr(ControlServer, "_do", slow)
    async with open_storage(place):
        pass
    async with open_client(place) as client, trio.open_nursery() as nursery:
        async with runtime_on(place, grace=0) as runtime:
            await runtime.start(ship, 1, id="a")
            idle = connect(f"{place}.sock")
            nursery.start_soon(client.terminate, "a")
            await begun.wait()
        await trio.aclose_forcefully(idle)
    async with open_client(place) as client:
        assert (await client.get("a")).status is Status.CANCELLED
    assert not socket_of(place)


# -- the server in the runtime -------------------------------------------------------------------


async def test_a_server_that_crashes_comes_back_and_takes_nobody_with_it(
    place, monkeypatch, caplog
):
    """Its crashes count against nobody, however many there are."""
    real, crashes = ControlServer.serve, []

    async def crash_first(server, path, *, task_status):
        if len(crashes) < 8:
            crashes.append(path)
            task_status.started()
            raise ZeroDivisionError("a bug in the server")
        await real(server, path, task_status=task_status)

    monkeypatch.setattr(ControlServer, "serve", crash_first)
    monkeypatch.setattr("claw_actors._runtime.opening.SIDE_SERVICE_PAUSE_S", 0.01)
    async with runtime_on(place, max_storage_restarts=0) as runtime, open_client(place) as client:
        await runtime.start(ship, 1, id="a")
        life = (await client.get("a")).life
        await client.cancel("a")
        with pytest.raises(errors.WorkflowCancelledError):
            await runtime.result("a")
        assert (await client.get("a")).life == life
    assert len(crashes) == 8


async def test_a_runtime_without_a_place_for_the_socket_runs(place, caplog):
    """A warning says what is missing."""
    place.parent.mkdir()
    place.with_name("claw.db.sock").mkdir()
    async with runtime_on(place) as runtime:
        await runtime.start(ship, 1, id="a")
        await runtime.send("a", "go", True)
        assert await runtime.result("a") == 2
    [warning] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "there is no control socket" in warning.message


async def test_after_storage_was_opened_again_the_socket_is_there_again(place):
    """It goes and comes with storage."""
    async with runtime_on(place) as runtime, open_client(place) as client:
        actor = runtime.storage._actor
        actor.backend._session.writer._failure = "an I/O error, says the test"
        with pytest.raises(errors.ClawError):
            await runtime.storage.delete_workflow("nothing")
        await runtime.start(ship, 1, id="a")
        await client.send("a", "go", True)
        assert await client.result("a") == 2


def test_requests_are_checked_where_they_are_made():
    """A client refuses what no owner would take."""
    with pytest.raises(errors.InvalidInputError):
        Cancel("no id")
