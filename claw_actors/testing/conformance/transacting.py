"""An author's own SQL and its outcome: together, or refused where there is no SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ...errors import StaleWriteError, TransactionsUnsupportedError
from ...storage.operations import Advance, RolledBack, Transact, Transacted
from .case import case
from .driving import create, do, image, load_one, refused
from .samples import an_outcome, open_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._core.transacting import Connection
    from ...storage.backend import Backend


def _transact(pk: int, run: Callable[[Connection], bytes], *, life: int = 0) -> Transact:
    advance = Advance(pk, "one", life, (an_outcome(value=None),), closed=("charge",))
    return Transact(advance, run)


@case
def a_transaction_is_recorded_with_its_value_or_not_done(backend: Backend) -> None:
    """What the function returns is the value of the entry; without SQL it is never called."""
    pk = create(backend)
    do(backend, Advance(pk, "one", 0, opened=(open_work(),)), object)
    called: list[Connection] = []

    def run(connection: Connection) -> bytes:
        called.append(connection)
        return b"7"

    if not backend.transactional:
        refused(backend, _transact(pk, run), TransactionsUnsupportedError)
        assert not called
        return
    answer = do(backend, _transact(pk, run), Transacted)
    assert answer.entry == attrs.evolve(an_outcome(value=b"7"), n=1)
    loaded = load_one(backend, pk)
    assert loaded.entries[1:] == (answer.entry,)
    assert loaded.open_tasks == ()
    assert len(called) == 1


@case
def a_transaction_that_raises_leaves_no_trace(backend: Backend) -> None:
    """The answer has the error; an old incarnation's function is not even called."""
    pk = create(backend)
    called: list[Connection] = []
    error = ValueError("no")

    def run(connection: Connection) -> bytes:
        called.append(connection)
        raise error

    if not backend.transactional:
        refused(backend, _transact(pk, run), TransactionsUnsupportedError)
        assert not called
        return
    refused(backend, _transact(pk, run, life=9), StaleWriteError)
    assert not called
    before = image(backend)
    assert do(backend, _transact(pk, run), RolledBack).error is error
    assert image(backend) == before
