"""What a context knows: where it is, what time it is, and chance that repeats itself."""

from __future__ import annotations

import logging
import random
import uuid
from typing import TYPE_CHECKING, Any

import attrs

from .._core.identity import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from .attempts import Attempts
    from .births import Births
    from .continuing import NextRun
    from .inbox import MessageCounts
    from .rollback import Rollback
    from .strand import Strand

__all__ = ["Bearings", "Surroundings"]


class _ReplaySilentLogger(logging.LoggerAdapter[logging.Logger]):
    """Says nothing while the past is replayed, when everything has been said before."""

    def __init__(
        self, logger: logging.Logger, bearings: Bearings, about: Mapping[str, object]
    ) -> None:
        super().__init__(logger, about)
        self._bearings = bearings

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Say whose record it is, and keep what else is said of it."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        return not self._bearings.is_replaying and super().isEnabledFor(level)


@attrs.frozen(eq=False)
class Surroundings:
    """What all contexts of one incarnation share.

    Attributes:
        attempts: what runs task bodies.
        rollback: what undoes their effects if the workflow fails.
        run_key: what the keys for the outside world derive from.
        seed: what all their random numbers derive from.
        failures: classes of exceptions that fail the workflow; others are crashes.
        next_run: what would follow this run.
        message_counts: what became of messages, counted for the whole runtime.
        births: what starting a child needs.
    """

    attempts: Attempts
    rollback: Rollback
    next_run: NextRun
    run_key: str
    seed: int
    failures: tuple[type[Exception], ...]
    message_counts: MessageCounts
    births: Births


class Bearings:
    """What a context knows. All of it but ``attempt`` and ``is_replaying`` is the same on replay."""

    def __init__(self, strand: Strand, surroundings: Surroundings) -> None:
        self._strand = strand
        self._sequencer = strand.sequencer
        self._surroundings = surroundings
        # Made when they are asked for: most of many children never do.
        self._random: random.Random | None = None
        self._uuids: random.Random | None = None
        self._log: _ReplaySilentLogger | None = None

    def __repr__(self) -> str:
        where = f"Context {self._strand.path!r}" if self._strand.path else "Context"
        return f"<{where} of workflow {self.workflow_id!r}>"

    # -- what it knows ------------------------------------------------------------------------------

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self._sequencer.id

    @property
    def attempt(self) -> int:
        """Which incarnation of the workflow this is, from 1."""
        return self._sequencer.life

    @property
    def is_replaying(self) -> bool:
        """Whether the code repeats what it did before. Never decide by it; it is for logging.

        What follows the last checkpoint counts as new: nobody knows whether it was done before.
        """
        return self._sequencer.is_replaying

    @property
    def is_sealed(self) -> bool:
        """Whether the instance leaves memory, so that nothing is recorded any more."""
        return self._sequencer.leaving.sealed is not None

    @property
    def journal_length(self) -> int:
        """How many entries of the journal have been delivered."""
        return self._sequencer.delivered

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that is silent while the past is replayed.

        What is said after the last checkpoint before a restart may be said twice, never not at all.
        """
        if self._log is None:
            logger = logging.getLogger("claw_actors.workflow")
            self._log = _ReplaySilentLogger(logger, self, self._sequencer.about)
        return self._log

    def now(self) -> float:
        """Return the time of the workflow's last checkpoint, in POSIX seconds.

        It stands still between checkpoints and is the same on every replay.

        Raises:
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._strand.check()
        return self._sequencer.now

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same on every replay, and differ between workflows.

        Raises:
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._strand.check()
        if self._random is None:
            self._random = _stream(self._surroundings.seed, self._strand.path, "random")
        return self._random

    def uuid4(self) -> uuid.UUID:
        """Return a random UUID that is the same on every replay.

        Raises:
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._strand.check()
        if self._uuids is None:
            self._uuids = _stream(self._surroundings.seed, self._strand.path, "uuid")
        return uuid.UUID(int=self._uuids.getrandbits(128), version=4)


def _stream(seed: int, path: str, purpose: str) -> random.Random:
    return random.Random(derive_seed(seed, path, purpose))
