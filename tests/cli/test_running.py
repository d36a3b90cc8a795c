"""What `claw run` imports, and how it says that it cannot."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import textwrap
from contextlib import asynccontextmanager

import pytest
import trio

from claw_actors import RecoveryReport
from claw_actors.cli.running import _show_recovered
from claw_actors.cli.targets import find_service, find_workflows

MODULE = """
    import trio
    from claw_actors import workflow

    @workflow
    async def one(ctx): ...

    @workflow
    async def two(ctx): ...

    both = (one, two)

    def make():
        return [one]

    class Shop:
        workflows = [two]

    def broken():
        raise RuntimeError("no\\nway")

    number, mixed = 3, [one, 3]

    async def serve(runtime):
        await runtime.start(one, id="served")
        await runtime.result("served")
        runtime.request_stop("enough is done")

    async def fail(runtime):
        await runtime.start(one)
        raise KeyError("no\\nqueue")

    async def tidy(runtime):
        try:
            await serve(runtime)
            await trio.sleep_forever()
        finally:
            await runtime.start(one)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module with much in it."""
    (tmp_path / "my_shop.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "my_broken_shop.py").write_text("import no_such_thing")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_shop", "my_broken_shop"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(claw, module, monkeypatch):
    """Run `claw run`, which adds the working directory to the path of imports."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(target, code, *options):
        return claw("run", target, "--log-level", "error", *options, code=code)

    return run


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one", ["one"]),
        ("both", ["one", "two"]),
        ("make", ["one"]),
        ("Shop.workflows", ["two"]),
    ],
)
def test_workflows_are_found_by_name(module, name, found):
    """One, several, those that a function returns, and those that lie deeper."""
    assert [one.name for one in find_workflows(f"my_shop:{name}")] == found


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("my_shop", "'my_shop' is not MODULE:NAME, such as app:workflows"),
        (":both", "':both' is not MODULE:NAME, such as app:workflows"),
        (".my_shop:both", "'.my_shop:both' is not MODULE:NAME, such as app:workflows"),
        ("nothing.there:both", "there is no module 'nothing'"),
        ("my_shop:three", "there is no 'three' in the module 'my_shop'"),
        ("my_shop:Shop.three", "there is no 'Shop.three' in the module 'my_shop'"),
        ("my_shop:number", "my_shop:number is neither a workflow, nor a list of them"),
        ("my_shop:mixed", "my_shop:mixed is neither a workflow, nor a list of them"),
    ],
)
def test_what_names_no_workflows_was_called_wrongly(run, target, why):
    """One line says what is wrong."""
    done = run(target, 2)
    assert done.stderr.startswith(f"claw: {why}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("target", "why", "where"),
    [
        ("my_shop:broken", "RuntimeError: no\\nway", "my_shop.py, line 20)"),
        (
            "my_broken_shop:all",
            "ModuleNotFoundError: No module named 'no_such_thing'",
            "my_broken_shop.py, line 1)",
        ),
    ],
)
def test_code_that_cannot_be_loaded_is_named_with_its_line(run, target, why, where):
    """One line, and the code of a failure."""
    done = run(target, 1)
    assert done.stderr.startswith(f"claw: {target} cannot be loaded: {why} (")
    assert done.stderr.endswith(where + "\n")
    assert len(done.stderr.splitlines()) == 1


# -- what runs beside the workflows -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("my_shop:make", "my_shop:make is no async function, to be called with the runtime"),
        ("my_shop:one", "my_shop:one is no async function, to be called with the runtime"),
        ("my_shop:nothing", "there is no 'nothing' in the module 'my_shop'"),
    ],
)
def test_what_is_no_service_was_called_wrongly(run, target, why):
    """A workflow is none: it is started, not called."""
    assert run("my_shop:both", 2, "--serve", target).stderr == f"claw: {why}\n"


def test_a_service_is_found_by_name(module):
    """It is an async function."""
    assert find_service("my_shop:serve").__name__ == "serve"


def test_a_service_starts_workflows_and_may_end_the_program(run, claw_json):
    """What it has started is in the database that the settings name."""
    said = run("my_shop:both", 0, "--serve", "my_shop:serve")
    assert said.stdout.startswith("running claw.db\n")
    assert said.stderr.splitlines()[-1] == "claw: claw.db is closed"
    assert claw_json("show", "served")[0]["status"] == "completed"


HASTY = """
    import trio
    from claw_actors import task, workflow

    @task
    async def weigh(): await trio.sleep(60)

    @workflow
    async def slow(ctx): await ctx.run(weigh)

    @workflow
    async def patient(ctx): await ctx.receive("go", bool)

    async def serve(runtime):
        await runtime.start(slow, id="order-2")
        await runtime.start(patient, id="order-1")
        await runtime.start(patient, id="order-3")
        while (now := runtime.statistics()).idle < 2 or not now.running_tasks:
            await trio.sleep(0.01)
        runtime.request_stop("enough is done", grace=0)
        await trio.sleep_forever()

    workflows = [slow, patient]
"""


@pytest.fixture
def hasty(module, tmp_path, run):
    """Run a program that stops itself in the middle of its work."""
    (tmp_path / "my_hasty_shop.py").write_text(textwrap.dedent(HASTY))
    yield lambda *options: run(
        "my_hasty_shop:workflows", 0, "--serve", "my_hasty_shop:serve", *options
    )
    sys.modules.pop("my_hasty_shop")


def test_a_stop_tells_what_it_has_cut_off(hasty, claw_json):
    """People see the ids, below what was recovered; and all of it goes on at the next start."""
    running, stopped, *told = hasty().stdout.splitlines()
    assert running == "running claw.db"
    assert re.fullmatch(r"stopped after \d\.\d s", stopped)
    assert told == [
        "interrupted 1: order-2",
        "waiting 2: order-1, order-3",
        "cut off 1: order-2 weigh",
    ]
    assert claw_json("show", "order-2")[0]["status"] == "running"


def test_a_stop_tells_programs_the_same(hasty):
    """The second line of two."""
    opened, stopped = map(json.loads, hasty("--json").stdout.splitlines())
    assert list(opened) == ["storage", "recovery"]
    stop = stopped["stop"]
    assert (stopped["storage"], stop["reason"]) == ("claw.db", "enough is done")
    assert (stop["interrupted"], stop["waiting"]) == (["order-2"], ["order-1", "order-3"])
    [cut] = stop["cut_off"]
    assert (cut["workflow_id"], cut["task_id"], cut["attempt"]) == ("order-2", "weigh", 1)


def test_a_service_that_fails_ends_the_program(run, caplog):
    """One line says why, the log says how, and the code is that of a failure."""
    said = run("my_shop:both", 1, "--serve", "my_shop:fail")
    *logged, told, closed = said.stderr.splitlines()
    assert logged[0].endswith("ERROR claw_actors.cli: the service has failed")
    assert told.startswith("claw: the service has failed: KeyError: 'no\\nqueue' (")
    assert told.endswith("my_shop.py, line 31)")
    assert closed == "claw: claw.db is closed"
    assert [one.message for one in caplog.records if one.exc_info] == ["the service has failed"]


def test_a_service_that_comes_after_the_end_has_not_failed(run):
    """Its clean-up may ask for something when the runtime is closing already."""
    said = run("my_shop:both", 0, "--serve", "my_shop:tidy")
    assert said.stderr == "claw: claw.db is closed\n"


# -- the log ----------------------------------------------------------------------------------------


def logged(said) -> list[dict[str, object]]:
    """Read a log that is JSON and nothing else."""
    return [json.loads(line) for line in said.stderr.splitlines()]


def test_as_json_all_that_is_said_is_records(run):
    """What is said to people otherwise is a record of the command line's own logger."""
    said = run("my_shop:both", 0, "--serve", "my_shop:serve", "--log-json", "--log-level", "info")
    records = logged(said)
    assert all(
        list(one)
        == [
            *("time", "level", "logger", "message"),
            *("workflow", "run", "task", "attempt", "exception"),
        ]
        for one in records
    )
    last = records[-1]
    assert (last["logger"], last["message"]) == ("claw_actors.cli", "claw.db is closed")
    [ended] = [one for one in records if one["message"] == "workflow served: completed"]
    assert (ended["logger"], ended["workflow"], ended["run"], ended["task"]) == (
        *("claw_actors.workflows", "served", 1),
        None,
    )


@pytest.mark.parametrize(
    ("target", "code", "why", "trace"),
    [
        ("my_shop:three", 2, "there is no 'three' in the module 'my_shop'", None),
        (
            "my_shop:broken",
            1,
            "my_shop:broken cannot be loaded: RuntimeError: no\\nway (",
            "no\nway",
        ),
    ],
)
def test_as_json_why_it_cannot_start_is_a_record(run, target, code, why, trace):
    """The exit code is that of the text; and where somebody's code has raised there is a traceback."""
    [failed] = logged(run(target, code, "--log-json"))
    assert (failed["level"], failed["logger"]) == ("ERROR", "claw_actors.cli")
    assert failed["message"].startswith(why)
    assert (failed["exception"] is None) == (trace is None)
    assert trace is None or failed["exception"].endswith(f"RuntimeError: {trace}")


SETS_UP = """
    import logging
    import sys

    from claw_actors import workflow

    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("OWN %(message)s"))
    logging.warning("said while it is imported")
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    @workflow
    async def one(ctx): ...

    async def serve(runtime):
        await runtime.start(one, id="served")
        await runtime.result("served")
        runtime.request_stop("enough is done")
"""


@pytest.fixture
def own(module, tmp_path, monkeypatch, claw):
    """Run a program that sets up logging when it is imported."""
    (tmp_path / "my_logging_shop.py").write_text(textwrap.dedent(SETS_UP))
    monkeypatch.setattr(sys, "path", [*sys.path])
    serve = ("my_logging_shop:one", "--serve", "my_logging_shop:serve")
    yield lambda *options: claw("run", *serve, *options)
    sys.modules.pop("my_logging_shop")


def test_a_program_that_sets_up_logging_is_left_to_it(own):
    """Its handlers and its level stand, and there are no others."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    *lines, closed = own().stderr.splitlines()
    assert "OWN workflow served: completed" in lines
    assert all(line.startswith("OWN ") for line in lines)
    assert closed == "claw: claw.db is closed"
    assert (root.handlers, root.level) == before


def test_its_level_is_what_is_asked_for(own):
    """An option that is given is heard."""
    assert own("--log-level", "warning").stderr == "claw: claw.db is closed\n"


def test_as_json_its_log_has_our_form_nevertheless(own):
    """Also what it says while it is imported; and its own handlers are gone."""
    messages = [one["message"] for one in logged(own("--log-json"))]
    assert messages[0] == "said while it is imported"
    assert "workflow served: completed" in messages


# -- the end ----------------------------------------------------------------------------------------


@asynccontextmanager
async def slow_opening(*args, **options):
    signal.raise_signal(signal.SIGTERM)
    await trio.sleep_forever()
    yield


def test_a_signal_ends_what_is_still_being_opened(run, monkeypatch):
    """There is nothing to stop yet, so it just leaves; and its handlers are gone with it."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("claw_actors.cli.running.open_runtime", slow_opening)
    said = run("my_shop:both", 0)
    assert (said.stdout, said.stderr) == ("", "claw: claw.db is closed\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_where_nothing_was_opened_nothing_was_stopped(run, claw_json, place):
    """Why it cannot be opened is all there is to say."""
    place.write_bytes(b"no database" * 1000)
    said = run("my_shop:both", 1)
    assert said.stdout == ""
    assert len(said.stderr.splitlines()) == 1


def test_of_many_workflows_only_the_number_is_said(capsys):
    """Of a few, each is named; of what there is not, nothing is said."""
    many = tuple(map(str, range(1_000)))
    _show_recovered("a.db", RecoveryReport(recovered=many, unknown=("x", "y")))
    assert capsys.readouterr().out == "running a.db\nrecovered 1,000\nunknown 2: x, y\n"
