"""When a batch of utterances is due. Pure."""

from __future__ import annotations

from coterie.meetings.messages import Batch
from coterie.meetings.minutes.records import Utterance


class Batcher:
    """Collects what one member is to hear: a rolling wait with a ceiling."""

    __slots__ = ("_batch", "_ceiling", "_deadline", "_held")

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._held: list[Utterance] = []
        self._deadline = 0.0
        self._ceiling = 0.0

    @property
    def deadline(self) -> float | None:
        """When the batch is due; None if there is nothing in it."""
        return self._deadline if self._held else None

    def add(self, utterance: Utterance, now: float) -> bool:
        """Take an utterance. Return whether the batch is due at once."""
        if not self._held:
            self._ceiling = now + self._batch.ceiling
        self._held.append(utterance)
        self._deadline = min(now + self._batch.wait, self._ceiling)
        return bool(utterance.to) or utterance.person

    def take(self) -> tuple[Utterance, ...]:
        """Return what is in the batch, and begin a new one."""
        held, self._held = self._held, []
        return tuple(held)
