"""What log records say of where they come from."""

from __future__ import annotations

import logging

import pytest
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    RuntimeConfig,
    SQLiteStorage,
    WorkflowLogFilter,
    errors,
    open_runtime,
    task,
    workflow,
)
from claw_actors.log_context import Subject, speaking_of
from claw_actors.task_context import TaskInfo, place

_log = logging.getLogger("tests.shop")

FORMAT = "%(workflow_id)s|%(workflow_name)s|%(run)s|%(task_id)s|%(attempt)s"


class Kept(logging.Handler):
    """Keeps records, each as its message and as what it says of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []
        self.addFilter(WorkflowLogFilter())
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), self.format(record)))


@pytest.fixture
def kept():
    """All that is logged, by anybody."""
    handler, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_outside_of_workflows_a_format_does_not_fail(kept):
    """Whatever does not apply is empty."""
    _log.info("alone")
    assert kept == [("alone", "||||")]


def test_a_body_that_a_test_calls_by_itself_says_its_task(kept):
    """Only `task_info` knows whose it is then."""
    info = TaskInfo(workflow_id="w", task_id="pay", name="pay", attempt=2, idempotency_key="k")
    token = place.set(info)
    _log.info("paid")
    place.reset(token)
    assert kept == [("paid", "w|||pay|2")]


def test_what_a_record_says_by_itself_stands(kept):
    """And of a record about another workflow nothing is said that is of this one."""
    with speaking_of(Subject("a", "ship", 1)):
        _log.info("mine", extra={"run": 7})
        _log.info("another", extra={"workflow_id": "b"})
    _log.info("none")
    assert kept == [("mine", "a|ship|7||"), ("another", "b||||"), ("none", "||||")]


@task
async def weigh(item: str) -> None:
    async def child() -> None:
        _log.info("child")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


@task
def pack(item: str) -> None:
    _log.info("thread")


@task(transactional=True)
def book(connection: object, item: str) -> None:
    _log.info("transaction")


async def aside(ctx: Context) -> None:
    _log.info("aside")
    await ctx.run(weigh, "x")


@workflow
async def ship(ctx: Context, run: int) -> None:
    _log.info("code")
    ctx.log.info("said %d", run, extra={"colour": "red"})
    await ctx.run(weigh, "x")
    await ctx.run(pack, "x")
    await ctx.run(book, "x")
    async with ctx.open_nursery() as nursery:
        nursery.start_soon(aside)
    if run == 1:
        await ctx.continue_as_new(2)


async def test_code_bodies_threads_and_the_engine_say_whose_they_are(kept, tmp_path):
    """In every run, with the task and its attempt; and afterwards nobody is anybody's."""
    async with open_runtime(SQLiteStorage(tmp_path / "a.db"), workflows=[ship]) as runtime:
        handle = await runtime.start(ship, 1, id="a")
        await handle.result()
        _log.info("outside")
    for run in (1, 2):
        prefix = f"a|ship|{run}"
        for line in (
            ("code", f"{prefix}||"),
            (f"said {run}", f"{prefix}||"),
            ("child", f"{prefix}|weigh|1"),
            ("thread", f"{prefix}|pack|1"),
            ("transaction", f"{prefix}|book|1"),
            ("aside", f"{prefix}||"),
            ("child", f"{prefix}|nursery/aside/weigh|1"),
        ):
            assert line in kept
    assert ("workflow a: completed", "a|ship|2||") in kept
    assert ("outside", "||||") in kept
    assert all(line.startswith("a|ship|") for text, line in kept if text.startswith("workflow a:"))


async def test_ctx_log_keeps_what_else_is_said(caplog, tmp_path):
    """Without a filter, too, it says whose record it is."""
    caplog.set_level(logging.INFO)
    async with open_runtime(SQLiteStorage(tmp_path / "a.db"), workflows=[ship]) as runtime:
        await (await runtime.start(ship, 2, id="a")).result()
    (said,) = [record for record in caplog.records if record.name == "claw_actors.workflow"]
    assert (said.workflow_id, said.workflow_name, said.run) == ("a", "ship", 1)
    assert said.colour == "red"


@workflow(restart=Restart(max_restarts=0))
async def broken(ctx: Context) -> None:
    raise RuntimeError("a bug")


@workflow
async def lasting(ctx: Context) -> None:
    await ctx.receive("end", bool)


async def test_the_engine_says_whose_crash_and_whose_recovery_it_is(
    kept, open_claw_runtime, claw_environment
):
    """Though it is not the workflow itself that says so."""
    storage = MemoryStorage()
    config = RuntimeConfig(idle_after=1000)
    async with open_claw_runtime(storage, workflows=[broken, lasting], config=config) as runtime:
        bad = await runtime.start(broken, id="bad")
        with pytest.raises(errors.WorkflowQuarantinedError):
            await bad.result()
        await runtime.start(lasting, id="long")
        await trio.sleep(1)
        crashed = storage.snapshot()
    async with open_claw_runtime(crashed, workflows=[broken, lasting], config=config):
        pass
    async with open_claw_runtime(crashed, workflows=[broken]):
        pass
    # Below it stands the traceback of a crash.
    told = {text: line.splitlines()[0] for text, line in kept if text.startswith("workflow ")}
    quarantined = next(text for text in told if text.startswith("workflow bad: quarantined"))
    assert told[quarantined] == "bad|broken|1||"
    recovered = next(text for text in told if text.startswith("workflow long (lasting@1): rec"))
    assert told[recovered] == "long|lasting|1||"
    left = next(text for text in told if text.startswith("workflow long: left as it is"))
    assert told[left] == "long|lasting|1||"
