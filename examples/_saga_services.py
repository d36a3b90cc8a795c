"""The outside world of ``order_saga.py``: three services that know nothing of claw_actors.

Each speaks HTTP on loopback and has an SQLite database of its own. It applies a request once,
whatever happens to the one who asks: a request that comes again, with the idempotency key of an
earlier one, is answered from the log of requests. That log is also the witness. It is kept by the
one to whom things happen, and it is what the trial is judged by.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

LOG = """
    CREATE TABLE log (n INTEGER PRIMARY KEY, key TEXT, action TEXT, order_id TEXT, item TEXT,
                      what TEXT CHECK (what IN ('applied', 'refused', 'repeated')), answer TEXT);
    CREATE UNIQUE INDEX once ON log (key) WHERE what != 'repeated';
"""


class RefusalError(Exception):
    """The answer is no, and asking again will not change it."""


@attrs.frozen
class Effect:
    """Something that has just been applied, for good; whoever asked does not know it yet."""

    key: str
    action: str
    order_id: str
    answer: str

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to undo."""
        return self.answer.startswith("had ")


@attrs.frozen
class Answer:
    """A status of HTTP and a text; and the effect, if there was one this time."""

    status: int
    text: str
    effect: Effect | None = None


class Service:
    """What the three have in common: HTTP, a database, idempotency keys, the log."""

    name: str
    schema: str

    def __init__(self, directory: Path) -> None:
        self.database = sqlite3.connect(
            directory / f"{self.name}.db", isolation_level=None, check_same_thread=False
        )
        # This process is never killed, so nothing here has to wait for the disk.
        self.database.execute("PRAGMA synchronous = OFF")
        self.database.executescript(LOG + self.schema)
        self._one_at_a_time = threading.Lock()
        self._busy_once: set[str] = set()

    def apply(self, action: str, request: dict[str, Any]) -> str:
        """Do what is asked for, within a transaction; what is returned is the answer."""
        raise NotImplementedError

    def answer(self, action: str, key: str, request: dict[str, Any]) -> Answer:
        """Answer a request; what it changes is committed when this returns."""
        order, item = request["order_id"], request.get("item")
        with self._one_at_a_time, self._transaction():
            # Some requests are turned away at first, as busy services do.
            asked = f"{action} {order} {item}"
            if zlib.crc32(asked.encode()) % 4 == 0 and asked not in self._busy_once:
                self._busy_once.add(asked)
                return Answer(503, "busy")
            effect, status = None, 200
            if (earlier := self.find(key)) is not None:
                what, answer = "repeated", earlier[1]
                status = 409 if earlier[0] == "refused" else 200
            else:
                try:
                    what, answer = "applied", self.apply(action, request)
                    effect = Effect(key, action, order, answer)
                except RefusalError as refusal:
                    what, answer, status = "refused", str(refusal), 409
            row = (key, action, order, item, what, answer)
            self.database.execute("INSERT INTO log VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
        return Answer(status, answer, effect)

    def find(self, key: str) -> tuple[str, str] | None:
        """Return what was done, and answered, when this key came for the first time."""
        query = "SELECT what, answer FROM log WHERE key = ? AND what != 'repeated'"
        found: tuple[str, str] | None = self.database.execute(query, (key,)).fetchone()
        return found

    def change(self, sql: str, *values: object) -> int:
        """Execute one statement; returns how many rows it has changed."""
        return self.database.execute(sql, values).rowcount

    def rows(self, sql: str) -> list[Any]:
        """Return the rows of a query."""
        return self.database.execute(sql).fetchall()

    def number(self, sql: str, *values: object) -> int:
        """Return the one number that a query asks for, or 0 if there is none."""
        found = self.database.execute(sql, values).fetchone()
        return int(found[0] or 0) if found else 0

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    @contextlib.contextmanager
    def serve(self, on_effect: Callable[[Effect], None]) -> Iterator[str]:
        """Serve on loopback, in threads of this process; provides the URL.

        Args:
            on_effect: called when something is applied and the answer is not yet sent.
        """
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # whoever asks may be killed at any time
                    super().handle()

            def do_POST(self) -> None:  # the name that http.server looks for
                body = self.rfile.read(length := int(self.headers["Content-Length"]))
                if len(body) < length:
                    return  # killed before all of it was said
                key = self.headers["Idempotency-Key"]
                answer = service.answer(self.path.strip("/"), key, json.loads(body))
                if answer.effect:
                    on_effect(answer.effect)
                text = answer.text.encode("ascii")
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing: the log is in the database."""

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()
                self.database.close()


class Stock(Service):
    """Reserves items for orders, and takes them back. What is reserved has left the shelf."""

    name = "stock"
    schema = """
        CREATE TABLE shelf (item TEXT PRIMARY KEY, amount INTEGER CHECK (amount >= 0));
        CREATE TABLE reserved (order_id TEXT, item TEXT, amount INTEGER);
    """

    def apply(self, action: str, request: dict[str, Any]) -> str:
        order = request["order_id"]
        if action == "reserve":
            item, amount = request["item"], request["amount"]
            have = self.number("SELECT amount FROM shelf WHERE item = ?", item)
            if have < amount:
                raise RefusalError(f"there are {have} {item}, not {amount}")
            self.change("UPDATE shelf SET amount = amount - ? WHERE item = ?", amount, item)
            self.change("INSERT INTO reserved VALUES (?, ?, ?)", order, item, amount)
            return f"{amount} {item} reserved"
        assert action == "release"
        self.change(
            "UPDATE shelf SET amount = amount + (SELECT coalesce(sum(amount), 0) FROM reserved"
            " WHERE reserved.item = shelf.item AND order_id = ?)",
            order,
        )
        rows = self.change("DELETE FROM reserved WHERE order_id = ?", order)
        return f"{rows} kinds of items back on the shelf" if rows else "had nothing reserved"


class Payment(Service):
    """Moves coins from customers to the shop, and back."""

    name = "payment"
    schema = """
        CREATE TABLE account (owner TEXT PRIMARY KEY, coins INTEGER CHECK (coins >= 0));
        CREATE TABLE paid (order_id TEXT, coins INTEGER);
    """

    def apply(self, action: str, request: dict[str, Any]) -> str:
        order, customer = request["order_id"], request["customer"]
        if action == "charge":
            coins = request["coins"]
            have = self.number("SELECT coins FROM account WHERE owner = ?", customer)
            if have < coins:
                raise RefusalError(f"{customer} has {have} coins, not {coins}")
            self._move(coins, customer, "shop")
            self.change("INSERT INTO paid VALUES (?, ?)", order, coins)
            return f"{coins} coins paid"
        assert action == "refund"
        coins = self.number("SELECT sum(coins) FROM paid WHERE order_id = ?", order)
        self._move(coins, "shop", customer)
        self.change("DELETE FROM paid WHERE order_id = ?", order)
        return f"{coins} coins refunded" if coins else "had paid nothing"

    def _move(self, coins: int, source: str, target: str) -> None:
        self.change("UPDATE account SET coins = coins - ? WHERE owner = ?", coins, source)
        self.change("UPDATE account SET coins = coins + ? WHERE owner = ?", coins, target)


class Shipping(Service):
    """Takes parcels, for towns that it has a road to."""

    name = "shipping"
    schema = """
        CREATE TABLE road (town TEXT PRIMARY KEY);
        CREATE TABLE parcel (order_id TEXT, town TEXT);
    """

    def apply(self, action: str, request: dict[str, Any]) -> str:
        assert action == "ship"
        order, town = request["order_id"], request["town"]
        if not self.number("SELECT count(*) FROM road WHERE town = ?", town):
            raise RefusalError(f"no road leads to {town}")
        self.change("INSERT INTO parcel VALUES (?, ?)", order, town)
        return f"shipped to {town}"
