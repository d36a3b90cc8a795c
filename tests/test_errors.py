"""The family of errors: what each says, carries, and how it is copied."""

from __future__ import annotations

import copy
import inspect
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from claw_actors import errors
from claw_actors._core.failures import ErrorRecord
from claw_actors._core.supervision.policy import ChildCrash

RECORD = ErrorRecord(("app.OutOfStock", "Exception"), "no lamps left", "Traceback …")
CRASH = ChildCrash("worker", 1, ValueError("bad"), 10.0)
ENDED = ChildCrash("worker", 2, None, 11.0)
ROOT = Path(__file__).parent.parent

# Each error as it is raised, and what its message must tell a reader.
EXAMPLES = [
    (errors.ClawError("anything"), "anything"),
    (errors.NotFoundError("workflow", "order-1"), "no workflow has the id 'order-1'"),
    (
        errors.NotFoundError("workflow", "order-1", 86_400.0),
        "'order-1' any more: its history was pruned at 1970-01-02T00:00:00Z",
    ),
    (
        errors.HistoryPrunedError("order-1", "failed", 0.0, 1e300, ["arguments"]),
        "(failed), but not with the same arguments, and its history was pruned at 1e+300; use",
    ),
    (errors.DuplicateKeyError("order-1"), "'order-1' exists; use another id"),
    (
        errors.DuplicateKeyError("order-1", ["workflow", "arguments"]),
        "exists, but not with the same workflow and arguments; use another id",
    ),
    (errors.StaleWriteError("order-1", "revision", 3, 4), "3 was expected, 4 is stored; read it"),
    (
        errors.StaleWriteError("order-1", "task", "running", "ok"),
        "a task of workflow 'order-1' has ended already: 'ok' is recorded; what is recorded is",
    ),
    (
        errors.StaleWriteError("order-1", "task", "ok", "ok", ["attempt", "result"]),
        "'ok' is recorded, with another attempt and another result; what is recorded is never",
    ),
    (errors.SerializationError("result of pay", "app.Order", "no JSON"), "(app.Order): no JSON"),
    (errors.PayloadTooLargeError("result", 2_000_000, 1_048_576), "2,000,000 bytes"),
    (errors.StorageUnavailableError("a.db", "disk full"), "a.db is unavailable: disk full"),
    (errors.StorageLockedError("a.db", "pid 7"), "owned by pid 7; one file has one owner"),
    (errors.StorageCorruptError("a.db", "bad CRC", "Restore a backup"), "bad CRC. Restore a ba"),
    (errors.StorageVersionError("a.db", 9, 3), "upgrade claw_actors to open it"),
    (errors.OutcomeUnknownError("a.db", "EIO"), "may or may not be stored: EIO. Close and reopen"),
    (errors.InvalidInputError("limit", 0, "from 1"), "limit 0: from 1"),
    (errors.InvalidArgumentsError("pay", "missing 'order'"), "pay cannot be called"),
    (errors.DefinitionError("@task goes on a function"), "@task goes on a function"),
    (
        errors.UnknownWorkflowError("pay", 2, ["pay@1"]),
        "pay@2 is not registered (registered: pay@1)",
    ),
    (
        errors.UnknownWorkflowError("pay", None, []),
        "workflow pay is not registered (registered: no",
    ),
    (errors.RuntimeClosedError(), "open it again to go on"),
    (errors.InvalidTransitionError("order-1", "completed", "retry"), "completed: retry is not po"),
    (errors.InvalidTransitionError("order-1", "failed", "retry", "fork it"), "possible; fork it"),
    (errors.WorkflowClosedError("order-1", "failed"), "has ended (failed)"),
    (errors.WorkflowFailedError("order-1", RECORD), "failed: app.OutOfStock: no lamps left"),
    (errors.WorkflowCancelledError("order-1", "customer"), "was cancelled: customer"),
    (errors.WorkflowCancelledError("order-1", None), "'order-1' was cancelled"),
    (errors.WorkflowQuarantinedError("order-1", "ValueError"), "ValueError; mend the cause, then"),
    (errors.WorkflowQuarantinedError("order-1", None), "no reason recorded; mend the cause"),
    (errors.WorkflowFailure("rejected"), "rejected"),
    (errors.TaskFailedError("pay#2", "pay", 1, RECORD), "failed after 1 attempt: app.OutOfStock"),
    (errors.TaskFailedError("pay", "pay", 5, RECORD, entry_n=3), "failed after 5 attempts"),
    (
        errors.RollbackFailedError("order-1", "rollback/refund", "refund", 3, RECORD),
        "stopped at handler 'rollback/refund', which failed after 3 attempts: app.OutOfStock",
    ),
    (
        errors.RollbackFailedError("order-1", "rollback/refund", "refund", 1, RECORD),
        "failed after 1 attempt: app.OutOfStock: no lamps left; mend the cause, then retry",
    ),
    (errors.DeadlineExceededError(1_700_000_000.5), "by its deadline, 1700000000.500"),
    (errors.TaskTimeoutError(1.5), "took longer than 1.5 s"),
    (errors.TaskTimeoutError(1.5, silent=True), "sent no heartbeat for 1.5 s"),
    (errors.TransactionDeniedError("not authorized"), "transactional task: not authorized; it"),
    (errors.TransactionsUnsupportedError("pay", "memory"), "pay is transactional, and memory is n"),
    (errors.RetryAfter(2.5), "retry after 2.5 s"),
    (errors.RetryAfter(2.5, "busy"), "busy"),
    (errors.NonDeterminismError("order-1", "task a", "task b"), "expected task a, got task b."),
    (errors.ForeignAwaitError("app.py:7 in pay"), "app.py:7 in pay; put it into a @task"),
    (errors.JournalLimitError("order-1", 50_000), "limit of 50,000 entries; raise max_journal"),
    (errors.ContextMisuseError("ctx in a task body"), "ctx in a task body"),
    (errors.OwnerUnreachableError("a.db", "pid 7", "no answer"), "owned by pid 7, who could not"),
    (errors.ControlRefusedError("a.db.sock", "too many"), "through a.db.sock: too many"),
    (errors.NoOwnerError("a.db", "workflow 'x' cannot be started"), "no program owns a.db"),
    (errors.RequestOutcomeUnknownError("cancel", "order-1", "it died"), "may or may not be done"),
    (errors.ConfigurationError("claw.toml", "runtime.grace", "x", "a number"), "grace = 'x': a n"),
    (errors.InstanceSealed("shutdown"), "(shutdown); nothing is recorded"),
    (errors.RestartLimitExceededError("", [CRASH]), "'/' gave up after 1 crashes; the last was"),
    (errors.RestartLimitExceededError("pool", [CRASH, ENDED]), "child 'worker': it ended"),
    (errors.ChildStartError("worker", "not within 1 s"), "'worker' did not start: not within 1 s"),
    (errors.DuplicateChildError("worker"), "'worker'; stop and delete it first, or use another"),
    (errors.UnknownChildError("worker"), "no child 'worker'; temporary ones are forgotten"),
    (errors.ChildRunningError("worker"), "'worker' runs; stop it first"),
    (errors.SupervisorStoppedError("pool"), "supervisor 'pool' is stopping"),
    (errors.ActorCrashedError("pool/worker", 2), "(incarnation 2) while it was asked"),
    (errors.ActorStoppedError("worker"), "'worker' has stopped and answers no more"),
    (errors.MailboxFullError("worker", 10), "of actor 'worker' is full (10 messages)"),
    (errors.AskCycleError(["a", "b", "a"]), "wait for each other: a -> b -> a"),
    (errors.RequestRefusedError("sold out"), "sold out"),
]


def ids(value):
    return type(value).__name__ if isinstance(value, BaseException) else ""


@pytest.mark.parametrize(("error", "part"), EXAMPLES, ids=ids)
def test_a_message_says_what_happened_and_what_to_do(error, part):
    """In one sentence or two, with the names and figures of the case."""
    assert part in str(error)


def test_every_error_has_an_example_here():
    """None is left out of these tests."""
    assert {type(error).__name__ for error, _ in EXAMPLES} == set(errors.__all__)


@pytest.mark.parametrize(("error", "part"), EXAMPLES, ids=ids)
def test_every_documented_attribute_is_there(error, part):
    """A program decides by these, and finds what it was told it would."""
    _, _, attributes = inspect.getdoc(type(error)).partition("Attributes:")
    for name in re.findall(r"^\s+(\w+)(?=:)", attributes, re.MULTILINE):
        assert hasattr(error, name)


@pytest.mark.parametrize(("error", "part"), EXAMPLES, ids=ids)
def test_every_argument_is_an_attribute(error, part):
    """Nothing that an error is made of has to be parsed out of its message."""
    message_only = {"args", "kwargs", "message", "advice", "self"}
    wanted = set(inspect.signature(type(error).__init__).parameters) - message_only
    assert wanted <= set(vars(error)) or isinstance(error, errors.StorageCorruptError)
    if isinstance(error, errors.StorageCorruptError):
        assert error.advice == "Restore a backup"


@pytest.mark.parametrize(
    "error", [e for e, _ in EXAMPLES if isinstance(e, errors.ClawError)], ids=ids
)
def test_a_copy_is_as_good_and_shares_no_traceback(error):
    """One refusal may be raised in many Trio tasks; each gets an object of its own."""
    try:
        raise error
    except errors.ClawError as caught:
        twin = copy.copy(caught)
    assert twin is not error
    assert type(twin) is type(error)
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert twin.__traceback__ is None
    twin.added = True
    assert not hasattr(error, "added")


def test_an_authors_subclass_is_copied_with_its_attributes():
    """However many arguments its constructor takes."""

    class OrderRejectedError(errors.WorkflowFailure):
        def __init__(self, order, *, why):
            super().__init__(f"{order}: {why}")
            self.order = order

    twin = copy.copy(OrderRejectedError(7, why="stock"))
    assert (type(twin), str(twin), twin.order) == (OrderRejectedError, "7: stock", 7)


def test_what_differs_is_kept_as_it_was():
    """A list that its owner changes later is not an attribute."""
    differs, known = ["workflow"], ["a@1"]
    duplicate = errors.DuplicateKeyError("a", differs)
    stale = errors.StaleWriteError("a", "task", "ok", "ok", differs)
    unknown = errors.UnknownWorkflowError("b", 1, known)
    differs.clear()
    known.clear()
    assert (duplicate.differs, unknown.known) == (("workflow",), ("a@1",))
    assert stale.differs == ("workflow",)


def test_a_long_value_is_cut_in_the_message_only():
    """Nobody reads a megabyte of text in a log."""
    error = errors.InvalidInputError("metadata", "x" * 1_000, "less")
    assert len(str(error)) < 230
    assert str(error).endswith("…: less")
    assert error.value == repr("x" * 1_000)


def test_a_value_of_two_hundred_characters_is_shown_whole():
    """The cut begins after that."""
    assert "…" not in str(errors.InvalidInputError("f", "x" * 198, "less"))
    assert "…" in str(errors.InvalidInputError("f", "x" * 199, "less"))


def test_a_failed_task_tells_what_it_failed_with():
    """By the names that were stored: the class itself need not be there any more."""

    class OutOfStock(Exception):
        pass

    OutOfStock.__module__, OutOfStock.__qualname__ = "app", "OutOfStock"
    error = errors.TaskFailedError("pay", "pay", 1, RECORD)
    assert error.is_(OutOfStock)
    assert error.is_(Exception)
    assert not error.is_(ValueError)


@pytest.mark.parametrize("seconds", [-0.1, float("inf"), float("nan")])
def test_a_delay_that_never_comes_is_refused(seconds):
    """Where it is raised, with the reason."""
    with pytest.raises(errors.InvalidInputError, match="seconds"):
        errors.RetryAfter(seconds)


def test_a_sealed_instance_is_not_caught_by_accident():
    """``except Exception`` in workflow code must not keep a stopped instance alive."""
    assert not issubclass(errors.InstanceSealed, Exception)


def test_the_documentation_lists_every_error():
    """The page takes them all from the module."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    assert "claw_actors.errors" in page
    assert ":members:" in page or all(name in page for name in errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_says_where_it_is_imported_from(name):
    """Not in which file it stands: journals hold these names, and tracebacks show them."""
    assert getattr(errors, name).__module__ == "claw_actors.errors"


@pytest.mark.parametrize("seconds", [0.0, 951_782_399.0, 951_782_400.5, 951_868_800, 1_764_397_327])
@pytest.mark.parametrize("years", [0, 1, 4, 100, 400, 1_000])
def test_a_time_is_said_as_in_the_calendar(seconds, years):
    """Leap years included."""
    at = seconds + years * 31_556_952
    expected = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert str(errors.NotFoundError("workflow", "a", at)).endswith(expected)


def rows_of_troubleshooting():
    """Yield what the page for those in trouble says of each error: its name and its words."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    _, _, table = page.partition("## Every error")
    return re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", table, re.MULTILINE)


def test_every_error_can_be_looked_up_by_who_is_in_trouble():
    """Once each: nobody should have to read the source to know what to do."""
    assert sorted(name for name, _ in rows_of_troubleshooting()) == sorted(errors.__all__)


@pytest.mark.parametrize(("name", "words"), rows_of_troubleshooting())
def test_what_is_looked_up_is_what_the_error_says(name, words):
    """Word for word, but for names and figures (and for errors without words of their own)."""
    if words.startswith("*"):
        return
    pattern = ".*".join(re.escape(part) for part in words.split("…"))
    said = [str(error) for error, _ in EXAMPLES if type(error).__name__ == name]
    assert any(re.search(pattern, message) for message in said)
