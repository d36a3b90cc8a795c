"""Workflows by name and version."""

from __future__ import annotations

import pytest

from claw_actors import task, workflow
from claw_actors._runtime.registry import Registry
from claw_actors.errors import DefinitionError, UnknownWorkflowError


@workflow
async def pay(ctx):
    raise NotImplementedError


@workflow(name="pay", version=2)
async def pay_again(ctx):
    raise NotImplementedError


@workflow(name="pay", version=2)
async def impostor(ctx):
    raise NotImplementedError


@task
async def charge():
    raise NotImplementedError


@pytest.fixture
def registry():
    return Registry([pay, pay_again])


def test_each_version_is_found_by_its_name(registry):
    """Old ones beside new ones."""
    assert registry.find("pay", 1) is pay
    assert registry.find("pay", 2) is pay_again


def test_what_is_not_registered_is_named_with_what_is(registry):
    """So that a typo is seen at once."""
    with pytest.raises(UnknownWorkflowError) as caught:
        registry.find("pay", 3)
    assert (caught.value.name, caught.value.version) == ("pay", 3)
    assert caught.value.known == ("pay@1", "pay@2")


def test_the_same_workflow_may_be_listed_twice():
    """It is the same."""
    assert Registry([pay, pay]).find("pay", 1) is pay


def test_two_workflows_of_one_name_and_version_are_refused():
    """Nobody could tell which one a stored instance belongs to."""
    with pytest.raises(DefinitionError, match="two workflows are called pay@2"):
        Registry([pay_again, impostor])


@pytest.mark.parametrize("thing", [charge, pay.fn, None, "pay"])
def test_only_workflows_can_be_registered_and_started(registry, thing):
    """A task, a function, a name: declare it with @workflow."""
    with pytest.raises(DefinitionError, match="declare it with @workflow"):
        Registry([thing])
    with pytest.raises(DefinitionError, match="declare it with @workflow"):
        registry.check(thing)


def test_a_registered_workflow_may_be_started(registry):
    """By the very object that was registered."""
    registry.check(pay)
    registry.check(pay_again)


def test_an_impostor_may_not_be_started(registry):
    """Another function under a registered name."""
    with pytest.raises(DefinitionError, match="another function is registered as pay@2"):
        registry.check(impostor)


def test_an_unregistered_workflow_may_not_be_started():
    """The error says how to register it."""
    with pytest.raises(UnknownWorkflowError, match=r"open_runtime\(workflows"):
        Registry([]).check(pay)
