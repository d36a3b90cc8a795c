"""Who is told what happens under a supervisor: instruments, the dead-letter hook, the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from .reports import CrashReport, DeadLetter, Instrument, StuckReport

__all__ = ["Watchers"]


class Watchers:
    """Tells everyone; one that raises is logged and told nothing more.

    Attributes:
        dead_letters: how many there were.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        on_dead_letter: Callable[[DeadLetter], None] | None,
    ) -> None:
        self.log: logging.Logger = logging.getLogger("claw_actors.actors")
        self.dead_letters: int = 0
        self._instruments = list(instruments)
        self._on_dead_letter = on_dead_letter

    def tell(self, what: str, *about: object) -> None:
        """Call a method of all instruments."""
        for instrument in list(self._instruments):
            try:
                getattr(instrument, what)(*about)
            except Exception:
                if instrument in self._instruments:  # or it raised twice, once inside the other
                    self._instruments.remove(instrument)
                self.log.exception("instrument %r raised, and is told nothing more", instrument)

    def dead_letter(self, letter: DeadLetter) -> None:
        """A message is not dealt with."""
        self.dead_letters += 1
        self.log.info(
            "dead letter: a %s for actor %s: %s",
            type(letter.message).__name__,
            letter.path,
            letter.reason,
        )
        self.tell("dead_letter", letter)
        if self._on_dead_letter is not None:
            try:
                self._on_dead_letter(letter)
            except Exception:
                self.log.exception("the dead-letter hook raised")

    def log_crash(self, report: CrashReport, *, quiet: bool) -> None:
        """Log a crash; at debug level if the child tells of it itself."""
        if quiet:
            level = logging.DEBUG
        elif report.decision in {"restart", "it was stopping"}:
            level = logging.WARNING
        else:
            level = logging.ERROR
        what = "ended" if report.error is None else "crashed"
        follows = f"{report.decision} in {report.delay:.3f} s" if report.delay else report.decision
        self.log.log(
            level,
            "actor %s %s (incarnation %d, last message %s, %d waiting, %d restarts lately): %s",
            report.path,
            what,
            report.incarnation,
            report.last_message,
            report.mailbox,
            report.restarts,
            follows,
            exc_info=report.error,
        )

    def log_stuck(self, report: StuckReport) -> None:
        """Log a child that does not end."""
        self.log.error(
            "actor %s (incarnation %d) was cancelled %.1f s ago and still runs; it waits here:\n%s",
            report.path,
            report.incarnation,
            report.cancelled_for,
            "\n".join(report.stack),
        )
