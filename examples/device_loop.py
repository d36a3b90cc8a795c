"""Poll a device that keeps failing, and lose no reading.

    python device_loop.py

The device is a fake whose faults come from a seed: its link breaks now and then, and a reset does
not always help. Nobody here handles that, they crash. The tree, under ``rest_for_one``:

- ``recorder``: an actor that keeps the readings. It relies on nobody, so it comes first, and no
  crash of the others touches it.
- ``driver``: an actor that owns the link. When the link breaks it crashes, and its next life resets
  the device; if that fails it has crashed again, and the pause before the next try is longer.
- ``poller``: a service that asks the driver for a reading, again and again. It relies on both, so
  it comes last, and is restarted with the driver.

Time is virtual, so that all this takes no time. The last lines say what held; the exit status is 1
if anything did not.
"""

from __future__ import annotations

import functools
import logging
import random
import sys

import attrs
import trio
from trio.testing import MockClock

from claw_actors import Actor, ActorRef, ChildSpec, actors, errors, open_supervisor, service

READINGS = 30
PERIOD_S = 0.5
RESET_S = 0.2
PATIENCE_S = 300

# -- the device -----------------------------------------------------------------------------------


class LinkBrokenError(Exception):
    """The device does not answer; only a reset can help."""


@attrs.define
class FlakyDevice:
    """A thermometer at the end of a bad cable.

    Attributes:
        dice: what its faults come from.
        works: whether its link stands.
        readings: all that it has ever answered with.
        breaks: how often its link has broken.
        failed_resets: how often a reset did not help.
    """

    dice: random.Random
    works: bool = True
    readings: list[float] = attrs.field(factory=list[float])
    breaks: int = 0
    failed_resets: int = 0

    async def reset(self) -> None:
        await trio.sleep(RESET_S)
        self.works = self.dice.random() < 0.5
        if not self.works:
            self.failed_resets += 1
            raise LinkBrokenError("the reset did not help")

    async def read(self) -> float:
        await trio.sleep(0.01)
        if self.dice.random() < 0.1:
            self.works = False
            self.breaks += 1
            raise LinkBrokenError("no answer")
        self.readings.append(round(self.dice.gauss(20, 1), 1))
        return self.readings[-1]


# -- the tree -------------------------------------------------------------------------------------


@attrs.frozen
class Reading:
    """For the recorder, to keep."""

    celsius: float


@attrs.frozen
class Read:
    """Asks the driver for a reading, or the recorder for all of them."""


class Recorder(Actor[Reading | Read, tuple[float, ...]]):
    """Keeps the readings, and says when there are enough of them."""

    def __init__(self, enough: trio.Event) -> None:
        self.readings: list[float] = []
        self.enough = enough

    async def receive(self, message: Reading | Read) -> tuple[float, ...]:
        if isinstance(message, Reading):
            self.readings.append(message.celsius)
            if len(self.readings) == READINGS:
                self.enough.set()
        return tuple(self.readings)


class Driver(Actor[Read, float]):
    """Owns the link: it alone talks to the device, one request at a time."""

    def __init__(self, device: FlakyDevice) -> None:
        self.device = device

    async def on_start(self) -> None:
        if not self.device.works:
            await self.device.reset()  # raises, if it does not help: then this start has failed

    async def receive(self, message: Read) -> float:  # noqa: ARG002 - there is only one request
        return await self.device.read()


async def poll(driver: ActorRef[Read, float], recorder: ActorRef[Reading, object]) -> None:
    """Carry readings from the driver to the recorder."""
    while True:
        try:
            reading = await driver.ask(Read())
        except errors.ActorCrashedError:
            # It comes back, and this poller is stopped now, to be started again after it.
            await trio.sleep_forever()
        await recorder.tell(Reading(reading))
        await trio.sleep(PERIOD_S)


class Say(actors.Instrument):
    """Says what the supervisor does, and when."""

    def child_started(self, path: str, incarnation: int) -> None:
        print(f"{trio.current_time():6.2f} s  {path} has started, life {incarnation}")

    def child_crashed(self, report: actors.CrashReport) -> None:
        what = f"{report.path} has crashed ({report.error}); {report.decision}"
        print(f"{trio.current_time():6.2f} s  {what} in {report.delay:.2f} s")


# -- the demonstration ------------------------------------------------------------------------------


async def demonstrate(seed: int) -> dict[str, bool]:
    device = FlakyDevice(random.Random(seed))
    enough = trio.Event()
    # 0.25 s, 0.5 s, 1 s, 2 s, 2 s … while nothing helps, and anew when it has worked for a second.
    # Without jitter, so that the output is always the same.
    pauses = actors.Backoff(initial=0.25, maximum=2.0, jitter=0, reset_after=1.0)
    with trio.fail_after(PATIENCE_S):
        async with open_supervisor(
            strategy="rest_for_one", max_restarts=10, within=10.0, instruments=[Say()]
        ) as station:
            recorder = await station.start_child(
                ChildSpec("recorder", functools.partial(Recorder, enough))
            )
            driver = await station.start_child(
                ChildSpec("driver", functools.partial(Driver, device), backoff=pauses)
            )
            # The refs stay valid, whatever crashes.
            await station.start_child(ChildSpec("poller", service(poll, driver, recorder)))
            await enough.wait()
            await station.stop_child("poller")
            recorded = await recorder.ask(Read())
            lives = {child.id: child.incarnation for child in station.which_children()}
            crashes = station.statistics().crashes
    print(f"{len(recorded)} readings, {device.breaks} broken links", end=", ")
    print(f"{device.failed_resets} resets that did not help")
    return {
        "the link has broken, and a reset has failed": min(device.breaks, device.failed_resets) > 0,
        "every reading of the device is recorded, once": list(recorded) == device.readings,
        "each fault was one crash of the driver": (
            crashes == lives["driver"] - 1 == device.breaks + device.failed_resets
        ),
        "the poller was restarted with the driver only": lives["poller"] - 1 == device.breaks,
        "the recorder was never restarted": lives["recorder"] == 1,
    }


def main(seed: int = 1) -> int:
    # Crashes are logged with their tracebacks. Here they are meant, and `Say` has a line for each.
    logging.getLogger("claw_actors").setLevel(logging.CRITICAL)
    held = trio.run(demonstrate, seed, clock=MockClock(autojump_threshold=0))
    print()
    for claim, holds in held.items():
        print(f"{'ok' if holds else 'BROKEN':7} {claim}")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
