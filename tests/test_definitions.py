"""What an author declares, and what is refused at once."""

from __future__ import annotations

import functools

import attrs
import pytest

from claw_actors.definitions import (
    AsyncTask,
    Restart,
    Retry,
    Task,
    ThreadTask,
    Workflow,
    task,
    workflow,
)
from claw_actors.errors import (
    ContextMisuseError,
    DefinitionError,
    InvalidInputError,
    WorkflowFailure,
)
from claw_actors.task_context import Place, TaskInfo, place

INFO = TaskInfo(workflow_id="w", task_id="t", name="t", attempt=1, idempotency_key="k")


class RejectedError(Exception):
    pass


@task
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@task(name="print", timeout=2, retry=Retry(max_attempts=3))
def print_label(text: str) -> str:
    return text.upper()


@workflow
async def checkout(ctx, amount):
    return ctx, amount


# -- tasks ----------------------------------------------------------------------------------------


def test_an_async_function_runs_in_the_workflows_trio_task():
    """Its name is the function's, and nothing is retried unless said so."""
    assert type(charge) is AsyncTask
    assert (charge.name, charge.timeout, charge.id) == ("charge", None, None)
    assert charge.retry == Retry(max_attempts=1)


def test_a_plain_function_runs_in_a_worker_thread():
    """With the options given to the decorator."""
    assert type(print_label) is ThreadTask
    assert (print_label.name, print_label.timeout) == ("print", 2)
    assert print_label.retry.max_attempts == 3


@pytest.mark.parametrize("where", [Place.OUTSIDE, INFO])
async def test_outside_workflow_code_a_task_is_the_function_it_was(where):
    """So that it can be unit-tested, and called by another task."""
    token = place.set(where)
    try:
        assert await charge(3, currency="CHF") == "3 CHF"
        assert print_label("a") == "A"
    finally:
        place.reset(token)


@pytest.mark.parametrize("declared", [charge, print_label])
def test_in_workflow_code_a_direct_call_is_refused(declared):
    """Its outcome would not be recorded; the message says what would be."""
    token = place.set(Place.WORKFLOW)
    try:
        with pytest.raises(ContextMisuseError, match=rf"await ctx\.run\({declared.name}, \.\.\.\)"):
            declared("x")
    finally:
        place.reset(token)


def test_a_lambda_needs_a_name():
    """``<lambda>`` could not stand in an id."""
    assert task(name="shout")(lambda text: text.upper()).name == "shout"
    with pytest.raises(DefinitionError, match="name=\\.\\.\\. to @task"):
        task(lambda text: text.upper())


@pytest.mark.parametrize("name", ["", "a/b", "a#2", "2a", "x" * 101, 5])
def test_a_name_that_would_break_ids_is_refused(name):
    """An empty one, too: it is not the same as none."""
    with pytest.raises(DefinitionError, match="cannot name a task"):
        task(name=name)(print_label.fn)
    with pytest.raises(DefinitionError, match="cannot name a workflow"):
        workflow(name=name)(checkout.fn)


class AnyCallable:
    def __call__(self):
        raise NotImplementedError


async def numbers():  # noqa: ASYNC900
    yield 1


@pytest.mark.parametrize("thing", [5, "charge", None, RejectedError, numbers])
def test_a_task_is_a_function(thing):
    """No value, no class, no generator."""
    with pytest.raises(DefinitionError, match="async or a plain function"):
        task()(thing)


@pytest.mark.parametrize("thing", [AnyCallable(), functools.partial(print_label.fn, "a"), checkout])
def test_a_callable_without_a_name_is_refused_without_one(thing):
    """A partial function, an object, a workflow: named by hand or not at all."""
    with pytest.raises(DefinitionError, match="cannot name a task"):
        task(thing)


def test_a_partial_function_can_be_a_task():
    """If it is given a name."""
    assert task(name="label")(functools.partial(print_label.fn, "a"))() == "A"


@pytest.mark.parametrize("timeout", [-1, float("nan"), "2"])
def test_a_timeout_is_a_number_of_seconds(timeout):
    """At least 0."""
    with pytest.raises(InvalidInputError, match="timeout"):
        task(timeout=timeout)(print_label.fn)


def test_options_change_one_use_only():
    """The task itself stays as it was declared."""
    retry = Retry(max_attempts=9)
    changed = print_label.options(id="deposit", retry=retry, timeout=7)
    assert type(changed) is ThreadTask
    assert (changed.id, changed.retry, changed.timeout) == ("deposit", retry, 7)
    assert (changed.fn, changed.name) == (print_label.fn, "print")
    assert (print_label.id, print_label.timeout) == (None, 2)


def test_options_that_are_not_given_stay():
    """Each is changed by itself."""
    assert attrs.asdict(charge.options()) == attrs.asdict(charge)
    assert print_label.options(id="a").timeout == 2
    assert print_label.options(timeout=1).options(id="a").timeout == 1


def test_an_id_by_hand_follows_the_rules_of_names():
    """It becomes part of ids as well."""
    with pytest.raises(DefinitionError, match="'a/b' cannot name a task"):
        charge.options(id="a/b")


def test_options_check_what_a_declaration_checks():
    """A timeout below 0 is none."""
    with pytest.raises(InvalidInputError):
        charge.options(timeout=-1)


def test_declarations_are_immutable_and_compared_by_identity():
    """Two declarations of the same function are two."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        charge.name = "other"
    assert task(charge.fn) != charge
    assert len({charge, print_label, checkout}) == 3


def test_both_kinds_of_task_are_tasks():
    """The runtime asks for this class."""
    assert isinstance(charge, Task)
    assert isinstance(print_label, Task)


# -- workflows ------------------------------------------------------------------------------------


def test_a_workflow_is_named_and_versioned():
    """By the function and from 1, unless said otherwise."""
    assert isinstance(checkout, Workflow)
    assert (checkout.name, checkout.version) == ("checkout", 1)
    assert checkout.restart == Restart()
    assert checkout.all_failures == (WorkflowFailure,)


async def test_a_workflow_can_be_called_as_a_part_of_another():
    """With the caller's context."""
    assert await checkout("ctx", 5) == ("ctx", 5)


def test_everything_can_be_given():
    """Name, version, restart, failures."""
    restart = Restart(max_restarts=0)
    declared = workflow(name="shop", version=3, restart=restart, failures=(RejectedError,))(
        checkout.fn
    )
    assert (declared.name, declared.version, declared.restart) == ("shop", 3, restart)
    assert declared.all_failures == (WorkflowFailure, RejectedError)


@pytest.mark.parametrize("version", [0, -1, 1.0, True, "1", None, 2**63])
def test_a_version_is_a_whole_number_from_1(version):
    """Of 64 bits, like everything that is stored."""
    with pytest.raises(DefinitionError, match="of checkout is not a whole number"):
        workflow(version=version)(checkout.fn)


@pytest.mark.parametrize(
    "failures", [RejectedError, [RejectedError], (RejectedError, "x"), (KeyboardInterrupt,), (5,)]
)
def test_failures_are_a_tuple_of_exception_classes(failures):
    """Anything else would only be noticed when it matters."""
    with pytest.raises(DefinitionError, match="of checkout is not a tuple of exception classes"):
        workflow(failures=failures)(checkout.fn)


@pytest.mark.parametrize("thing", [print_label.fn, print_label, 5, RejectedError, numbers])
def test_a_workflow_is_an_async_function(thing):
    """Its progress is made by awaiting."""
    with pytest.raises(DefinitionError, match="@workflow goes on an async function"):
        workflow(thing)


def test_a_workflow_takes_a_context():
    """It could not do anything without one."""

    async def lonely():
        raise NotImplementedError

    with pytest.raises(DefinitionError, match="lonely takes no ctx"):
        workflow(lonely)
