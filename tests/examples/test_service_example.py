"""``service.py`` sends each letter once, over restarts; its container is tested in tests/container."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import trio

from claw_actors import MemoryStorage, errors, load_config

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def service(monkeypatch):
    """The example, with few letters."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module("service")
    monkeypatch.setattr(module, "LETTERS", 5)
    return module


async def test_a_restarted_service_sends_the_letters_that_are_left(
    open_claw_runtime, service, capsys
):
    """Each start runs the same lines, and attaches to the mailing that is there."""
    storage = MemoryStorage()
    async with open_claw_runtime(storage, workflows=service.workflows) as runtime:
        with trio.move_on_after(2.5):
            await service.serve(runtime)
        assert await runtime.value("mailing-of-5", "sent", int) == 3
    for _ in range(2):
        async with open_claw_runtime(storage, workflows=service.workflows) as runtime:
            await service.serve(runtime)
    told = "mailing-of-5: all 5 letters are sent"
    sent = [f"letter {number} is sent" for number in range(1, 6)]
    assert capsys.readouterr().out.splitlines() == [*sent, told, told]


async def test_a_mailing_that_was_pruned_is_not_sent_again(open_claw_runtime, service, capsys):
    """A restart after `claw prune` must not end the service: it would be restarted for ever."""
    async with open_claw_runtime(MemoryStorage(), workflows=service.workflows) as runtime:
        await service.serve(runtime)
        assert (await runtime.prune(older_than=0)).pruned == 1
        capsys.readouterr()
        await service.serve(runtime)
    [told] = capsys.readouterr().out.splitlines()
    assert told.startswith("a workflow with the id 'mailing-of-5' ended at ")


async def test_another_number_of_letters_is_another_mailing(
    open_claw_runtime, service, monkeypatch
):
    """The one that was begun goes on with its own number."""
    async with open_claw_runtime(MemoryStorage(), workflows=service.workflows) as runtime:
        with trio.move_on_after(0.5):
            await service.serve(runtime)
        monkeypatch.setattr(service, "LETTERS", 2)
        await service.serve(runtime)
        assert await runtime.result("mailing-of-5") == 5
        assert await runtime.result("mailing-of-2") == 2
        with pytest.raises(errors.NotFoundError):
            await runtime.result("mailing-of-3")


def test_the_unit_of_systemd_sets_what_exists_and_is_patient_enough():
    """Its settings are ours, and a stop takes longer than the grace before it is a kill."""
    unit = (EXAMPLES / "shop.service").read_text()
    settings = dict(re.findall(r"^Environment=(CLAW_\w+)=(.*)$", unit, re.MULTILINE))
    config = load_config(environment=settings)
    assert config.storage.type == "sqlite"
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert config.runtime.grace < float(patience)
    (directory,) = re.findall(r"^StateDirectory=(\w+)$", unit, re.MULTILINE)
    assert config.storage.sqlite.path == f"/var/lib/{directory}/shop.db"
