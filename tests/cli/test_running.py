"""What `claw run` imports, and how it says that it cannot."""

from __future__ import annotations

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
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    return lambda target, code, *options: claw("run", target, *options, code=code)


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


def test_a_service_that_fails_ends_the_program(run, caplog):
    """One line says why, the log says how, and the code is that of a failure."""
    said = run("my_shop:both", 1, "--serve", "my_shop:fail")
    told, closed = said.stderr.splitlines()
    assert told.startswith("claw: the service has failed: KeyError: 'no\\nqueue' (")
    assert told.endswith("my_shop.py, line 31)")
    assert closed == "claw: claw.db is closed"
    assert [one.message for one in caplog.records if one.exc_info] == ["the service has failed"]


def test_a_service_that_comes_after_the_end_has_not_failed(run):
    """Its clean-up may ask for something when the runtime is closing already."""
    said = run("my_shop:both", 0, "--serve", "my_shop:tidy")
    assert said.stderr == "claw: claw.db is closed\n"


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


def test_of_many_workflows_only_the_number_is_said(capsys):
    """Of a few, each is named; of what there is not, nothing is said."""
    many = tuple(map(str, range(1_000)))
    _show_recovered("a.db", RecoveryReport(recovered=many, unknown=("x", "y")))
    assert capsys.readouterr().out == "running a.db\nrecovered 1,000\nunknown 2: x, y\n"
