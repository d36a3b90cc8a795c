"""A TCP server on loopback, parts of which crash under real clients and come back.

    python tcp_server.py

The server divides: a client sends ``84 2`` and gets ``42``. Its tree:

- ``counter``: an actor that all connections share;
- ``connections``: a supervisor of its own, with one temporary child for each client;
- ``listener``: a service that accepts clients.

A division by zero crashes the connection that does it, and no other. Then the listener's socket is
closed beneath it: it is started again on the same port, and the connections that stand go on. The
last lines say what held; the exit status is 1 if anything did not.
"""

from __future__ import annotations

import contextlib
import logging
import sys

import attrs
import trio

from claw_actors import (
    Actor,
    ActorRef,
    ChildSpec,
    Supervisor,
    SupervisorSpec,
    actors,
    errors,
    open_supervisor,
    service,
)

HOST = "127.0.0.1"
LINE_BYTES = 1_000  # at most: no client decides how much memory it takes
PATIENCE_S = 20  # the whole of it takes less than a second

# -- the server -----------------------------------------------------------------------------------


class Counter(Actor[int, int]):
    """Adds up what it is told; asked, it answers the sum."""

    def __init__(self) -> None:
        self.sum = 0

    async def receive(self, message: int) -> int:
        self.sum += message
        return self.sum


class Lines:
    """Reads the lines of a stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read(self) -> str:
        """Return the next line, or nothing if the other side has closed the stream."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_BYTES:
                raise ValueError("the line is too long")
            data = await self._stream.receive_some(LINE_BYTES)
            if not data:
                return ""
            self._buffer += data
        line = self._buffer[: end + 1].decode("ascii")
        del self._buffer[: end + 1]
        return line


async def serve_client(stream: trio.SocketStream, counter: ActorRef[int, int]) -> None:
    """Serve one client until it goes; whatever is raised is a crash of this connection alone."""
    async with stream:
        lines = Lines(stream)
        while line := await lines.read():
            dividend, divisor = map(int, line.split())
            answer = dividend // divisor
            await counter.tell(1)
            await stream.send_all(f"{answer}\n".encode())


@attrs.define
class Door:
    """What has to outlive a listener: the next one opens the same port, and goes on counting."""

    port: int = 0  # the first listener takes one that is free
    clients: int = 0
    listener: trio.SocketListener | None = None


async def listen(  # noqa: ASYNC114 - a supervisor starts it, no nursery does
    door: Door,
    server: Supervisor,
    counter: ActorRef[int, int],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept clients, and give each a child of its own."""
    [listener] = await trio.open_tcp_listeners(door.port, host=HOST)
    async with listener:
        door.listener, door.port = listener, listener.socket.getsockname()[1]
        task_status.started()
        while True:
            stream = await listener.accept()
            door.clients += 1
            serve = service(serve_client, stream, counter)
            spec = ChildSpec(f"client-{door.clients}", serve, restart="temporary")
            try:
                await server.nested("connections").start_child(spec)
            except errors.ClawError:
                # The server is stopping: nobody has taken the stream over, so it is ours to close.
                await trio.aclose_forcefully(stream)


class Say(actors.Instrument):
    """Says what the supervisors do."""

    def child_started(self, path: str, incarnation: int) -> None:
        print(f"    {path} has started" + (" again" if incarnation > 1 else ""))

    def child_crashed(self, report: actors.CrashReport) -> None:
        what = type(report.error).__name__
        print(f"    {report.path} has crashed, {what}; what follows: {report.decision}")


async def start_server(server: Supervisor, door: Door) -> ActorRef[int, int]:
    """Start the children: each comes after those that it relies on."""
    counter = await server.start_child(ChildSpec("counter", Counter))
    # Nothing in it is ever restarted, so it never gives up, however many connections crash. When
    # the server stops, they need not wait for each other.
    await server.start_child(ChildSpec("connections", SupervisorSpec(stop_together=True)))
    await server.start_child(ChildSpec("listener", service(listen, door, server, counter)))
    return counter


# -- its clients ----------------------------------------------------------------------------------


class Client:
    """A connection, as the one who has made it sees it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._lines = Lines(stream)

    async def ask(self, request: str) -> str:
        await self._stream.send_all(f"{request}\n".encode())
        return (await self._lines.read()).strip() or "the connection was closed"


async def connect(door: Door, until: contextlib.AsyncExitStack) -> Client:
    """Connect, and try again while nobody listens."""
    while True:
        try:
            stream = await trio.open_tcp_stream(HOST, door.port)
        except OSError:
            await trio.sleep(0.02)
        else:
            return Client(await until.enter_async_context(stream))


async def visit(server: Supervisor, door: Door, held: dict[str, bool]) -> None:
    """Be several clients, break things, and note which promises held."""
    async with contextlib.AsyncExitStack() as until:
        print("ada and bob connect")
        ada, bob = await connect(door, until), await connect(door, until)
        answers = [await ada.ask("84 2"), await bob.ask("9 3")]
        print(f"ada gets {answers[0]}, bob gets {answers[1]}")

        print("bob divides by zero")
        connection = server.find("connections/client-2")
        answer = await bob.ask("1 0")
        await connection.wait_stopped()
        print(f"bob: {answer}; ada gets {(still := await ada.ask('10 5'))}")
        held["a crash closes its own connection"] = answer == "the connection was closed"
        held["the others go on"] = still == "2"

        print("bob comes back")
        bob = await connect(door, until)
        print(f"bob gets {(again := await bob.ask('1 1'))}")
        held["who has crashed can connect again"] = again == "1"

        print("the listener loses its socket")
        port, listener = door.port, door.listener
        assert listener is not None
        with server.find("listener").monitor() as monitor:
            await listener.aclose()
            await monitor.wait()
        meanwhile = [await ada.ask("6 2"), await bob.ask("8 2")]
        cyd = await connect(door, until)
        answer = await cyd.ask("5 1")
        print(f"ada gets {meanwhile[0]}, bob gets {meanwhile[1]}; cyd, who is new, gets {answer}")
        held["connections outlive the listener"] = meanwhile == ["3", "4"]
        held["it is started again on its port"] = answer == "5" and door.port == port


# -- the demonstration ------------------------------------------------------------------------------


async def demonstrate() -> dict[str, bool]:
    held: dict[str, bool] = {}
    door = Door()
    with trio.fail_after(PATIENCE_S):
        async with open_supervisor(instruments=[Say()]) as server:
            counter = await start_server(server, door)
            await visit(server, door, held)
            answered = await counter.ask(0)
            print(f"the counter has counted {answered} answers")
            held["the shared counter has seen it all"] = answered == 7
            crashes = server.statistics().crashes
            crashes += server.nested("connections").statistics().crashes
            held["nothing else has crashed"] = crashes == 2
        print("the server has stopped")
        try:
            await (await trio.open_tcp_stream(HOST, door.port)).aclose()
            held["nobody listens any more"] = False
        except OSError:
            held["nobody listens any more"] = True
    return held


def main() -> int:
    # Crashes are logged with their tracebacks. Here they are meant, and `Say` has a line for each.
    logging.getLogger("claw_actors").setLevel(logging.CRITICAL)
    held = trio.run(demonstrate)
    print()
    for claim, holds in held.items():
        print(f"{'ok' if holds else 'BROKEN':7} {claim}")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
