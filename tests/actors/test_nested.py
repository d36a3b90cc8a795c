"""Supervisors under supervisors."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import ChildSpec, SupervisorSpec, open_supervisor, service
from claw_actors.errors import ChildStartError, RestartLimitExceededError, UnknownChildError

pytestmark = pytest.mark.usefixtures("autojump_clock")


def pool(*children, id="pool", restart="permanent", grace=60.0, start_timeout=30.0, **options):
    return ChildSpec(
        id,
        SupervisorSpec(children=children, **options),
        restart=restart,
        grace=grace,
        start_timeout=start_timeout,
    )


async def test_a_tree_starts_in_order_and_stops_in_reverse(stage, autojump_clock):
    """Depth first; a supervisor has started when its children have."""
    async with open_supervisor(
        stage.puppet("a"), pool(stage.puppet("b"), stage.puppet("c")), stage.puppet("d")
    ) as supervisor:
        assert stage.take() == ["a starts", "b starts", "c starts", "d starts"]
        ref = supervisor.find("pool/b")
        assert ref.path == "pool/b"
        assert await ref.ask(lambda puppet: puppet.supervisor.path) == "pool"
        assert supervisor.nested("pool").find("b") == ref
        assert repr(supervisor.nested("pool")) == "<Supervisor 'pool', 2 children>"
    assert stage.take() == ["d stops", "c stops", "b stops", "a stops"]


async def test_what_is_not_there_below_is_unknown(stage, autojump_clock):
    """A child of it, or all of it while it does not run."""
    async with open_supervisor(pool(stage.puppet("b"))) as supervisor:
        with pytest.raises(UnknownChildError):
            supervisor.find("pool/x")
        await supervisor.stop_child("pool")
        with pytest.raises(UnknownChildError):
            supervisor.find("pool/b")
        with pytest.raises(UnknownChildError):
            supervisor.nested("pool")
        supervisor.restart_child("pool")
        await wait_all_tasks_blocked()
        assert await supervisor.find("pool/b").ask("hello") == "hello"


async def test_one_that_gives_up_is_a_crash_for_the_one_above(stage, told, autojump_clock):
    """It is restarted with new children; what they were sent is lost with the old ones."""
    async with open_supervisor(
        pool(stage.puppet("b"), stage.puppet("c"), max_restarts=0)
    ) as supervisor:
        old = supervisor.find("pool/b")
        old.tell_nowait(told.crash)
        await trio.sleep(1)
        new = supervisor.find("pool/b")
        assert new != old
        assert await new.ask(lambda puppet: puppet.incarnation) == 1
        [crash] = supervisor.statistics().restarts
        assert isinstance(crash.error, RestartLimitExceededError)
        assert crash.error.supervisor == "pool"
    starts = [noted for noted in stage.take() if noted.endswith("starts")]
    assert starts == ["b starts", "c starts", "b starts", "c starts"]


async def test_giving_up_goes_all_the_way_up(stage, told, autojump_clock):
    """Through every level that has no patience left."""
    tree = pool(pool(stage.puppet("b"), id="inner", max_restarts=0), max_restarts=0)
    with pytest.raises(RestartLimitExceededError) as caught:
        async with open_supervisor(tree, max_restarts=0) as supervisor:
            supervisor.find("pool/inner/b").tell_nowait(told.crash)
            await trio.sleep_forever()
    paths, error = [], caught.value
    while isinstance(error, RestartLimitExceededError):
        paths.append(error.supervisor)
        error = error.__cause__
    assert paths == ["", "pool", "pool/inner"]
    assert str(error) == "as told"


async def test_a_boot_that_fails_below_fails_above(stage, autojump_clock):
    """The error names the child of each level."""

    async def fail(_):
        raise ValueError("cannot start")

    with pytest.raises(ChildStartError) as caught:
        async with open_supervisor(stage.puppet("a"), pool(stage.puppet("b", on_start=fail))):
            pass
    assert caught.value.id == "pool"
    assert caught.value.__cause__.id == "b"
    assert stage.take() == ["a starts", "b starts", "a stops"]


async def test_one_that_takes_too_long_to_boot_is_unwound(stage, autojump_clock):
    """What has started below is stopped; at once, as it was cancelled."""

    async def start(_):
        await trio.sleep_forever()

    with pytest.raises(ChildStartError, match="not within 3 s"):
        async with open_supervisor(
            pool(stage.puppet("b"), stage.puppet("c", on_start=start), start_timeout=3)
        ):
            pass
    assert trio.current_time() == 3
    assert stage.take() == ["b starts", "c starts", "b stops"]


async def test_stopping_one_while_it_boots_unwinds_it(stage, autojump_clock):
    """In order, within the grace."""

    async def start(_):
        await trio.sleep(2)

    async with open_supervisor() as supervisor:
        supervisor.start_child_soon(
            pool(stage.puppet("b"), stage.puppet("c", on_start=start), stage.puppet("d"))
        )
        await wait_all_tasks_blocked()
        await supervisor.stop_child("pool")
        assert trio.current_time() == 2
        assert "pool" not in supervisor
    assert stage.take() == ["b starts", "c starts", "c stops", "b stops"]


@pytest.mark.parametrize("ticks", range(6))
async def test_stopping_one_in_its_first_ticks_leaves_nothing_behind(stage, ticks, autojump_clock):
    """At whichever of them: what has begun below is unwound, without waiting for anything."""
    async with open_supervisor() as supervisor:
        supervisor.start_child_soon(pool(stage.puppet("b")))
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        await supervisor.stop_child("pool")
        assert trio.current_time() == 0
    assert stage.log in ([], ["b starts", "b stops"])


@pytest.mark.parametrize(("above", "own", "at"), [(7, 60, 7), (60, 7, 7), (float("inf"), 7, 7)])
async def test_the_grace_of_one_is_its_own_or_what_is_left_above(
    stage, told, above, own, at, autojump_clock
):
    """Whichever is less; then all below is cancelled."""
    spec = ChildSpec(
        "pool", SupervisorSpec(children=[stage.puppet("b", grace=1000)], grace=own), grace=above
    )
    async with open_supervisor(spec, grace=1000) as supervisor:
        supervisor.find("pool/b").tell_nowait(told.sleep(900))
        await wait_all_tasks_blocked()
    assert trio.current_time() == at


async def test_one_that_ends_by_itself_ends_as_a_child(stage, autojump_clock):
    """``auto_shutdown`` below is a normal end above."""
    job = ChildSpec("job", service(trio.sleep, 3), restart="temporary", significant=True)
    async with open_supervisor(
        pool(job, restart="transient", auto_shutdown="all_significant")
    ) as supervisor:
        await supervisor.find("pool").wait_stopped()
        assert trio.current_time() == 3
        assert supervisor.statistics().crashes == 0


async def test_one_that_is_torn_down_tears_down_what_is_above(stage, autojump_clock):
    """A ``KeyboardInterrupt`` far below."""

    async def interrupt(_):
        raise KeyboardInterrupt

    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True):
        async with open_supervisor(
            stage.puppet("a"), pool(pool(stage.puppet("b"), id="inner"), stage.puppet("c"))
        ) as supervisor:
            supervisor.find("pool/inner/b").tell_nowait(interrupt)
            await trio.sleep_forever()
    assert sorted(stage.take()[3:]) == ["a stops", "b stops", "c stops"]


async def test_dead_letters_and_instruments_see_the_whole_tree(
    stage, told, recorder, autojump_clock
):
    """With paths from the root."""
    letters = []
    async with open_supervisor(
        pool(stage.puppet("b")), instruments=[recorder], on_dead_letter=letters.append
    ) as supervisor:
        supervisor.find("pool/b").tell_nowait(told.crash)
        await trio.sleep(2)
        assert supervisor.statistics().dead_letters == 1
    assert [letter.path for letter in letters] == ["pool/b"]
    assert "started pool/b 2" in recorder.told
